"""The key of the logs changes while they are written, and everything that was signed before stays good."""

from __future__ import annotations

import json
import threading

import pytest
from deliveries import CITIZEN

from pod_server import log_keys, upkeep, witnessing
from pod_server.lasting_keys import lasting_signer, list_lasting
from pod_server.log import ledger
from pod_server.log.checkpoint import Checkpoint, VerifierKey, sign_checkpoint, verify_checkpoint
from pod_server.log.errors import LogBroken
from pod_server.log.event import LogEvent
from pod_server.log.hand_over import ACTION, make_hand_over, read_chain, read_hand_over
from pod_server.log.restoration import append_restored, verify_restored
from pod_server.log.tree import consistency_proof
from pod_server.log.verification import verify_log, verify_stored
from pod_server.log.witness import Request, Witness
from pod_server.signatures import SigningKey, log_checkpoint_key

NAME = "localhost:8080/-/logs/"


@pytest.fixture
def kari(city):
    return city.citizen("kari")


def write(host, pod, count=1):
    with host.storage.write() as tx:
        for number in range(count):
            ledger.append(tx, pod.pod_id, LogEvent(host.clock.now(), CITIZEN, "put", count=number))


def head(host, pod):
    """The signed checkpoint of now, and the key it verifies with."""
    with host.storage.read() as tx:
        key = ledger.log_verifier_key(host, ledger.load_tree(tx, pod.pod_id))
        return ledger.checkpoint(tx, host, pod.pod_id), key.encoded()


def exported(host, pod):
    with host.storage.read() as tx:
        return json.loads(json.dumps(ledger.export(tx, host, pod.vault, pod.pod_id)))


def rotate(host):
    made = log_keys.rotate(host)
    log_keys.take_over(host)
    return made


def test_old_checkpoints_and_old_keys_verify_the_log_through_two_hand_overs(host, kari):
    heads = [head(host, kari)]
    for _ in range(2):
        rotate(host)
        write(host, kari, 3)
        heads.append(head(host, kari))
    assert len({key for _, key in heads}) == 3
    log = exported(host, kari)
    assert log["key"] == heads[-1][1]
    assert [read_hand_over(note).number for note in log["hand_overs"]] == [2, 3]
    for note, _ in heads:
        for _, trusted in heads:
            assert verify_log(log, trusted_key=trusted, earlier_checkpoint=note).key == trusted
    assert verify_log(log).key == heads[-1][1]
    changes = [each["event"] for each in log["events"] if each["event"]["action"] == ACTION]
    assert [(each["actor"]["kind"], each["detail"]["number"]) for each in changes] == [("operator", 2), ("operator", 3)]


def test_a_key_that_has_handed_over_signs_nothing_that_comes_after(host, kari):
    """T31: whoever stole the old key extends no log with it, for whoever knows the old key or the new one."""
    _, old = head(host, kari)
    stolen = log_checkpoint_key(host.host_key)
    rotate(host)
    write(host, kari, 2)
    log = exported(host, kari)
    state = verify_checkpoint(log["checkpoint"], [VerifierKey.decode(log["key"])])
    forged = {**log, "checkpoint": sign_checkpoint(state, stolen)}
    for trusted in (old, log["key"]):
        with pytest.raises(LogBroken):
            verify_log(forged, trusted_key=trusted)
    with pytest.raises(LogBroken, match="hand-over is not shown"):
        verify_log({**forged, "hand_overs": [], "key": old}, trusted_key=old)


def test_a_chain_that_is_forged_cut_or_turned_round_is_none(host, kari):
    first = log_checkpoint_key(host.host_key)
    for _ in range(3):
        rotate(host)
    log = exported(host, kari)
    notes = log["hand_overs"]
    for broken in ([notes[0], notes[2]], notes[::-1], [*notes[:2], notes[2].replace("4", "5", 1)], ["x", *notes]):
        with pytest.raises(LogBroken):
            verify_log({**log, "hand_overs": broken})
    foreign = SigningKey.ed25519(b"f" * 32)
    # A stranger's key that names ours as the one before: ours did not sign that.
    body, _, signatures = make_hand_over(NAME, 2, foreign, foreign, host.clock.now()).rpartition("\n\n")
    lines = body.split("\n")
    lines[3] = notes[0].split("\n")[3]
    with pytest.raises(LogBroken):
        read_hand_over("\n".join(lines) + "\n\n" + signatures)
    assert len(read_chain(notes)) == 3
    assert first.public_jwk != ledger.log_signer(host).public_jwk


@pytest.mark.parametrize("position", range(0, 400, 37))
def test_one_changed_byte_of_a_hand_over_is_noticed(host, position):
    rotate(host)
    (note,) = ledger.hand_overs(host)
    raw = bytearray(note.encode())
    raw[position % len(raw)] ^= 1
    with pytest.raises((LogBroken, UnicodeDecodeError)):
        read_hand_over(raw.decode())


def test_a_witness_follows_the_host_to_its_new_key_and_goes_back_to_no_old_one(host, kari, clock, tmp_path):
    stolen, signer = log_checkpoint_key(host.host_key), SigningKey.ed25519(b"w" * 32)
    witness = Witness(tmp_path / "w.sqlite", "auditor.example/1", signer, [witnessing.logs_key(host)], clock)

    def ask(old, key):
        with host.storage.read() as tx:
            tree, leaves = ledger.load_tree(tx, kari.pod_id), ledger.leaf_hashes(tx, kari.pod_id)
        state = Checkpoint(ledger.origin_of(host, tree), tree.frontier.size, tree.frontier.root())
        proof = consistency_proof(leaves, old) if old else []
        return state.size, witness.add_checkpoint(Request(old, tuple(proof), sign_checkpoint(state, key)).encoded())

    size, answer = ask(0, stolen)
    assert answer.status == 200
    rotate(host)
    present = ledger.log_signer(host)
    assert ask(size, present)[1].status == 403, "a key it has not heard of"
    (note,) = ledger.hand_overs(host)
    assert witness.add_hand_over(note.encode()).status == 200
    assert witness.add_hand_over(note.encode()).status == 200, "twice is once"
    size, answer = ask(size, present)
    assert answer.status == 200
    write(host, kari)
    assert ask(size, stolen)[1].status == 403
    other = make_hand_over(NAME, 2, stolen, SigningKey.ed25519(b"t" * 32), clock.now())
    assert witness.add_hand_over(other.encode()).status == 409, "the stolen key hands over to nobody else"
    assert witness.add_hand_over(b"nonsense").status == 400
    assert witness.add_hand_over(make_hand_over("elsewhere/", 2, stolen, present, clock.now()).encode()).status == 404
    again = Witness(
        tmp_path / "w.sqlite", "auditor.example/1", signer, [VerifierKey(NAME, witness._logs[0].public_key)], clock
    )
    assert again.add_checkpoint(b"").status == 400
    assert ask(size, present)[1].status == 200


def test_keys_change_while_logs_are_written_and_every_log_holds_together(city, host):
    """Under load: four writers and two operators at once; each log has one leaf a change at most, and the last one."""
    pods = [city.citizen(f"citizen-{number}") for number in range(3)]
    begin, failures = threading.Barrier(6), []

    def work(act):
        try:
            begin.wait()
            for _ in range(4):
                act()
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    acts = [
        *(lambda pod=pod: write(host, pod, 3) for pod in (*pods, pods[0])),
        *(lambda: rotate(host) for _ in range(2)),
    ]
    threads = [threading.Thread(target=work, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [key.number for key in list_lasting(host.host_key, host.key_store, "log")] == list(range(1, 10))
    for pod in pods:
        log = exported(host, pod)
        verify_log(log)
        numbers = [each["event"]["detail"]["number"] for each in log["events"] if each["event"]["action"] == ACTION]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == 9
        with host.storage.read() as tx:
            verify_stored(tx, pod.pod_id)


def test_what_was_cut_off_between_key_and_logs_is_finished_by_the_agent(host, kari):
    before, _ = head(host, kari)
    log_keys.rotate(host)
    log = exported(host, kari)
    verify_log(log, earlier_checkpoint=before)
    assert ACTION not in {each["event"]["action"] for each in log["events"]}
    upkeep.tend(host)
    upkeep.tend(host)
    log = exported(host, kari)
    assert [each["event"]["action"] for each in log["events"]].count(ACTION) == 1
    verify_log(log, earlier_checkpoint=before)


def test_the_old_private_part_is_gone_and_the_newest_key_store_signs_for_older_data(host, kari, tmp_path):
    rotate(host)
    second = ledger.log_signer(host)
    rotate(host)
    rows = host.key_store.lasting_keys("log")
    assert [row[5] is None for row in rows] == [True, True, False]
    assert lasting_signer(host.host_key, host.key_store, "log").public_jwk != second.public_jwk
    # A database from before knows of no new key; its log is signed by it, and told of it again.
    with host.storage.write() as tx:
        tx.execute("UPDATE log_tree SET key_number = 1 WHERE pod_id = ?", (kari.pod_id,))
        index = append_restored(tx, host, kari.pod_id, backup="ab" * 32, taken=host.clock.now())
    assert log_keys.take_over(host) == 1
    with host.storage.read() as tx:
        event = ledger.event_at(tx, kari.vault, kari.pod_id, index)
        verify_restored(event, ledger.log_verifier_key(host, ledger.load_tree(tx, kari.pod_id)))
    verify_log(exported(host, kari))

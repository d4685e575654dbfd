"""T31: a host that rolls a log back, forks or rewrites it is refused by its witnesses, and the citizen sees it.

Two witnesses run as servers of their own, with a folder and a key each; the host reaches them over sockets.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from click.testing import CliRunner
from deliveries import deliver, granted, readings

from pod_server import upkeep, witnessing
from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.log.checkpoint import Checkpoint, VerifierKey, sign_checkpoint
from pod_server.log.errors import LogBroken
from pod_server.log.event import LogEvent
from pod_server.log.restoration import append_restored
from pod_server.log.tree import consistency_proof
from pod_server.log.verification import verify_log
from pod_server.log.witness import Request, parse_request
from pod_server.outbound import Outbound
from pod_server.signatures import SigningKey
from tvilling.cli import main
from tvilling.doctor import _witnesses
from tvilling.witness import create_app, make_key, open_witness, public_key


class Quiet(WSGIRequestHandler):
    def log_message(self, *_arguments):
        pass


@contextmanager
def running(folder, name, log_key, clock):
    """A witness as a server; yields its address and key."""
    make_key(folder)
    witness = open_witness(folder, name, [log_key], clock)
    server = make_server("127.0.0.1", 0, create_app(witness), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", public_key(folder, name)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def watched(city, clock, tmp_path):
    """A host with two witnesses, and kari, whose log grows."""
    log_key = witnessing.logs_key(city.host).encoded()
    with (
        running(tmp_path / "auditor", "auditor.example/1", log_key, clock) as auditor,
        running(tmp_path / "university", "university.example/1", log_key, clock) as university,
    ):
        origins = frozenset(url for url, _ in (auditor, university))
        host = replace(city.host, witnesses=(auditor, university), outbound=Outbound(origins))
        kari = city.citizen("kari")
        partner = granted(host, kari.pod_id)
        assert deliver(host, partner.permit, readings(0, 5)) == ["accepted"] * 5
        yield host, kari, partner


def exported(host, pod):
    with host.storage.read() as tx:
        return json.loads(json.dumps(ledger.export(tx, host, pod.vault, pod.pod_id)))


def state(host, pod):
    with host.storage.read() as tx:
        return {each.witness: each for each in ledger.cosignatures(tx, host, pod.pod_id)}


def write(host, pod, count=1):
    with host.storage.write() as tx:
        ledger.append_many(
            tx,
            pod.pod_id,
            [LogEvent(host.clock.now(), Actor("operator"), "breach-notice", count=n) for n in range(count)],
        )


def shorten(host, pod, size):
    """Take the last leaves away, and make the head fit: what a restored file looks like."""
    with host.storage.write() as tx:
        tx.execute("DELETE FROM log_leaf WHERE pod_id = ? AND leaf_index >= ?", (pod.pod_id, size))
        leaves = ledger.leaf_hashes(tx, pod.pod_id)
        frontier = ledger.Frontier()
        for leaf in leaves:
            frontier = frontier.append(leaf)
        tx.execute(
            "UPDATE log_tree SET size = ?, frontier = ? WHERE pod_id = ?", (size, frontier.encoded(), pod.pod_id)
        )


def test_two_witnesses_cosign_a_log_as_it_grows_and_the_export_shows_it_offline(watched, tmp_path):
    host, kari, partner = watched
    assert witnessing.have_witnessed(host) == (2, 0, 0)
    first = exported(host, kari)
    keys = [key for _, key in host.witnesses]
    verified = verify_log(first, witnesses=keys)
    assert [(each.witness, each.checkpoint.size) for each in verified.witnessed] == [
        ("auditor.example/1", verified.size),
        ("university.example/1", verified.size),
    ]
    assert deliver(host, partner.permit, readings(5, 5)) == ["accepted"] * 5
    assert witnessing.have_witnessed(host) == (0, 0, 0), "once a day, not at each entry"
    host.clock.advance(timedelta(days=1))
    upkeep.witness(host)
    assert verify_log(exported(host, kari), witnesses=keys).witnessed[0].checkpoint.size == verified.size + 1

    (tmp_path / "log.json").write_text(json.dumps(exported(host, kari)))
    (tmp_path / "first.json").write_text(json.dumps(first))
    named = [part for key in keys for part in ("--witness", key.encoded())]
    arguments = ["log", "verify", str(tmp_path / "log.json"), "--earlier", str(tmp_path / "first.json"), *named]
    done = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path / "nowhere"), "--json"])
    assert done.exit_code == 0, done.stderr
    assert [each["witness"] for each in json.loads(done.stdout)["witnessed"]] == [key.name for key in keys]
    stranger = VerifierKey("stranger.example/1", bytes(32), keys[0].kind)
    done = CliRunner().invoke(main, [*arguments, "--witness", stranger.encoded()])
    assert done.exit_code == 1
    assert "not cosigned by stranger.example/1" in done.stderr


def test_a_log_that_was_shortened_is_refused_and_everybody_hears_of_it(watched):
    host, kari, _ = watched
    witnessing.have_witnessed(host)
    size = state(host, kari)["auditor.example/1"].size
    shorten(host, kari, size - 2)
    host.clock.advance(timedelta(days=2))
    write(host, kari)
    with host.storage.write() as tx:
        tx.execute("UPDATE log_cosignature SET size = 0")  # whoever restores the file restores this table too
    assert witnessing.have_witnessed(host, at_once=True) == (0, 2, 0)
    assert {(each.refused, each.refused_size) for each in state(host, kari).values()} == {("shorter", size)}
    (finding, *_) = _witnesses(host, [kari.pod])
    assert finding.check == "witnesses"
    assert "kari has fewer entries" in finding.what


def test_a_log_that_was_rewritten_or_forked_is_refused_also_when_it_is_longer(watched):
    host, kari, _ = watched
    witnessing.have_witnessed(host)
    size = state(host, kari)["auditor.example/1"].size
    shorten(host, kari, size - 1)
    write(host, kari, 5)
    assert witnessing.have_witnessed(host, at_once=True) == (0, 2, 0)
    assert {each.refused for each in state(host, kari).values()} == {"other"}
    assert "has other entries" in next(iter(_witnesses(host, [kari.pod]))).what
    with pytest.raises(LogBroken, match="A witness has seen other events"):
        verify_log(exported(host, kari))


def test_a_restore_is_told_from_a_rollback_by_its_signed_entry(watched):
    host, kari, _ = watched
    witnessing.have_witnessed(host)
    size = state(host, kari)["auditor.example/1"].size
    shorten(host, kari, size - 1)
    with host.storage.write() as tx:
        append_restored(tx, host, kari.pod_id, backup="ab" * 32, taken=host.clock.now())
    write(host, kari)
    assert witnessing.have_witnessed(host, at_once=True).refused == 2, "the witness cannot know; the log says why"
    actions = [each["event"]["action"] for each in exported(host, kari)["events"]]
    assert actions[-2] == "restored-from"


def test_an_altered_cosignature_or_checkpoint_does_not_verify(watched):
    host, kari, _ = watched
    witnessing.have_witnessed(host)
    keys = [key for _, key in host.witnesses]
    document = exported(host, kari)
    note = document["witnessed"][0]
    head, _, last = note.rstrip("\n").rpartition(" ")
    forged = f"{head} {last[:-6]}{'AAAAA=' if last.endswith('=') else 'AAAAAA'}\n"
    for changed in (forged, note.replace("\n" + str(document["events"][-1]["index"] + 1) + "\n", "\n1\n")):
        assert changed != note
        with pytest.raises(LogBroken):
            verify_log(document | {"witnessed": [changed]}, witnesses=keys)
    with pytest.raises(LogBroken, match="not cosigned by university"):
        verify_log(document | {"witnessed": document["witnessed"][:1]}, witnesses=keys)


def test_a_witness_that_is_away_is_asked_again_and_the_other_one_goes_on(watched):
    host, kari, _ = watched
    auditor, university = host.witnesses
    away = replace(host, witnesses=(("http://127.0.0.1:9", auditor[1]), university))
    assert witnessing.have_witnessed(away) == (1, 0, 1)
    assert set(state(host, kari)) == {"university.example/1"}
    assert witnessing.have_witnessed(host) == (1, 0, 0)
    assert set(state(host, kari)) == {"auditor.example/1", "university.example/1"}


def test_a_host_that_a_witness_does_not_know_is_told_what_to_give_it(watched, capsys):
    host, kari, _ = watched
    stranger = replace(host, base_url="https://elsewhere.example")
    assert witnessing.have_witnessed(stranger) == (0, 0, 2)
    assert "tvilling log key" in capsys.readouterr().out
    assert state(host, kari) == {}


# The witness's own door (c2sp.org/tlog-witness)

KEY = SigningKey.ed25519(bytes(range(32)))
ORIGIN = "pods.example/-/logs/1"


@pytest.fixture
def alone(tmp_path, clock):
    """A witness without a server, and ways to ask it."""
    from pod_server.log.checkpoint import verifier_key

    make_key(tmp_path)
    logs = verifier_key("pods.example/-/logs/", KEY)
    return open_witness(tmp_path, "w.example", [logs.encoded()], clock), tmp_path, logs, clock


LEAVES = [bytes([number]) * 32 for number in range(20)]


def body(old, new, leaves=LEAVES, *, key=KEY, origin=ORIGIN, proof=None):
    root = ledger.root_of(leaves[:new])
    path = consistency_proof(leaves[:new], old) if proof is None else proof
    return Request(old, tuple(path), sign_checkpoint(Checkpoint(origin, new, root), key)).encoded()


def test_a_witness_answers_as_the_protocol_says(alone):
    witness, *_ = alone
    assert witness.add_checkpoint(body(0, 3)).status == 200
    assert witness.add_checkpoint(body(3, 3)).status == 200, "the same again"
    assert witness.add_checkpoint(body(3, 9)).status == 200
    answer = witness.add_checkpoint(body(3, 12))
    assert (answer.status, answer.media_type, answer.body) == (409, "text/x.tlog.size", "9\n")
    assert witness.add_checkpoint(body(9, 12, proof=[bytes(32)])).status == 422
    others = [b"\xff" * 32, *LEAVES[1:]]
    assert witness.add_checkpoint(body(9, 12, others)).status == 422
    assert witness.add_checkpoint(body(9, 9, others)).status == 409
    assert witness.add_checkpoint(body(0, 5)).status == 409
    assert witness.add_checkpoint(body(12, 9, proof=[])).status == 400
    assert witness.add_checkpoint(body(9, 12, key=SigningKey.ed25519(bytes(32)))).status == 403
    assert witness.add_checkpoint(body(0, 3, origin="other.example/log")).status == 404
    assert witness.add_checkpoint(body(0, 3, origin="pods.example/-/logs/2")).status == 200, "each log by itself"
    assert witness.seen(ORIGIN) == 9


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"old 0\n", b"old 0\n\n", b"old -1\n\nx\n1\n\n", b"old 01\n\nx", b"\xff\xfe", b"old 0\n\n" + b"x" * 9000,
        b"old 9\nnot base64\n\n" + b"x", b"old 0\n" + b"AAAA\n" * 64 + b"\n" + b"x",
    ],
)  # fmt: skip
def test_a_witness_takes_garbage_for_garbage(alone, sent):
    witness, *_ = alone
    assert witness.add_checkpoint(sent).status == 400
    assert witness.seen(ORIGIN) == 0


def test_a_witness_remembers_through_a_restart_and_one_of_two_racing_requests_wins(alone):
    witness, folder, logs, clock = alone
    witness.add_checkpoint(body(0, 3))
    again = open_witness(folder, "w.example", [logs.encoded()], clock)
    assert again.add_checkpoint(body(0, 5)).status == 409
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda new: (again, witness)[new % 2].add_checkpoint(body(3, new)), (5, 6, 7, 8)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
    assert parse_request(body(3, 5)).old_size == 3

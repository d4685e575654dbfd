"""The log in the database: written with what it records, read by its citizen, checked by anybody."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from diaries import NOON, event

from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.log.checkpoint import VerifierKey, verify_checkpoint
from pod_server.log.errors import EventRefused, LogBroken, NoLog
from pod_server.log.event import LogEvent
from pod_server.log.tree import verify_consistency, verify_inclusion
from pod_server.log.verification import verify_log, verify_stored
from pod_server.vault.errors import PodLocked
from pod_server.vault.vault import public_vault


def exported(diary):
    with diary.storage.read() as tx:
        return json.loads(json.dumps(ledger.export(tx, diary.host, diary.vault, 7)))


def test_events_are_read_back_newest_first(diary):
    diary.write(5)
    with diary.storage.read() as tx:
        page = ledger.read_events(tx, diary.vault, 7, limit=2)
        assert [entry.index for entry in page] == [4, 3]
        assert page[0].event == event(4)
        older = ledger.read_events(tx, diary.vault, 7, before=3, limit=10)
        assert [entry.event.count for entry in older] == [2, 1, 0]


def test_a_locked_pod_is_written_to_and_only_its_citizen_reads(diary):
    diary.write(1)
    stranger = public_vault(diary.host.host_key, diary.vault._key_store, 7)
    with diary.storage.read() as tx, pytest.raises(PodLocked):
        ledger.read_events(tx, stranger, 7)


def test_what_is_not_committed_is_not_in_the_log(diary):
    diary.write(2)

    def failing():
        with diary.storage.write() as tx:
            assert ledger.append(tx, 7, event(9)) == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    with diary.storage.read() as tx:
        assert verify_stored(tx, 7).size == 2
    diary.write(1)
    with diary.storage.read() as tx:
        assert verify_stored(tx, 7).size == 3


def test_a_pod_without_a_log_cannot_be_written_for(diary):
    with diary.storage.write() as tx, pytest.raises(NoLog):
        ledger.append(tx, 8, event())


def test_nothing_of_an_event_is_readable_in_the_database(diary, tmp_path):
    diary.write(3, actor=Actor("partner", "canary-id", "canary name"), action="canary-action", purpose="canary-purpose")
    left = b"".join(path.read_bytes() for path in tmp_path.glob("*.sqlite*"))
    assert b"canary" not in left


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "Not a slug"},
        {"outcome": ""},
        {"detail": {"kwh": 1.5}},
        {"detail": {"note": "x" * 201}},
        {"detail": {"Bad name": "x"}},
        {"detail": {"list": ["a"]}},
        {"count": -1},
        {"actor": Actor("partner", "c" * 5000)},
    ],
)
def test_events_that_could_carry_values_are_refused(diary, changes):
    with diary.storage.write() as tx, pytest.raises(EventRefused):
        ledger.append(tx, 7, event(**changes))


def test_events_of_like_length_are_sealed_at_the_same_length(diary):
    diary.write(1, actor=Actor("partner", "c-1", "A"))
    diary.write(1, actor=Actor("partner", "c-1", "A longer name"))
    with diary.storage.read() as tx:
        assert len({len(sealed) for (sealed,) in tx.all("SELECT sealed FROM log_leaf WHERE pod_id = 7")}) == 1


def test_an_event_written_with_the_pods_keys_is_small_and_the_same_event(diary):
    """The tree, the proofs and the export know no difference; nothing of it is readable at rest."""
    told = event(24, grant="g-" + "a" * 26, detail={"ordinal": 3, "sha256": "ab" * 32})
    with diary.storage.write() as tx:
        for name in ("A", "A longer name"):
            ledger.append(tx, 7, replace(told, actor=Actor("partner", "c-1", name)), vault=diary.vault)
        ledger.append(tx, 7, told)
    with diary.storage.read() as tx:
        small, same, old = (len(sealed) for (sealed,) in tx.all("SELECT sealed FROM log_leaf ORDER BY leaf_index"))
        assert small == same <= 256 < old
        first, second, third = ledger.read_events(tx, diary.vault, 7)[::-1]
        assert (first.event.actor.name, second.event.detail, third.event) == ("A", told.detail, told)
        assert verify_stored(tx, 7).size == 3
        exported = ledger.export(tx, diary.host, diary.vault, 7)
    assert verify_log(exported).size == 3


def test_a_changed_event_in_an_envelope_is_noticed_without_a_key(diary):
    with diary.storage.write() as tx:
        ledger.append(tx, 7, event(), vault=diary.vault)
    with diary.storage.read() as tx:
        (sealed,) = tx.one("SELECT sealed FROM log_leaf WHERE pod_id = 7")
    changed = bytes(sealed[:-1]) + bytes((sealed[-1] ^ 1,))
    diary.tamper("UPDATE log_leaf SET sealed = ? WHERE pod_id = 7", changed)
    with diary.storage.read() as tx, pytest.raises(LogBroken):
        verify_stored(tx, 7)


def test_an_exported_log_verifies_offline_and_names_its_key(diary):
    diary.write(9)
    document = exported(diary)
    verified = verify_log(document)
    assert verified.size == 9
    assert verified.origin.startswith("pods.example/-/logs/")
    assert verify_log(document, trusted_key=verified.key) == verified
    assert verify_log(json.loads(json.dumps(document, indent=3, sort_keys=True))) == verified


def test_an_empty_log_verifies(diary):
    assert verify_log(exported(diary)).size == 0
    with diary.storage.read() as tx:
        assert verify_stored(tx, 7).size == 0
        assert ledger.read_events(tx, diary.vault, 7) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["events"][2]["event"].update(action="read"),
        lambda document: document["events"][2]["event"].update(count=True),
        lambda document: document["events"][2]["event"]["actor"].update(name="Somebody else"),
        lambda document: document["events"][2].update(at="2026-11-24T12:00:00.000000+00:00"),
        lambda document: document["events"][2].update(salt=document["events"][1]["salt"]),
        lambda document: document["events"][2].update(salt="not base64"),
        lambda document: document["events"][2].update(sealed_sha256="00" * 32),
        lambda document: document["events"][2].update(index=3),
        lambda document: document["events"][2]["event"].update(detail={"x": 1.5}),
        lambda document: document["events"].pop(),
        lambda document: document["events"].pop(0),
        lambda document: document["events"].append(document["events"][0]),
        lambda document: document["events"].reverse(),
        lambda document: document.update(checkpoint=document["checkpoint"].replace("\n5\n", "\n4\n")),
        lambda document: document.update(checkpoint=document["checkpoint"].replace("pods.example", "pods.exemple")),
        lambda document: document.update(checkpoint="nothing"),
        lambda document: document.update(format="tvilling-log-2"),
        lambda document: document.update(key="pods+00000000+AAAA"),
        lambda document: document.pop("key"),
        lambda document: document.update(events=None),
        lambda document: document["events"].insert(0, "not an entry"),
    ],
)
def test_a_changed_export_does_not_verify(diary, change):
    diary.write(5)
    document = exported(diary)
    change(document)
    with pytest.raises(LogBroken):
        verify_log(document)


def test_an_export_signed_by_another_key_does_not_verify_against_the_known_one(diary):
    diary.write(2)
    document = exported(diary)
    name = VerifierKey.decode(document["key"]).name
    with pytest.raises(LogBroken):
        verify_log(document, trusted_key=VerifierKey(name, bytes(32)).encoded())


def test_a_log_is_held_to_an_earlier_checkpoint(diary):
    diary.write(3)
    with diary.storage.read() as tx:
        earlier = ledger.checkpoint(tx, diary.host, 7)
        key = ledger.log_verifier_key(diary.host, ledger.load_tree(tx, 7))
    kept = verify_checkpoint(earlier, [key])
    diary.write(4)
    assert verify_log(exported(diary), earlier_checkpoint=earlier).size == 7
    with diary.storage.read() as tx:
        assert verify_stored(tx, 7, earlier=(kept.size, kept.root)).size == 7
    # The host rewrites history: it begins the log again, with the same number of events.
    diary.tamper("DELETE FROM log_leaf WHERE pod_id = 7")
    diary.tamper("UPDATE log_tree SET size = 0, frontier = ? WHERE pod_id = 7", b"")
    diary.write(2)
    with diary.storage.read() as tx, pytest.raises(LogBroken, match="once had 3"):
        verify_stored(tx, 7, earlier=(kept.size, kept.root))
    diary.write(5)
    rewritten = exported(diary)
    assert verify_log(rewritten).size == 7
    with pytest.raises(LogBroken, match="earlier"):
        verify_log(rewritten, earlier_checkpoint=earlier)
    with diary.storage.read() as tx, pytest.raises(LogBroken):
        verify_stored(tx, 7, earlier=(kept.size, kept.root))


def test_proofs_from_the_database_verify(diary):
    diary.write(11)
    with diary.storage.read() as tx:
        leaves = ledger.leaf_hashes(tx, 7)
        root = ledger.load_tree(tx, 7).frontier.root()
        old_root = ledger.tree_root_at(tx, 7, 6)
        verify_inclusion(leaves[4], 4, 11, ledger.prove_inclusion(tx, 7, 4), root)
        verify_consistency(6, old_root, 11, root, ledger.prove_consistency(tx, 7, 6))
        with pytest.raises(IndexError):
            ledger.prove_inclusion(tx, 7, 11)


def test_an_event_round_trips_through_its_bytes():
    full = LogEvent(
        NOON + timedelta(microseconds=1),
        Actor("partner", "c", "Ærlig Øl"),
        "append",
        "p",
        "g-1",
        "done",
        24,
        {"kind": "x", "segment": 3},
    )
    assert LogEvent.decode(full.encoded()) == full
    assert len(full.encoded()) % 128 == 0
    for broken in (b"", b"{}", b"[]", b'{"at":1}', b"\xff"):
        with pytest.raises(LogBroken):
            LogEvent.decode(broken)

"""T19: somebody with the database alters the log after the fact."""

from __future__ import annotations

import json

import pytest
from deliveries import deliver, granted, readings

from pod_server.log import ledger
from pod_server.log.checkpoint import verify_checkpoint
from pod_server.log.errors import LogBroken
from pod_server.log.event import LogEvent
from pod_server.log.verification import verify_log, verify_stored
from pod_server.vault.inbox import seal_to


@pytest.fixture
def kari(city, host):
    new = city.citizen("kari")
    partner = granted(host, new.pod_id)
    for first in (0, 5, 10):
        deliver(host, partner.permit, readings(first, 5))
    return new


def tamper(host, sql, *parameters):
    with host.storage.write() as tx:
        assert tx.execute(sql, parameters) > 0


def check(host, pod):
    """Both checks: without any key, and offline from the export. The size where both hold."""
    with host.storage.read() as tx:
        stored = verify_stored(tx, pod.pod_id)
        exported = json.loads(json.dumps(ledger.export(tx, host, pod.vault, pod.pod_id)))
    assert verify_log(exported).root == stored.root
    return stored.size


def test_an_unaltered_log_verifies_both_ways(host, kari):
    assert check(host, kari) >= 5


@pytest.mark.parametrize("column", ["leaf_hash", "event_commitment", "sealed"])
def test_an_entry_changed_in_any_column_is_noticed(host, kari, column):
    with host.storage.read() as tx:
        (before,) = tx.one(f"SELECT {column} FROM log_leaf WHERE pod_id = ? AND leaf_index = 2", (kari.pod_id,))
    changed = bytes((before[0] ^ 1,)) + before[1:]
    tamper(host, f"UPDATE log_leaf SET {column} = ? WHERE pod_id = ? AND leaf_index = 2", changed, kari.pod_id)
    with host.storage.read() as tx, pytest.raises(LogBroken, match="Entry 2"):
        verify_stored(tx, kari.pod_id)
    with host.storage.read() as tx, pytest.raises(LogBroken, match="Entry 2"):
        ledger.read_events(tx, kari.vault, kari.pod_id)


def test_an_event_replaced_by_a_well_formed_one_is_noticed(host, kari):
    """The host holds the log's public key, so it can seal a new event; it cannot make it fit the leaf."""
    with host.storage.read() as tx:
        tree = ledger.load_tree(tx, kari.pod_id)
        (entry,) = [entry for entry in ledger.read_events(tx, kari.vault, kari.pod_id) if entry.index == 2]
    whitewashed = LogEvent(entry.event.at, entry.event.actor, "read-nothing")
    context = b"tvilling log v1\x00" + kari.pod_id.to_bytes(8, "big") + (2).to_bytes(8, "big")
    sealed = seal_to(tree.public_key, entry.salt + whitewashed.encoded(), context)
    opening = ledger.event_commitment(entry.salt, whitewashed.encoded())
    tamper(
        host,
        "UPDATE log_leaf SET sealed = ?, event_commitment = ? WHERE pod_id = ? AND leaf_index = 2",
        sealed,
        opening,
        kari.pod_id,
    )
    with host.storage.read() as tx, pytest.raises(LogBroken, match="Entry 2"):
        ledger.read_events(tx, kari.vault, kari.pod_id)
    with host.storage.read() as tx, pytest.raises(LogBroken, match="Entry 2"):
        verify_stored(tx, kari.pod_id)


def test_a_removed_entry_is_noticed_at_the_end_and_in_the_middle(host, kari):
    size = check(host, kari)
    for index in (size - 1, 2):
        tamper(host, "DELETE FROM log_leaf WHERE pod_id = ? AND leaf_index = ?", kari.pod_id, index)
        with host.storage.read() as tx, pytest.raises(LogBroken):
            verify_stored(tx, kari.pod_id)
        with host.storage.read() as tx:
            exported = ledger.export(tx, host, kari.vault, kari.pod_id)
        with pytest.raises(LogBroken):
            verify_log(exported)


def test_a_head_rolled_back_with_its_last_entries_is_caught_by_a_kept_checkpoint(host, kari):
    """The database alone cannot tell: whoever kept a checkpoint can."""
    size = check(host, kari)
    with host.storage.read() as tx:
        kept = ledger.checkpoint(tx, host, kari.pod_id)
        key = ledger.log_verifier_key(host, ledger.load_tree(tx, kari.pod_id))
        leaves = ledger.leaf_hashes(tx, kari.pod_id)
    state = verify_checkpoint(kept, [key])
    frontier = ledger.Frontier()
    for leaf in leaves[:-1]:
        frontier = frontier.append(leaf)
    tamper(host, "DELETE FROM log_leaf WHERE pod_id = ? AND leaf_index = ?", kari.pod_id, size - 1)
    tamper(
        host,
        "UPDATE log_tree SET size = ?, frontier = ? WHERE pod_id = ?",
        frontier.size,
        frontier.encoded(),
        kari.pod_id,
    )
    assert check(host, kari) == size - 1
    with host.storage.read() as tx, pytest.raises(LogBroken, match=f"once had {size}"):
        verify_stored(tx, kari.pod_id, earlier=(state.size, state.root))
    with host.storage.read() as tx:
        exported = ledger.export(tx, host, kari.vault, kari.pod_id)
    with pytest.raises(LogBroken, match="shorter"):
        verify_log(exported, earlier_checkpoint=kept)


def test_entries_of_another_citizen_do_not_fit(host, city, kari):
    ola = city.citizen("ola")
    with host.storage.read() as tx:
        row = tx.one(
            "SELECT leaf_hash, event_commitment, sealed FROM log_leaf WHERE pod_id = ? AND leaf_index = 0",
            (ola.pod_id,),
        )
    tamper(
        host,
        "UPDATE log_leaf SET leaf_hash = ?, event_commitment = ?, sealed = ? WHERE pod_id = ? AND leaf_index = 0",
        *row,
        kari.pod_id,
    )
    with host.storage.read() as tx, pytest.raises(LogBroken):
        verify_stored(tx, kari.pod_id)
    with host.storage.read() as tx, pytest.raises(LogBroken):
        ledger.export(tx, host, kari.vault, kari.pod_id)


def test_a_damaged_head_stops_further_writing(host, kari):
    """What cannot be logged is not done."""
    tamper(host, "UPDATE log_tree SET frontier = ? WHERE pod_id = ?", b"\x00" * 7, kari.pod_id)
    with pytest.raises(LogBroken):
        granted(host, kari.pod_id, name="Enda en AS")
    with host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM consent WHERE pod_id = ?", (kari.pod_id,)) == (1,)

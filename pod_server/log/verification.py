"""Checking a log: in the database without any key, or an exported one on any machine, offline."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pod_server.clock import moment
from pod_server.log import ledger
from pod_server.log.checkpoint import VerifierKey, parse_unverified, verify_checkpoint
from pod_server.log.cosignature import Cosigned, verify_cosignatures
from pod_server.log.errors import EventRefused, LogBroken
from pod_server.log.event import canonical
from pod_server.log.hand_over import ACTION as KEY_CHANGED
from pod_server.log.hand_over import KeysOfLog
from pod_server.log.tree import Frontier, leaf_hash, root_of, verify_consistency

if TYPE_CHECKING:
    from pod_server.identifiers import PodId
    from pod_server.log.checkpoint import Checkpoint
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault


class VerifiedLog(NamedTuple):
    """A log that holds together.

    Attributes:
        origin: The log's name; empty for one in the database.
        size: How many events.
        root: The Merkle root, 32 bytes.
        key: The text of the key that signed; empty for one in the database. Compare it with one you had before.
        witnessed: What known witnesses cosigned of it.
    """

    origin: str
    size: int
    root: bytes
    key: str
    witnessed: tuple[Cosigned, ...] = ()


def verify_log(
    exported: Mapping[str, Any],
    *,
    trusted_key: str | None = None,
    earlier_checkpoint: str | None = None,
    witnesses: Sequence[VerifierKey] = (),
) -> VerifiedLog:
    """Check an exported log offline: every event, the tree, the signature.

    Args:
        exported: What `export` made.
        trusted_key: The verifier key the log must be signed with; without it the document's own is used, and the
            caller compares it with one they know.
        earlier_checkpoint: A checkpoint kept from before; the log must begin with it.
        witnesses: The keys of witnesses that must have cosigned it, each one.

    Raises:
        LogBroken: it does not hold together; the message says where.
    """
    if not isinstance(exported, Mapping) or exported.get("format") != ledger.EXPORT_FORMAT:
        raise LogBroken(f"The file is not an exported log ({ledger.EXPORT_FORMAT}).")
    try:
        key = VerifierKey.decode(trusted_key or exported["key"])
        note, events = exported["checkpoint"], exported["events"]
        leaves = [_leaf_of(index, document) for index, document in enumerate(events)]
        keys = _keys_of(exported, key)
        state = _verified(note, keys)
    except (KeyError, TypeError, AttributeError):
        raise LogBroken("The exported log lacks a part.") from None
    if state.size != len(leaves):
        raise LogBroken(f"The checkpoint counts {state.size} events; the file holds {len(leaves)}.")
    if state.root != root_of(leaves):
        raise LogBroken("The events are not those that the checkpoint signs.")
    if earlier_checkpoint is not None:
        earlier = _verified(earlier_checkpoint, keys)
        if earlier.origin != state.origin or earlier.size > state.size:
            raise LogBroken("The log is shorter than, or another than, the one of the earlier checkpoint.")
        if root_of(leaves[: earlier.size]) != earlier.root:
            raise LogBroken("The log does not begin with the events of the earlier checkpoint.")
    witnessed = _witnessed(exported, keys, leaves, witnesses)
    # The key that one compares with another: the one that is known, where it is given; else the newest.
    told = key if trusted_key else keys.of_size(state.size)[-1]
    return VerifiedLog(state.origin, state.size, state.root, told.encoded(), witnessed)


def _keys_of(exported: Mapping[str, Any], trusted: VerifierKey) -> KeysOfLog:
    """The keys of the log, by the hand-overs between them.

    Raises:
        LogBroken: the chain does not hold together.
    """
    notes = exported.get("hand_overs", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise LogBroken("The exported log lacks a part.")
    told = [
        (index, document["event"]["detail"])
        for index, document in enumerate(exported["events"])
        if document["event"].get("action") == KEY_CHANGED
    ]
    return KeysOfLog(trusted.name, trusted.public_key, notes, told)


def _verified(note: str, keys: KeysOfLog) -> Checkpoint:
    """Check a checkpoint with the keys that may sign one of its size."""
    claimed, _, _ = parse_unverified(note)
    return verify_checkpoint(note, keys.of_size(claimed.size))


def _witnessed(
    exported: Mapping[str, Any], keys: KeysOfLog, leaves: Sequence[bytes], witnesses: Sequence[VerifierKey]
) -> tuple[Cosigned, ...]:
    """What these witnesses cosigned: checkpoints of this log, with which it begins."""
    notes = exported.get("witnessed", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise LogBroken("The exported log lacks a part.")
    found: list[Cosigned] = []
    for note in notes:
        state = _verified(note, keys)
        if state.size > len(leaves) or root_of(leaves[: state.size]) != state.root:
            raise LogBroken("A witness has seen other events than these.")
        found += verify_cosignatures(note, witnesses)
    missing = {each.name for each in witnesses} - {each.witness for each in found}
    if missing:
        raise LogBroken(f"The log is not cosigned by {', '.join(sorted(missing))}.")
    return tuple(found)


def _leaf_of(index: int, document: Mapping[str, Any]) -> bytes:
    failure = LogBroken(f"Entry {index} of the exported log does not have its form.")
    try:
        members = document["event"]
        at = moment(members["at"]).isoformat(timespec="microseconds")
        if document["index"] != index or document["at"] != at:
            raise failure
        salt = base64.b64decode(document["salt"], validate=True)
        sealed_hash = bytes.fromhex(document["sealed_sha256"])
        # Whatever the members are, the commitment is to these bytes and to no others.
        opening = ledger.event_commitment(salt, canonical(members))
        return leaf_hash(ledger.leaf_data(index, opening, sealed_hash))
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
        binascii.Error,
        EventRefused,
    ):
        raise failure from None


def verify_segments(tx: Transaction, vault: Vault, pod_id: PodId) -> int:
    """Hold the stored segments against the log, which commits to each one's place and ciphertext.

    A segment that was rolled back, deleted, exchanged or slipped in does not agree with its entry; segments of a grant
    that was erased are rightly gone.

    Args:
        tx: A snapshot.
        vault: The pod's, open.
        pod_id: Whose.

    Returns:
        How many segments agree.

    Raises:
        LogBroken: one does not; the message names the log's entry.
        PodLocked: the vault is not open.
    """
    stored, packs = {}, {}
    for index, grant, first_ordinal, ordinal, sealed in tx.all(
        "SELECT log_index, grant_id, first_ordinal, ordinal, sealed FROM segment WHERE pod_id = ?", (pod_id,)
    ):
        stored[grant, ordinal] = index, hashlib.sha256(bytes(sealed)).digest()
        if first_ordinal:
            packs[grant, ordinal] = first_ordinal
    waiting = {
        (grant, ordinal): hashlib.sha256(bytes(sealed)).hexdigest()
        for grant, ordinal, sealed in tx.all(
            "SELECT grant_id, number, sealed FROM pending_delivery WHERE pod_id = ? AND form = 'host'", (pod_id,)
        )
    }
    told: set[tuple[str, int]] = set()
    erased: set[str] = set()
    for entry in ledger.all_events(tx, vault, pod_id):
        event = entry.event
        failure = LogBroken(f"What entry {entry.index} of the log wrote is not stored as it was written.")
        if event.action == "erasure-finished":
            erased.add(event.grant)
        elif event.grant in erased:
            continue
        elif event.action in {"merge", "reseal"} and "first" in event.detail:
            first, last = int(event.detail["first"]), int(event.detail["last"])
            run = [(event.grant, ordinal) for ordinal in range(first, last + 1) if (event.grant, ordinal) in stored]
            if (event.grant, first) in told:
                continue  # a later entry tells of the whole block
            if ledger.run_commitment((place[1], stored[place][1]) for place in run) != event.detail["sha256"]:
                raise failure
            for place in run:
                told.update((place[0], ordinal) for ordinal in range(packs.get(place, place[1]), place[1] + 1))
        elif event.action == "compact":
            first, place = int(event.detail["first"]), (event.grant, int(event.detail["last"]))
            if place in told:
                continue  # it was sealed anew since, or merged further
            if place not in stored or packs.get(place) != first or stored[place][1].hex() != event.detail["sha256"]:
                raise failure
            told.update((event.grant, ordinal) for ordinal in range(first, place[1] + 1))
        elif event.action == "append" and event.outcome in {"done", "pending"}:
            place = (event.grant, int(event.detail.get("ordinal", 0)))
            if place in told:
                continue
            found = stored[place][1].hex() if event.outcome == "done" and place in stored else waiting.pop(place, None)
            if found != event.detail.get("sha256"):
                raise failure
            if event.outcome == "done":
                told.add(place)
    unknown = [index for place, (index, _) in stored.items() if place not in told]
    if unknown:
        raise LogBroken(f"A stored delivery names entry {min(unknown)} of the log, which wrote none.")
    return len(stored)


def verify_stored(tx: Transaction, pod_id: PodId, *, earlier: tuple[int, bytes] | None = None) -> VerifiedLog:
    """Check a log in the database without any key: leaves, order, tree, head.

    Args:
        tx: A snapshot.
        pod_id: Whose log.
        earlier: Size and root of a checkpoint kept from before; the log must begin with it.

    Raises:
        NoLog: the pod has none.
        LogBroken: it does not hold together; the message says where.
    """
    head = ledger.load_tree(tx, pod_id).frontier
    rows = tx.all(f"SELECT {ledger.LEAF_COLUMNS} FROM log_leaf WHERE pod_id = ? ORDER BY leaf_index", (pod_id,))
    leaves: list[bytes] = []
    for leaf in map(ledger.Leaf.of_row, rows):
        if leaf.number != len(leaves):
            raise LogBroken(f"Entry {len(leaves)} of the log is missing.")
        computed = leaf_hash(ledger.leaf_data(leaf.number, leaf.event_commitment, leaf.sealed_hash))
        if computed != leaf.leaf_hash:
            raise LogBroken(f"Entry {leaf.number} of the log is not what the log committed to.")
        leaves.append(computed)
    frontier = Frontier.of(leaves)
    if frontier != head:
        raise LogBroken(f"The log's head counts {head.size} events; {frontier.size} are there, or others.")
    if earlier is not None:
        old_size, old_root = earlier
        if old_size > frontier.size:
            raise LogBroken(f"The log once had {old_size} events; {frontier.size} are there.")
        proof = ledger.prove_consistency(tx, pod_id, old_size)
        verify_consistency(old_size, old_root, frontier.size, frontier.root(), proof)
    return VerifiedLog("", frontier.size, frontier.root(), "")

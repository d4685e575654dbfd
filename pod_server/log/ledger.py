"""The log in the database: events are appended in the caller's transaction, or what they record does not happen.

A leaf commits to its index, to the salted event, and to the sealed bytes:

    event commitment = SHA-256("tvilling log event v1" ‖ 0x00 ‖ salt (32) ‖ event)
    leaf data        = SHA-256("tvilling log leaf v1" ‖ 0x00 ‖ index (u64) ‖ event commitment ‖ SHA-256(sealed))
    leaf hash        = SHA-256(0x00 ‖ leaf data)                                                   (RFC 6962)
    sealed           = HPKE to the log's public key of salt ‖ event, info = "tvilling log v1" ‖ 0x00 ‖ pod id ‖ index

so the tree can be checked without any key, an event shown with its salt can be checked by anybody, and a head tells
nobody anything. Events are sealed to the log's public key: a locked pod can be written to, and only its citizen reads.
Who writes with the pod's keys at hand seals `salt ‖ compact event` (stored_event.py) in an envelope of the log's epoch
instead, which costs a tenth of HPKE's time; the event that is committed to is the same. When the pod gets new keys, what
was sealed is sealed again in an envelope of the log's new epoch, and the hash of the first sealed bytes is kept beside it:
the leaf stays what it was.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pod_server.clock import microseconds, moment
from pod_server.lasting_keys import lasting_signer, list_lasting
from pod_server.log import stored_event
from pod_server.log.checkpoint import Checkpoint, VerifierKey, sign_checkpoint, verifier_key
from pod_server.log.errors import EventRefused, LogBroken, NoLog
from pod_server.log.event import LogEvent, canonical
from pod_server.log.tree import Frontier, consistency_proof, inclusion_proof, leaf_hash, root_of
from pod_server.vault.envelope import Place, Scope
from pod_server.vault.errors import KeyErased, PodLocked, Tampered
from pod_server.vault.inbox import seal_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.signatures import SigningKey
    from pod_server.storage.ports import Question, Row, Transaction
    from pod_server.vault.randomness import RandomBytes
    from pod_server.vault.vault import Vault

SALT_BYTES = 32
LOG_ID_BYTES = 16
READ_AT_MOST = 1000
EXPORT_FORMAT = "tvilling-log-1"


@dataclass(frozen=True)
class LoggedEvent:
    """An event with its place in the log, and the salt that lets it be shown to others."""

    index: int
    event: LogEvent
    salt: bytes
    sealed_hash: bytes


@dataclass(frozen=True)
class Witnessed:
    """What one witness last said of one log.

    Attributes:
        witness: Its name.
        size: How many entries it has seen.
        at: When it cosigned.
        note: The checkpoint with the log's signature and the witness's.
        refused: Why it cosigns no more (`shorter`, `other`), or "".
        refused_size: How many entries it had seen when it refused.
    """

    witness: str
    size: int
    at: datetime
    note: str
    refused: str
    refused_size: int


class Tree(NamedTuple):
    """A pod's log without its leaves."""

    log_id: str
    public_key: bytes
    frontier: Frontier
    epoch: int


def create_tree(tx: Transaction, pod_id: PodId, log_public_key: bytes, *, random: RandomBytes = os.urandom) -> Tree:
    """Begin a pod's log, and give its head; its id is random, so that checkpoints do not name the citizen."""
    log_id = random(LOG_ID_BYTES).hex()
    tx.send(
        "INSERT INTO log_tree (pod_id, log_id, public_key, size, frontier) VALUES (?, ?, ?, 0, ?)",
        (pod_id, log_id, log_public_key, b""),
    )
    return Tree(log_id, log_public_key, Frontier.decode(0, b""), 1)


def append(
    tx: Transaction,
    pod_id: PodId,
    event: LogEvent,
    *,
    random: RandomBytes = os.urandom,
    tree: Tree | None = None,
    vault: Vault | None = None,
) -> int:
    """Append one event, in the caller's transaction; its index.

    Whoever has read the head in this transaction, with the pod taken, gives it as `tree`, once; and whoever has the pod's
    keys at hand gives the `vault`.

    Raises:
        NoLog: the pod has no log.
        EventRefused: the event does not have its form.
        LogBroken: the stored head is damaged.
    """
    return append_many(tx, pod_id, (event,), random=random, tree=tree, vault=vault)


def append_many(
    tx: Transaction,
    pod_id: PodId,
    events: Sequence[LogEvent],
    *,
    random: RandomBytes = os.urandom,
    tree: Tree | None = None,
    vault: Vault | None = None,
) -> int:
    """Append events in order, in the caller's transaction; the index of the last, or of the log's last if none.

    Raises:
        NoLog: the pod has no log.
        EventRefused: an event does not have its form.
        LogBroken: the stored head is damaged.
    """
    tree = tree or load_tree(tx, pod_id)
    frontier = tree.frontier
    for event in events:
        index, encoded, salt = frontier.size, event.encoded(), random(SALT_BYTES)
        sealed, first_hash = _seal(vault, tree, pod_id, index, salt, event, encoded)
        opening = event_commitment(salt, encoded)
        leaf = leaf_hash(leaf_data(index, opening, hashlib.sha256(sealed).digest()))
        tx.send(
            "INSERT INTO log_leaf (pod_id, leaf_index, leaf_hash, event_commitment, epoch, sealed_hash, sealed) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (pod_id, index, leaf, opening, tree.epoch, first_hash, sealed),
        )
        frontier = frontier.append(leaf)
    tx.send("UPDATE log_tree SET size = ?, frontier = ? WHERE pod_id = ?", (frontier.size, frontier.encoded(), pod_id))
    return frontier.size - 1


def _seal(  # noqa: PLR0917 - called in one place
    vault: Vault | None, tree: Tree, pod_id: PodId, index: int, salt: bytes, event: LogEvent, encoded: bytes
) -> tuple[bytes, bytes | None]:
    """The sealed event, and what its row says of the first sealed bytes."""
    if vault is not None and not vault.is_public_only:
        with suppress(PodLocked, KeyErased, OverflowError):  # locked meanwhile: then as to any locked pod
            body = salt + stored_event.stored(event, microseconds(event.at))
            return vault.seal(Scope("log", "", tree.epoch), _resealed_place(index), body), IN_AN_ENVELOPE
    return seal_to(tree.public_key, salt + encoded, _context(pod_id, index)), None


IN_AN_ENVELOPE = b""
"""In a leaf's `sealed_hash`: what is sealed was sealed so from the beginning, in an envelope."""


def event_commitment(salt: bytes, encoded_event: bytes) -> bytes:
    """What a leaf tells of its event to those who do not know the salt: nothing."""
    return hashlib.sha256(b"tvilling log event v1\x00" + salt + encoded_event).digest()


def leaf_data(index: int, opening: bytes, sealed_hash: bytes) -> bytes:
    """What the tree hashes as the leaf's data."""
    return hashlib.sha256(b"tvilling log leaf v1\x00" + index.to_bytes(8, "big") + opening + sealed_hash).digest()


def tree_question(pod_id: PodId) -> Question:
    """What `load_tree` asks; for whoever asks ahead."""
    return "SELECT log_id, public_key, size, frontier, epoch FROM log_tree WHERE pod_id = ?", (pod_id,)


def load_tree(tx: Transaction, pod_id: PodId) -> Tree:
    """The head of a pod's log.

    Raises:
        NoLog: the pod has none.
        LogBroken: the stored head is damaged.
    """
    row = tx.one(*tree_question(pod_id))
    if row is None:
        raise NoLog("The pod has no log; nothing can be done with it.")
    return tree_of_row(row)


def tree_of_row(row: Row) -> Tree:
    """A head of `tree_question`'s columns.

    Raises:
        LogBroken: it is damaged.
    """
    return Tree(row[0], bytes(row[1]), Frontier.decode(row[2], bytes(row[3])), row[4])


def read_events(
    tx: Transaction, vault: Vault, pod_id: PodId, *, before: int | None = None, limit: int = 50
) -> list[LoggedEvent]:
    """Events, the newest first, each checked against its leaf.

    Args:
        tx: A snapshot.
        vault: The pod's, open.
        pod_id: Whose log.
        before: Only events with a smaller index.
        limit: At most so many, 1000 in all.

    Raises:
        LogBroken: an entry is not what the log committed to.
        PodLocked: the vault is not open.
    """
    end = "" if before is None else " AND leaf_index < ?"
    parameters = (pod_id,) if before is None else (pod_id, before)
    rows = tx.all(
        f"SELECT {LEAF_COLUMNS} FROM log_leaf WHERE pod_id = ?" + end + " ORDER BY leaf_index DESC LIMIT ?",
        (*parameters, min(limit, READ_AT_MOST)),
    )
    return [_open(vault, pod_id, Leaf.of_row(row)) for row in rows]


def event_at(tx: Transaction, vault: Vault, pod_id: PodId, index: int) -> LogEvent | None:
    """One event, checked against its leaf; None where the log has none with this index.

    Raises:
        LogBroken: the entry is not what the log committed to.
        PodLocked: the vault is not open.
    """
    row = tx.one(f"SELECT {LEAF_COLUMNS} FROM log_leaf WHERE pod_id = ? AND leaf_index = ?", (pod_id, index))
    return None if row is None else _open(vault, pod_id, Leaf.of_row(row)).event


def all_events(tx: Transaction, vault: Vault, pod_id: PodId) -> Iterator[LoggedEvent]:
    """Every event, the newest first, a page at a time.

    Raises:
        LogBroken: an entry is not what the log committed to.
        PodLocked: the vault is not open.
    """
    before: int | None = None
    while page := read_events(tx, vault, pod_id, before=before, limit=READ_AT_MOST):
        yield from page
        before = page[-1].index


class Leaf(NamedTuple):
    """A leaf's row: what is stored of one event."""

    number: int
    leaf_hash: bytes
    event_commitment: bytes
    epoch: int
    first_sealed_hash: bytes | None
    sealed: bytes

    @staticmethod
    def of_row(row: Row) -> Leaf:
        """A row of `LEAF_COLUMNS`."""
        number, leaf, opening, epoch, first, sealed = row
        return Leaf(number, bytes(leaf), bytes(opening), epoch, None if first is None else bytes(first), bytes(sealed))

    @property
    def sealed_hash(self) -> bytes:
        """SHA-256 of the bytes that were sealed when the event was written: the leaf commits to them."""
        return self.first_sealed_hash or hashlib.sha256(self.sealed).digest()


LEAF_COLUMNS = "leaf_index, leaf_hash, event_commitment, epoch, sealed_hash, sealed"


def _open(vault: Vault, pod_id: PodId, leaf: Leaf) -> LoggedEvent:
    failure = LogBroken(f"Entry {leaf.number} of the log is not what the log committed to.")
    try:
        opened = open_leaf(vault, pod_id, leaf)
    except Tampered:
        raise failure from None
    salt, encoded = opened[:SALT_BYTES], opened[SALT_BYTES:]
    if encoded[:1] == stored_event.MARK:
        try:
            encoded = canonical(stored_event.members_of(encoded))
        except EventRefused:
            raise failure from None
    expected = event_commitment(salt, encoded)
    fits = hmac.compare_digest(expected, leaf.event_commitment)
    if not fits or not hmac.compare_digest(
        leaf_hash(leaf_data(leaf.number, expected, leaf.sealed_hash)), leaf.leaf_hash
    ):
        raise failure
    return LoggedEvent(leaf.number, LogEvent.decode(encoded), salt, leaf.sealed_hash)


def open_leaf(vault: Vault, pod_id: PodId, leaf: Leaf) -> bytes:
    """The salt and the event, canonical or compact, not yet held against the tree.

    Raises:
        Tampered: the row was changed.
        PodLocked: the vault is not open.
    """
    scope = Scope("log", "", leaf.epoch)
    if leaf.first_sealed_hash is None:
        return vault.inbox(scope).open(leaf.sealed, _context(pod_id, leaf.number))
    return vault.open(scope, _resealed_place(leaf.number), leaf.sealed)


def reseal_leaf(vault: Vault, pod_id: PodId, leaf: Leaf, epoch: int) -> bytes:
    """An event's envelope under another epoch of the log's key.

    Raises:
        Tampered: the row was changed.
    """
    return vault.seal(Scope("log", "", epoch), _resealed_place(leaf.number), open_leaf(vault, pod_id, leaf))


def _resealed_place(index: int) -> Place:
    return Place("log-event", b"", index)


RUN_LENGTH = 32
"""Sealed segments that were written before are committed to again (merged, sealed anew) a run at a time: some of those
whose ordinals lie in one block of 32. A later entry about the block then covers all that earlier ones told of it."""


def block_of(ordinal: int) -> int:
    """The block that a segment's ordinal (1, 2, 3 …) lies in."""
    return (ordinal - 1) // RUN_LENGTH


def run_commitment(segments: Iterable[tuple[int, bytes]]) -> str:
    """What an entry tells of a run of segments: SHA-256 (hex) over u64 ordinal ‖ SHA-256(sealed), by ordinal."""
    digest = hashlib.sha256()
    for ordinal, sealed_hash in sorted(segments):
        digest.update(ordinal.to_bytes(8, "big") + sealed_hash)
    return digest.hexdigest()


def _context(pod_id: PodId, index: int) -> bytes:
    return b"tvilling log v1\x00" + pod_id.to_bytes(8, "big") + index.to_bytes(8, "big")


def origin_of(host: Host, tree: Tree) -> str:
    """The log's unique name: where the host is, and the log's random id."""
    return f"{origins_of(host)}{tree.log_id}"


def origins_of(host: Host) -> str:
    """What the names of all logs of this host begin with."""
    return f"{host.base_url.partition('://')[2]}/-/logs/"


def log_verifier_key(host: Host, tree: Tree) -> VerifierKey:
    """The key that this log's checkpoints verify with."""
    return verifier_key(origin_of(host, tree), log_signer(host))


def log_signer(host: Host) -> SigningKey:
    """The key that signs the checkpoints of this host's logs now."""
    return lasting_signer(host.host_key, host.key_store, "log")


def hand_overs(host: Host) -> list[str]:
    """The notes by which one key of the logs handed over to the next, in their order (hand_over.py)."""
    return [key.hand_over for key in list_lasting(host.host_key, host.key_store, "log") if key.hand_over]


def checkpoint(tx: Transaction, host: Host, pod_id: PodId) -> str:
    """The signed checkpoint of the log as it stands.

    Raises:
        NoLog: the pod has no log.
        LogBroken: the stored head is damaged.
    """
    tree = load_tree(tx, pod_id)
    state = Checkpoint(origin_of(host, tree), tree.frontier.size, tree.frontier.root())
    return sign_checkpoint(state, log_signer(host))


def leaf_hashes(tx: Transaction, pod_id: PodId, size: int | None = None) -> list[bytes]:
    """The leaf hashes of the first `size` leaves, or of all."""
    rows = tx.all("SELECT leaf_hash FROM log_leaf WHERE pod_id = ? ORDER BY leaf_index", (pod_id,))
    return [bytes(leaf) for (leaf,) in rows[:size]]


def tree_root_at(tx: Transaction, pod_id: PodId, size: int) -> bytes:
    """The root the log had when it held `size` events.

    Raises:
        IndexError: it never held so many.
    """
    leaves = leaf_hashes(tx, pod_id, size)
    if len(leaves) != size:
        raise IndexError("the log is smaller than that")
    return root_of(leaves)


def prove_inclusion(tx: Transaction, pod_id: PodId, index: int, size: int | None = None) -> list[bytes]:
    """The audit path of one event in the tree of the first `size` events, or of all.

    Raises:
        IndexError: there is no such event.
    """
    return inclusion_proof(leaf_hashes(tx, pod_id, size), index)


def prove_consistency(tx: Transaction, pod_id: PodId, old_size: int) -> list[bytes]:
    """The proof that the log only added to its first `old_size` events.

    Raises:
        IndexError: the log is smaller than that.
    """
    return consistency_proof(leaf_hashes(tx, pod_id), old_size)


def cosignatures(tx: Transaction, host: Host, pod_id: PodId) -> list[Witnessed]:
    """What each witness last said of a pod's log, by name."""
    origin = origin_of(host, load_tree(tx, pod_id))
    return [
        Witnessed(
            witness=name,
            size=size,
            at=moment(at),
            note=own_note(host, Checkpoint(origin, size, bytes(root))) + line if line else "",
            refused=refused,
            refused_size=refused_size,
        )
        for name, size, root, at, line, refused, refused_size in tx.all(
            "SELECT witness, size, root, cosigned_at, line, refused, refused_size FROM log_cosignature "
            "WHERE pod_id = ? ORDER BY witness",
            (pod_id,),
        )
    ]


def own_note(host: Host, checkpoint: Checkpoint) -> str:
    """A checkpoint, signed by the host's present key; an old checkpoint's body, which witnesses cosigned, stays the same."""
    return sign_checkpoint(checkpoint, log_signer(host))


def export(tx: Transaction, host: Host, vault: Vault, pod_id: PodId) -> dict[str, Any]:
    """The whole log as one JSON document that `verification.verify_log` checks offline.

    Raises:
        LogBroken: an entry is not what the log committed to.
        PodLocked: the vault is not open.
    """
    tree = load_tree(tx, pod_id)
    events = [_event_document(entry) for entry in all_events(tx, vault, pod_id)]
    return {
        "format": EXPORT_FORMAT,
        "origin": origin_of(host, tree),
        "key": log_verifier_key(host, tree).encoded(),
        "hand_overs": hand_overs(host),
        "checkpoint": checkpoint(tx, host, pod_id),
        "witnessed": [each.note for each in cosignatures(tx, host, pod_id) if each.note],
        "events": events[::-1],
    }


def _event_document(entry: LoggedEvent) -> dict[str, Any]:
    event = entry.event
    return {
        "index": entry.index,
        "at": event.at.isoformat(timespec="microseconds"),
        "event": json.loads(event.encoded()),
        "salt": base64.b64encode(entry.salt).decode(),
        "sealed_sha256": entry.sealed_hash.hex(),
    }

"""Compaction: small deliveries that the agent has taken in are merged, so that each costs a few bytes and not a row.

    block       32 deliveries of one grant whose ordinals begin after a multiple of 32; then 32 such packs, and no further
    outside     they are opened and sealed as one *pack*: their records, and of each delivery its ordinal, place in the
                feed and time; their marks one after another
    inside      1. the grant is not erased, and its epoch is still the one that the pack is sealed under
                2. the rows are still those that were read, and the agent has taken all of them into its sums
                3. the log's leaf: first and last ordinal, SHA-256 of the pack
                4. the rows give way to the pack, which has the last one's ordinal and place in the feed

A pack never crosses a grant or an epoch: an erasure destroys one key and deletes these rows as it did the single ones.
Readers see the same deliveries as before, in the same order, corrections behind what they correct. Whole blocks are
merged, and only such without a gap: entries of the log about runs (merged, sealed anew) lie within a block, so that what
the latest entry tells of is always stored whole.

Only while the pod is open to the host: nobody else could open what is to be merged. A crash leaves the rows or the pack.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from pod_server import feed
from pod_server.activities import PackBody, Part, SegmentRow, insert_segment, seal_segment, segment_place
from pod_server.authorization import grant_rows
from pod_server.identifiers import Actor, GrantId, PodId
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.opening import custodian_vault
from pod_server.vault.envelope import Scope
from pod_server.vault.errors import KeyErased, PodLocked, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pod_server.host import Host
    from pod_server.storage.ports import Row, Transaction
    from pod_server.vault.vault import Vault

MOST_RECORDS = 2000
"""What a pack holds at most, as a delivery does; a block with more stays as it is: its rows cost little each."""

_BLOCKS_AT_ONCE = 100
_LONGEST_REST_SECONDS = 0.05
_COLUMNS = (
    "seq, epoch, ordinal, first_ordinal, received, first_day, last_day, records, corrections, log_index, marks, sealed"
)

_DUE = (
    # Word for word the conditions of the two partial indexes: nothing else is looked at.
    (ledger.RUN_LENGTH, "first_ordinal = 0 AND (ordinal & 31) = 0 AND records <= 62"),
    (ledger.RUN_LENGTH**2, "first_ordinal = ordinal - 31 AND (ordinal & 1023) = 0 AND records <= 62"),
)

Step = Literal["sealed", "begun", "logged", "written", "committed"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PackBody).decode


class Compacted(NamedTuple):
    """What was merged: so many rows into so many packs."""

    rows: int
    packs: int


class _Piece(NamedTuple):
    """A row of a block."""

    seq: int
    epoch: int
    ordinal: int
    first_ordinal: int
    received: int
    first_day: int
    last_day: int
    records: int
    corrections: int
    log_index: int
    marks: bytes
    sealed: bytes

    @property
    def begins(self) -> int:
        return self.first_ordinal or self.ordinal


def compact(
    host: Host,
    *,
    most: int = 10_000,
    stop: Callable[[], bool] = lambda: False,
    rest: Callable[[float], object] = time.sleep,
    at_step: Callable[[Step], None] | None = None,
) -> Compacted:
    """Merge whatever can be merged in the pods that are open; any number of processes may.

    Args:
        host: The host.
        most: At most so many packs.
        stop: Asked before each.
        rest: Waits so many seconds between them: half of the time is left to others.
        at_step: Called at each step of each; for tests of crashes.

    Raises:
        StorageError: the engine could not go on; what was merged stands.
    """
    rows = packs = 0
    for size, condition in _DUE:
        after: Row = (-1, "", 0)
        while True:
            with host.storage.look() as tx:
                ends = tx.all(
                    f"SELECT pod_id, grant_id, ordinal FROM segment WHERE {condition} "
                    "AND (pod_id, grant_id, ordinal) > (?, ?, ?) ORDER BY pod_id, grant_id, ordinal LIMIT ?",
                    (*after, _BLOCKS_AT_ONCE),
                )
            if not ends:
                break
            after = ends[-1]
            for pod_id, grant, last in ends:
                if packs >= most or stop():
                    return Compacted(rows, packs)
                began = time.monotonic()
                merged = compact_block(host, PodId(pod_id), GrantId(grant), last - size + 1, last, at_step=at_step)
                if merged:
                    rest(min(time.monotonic() - began, _LONGEST_REST_SECONDS))
                rows += merged
                packs += merged > 0
    return Compacted(rows, packs)


def compact_block(
    host: Host,
    pod_id: PodId,
    grant: GrantId,
    first: int,
    last: int,
    *,
    at_step: Callable[[Step], None] | None = None,
) -> int:
    """Merge the deliveries `first` to `last` of a grant; how many rows gave way, 0 where they are left as they are.

    Raises:
        StorageError: the engine could not; the rows stand.
    """
    tell = at_step or _ignore
    try:
        vault = custodian_vault(host, pod_id)
        with host.storage.read() as tx:
            pieces = _block(tx, pod_id, grant, first, last)
            epoch = _epoch(tx, pod_id, grant)
            if epoch is None or not _fits(tx, pod_id, pieces, first, last, epoch):
                return 0
        scope = Scope("grant", grant, epoch)
        sealed = _seal(vault, scope, pieces, first)
    except (PodLocked, KeyErased, Tampered):
        return 0  # what does not open is for the pod's examination to name, and stays as it is
    tell("sealed")
    with host.storage.write() as tx:
        tell("begun")
        present = _block(tx, pod_id, grant, first, last)
        if (
            _epoch(tx, pod_id, grant) != epoch
            or present != pieces
            or not _fits(tx, pod_id, present, first, last, epoch)
        ):
            return 0  # erased, sealed anew or merged meanwhile
        event = LogEvent(
            at=host.clock.now(),
            actor=Actor("host"),
            action="compact",
            grant=grant,
            count=sum(each.records for each in pieces),
            detail={"first": first, "last": last, "sha256": hashlib.sha256(sealed).hexdigest()},
        )
        leaf = ledger.append(tx, pod_id, event, random=secrets.token_bytes)
        tell("logged")
        tx.send(
            "DELETE FROM segment WHERE pod_id = ? AND grant_id = ? AND ordinal BETWEEN ? AND ?",
            (pod_id, grant, first, last),
        )
        pack = SegmentRow(
            pod_id=pod_id,
            grant=grant,
            epoch=epoch,
            ordinal=last,
            received=pieces[-1].received,
            first_day=min(each.first_day for each in pieces),
            last_day=max(each.last_day for each in pieces),
            records=sum(each.records for each in pieces),
            corrections=sum(each.corrections for each in pieces),
            log_index=leaf,
            marks=b"".join([each.marks for each in pieces]),
            sealed=sealed,
            first_ordinal=first,
        )
        insert_segment(tx, pack, seq=pieces[-1].seq)
        tell("written")
    tell("committed")
    return len(pieces)


def _block(tx: Transaction, pod_id: PodId, grant: GrantId, first: int, last: int) -> list[_Piece]:
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM segment WHERE pod_id = ? AND grant_id = ? AND ordinal BETWEEN ? AND ? ORDER BY ordinal",
        (pod_id, grant, first, last),
    )
    return [_Piece(*row)._replace(marks=bytes(row[10]), sealed=bytes(row[11])) for row in rows]


def _epoch(tx: Transaction, pod_id: PodId, grant: GrantId) -> int | None:
    """The epoch that the grant is sealed under now; None where it is erased."""
    state = grant_rows.state_now(tx, pod_id, grant)
    return None if state is None or state[0] == "erased" else state[2]


def _fits(  # noqa: PLR0917 - called in one place outside and in one inside
    tx: Transaction, pod_id: PodId, pieces: Sequence[_Piece], first: int, last: int, epoch: int
) -> bool:
    """Whether these rows are the whole block, under one epoch, taken in by the agent, and few enough records."""
    if len(pieces) < 2 or pieces[0].begins != first or pieces[-1].ordinal != last:
        return False
    if any(later.begins != earlier.ordinal + 1 for earlier, later in pairwise(pieces)):
        return False
    if any(each.epoch != epoch for each in pieces) or sum(each.records for each in pieces) > MOST_RECORDS:
        return False
    cursor, _ = feed.position(tx, pod_id)
    return all(each.seq <= cursor for each in pieces)


def _seal(vault: Vault, scope: Scope, pieces: Sequence[_Piece], first: int) -> bytes:
    kinds: dict[str, int] = {}
    kind_of: list[int] = []
    raws: list[bytes] = []
    parts: list[Part] = []
    for piece in pieces:
        body = _decode(vault.open(scope, segment_place(piece.ordinal, piece.first_ordinal), piece.sealed))
        parts += body.parts or [Part(piece.ordinal, piece.seq, piece.received, len(body.raws))]
        kind_of += [kinds.setdefault(body.kinds[kind], len(kinds)) for kind in body.kind_of]
        raws += body.raws
    packed = _encode(PackBody(list(kinds), kind_of, raws, parts))
    return seal_segment(vault, scope, pieces[-1].ordinal, packed, records=len(raws), first_ordinal=first)


def _ignore(_: Step) -> None:
    """Nobody asked to be told."""

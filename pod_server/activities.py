"""Taking activities in, and reading them: the one transaction in which a delivery becomes part of a pod.

    outside    marks of the records, what of them is new, zstd, sealed under the grant's key as one segment
    inside     1. the grant's state is read again         (a withdrawal's commit is the point after which no write succeeds)
               2. the end of the grant's segments is read (if another process was first: marks caught up, sealed anew;
                  the same where the pod got new keys meanwhile)
               3. the log's leaf, which commits to the segment's ciphertext
               4. the feed's next number
               5. the segment with its marks
               6. the count of the day
    after      one signal for all pods of the transaction

While a pod is locked everything is the same but that the host seals to the grant's inbox (inboxes.py) what it cannot
open again, and that the sealed delivery waits, under the ordinal it will have, until the citizen opens the pod.

A record's identity is its grant and its `@id`: the same content again is a duplicate, other content a conflict, unless
it declares itself a correction, which replaces the earlier record for readers and leaves it in its segment.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from consent.decision import Refused
from consent.reasons import Reason
from pod_server import feed, inboxes, partners
from pod_server.authorization import enforcement, grant_rows
from pod_server.authorization.errors import QuotaExceeded, refusal_error
from pod_server.clock import microseconds, moment
from pod_server.errors import BacklogFull, PermitExceeded, RecordConflict
from pod_server.identifiers import Actor, GrantId, PodId
from pod_server.known_records import KnownOfGrant, KnownRecords, Mark, marks_of, pack
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.opening import custodian_vault, custodian_vaults
from pod_server.standing import standing_of, standing_question
from pod_server.vault.compression import ACTIVITIES
from pod_server.vault.envelope import LOG, Place, Scope
from pod_server.vault.errors import KeyErased, PodLocked
from pod_server.vault.vault import host_mark_key

if TYPE_CHECKING:
    from pod_server.authorization.permit import Permit
    from pod_server.host import Host
    from pod_server.inboxes import Inbox
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Storage, Transaction
    from pod_server.vault.vault import Vault

RECORDS_PER_SEGMENT = 2000
"""A greater delivery becomes several segments, so that no transaction holds the others up."""

_SMALL_SEGMENT = 200
"""Up to here the shipped dictionary helps (one record: 76 bytes for 145); a longer segment is its own dictionary."""

_PREPARED_AT_ONCE = 64
_ASKED_AHEAD = 8
"""Pods whose rows are asked for in one round trip; more would be locked long before their turn."""

_TRANSACTION_SECONDS = 0.015
"""Half-way to the 20 ms that a withdrawal may have to wait for a bulk writer, whatever the machine's speed."""

_TRANSACTION_SECONDS_AMONG_MANY = 0.006
"""Where writers do not pass one turnstile a withdrawal may find several of them before it, one behind the other."""

Status = Literal["accepted", "pending", "duplicate", "conflict", "refused"]
Step = Literal["sealed", "begun", "rechecked", "logged", "numbered", "written", "counted", "committed", "told"]
"""The steps of a write in order, for tests that die at each of them."""


class Record(msgspec.Struct, frozen=True):
    """One activity to take in.

    Attributes:
        id: Its `@id`, unique within the grant.
        raw: Canonical compact JSON, as `Kinds.encode` gives it: what is stored and compared.
        kind: Its kind's slug.
        start: When it began, aware.
        end: When it ended.
        correction: Whether it declares that it replaces an accepted record of the same id.
    """

    id: str
    raw: bytes
    kind: str
    start: datetime
    end: datetime
    correction: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """Records for one grant of one pod.

    Attributes:
        permit: Of the grant.
        records: In order.
        vault: The pod's, open, where the caller has it; else the custodian slot is tried, and a locked pod lets the
            delivery wait.
        settle: Called inside the transaction that writes the last of it, with what became of each record, for what
            stands or falls with it.
    """

    permit: Permit
    records: Sequence[Record]
    vault: Vault | None = None
    settle: Callable[[Transaction, Sequence[RecordOutcome]], None] | None = None


class RecordOutcome(NamedTuple):
    """What became of one record; `error` is an exception for `problems.problem_details`, or None."""

    status: Status
    error: Exception | None


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What became of a delivery.

    Attributes:
        records: One outcome a record, in the order they were given.
        refusal: Why the whole delivery was refused, or None.
        log_index: The last leaf written for it, or None where nothing was.
        segment_seq: The feed's number of the last segment written, or None.
    """

    records: tuple[RecordOutcome, ...]
    refusal: Exception | None = None
    log_index: int | None = None
    segment_seq: int | None = None

    def count(self, status: Status) -> int:
        """How many records came to this."""
        return sum(1 for outcome in self.records if outcome.status == status)


_ACCEPTED = RecordOutcome("accepted", None)
_PENDING = RecordOutcome("pending", None)
_DUPLICATE = RecordOutcome("duplicate", None)


class SegmentBody(msgspec.Struct, frozen=True, array_like=True):
    """What is compressed and sealed as a segment. Fields are only ever added at the end."""

    kinds: list[str]
    kind_of: list[int]
    raws: list[bytes]


class Part(NamedTuple):
    """One delivery within a pack: what its row said of it, and how many of the pack's records are its own."""

    ordinal: int
    seq: int
    received: int
    records: int


class PackBody(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed as a pack: several deliveries of one grant (compaction.py). Without parts it is one delivery."""

    kinds: list[str]
    kind_of: list[int]
    raws: list[bytes]
    parts: list[Part] = []


_encode_body = msgspec.msgpack.Encoder().encode
_decode_body = msgspec.msgpack.Decoder(PackBody).decode


class RecordIdentity(msgspec.Struct, frozen=True, gc=False):
    """The members of a stored record that reading in order needs; the rest is the vocabulary's to decode."""

    id: str = msgspec.field(name="@id")
    start: datetime
    end: datetime
    correction: bool = False


_identify = msgspec.json.Decoder(RecordIdentity).decode


@dataclass(frozen=True)
class StoredRecord:
    """One record as it was accepted."""

    kind: str
    raw: bytes

    @cached_property
    def identity(self) -> RecordIdentity:
        """Its id, times and whether it is a correction, decoded when first asked for."""
        return _identify(self.raw)

    @property
    def id(self) -> str:
        """Its `@id`."""
        return self.identity.id

    @property
    def start(self) -> datetime:
        """When it began."""
        return self.identity.start

    @property
    def end(self) -> datetime:
        """When it ended."""
        return self.identity.end

    @property
    def correction(self) -> bool:
        """Whether it replaced an earlier record of its id."""
        return self.identity.correction


@dataclass(frozen=True)
class Segment:
    """One opened segment.

    Attributes:
        seq: Its number in the pod's feed.
        grant: Whose.
        epoch: The grant's key epoch.
        received: When it was accepted, city's time.
        records: In the order of the delivery.
    """

    seq: int
    grant: GrantId
    epoch: int
    received: datetime
    records: tuple[StoredRecord, ...]


class StoredActivity(NamedTuple):
    """One activity as it stands after corrections, and where it came from."""

    seq: int
    grant: GrantId
    kind: str
    raw: bytes
    start: datetime


# Taking in


@dataclass(slots=True)
class _Piece:
    """A part of a delivery that becomes one segment, and what is known of it so far."""

    delivery: int
    permit: Permit
    grant: GrantId
    records: Sequence[Record]
    opened: Vault | None
    settle: Callable[[Transaction, Sequence[RecordOutcome]], None] | None
    epoch: int
    vault: Vault | None = None
    inbox: Inbox | None = None
    marks: list[Mark] = field(default_factory=list)
    ordinal: int = 0
    outcomes: list[RecordOutcome] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    sealed: bytes = b""
    refusal: Exception | None = None
    log_index: int | None = None
    seq: int | None = None

    def as_segment(self, at: datetime) -> SegmentRow:
        """The row that the accepted records become."""
        accepted = [self.records[number] for number in self.accepted]
        assert self.log_index is not None
        return SegmentRow(
            pod_id=self.permit.pod_id,
            grant=self.grant,
            epoch=self.epoch if self.inbox is None else self.inbox.epoch,
            ordinal=self.ordinal,
            received=microseconds(self.permit.accepted_at or at),
            first_day=_day(min([record.start for record in accepted])),
            last_day=_day(max([record.end for record in accepted])),
            records=len(accepted),
            corrections=len([1 for record in accepted if record.correction]),
            log_index=self.log_index,
            marks=pack(self.marks[number] for number in self.accepted),
            sealed=self.sealed,
        )


_known_of: WeakKeyDictionary[Storage, KnownRecords] = WeakKeyDictionary()


def append(
    host: Host,
    deliveries: Sequence[Delivery],
    *,
    actor: Actor | None = None,
    at_step: Callable[[Step], None] | None = None,
) -> list[DeliveryOutcome]:
    """Take deliveries in, many pods to a transaction; when it returns, what is accepted is on the disk.

    Args:
        host: The host.
        deliveries: In order; each under the Permit of one grant.
        actor: Who delivers, for the log; the Permit's actor where None.
        at_step: Called at each step of each write; for tests of crashes.

    Returns:
        One outcome a delivery. A grant that was withdrawn meanwhile, a full backlog and a used-up quota are outcomes
        (`refused`), not exceptions; what a locked pod takes in is `pending`.

    Raises:
        StorageFull: there was no room. What earlier transactions of this call took in stands; sending everything
            again adds nothing twice.
        StorageBusy: no turn to write came; as above.
        PermitExceeded: a Permit is no grant's, does not allow appending, or does not cover a record's kind.
    """
    known = _known_of.setdefault(host.storage, KnownRecords())
    pieces = list(_cut(deliveries))
    for chunk in _chunks(pieces):
        _fetch(host, chunk, known)
        for piece in chunk:
            _prepare(host, piece, known)
        _tell(at_step, "sealed")
        done = 0
        while done < len(chunk):
            done = _write(host, chunk, done, known, actor, at_step)
    return _outcomes(deliveries, pieces)


def _cut(deliveries: Sequence[Delivery]) -> Iterator[_Piece]:
    for number, delivery in enumerate(deliveries):
        permit = delivery.permit
        if permit.authority != "grant" or permit.grant is None or not permit.allows("append"):
            raise PermitExceeded
        if permit.kinds is not None and any(record.kind not in permit.kinds for record in delivery.records):
            raise PermitExceeded
        for start in range(0, len(delivery.records), RECORDS_PER_SEGMENT):
            end = start + RECORDS_PER_SEGMENT
            settle = delivery.settle if end >= len(delivery.records) else None
            records = delivery.records[start:end]
            yield _Piece(number, permit, permit.grant, records, delivery.vault, settle, permit.epoch)


def _chunks(pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
    """Pieces that are prepared together; no grant twice in one chunk, so that the second sees the first.

    Within a chunk they go by pod, so that two writers of the same pods take them in one order.
    """
    chunk: list[_Piece] = []
    grants: set[GrantId] = set()
    for piece in pieces:
        if piece.grant in grants or len(chunk) == _PREPARED_AT_ONCE:
            yield sorted(chunk, key=_pod_of)
            chunk, grants = [], set()
        chunk.append(piece)
        grants.add(piece.grant)
    if chunk:
        yield sorted(chunk, key=_pod_of)


def _pod_of(piece: _Piece) -> PodId:
    return piece.permit.pod_id


def _fetch(host: Host, chunk: Sequence[_Piece], known: KnownRecords) -> None:
    """What preparing needs of the key store and of what was delivered before, asked for all pieces together."""
    wanted: dict[PodId, list[Scope]] = {}
    for piece in chunk:
        if piece.opened is None:
            scopes = wanted.setdefault(piece.permit.pod_id, [])
            scopes += (Scope("grant", piece.grant, piece.epoch), Scope("marks", piece.grant), LOG)
    vaults = custodian_vaults(host, wanted) if wanted else {}
    for piece in chunk:
        piece.vault = piece.opened or vaults.get(piece.permit.pod_id)
    places = [(piece.permit.pod_id, piece.grant) for piece in chunk]
    with known.guard:
        unknown = [place for place in places if known.of_grant(*place) is None]
        if unknown:
            with host.storage.look() as tx:
                for place in unknown:
                    of_grant = KnownOfGrant()
                    of_grant.catch_up(tx, *place)
                    known.keep(*place, of_grant)


def _prepare(host: Host, piece: _Piece, known: KnownRecords) -> None:
    """Everything that needs no transaction: marks, what is new by what this process knows, the sealed segment."""
    permit = piece.permit
    mark_key: bytes | None
    try:
        piece.vault = piece.vault or custodian_vault(host, permit.pod_id)
        mark_key = piece.vault.mark_key(piece.grant, permit.epoch)
        piece.vault.keys(Scope("grant", piece.grant, permit.epoch))
    except PodLocked as error:
        piece.vault = None
        mark_key = host_mark_key(host.host_key, host.key_store, permit.pod_id, piece.grant)
        with host.storage.look() as tx:
            piece.inbox = inboxes.find_inbox(tx, permit.pod_id, piece.grant)
        if mark_key is None or piece.inbox is None:  # locked before there were inboxes
            piece.refusal = error
            return
    except KeyErased:
        # Erased since the Permit was made: the transaction reads the state and says so in the law's words.
        piece.vault = None
        return
    piece.marks = marks_of(mark_key, [(record.id, record.raw) for record in piece.records])
    with known.guard:
        of_grant = known.of_grant(permit.pod_id, piece.grant)
        if of_grant is None:
            of_grant = KnownOfGrant()
            with host.storage.look() as tx:
                of_grant.catch_up(tx, permit.pod_id, piece.grant)
            known.keep(permit.pod_id, piece.grant, of_grant)
        _sort_out(piece, of_grant)
    _seal(piece)


def _sort_out(piece: _Piece, known: KnownOfGrant) -> None:
    """Say of each record whether it is new, a duplicate or a conflict; later records see the earlier ones."""
    piece.ordinal = known.ordinal + 1
    marks = piece.marks
    ids = {id_mark for id_mark, _ in marks}
    if len(ids) == len(marks) and known.holds_none_of(ids):  # as most deliveries are
        piece.outcomes = [_ACCEPTED] * len(marks)
        piece.accepted = list(range(len(marks)))
        return
    piece.outcomes = []
    piece.accepted = []
    own: dict[int, list[int]] = {}
    for number, record in enumerate(piece.records):
        mark = marks[number]
        id_mark, content_mark = mark
        mine = own.get(id_mark)
        seen = mine[-1] if mine is not None else known.content_of(id_mark)
        if seen is None:
            piece.accepted.append(number)
            piece.outcomes.append(_ACCEPTED)
            own[id_mark] = [content_mark]
        elif (
            seen == content_mark
            or (mine is not None and content_mark in mine)
            or known.was_superseded(mark)
            or (mine is not None and known.content_of(id_mark) == content_mark)
        ):
            piece.outcomes.append(_DUPLICATE)
        elif record.correction:
            piece.accepted.append(number)
            piece.outcomes.append(_ACCEPTED)
            own.setdefault(id_mark, []).append(content_mark)
        else:
            piece.outcomes.append(RecordOutcome("conflict", RecordConflict()))


def _seal(piece: _Piece) -> None:
    piece.sealed = b""
    if not piece.accepted:
        return
    kinds: dict[str, int] = {}
    kind_of = [kinds.setdefault(piece.records[number].kind, len(kinds)) for number in piece.accepted]
    body = _encode_body(SegmentBody(list(kinds), kind_of, [piece.records[number].raw for number in piece.accepted]))
    if piece.vault is not None:
        scope = Scope("grant", piece.grant, piece.epoch)
        piece.sealed = seal_segment(piece.vault, scope, piece.ordinal, body, records=len(kind_of))
    else:
        assert piece.inbox is not None
        piece.sealed = inboxes.seal_for(piece.inbox, piece.ordinal, body)


def seal_segment(
    vault: Vault, scope: Scope, ordinal: int, body: bytes, *, records: int, first_ordinal: int = 0
) -> bytes:
    """A segment's encoded body in the envelope of its place."""
    dictionary = ACTIVITIES if records <= _SMALL_SEGMENT else ""
    return vault.seal(scope, segment_place(ordinal, first_ordinal), body, compress=True, dictionary=dictionary)


def segment_place(ordinal: int, first_ordinal: int = 0) -> Place:
    """Where a segment lies within its grant; a pack is named by the first of its deliveries too."""
    if first_ordinal:
        return Place("segment-pack", first_ordinal.to_bytes(8, "big"), ordinal)
    return Place("segment", b"", ordinal)


@dataclass(frozen=True, slots=True)
class _Circumstances:
    """What all writes of one transaction share."""

    at: datetime
    waiting_since: datetime
    actor: Actor | None
    known: KnownRecords
    at_step: Callable[[Step], None] | None


def _write(  # noqa: PLR0917 - called in one place
    host: Host,
    chunk: Sequence[_Piece],
    done: int,
    known: KnownRecords,
    actor: Actor | None,
    at_step: Callable[[Step], None] | None,
) -> int:
    """One transaction over as many pieces as its time allows; returns how many pieces are done."""
    touched: list[_Piece] = []
    with host.storage.write() as tx:
        # The time is read inside, so that a grant's expiry is judged by when its turn came.
        now = _Circumstances(host.clock.now(), host.clock.protocol_now(), actor, known, at_step)
        allowed = _TRANSACTION_SECONDS if host.storage.is_embedded else _TRANSACTION_SECONDS_AMONG_MANY
        deadline = time.monotonic() + allowed
        _tell(at_step, "begun")
        foreseen = done
        while done < len(chunk):
            if done == foreseen:
                foreseen += _ASKED_AHEAD
                asked = chunk[done:foreseen]
                standing = [standing_question(piece.permit.pod_id, piece.grant) for piece in asked]
                clients = dict.fromkeys(enforcement.client_of(piece.permit) for piece in asked)
                tx.foresee([*standing, *(each for each in map(partners.stop_question, clients) if each is not None)])
            piece = chunk[done]
            _write_piece(tx, piece, now)
            touched.append(piece)
            done += 1
            late = time.monotonic() - deadline
            # What was asked ahead would be asked once more: it is finished, if that does not take as long again.
            if late > 0 and (done == foreseen or host.storage.is_embedded or late > allowed):
                break
    _tell(at_step, "committed")
    written = [piece for piece in touched if piece.sealed and piece.refusal is None]
    with known.guard:
        for piece in written:
            _remember(piece, known)
    host.signal.notify({piece.permit.pod_id for piece in written})
    _tell(at_step, "told")
    return done


def _write_piece(tx: Transaction, piece: _Piece, now: _Circumstances) -> None:
    permit, pod_id, at, at_step = piece.permit, piece.permit.pod_id, now.at, now.at_step
    actor = now.actor or permit.actor
    standing = standing_of(tx, pod_id, piece.grant)
    refused = enforcement.recheck_grant(tx, permit, at, state=standing.state)
    if refused is None and piece.vault is None and piece.inbox is None and piece.refusal is None:
        refused = Refused((Reason.CONSENT_ERASED,))
    if refused is not None:
        _refuse(tx, piece, refused, actor, at)
        return
    if (
        piece.refusal is not None
    ):  # locked, without an inbox; the records are counted, and the citizen sees it in the log
        _log_refusal(tx, piece, actor, at, outcome="pod-locked", count=len(piece.records))
        enforcement.record_use(tx, permit, at, accepted=0, refused=len(piece.records))
        return
    _tell(at_step, "rechecked")

    assert standing.state is not None, "a grant that may be written under is there"
    moved = _follow_keys(tx, piece, standing.state[2])
    last = standing.last_ordinal
    if standing.waits and piece.opened is None and piece.inbox is None:
        # The pod was opened and what came before is not merged yet: this waits behind it.
        piece.vault, piece.inbox, moved = None, inboxes.find_inbox(tx, pod_id, piece.grant), True
    if last != piece.ordinal - 1:
        _sort_out_again(tx, piece, now.known, last)
    elif moved:
        _seal(piece)
    if (
        piece.inbox is not None
        and piece.accepted
        and inboxes.is_full(tx, piece.inbox, len(piece.sealed), len(piece.accepted))
    ):
        _refuse_for_lack_of_room(tx, piece, actor, at)
        return
    quota_left = _quota_left(tx, permit, at)
    if quota_left is not None and len(piece.accepted) > quota_left:
        _cut_to_quota(piece, quota_left)

    count = len(piece.accepted)
    if count:
        piece.log_index = ledger.append(
            tx,
            pod_id,
            LogEvent(
                at=at,
                actor=actor,
                action="append",
                purpose=permit.purpose,
                grant=piece.grant,
                outcome="done" if piece.inbox is None else "pending",
                count=count,
                detail={"ordinal": piece.ordinal, "sha256": hashlib.sha256(piece.sealed).hexdigest()},
            ),
            random=secrets.token_bytes,
            tree=standing.tree,
            vault=piece.vault,
        )
        _tell(at_step, "logged")
        if piece.inbox is None:
            piece.seq = feed.next_seq(tx, pod_id, now.waiting_since, head=standing.feed_head)
            _tell(at_step, "numbered")
            insert_segment(tx, piece.as_segment(at), seq=piece.seq)
        else:
            inboxes.put(tx, piece.inbox, piece.as_segment(at))
            piece.outcomes = [_PENDING if outcome is _ACCEPTED else outcome for outcome in piece.outcomes]
        _tell(at_step, "written")
    _log_what_was_turned_away(tx, piece, actor, at)
    duplicates = sum(1 for outcome in piece.outcomes if outcome is _DUPLICATE)
    if permit.accepted_at is None:  # what waited was counted when it came
        enforcement.record_use(
            tx, permit, at, accepted=count, duplicates=duplicates, refused=len(piece.records) - count - duplicates
        )
    if piece.settle is not None:
        piece.settle(tx, piece.outcomes)
    _tell(at_step, "counted")


def _follow_keys(tx: Transaction, piece: _Piece, epoch: int) -> bool:
    """Whether the pod got new keys, or was locked, since the piece was sealed; then it must be sealed again."""
    if piece.inbox is not None:
        present = inboxes.find_inbox(tx, piece.permit.pod_id, piece.grant)
        moved = present is not None and present.epoch != piece.inbox.epoch
        piece.inbox = present or piece.inbox
        return moved
    if epoch == piece.epoch:
        return False
    piece.epoch = epoch
    assert piece.vault is not None
    try:
        piece.vault.keys(Scope("grant", piece.grant, epoch))
    except PodLocked:
        piece.vault, piece.inbox = None, inboxes.find_inbox(tx, piece.permit.pod_id, piece.grant)
        if piece.inbox is None:
            raise
    return True


def _refuse_for_lack_of_room(tx: Transaction, piece: _Piece, actor: Actor, at: datetime) -> None:
    """As much as may wait for this pod waits already."""
    piece.refusal = BacklogFull()
    piece.accepted, piece.sealed = [], b""
    _log_refusal(tx, piece, actor, at, outcome="backlog-full", count=len(piece.records))
    enforcement.record_use(tx, piece.permit, at, accepted=0, refused=len(piece.records))


def _sort_out_again(tx: Transaction, piece: _Piece, known: KnownRecords, last: int) -> None:
    """Another writer was first: learn what it added and seal anew, inside the transaction, where nothing moves."""
    pod_id, grant = piece.permit.pod_id, piece.grant
    with known.guard:
        of_grant = known.of_grant(pod_id, grant) or KnownOfGrant()
        # A chunk holds each grant once, so every row of it that is seen here was committed before.
        of_grant.catch_up(tx, pod_id, grant)
        if of_grant.ordinal != last:  # rows are gone that this process knew of: a restore under its feet
            of_grant = KnownOfGrant()
            of_grant.catch_up(tx, pod_id, grant)
        known.keep(pod_id, grant, of_grant)
        _sort_out(piece, of_grant)
    _seal(piece)


def _quota_left(tx: Transaction, permit: Permit, at: datetime) -> int | None:
    if permit.terms is None or permit.terms.quota_per_day is None or permit.accepted_at is not None:
        return None
    assert permit.grant is not None
    return max(0, permit.terms.quota_per_day - grant_rows.used_on(tx, permit.pod_id, permit.grant, at))


def _cut_to_quota(piece: _Piece, quota_left: int) -> None:
    """Take the first records that fit in the day's quota, and refuse the rest."""
    error = QuotaExceeded(Refused((Reason.QUOTA_EXCEEDED,)))
    for number in piece.accepted[quota_left:]:
        piece.outcomes[number] = RecordOutcome("refused", error)
    piece.accepted = piece.accepted[:quota_left]
    _seal(piece)


class SegmentRow(NamedTuple):
    """A sealed segment as its row has it, or as it waits in an inbox."""

    pod_id: PodId
    grant: GrantId
    epoch: int
    ordinal: int
    received: int
    first_day: int
    last_day: int
    records: int
    corrections: int
    log_index: int
    marks: bytes
    sealed: bytes
    first_ordinal: int = 0


def insert_segment(tx: Transaction, row: SegmentRow, *, seq: int) -> None:
    """Write a segment at a place in the feed."""
    tx.send(
        "INSERT INTO segment (pod_id, seq, grant_id, epoch, ordinal, received, received_day, first_day, last_day, "
        "records, corrections, log_index, marks, sealed, first_ordinal) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (row.pod_id, seq, *row[1:5], row.received // _DAY_MICROSECONDS, *row[5:]),
    )


def _refuse(tx: Transaction, piece: _Piece, refused: Refused, actor: Actor, at: datetime) -> None:
    """The law refused the whole piece: nothing is written but that it was refused."""
    piece.refusal = refusal_error(refused)
    if refused.reason is Reason.NO_SUCH_GRANT:  # no pod's log to write it in
        return
    _log_refusal(tx, piece, actor, at, outcome=str(refused.reason.value), count=len(piece.records))
    enforcement.record_use(tx, piece.permit, at, accepted=0, refused=len(piece.records))


def _log_what_was_turned_away(tx: Transaction, piece: _Piece, actor: Actor, at: datetime) -> None:
    """Every refusal to a partner stands in the log, counted by its reason."""
    conflicts = sum(1 for outcome in piece.outcomes if outcome.status == "conflict")
    over_quota = sum(1 for outcome in piece.outcomes if outcome.status == "refused")
    if conflicts:
        _log_refusal(tx, piece, actor, at, outcome="record-conflict", count=conflicts)
    if over_quota:
        _log_refusal(tx, piece, actor, at, outcome="quota-exceeded", count=over_quota)


def _log_refusal(tx: Transaction, piece: _Piece, actor: Actor, at: datetime, *, outcome: str, count: int) -> None:
    piece.log_index = ledger.append(
        tx,
        piece.permit.pod_id,
        LogEvent(
            at=at,
            actor=actor,
            action="append",
            purpose=piece.permit.purpose,
            grant=piece.grant,
            outcome=outcome,
            count=count,
        ),
        random=secrets.token_bytes,
    )


def _remember(piece: _Piece, known: KnownRecords) -> None:
    """Add a committed segment's marks to what this process knows, if they are the next."""
    of_grant = known.of_grant(piece.permit.pod_id, piece.grant)
    if of_grant is not None and of_grant.ordinal == piece.ordinal - 1:
        of_grant.add([piece.marks[number] for number in piece.accepted])
        of_grant.ordinal = piece.ordinal
        known.keep(piece.permit.pod_id, piece.grant, of_grant)


def _outcomes(deliveries: Sequence[Delivery], pieces: Sequence[_Piece]) -> list[DeliveryOutcome]:
    records: list[list[RecordOutcome]] = [[] for _ in deliveries]
    refusals: list[Exception | None] = [None] * len(deliveries)
    log_indices: list[int | None] = [None] * len(deliveries)
    sequences: list[int | None] = [None] * len(deliveries)
    for piece in pieces:
        number = piece.delivery
        if piece.refusal is not None:
            refusals[number] = piece.refusal
            records[number] += [RecordOutcome("refused", piece.refusal)] * len(piece.records)
        else:
            records[number] += piece.outcomes
        if piece.log_index is not None:
            log_indices[number] = piece.log_index
        if piece.seq is not None:
            sequences[number] = piece.seq
    return [
        DeliveryOutcome(tuple(records[number]), refusals[number], log_indices[number], sequences[number])
        for number in range(len(deliveries))
    ]


def _tell(at_step: Callable[[Step], None] | None, step: Step) -> None:
    if at_step is not None:
        at_step(step)


# Reading

_DAY_MICROSECONDS = 86_400_000_000
_EPOCH_ORDINAL = datetime(1970, 1, 1, tzinfo=UTC).toordinal()
_READERS = frozenset({"owner", "mandate", "grant", "release"})
_SEGMENTS_AT_ONCE = 200


def read_segments(
    host: Host, open_pod: OpenPod, *, after_seq: int = 0, limit: int = 100, grant: GrantId | None = None
) -> list[Segment]:
    """Segments after a place in the feed, in order, opened; those of erased grants are left out.

    Args:
        host: The host.
        open_pod: Open under the owner's Permit, the twin's mandate, or a grant's (which then sees its own alone).
        after_seq: The feed's number after which to begin. A pack comes whole, where its last delivery is: what the
            agent has not taken in is in none, and whoever reads from the beginning finds each grant's in order.
        limit: At most so many rows.
        grant: Only this grant's.

    Raises:
        PermitExceeded: the Permit does not cover reading activities.
        Tampered: a segment was changed or swapped at rest.
    """
    with host.storage.read() as tx:
        return segments_after(tx, open_pod, after_seq=after_seq, limit=limit, grant=grant)


def segments_after(
    tx: Transaction, open_pod: OpenPod, *, after_seq: int = 0, limit: int = 100, grant: GrantId | None = None
) -> list[Segment]:
    """`read_segments` within a snapshot or transaction of the caller's."""
    grant = _readable_grant(open_pod, grant)
    condition, parameters = ("", ()) if grant is None else (" AND grant_id = ?", (grant,))
    rows = tx.all(
        f"SELECT {_SEGMENT_COLUMNS} FROM segment WHERE pod_id = ? AND seq > ?{condition} ORDER BY seq LIMIT ?",
        (open_pod.pod_id, after_seq, *parameters, limit),
    )
    return [segment for row in rows for segment in _open_segment(open_pod, row)]


def read_activities(
    host: Host,
    open_pod: OpenPod,
    *,
    kind: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    grant: GrantId | None = None,
    shared: bool = False,
) -> Iterator[StoredActivity]:
    """Activities as they stand after corrections, in order of their start.

    Args:
        host: The host.
        open_pod: As for `read_segments`.
        kind: Only this kind's slug.
        start: Only activities that start at or after it.
        end: Only activities that start before it.
        grant: Only this grant's.
        shared: Under a grant's Permit: the kind as the citizen let it be read, whoever delivered it.

    Raises:
        PermitExceeded: the Permit does not cover reading activities.
        Tampered: a segment was changed or swapped at rest.
    """
    if shared:
        _check_shared(open_pod, kind)
    else:
        grant = _readable_grant(open_pod, grant)
    condition = ""
    parameters: list[int | str] = [open_pod.pod_id]
    if grant is not None:
        condition += " AND grant_id = ?"
        parameters.append(grant)
    # A correction may have moved a record out of the asked period: segments with any are always read.
    if start is not None:
        condition += " AND (corrections > 0 OR last_day >= ?)"
        parameters.append(_day(start))
    if end is not None:
        condition += " AND (corrections > 0 OR first_day <= ?)"
        parameters.append(_day(end))
    latest: dict[tuple[GrantId, str], StoredActivity] = {}
    after_seq = 0
    with host.storage.read() as tx:
        while True:
            rows = tx.all(
                f"SELECT {_SEGMENT_COLUMNS} FROM segment WHERE pod_id = ?{condition} AND seq > ? ORDER BY seq LIMIT ?",
                (*parameters, after_seq, _SEGMENTS_AT_ONCE),
            )
            if not rows:
                break
            after_seq = rows[-1][0]
            for segment in (each for row in rows for each in _open_segment(open_pod, row)):
                for record in segment.records:
                    activity = StoredActivity(segment.seq, segment.grant, record.kind, record.raw, record.start)
                    latest[segment.grant, record.id] = activity
    wanted = [
        activity
        for activity in latest.values()
        if (kind is None or activity.kind == kind)
        and (start is None or activity.start >= start)
        and (end is None or activity.start < end)
    ]
    wanted.sort(key=lambda activity: (activity.start, activity.seq))
    yield from wanted


def previous_version(
    tx: Transaction, open_pod: OpenPod, grant: GrantId, record_id: str, before_seq: int
) -> StoredRecord | None:
    """What a record of this id said before the segment `before_seq`: what a correction replaced; None if nothing.

    Raises:
        PermitExceeded: the Permit does not cover reading activities.
    """
    grant_seen = _readable_grant(open_pod, grant)
    rows = tx.all(
        f"SELECT {_SEGMENT_COLUMNS} FROM segment WHERE pod_id = ? AND grant_id = ? AND (seq < ? OR first_ordinal > 0) "
        "ORDER BY seq DESC",
        (open_pod.pod_id, grant_seen, before_seq),
    )
    for segment in (each for row in rows for each in reversed(_open_segment(open_pod, row)) if each.seq < before_seq):
        for record in reversed(segment.records):
            if record.id == record_id:
                return record
    return None


def count_records(tx: Transaction, pod_id: PodId) -> int:
    """How many records a pod has accepted, corrections included."""
    row = tx.one("SELECT COALESCE(SUM(records), 0) FROM segment WHERE pod_id = ?", (pod_id,))
    return 0 if row is None else int(row[0])


def erase_segments(tx: Transaction, pod_id: PodId, grant: GrantId) -> int:
    """Delete every segment of a grant whose keys were destroyed; returns how many records they held."""
    row = tx.one("SELECT COALESCE(SUM(records), 0) FROM segment WHERE pod_id = ? AND grant_id = ?", (pod_id, grant))
    tx.send("DELETE FROM segment WHERE pod_id = ? AND grant_id = ?", (pod_id, grant))
    return 0 if row is None else int(row[0])


_SEGMENT_COLUMNS = "seq, grant_id, epoch, ordinal, first_ordinal, received, sealed"


def list_months(host: Host, open_pod: OpenPod, *, grant: GrantId | None = None) -> dict[GrantId, set[str]]:
    """In which months (`2026-11`, UTC) each grant's records start, without opening what need not be opened.

    A delivery's row says on which day its first record starts and its last one ends. Only where these lie in different
    months, and nothing else has shown the months between to be in use, is a segment opened. A month whose every record
    was corrected into another one is still listed.

    Raises:
        PermitExceeded: the Permit does not cover reading activities.
        Tampered: a segment was changed or swapped at rest.
    """
    grant = _readable_grant(open_pod, grant)
    condition, parameters = ("", ()) if grant is None else (" AND grant_id = ?", (grant,))
    months: dict[GrantId, set[str]] = {}
    open_ended: dict[GrantId, list[tuple[int, int]]] = {}
    with host.storage.read() as tx:
        for of, first, last in tx.all(
            f"SELECT DISTINCT grant_id, first_day, last_day FROM segment WHERE pod_id = ?{condition}",
            (open_pod.pod_id, *parameters),
        ):
            months.setdefault(of, set()).add(_month_of(first))
            if _month_of(first) != _month_of(last):
                open_ended.setdefault(of, []).append((first, last))
        for of, spans in open_ended.items():
            for first, last in spans:
                if {_month_of(day) for day in range(first, last + 1)} <= months[of]:
                    continue
                rows = tx.all(
                    f"SELECT {_SEGMENT_COLUMNS} FROM segment WHERE pod_id = ? AND grant_id = ? AND first_day = ? "
                    "AND last_day = ?",
                    (open_pod.pod_id, of, first, last),
                )
                months[of].update(
                    record.start.astimezone(UTC).strftime("%Y-%m")
                    for row in rows
                    for segment in _open_segment(open_pod, row)
                    for record in segment.records
                )
    return months


def _month_of(day: int) -> str:
    return datetime.fromordinal(day + _EPOCH_ORDINAL).strftime("%Y-%m")


def _readable_grant(open_pod: OpenPod, grant: GrantId | None) -> GrantId | None:
    permit = open_pod.permit
    # A program of the owner's own, who may change the access rules there, reads what the owner reads.
    reads = permit.authority in _READERS or (permit.authority in {"app", "script"} and permit.allows("control"))
    if not reads or not permit.allows("read"):
        raise PermitExceeded
    if permit.authority in {"grant", "release"}:
        if permit.grant is None or grant not in {None, permit.grant}:
            raise PermitExceeded
        return permit.grant
    return grant


def _check_shared(open_pod: OpenPod, kind: str | None) -> None:
    permit = open_pod.permit
    covered = permit.terms is not None and kind is not None and kind in permit.terms.kinds
    if permit.authority != "grant" or not permit.allows("read") or not covered:
        raise PermitExceeded


def _open_segment(open_pod: OpenPod, row: tuple[int, GrantId, int, int, int, int, bytes]) -> list[Segment]:
    """The deliveries that a row holds, in order: one, those of a pack, or none where the grant's key is destroyed."""
    seq, grant, epoch, ordinal, first_ordinal, received, sealed = row
    try:
        opened = open_pod.vault.open(Scope("grant", grant, epoch), segment_place(ordinal, first_ordinal), sealed)
    except KeyErased:
        return []
    body = _decode_body(opened)
    records = [StoredRecord(body.kinds[kind], raw) for kind, raw in zip(body.kind_of, body.raws, strict=True)]
    segments, done = [], 0
    for part in body.parts or [Part(ordinal, seq, received, len(records))]:
        own = tuple(records[done : done + part.records])
        segments.append(Segment(part.seq, grant, epoch, moment(part.received), own))
        done += part.records
    return segments


def _day(at: datetime) -> int:
    return at.astimezone(UTC).toordinal() - _EPOCH_ORDINAL

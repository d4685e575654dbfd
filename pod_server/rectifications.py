"""What a citizen says of an activity: it is not mine, or it is wrong. A rectification, with its own trail (GDPR Art. 16, 18).

From the commit on the activity does not count: the twin makes the sums of its grant anew without it, readers of the pod
do not get it, and the record itself stays as it came, with this beside it.

    open          it does not count. `not-mine`: whatever comes. `wrong`: until the partner delivers it corrected
    corrected     the partner delivered other content under the same id; that counts
    taken-back    the citizen lets it count again

The partner is told where the citizen says so: of the consent, of its own activity's id and of the claim, under the
pairwise name; and then also when the citizen takes it back. It answers by delivering the activity with "correction": true,
or that it is right as it is, and why; that changes nothing but the trail.

Each row is sealed under its grant's key: an erasure takes it along.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from consent.decision import Refused
from consent.reasons import Reason
from pod_server import feed, key_epochs, outbox, partners
from pod_server.activities import previous_version, segments_after
from pod_server.authorization import grant_rows
from pod_server.authorization.errors import refusal_error
from pod_server.clock import microseconds, moment
from pod_server.errors import NoSuchActivity, PermitExceeded, VersionMoved
from pod_server.identifiers import Actor, ClientId, GrantId
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.signatures import pairwise_subject
from pod_server.vault.envelope import Place, Scope
from pod_server.vault.errors import KeyErased

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from consent.grant import Grant
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Row, Transaction

Claim = Literal["not-mine", "wrong"]
RightBecause = Literal["checked", "agreed", "customers-own"]
"""Why a partner leaves a record as it is: looked up at its source, as agreed with the customer, or the customer's own doing."""

OPEN, CORRECTED, TAKEN_BACK = "open", "corrected", "taken-back"
_LAST = 2**62
_RIGHT = "right-"
_COLUMNS = "rectification_id, grant_id, version, epoch, created, sealed"


@dataclass(frozen=True)
class Step:
    """One line of a trail.

    Attributes:
        at: The city's time.
        what: `not-mine`, `wrong`, `told`, `corrected`, `taken-back`, or `right-` and the partner's reason.
    """

    at: datetime
    what: str


@dataclass(frozen=True)
class Rectification:
    """What a citizen said of one activity, and what became of it.

    Attributes:
        rectification_id: Random.
        grant: Under which consent it came.
        record_id: The partner's `@id` of it.
        kind: Its slug.
        claim: `not-mine` or `wrong`.
        state: `open`, `corrected` or `taken-back`.
        content_hash: SHA-256 of the activity as the citizen saw it.
        trail: What happened, in order.
        message_id: What was sent to the partner last; "" where nothing was.
        created: The city's time.
        version: Of the last change.
    """

    rectification_id: str
    grant: GrantId
    record_id: str
    kind: str
    claim: str
    state: str
    content_hash: bytes
    trail: tuple[Step, ...]
    message_id: str
    created: datetime
    version: int

    @property
    def since_claim(self) -> tuple[str, ...]:
        """What happened since the citizen last said what is wrong."""
        steps = [step.what for step in self.trail]
        last = max(number for number, what in enumerate(steps) if what in get_args(Claim))
        return tuple(steps[last + 1 :])

    @property
    def right_because(self) -> str:
        """The reason why its partner says that it is right as it is; "" where it has not said so of this claim."""
        return next((what.removeprefix(_RIGHT) for what in self.since_claim if what.startswith(_RIGHT)), "")


class _Content(msgspec.Struct, frozen=True, array_like=True):
    record_id: str
    kind: str
    claim: str
    state: str
    content_hash: bytes
    trail: list[tuple[int, str]]
    message_id: str


def place(rectification_id: str, version: int) -> Place:
    """Where a row is sealed to."""
    return Place("rectification", rectification_id.encode(), version)


# The citizen's acts


def say(host: Host, open_pod: OpenPod, grant_id: str, record_id: str, claim: Claim, *, tell: bool) -> Rectification:
    """The citizen says that an activity is not theirs, or wrong; from now on it does not count.

    Saying the same again changes nothing; saying the other goes on with the same trail.

    Args:
        host: The host.
        open_pod: Open under the owner's Permit.
        grant_id: The consent under which it came.
        record_id: Its `@id`.
        claim: Which of the two.
        tell: Whether the partner is told.

    Raises:
        PermitExceeded: this is not the owner.
        NoSuchGrant: the pod has no such consent, or it is erased.
        NoSuchActivity: nothing of this id came under it.
    """
    _owner_only(open_pod)
    # Found before the transaction, in which nobody else writes: a year of deliveries takes its time to open.
    with host.storage.read() as tx:
        grant = _grant(host, tx, open_pod, grant_id)
        _, seen = feed.position(tx, open_pod.pod_id)
        stored = previous_version(tx, open_pod, GrantId(grant.id), record_id, _LAST)
    with host.storage.write() as tx:
        at = host.clock.now()
        grant = _grant(host, tx, open_pod, grant_id)
        for segment in segments_after(tx, open_pod, after_seq=seen, grant=GrantId(grant.id)):
            stored = next((each for each in reversed(segment.records) if each.id == record_id), stored)
        if stored is None:
            raise NoSuchActivity
        known = next((each for each in listed(tx, open_pod, grant.id) if each.record_id == record_id), None)
        content_hash = hashlib.sha256(stored.raw).digest()
        if known is not None and (known.state, known.claim, known.content_hash) == (OPEN, claim, content_hash):
            if tell:
                known = _tell(host, tx, open_pod, grant, known, at)
            return known
        said = Rectification(
            f"d-{secrets.token_hex(12)}" if known is None else known.rectification_id,
            GrantId(grant.id),
            record_id,
            stored.kind,
            claim,
            OPEN,
            content_hash,
            (*(() if known is None else known.trail), Step(at, claim)),
            "" if known is None else known.message_id,
            at if known is None else known.created,
            0 if known is None else known.version,
        )
        said = _save(tx, open_pod, said)
        _note(host, tx, open_pod, grant, said, f"dispute-{claim}", at)
        if tell:
            said = _tell(host, tx, open_pod, grant, said, at)
    host.signal.notify({open_pod.pod_id})
    return said


def take_back(host: Host, open_pod: OpenPod, rectification_id: str) -> Rectification:
    """The citizen lets the activity count again; the partner hears it where it was told before.

    Raises:
        PermitExceeded: this is not the owner.
        NoSuchActivity: there is no such rectification.
    """
    _owner_only(open_pod)
    with host.storage.write() as tx:
        at = host.clock.now()
        said = find(tx, open_pod, rectification_id)
        if said.state != OPEN:
            return said
        grant = _grant(host, tx, open_pod, said.grant)
        said = _save(tx, open_pod, _changed(said, TAKEN_BACK, Step(at, TAKEN_BACK)))
        _note(host, tx, open_pod, grant, said, "dispute-taken-back", at)
        if said.message_id:
            _send(host, tx, open_pod, grant, said, "dispute-taken-back", at)
    host.signal.notify({open_pod.pod_id})
    return said


def tell_partner(host: Host, open_pod: OpenPod, rectification_id: str) -> Rectification:
    """The citizen has the partner told of an open rectification that was kept to themselves so far.

    Raises:
        PermitExceeded: this is not the owner.
        NoSuchActivity: there is no such rectification.
    """
    _owner_only(open_pod)
    with host.storage.write() as tx:
        said = find(tx, open_pod, rectification_id)
        if said.state != OPEN:
            return said
        return _tell(host, tx, open_pod, _grant(host, tx, open_pod, said.grant), said, host.clock.now())


def answer_right(host: Host, open_pod: OpenPod, rectification_id: str, because: RightBecause) -> Rectification:
    """The partner answers that the activity is right as it is. The citizen decides: until then it does not count.

    Its first answer to a claim stands; another one changes nothing, nor does one that comes when the matter is closed.

    Args:
        host: The host.
        open_pod: Open under the Permit of the grant under which the activity came.
        rectification_id: As the partner was told.
        because: Why.

    Raises:
        PermitExceeded: this is no partner.
        NoSuchGrant: it was erased meanwhile.
        NoSuchActivity: the partner was told of no such matter under this grant.
    """
    if open_pod.permit.authority != "grant" or open_pod.permit.grant is None:
        raise PermitExceeded
    with host.storage.write() as tx:
        at = host.clock.now()
        grant = _grant(host, tx, open_pod, open_pod.permit.grant)
        rows = tx.all(
            f"SELECT {_COLUMNS} FROM rectification WHERE pod_id = ? AND grant_id = ? AND rectification_id = ?",
            (open_pod.pod_id, grant.id, rectification_id),
        )
        said = _opened(open_pod, rows[0]) if rows else None
        # What the citizen keeps to themselves is nothing that a partner could find out here.
        if said is None or "told" not in said.since_claim:
            raise NoSuchActivity
        if said.state != OPEN or said.right_because:
            return said
        said = _save(tx, open_pod, _changed(said, OPEN, Step(at, f"{_RIGHT}{because}")))
        _log(tx, open_pod, grant, said, "dispute-answered", at)
    return said


def is_reachable(tx: Transaction, grant: Grant) -> bool:
    """Whether a consent's partner has an address for messages."""
    partner = partners.find_partner(tx, grant.terms.client_id)
    return partner is not None and partner.webhook is not None and partner.is_told


# What follows


def counting(tx: Transaction, open_pod: OpenPod) -> Callable[[str, str, bytes], bool]:
    """Whether an activity counts, asked by grant, id and content as it stands.

    For whoever may read the activities anyway; it tells nothing but that.
    """
    said = {(each.grant, each.record_id): each for each in _rows(tx, open_pod) if each.state == OPEN}

    def counts(grant: str, record_id: str, raw: bytes) -> bool:
        each = said.get((GrantId(grant), record_id))
        if each is None:
            return True
        return each.claim != "not-mine" and hashlib.sha256(raw).digest() != each.content_hash

    return counts


def note_corrections(
    tx: Transaction, open_pod: OpenPod, corrected: Iterable[tuple[str, str, bytes]], at: datetime
) -> None:
    """Write down that partners delivered activities corrected: grant, id and new content, in their order.

    In the twin's transaction that takes the deliveries in. A `wrong` one counts again, with the new content.
    """
    latest = {(grant, record_id): raw for grant, record_id, raw in corrected}
    if not latest:
        return
    for said in _rows(tx, open_pod):
        raw = latest.get((said.grant, said.record_id))
        if raw is None or said.state != OPEN or hashlib.sha256(raw).digest() == said.content_hash:
            continue
        state = CORRECTED if said.claim == "wrong" else OPEN
        _save(tx, open_pod, _changed(said, state, Step(at, CORRECTED)))
        detail: dict[str, str | int] = {"rectification": said.rectification_id}
        event = LogEvent(at, Actor("twin"), "dispute-corrected", grant=said.grant, detail=detail)
        ledger.append(tx, open_pod.pod_id, event)


def listed(tx: Transaction, open_pod: OpenPod, grant: str | None = None) -> list[Rectification]:
    """What the citizen said, the newest first.

    Raises:
        PermitExceeded: this is not the owner.
    """
    _owner_only(open_pod)
    found = [each for each in _rows(tx, open_pod) if grant is None or each.grant == grant]
    return sorted(found, key=lambda each: (each.created, each.rectification_id), reverse=True)


def said_in(tx: Transaction, open_pod: OpenPod) -> list[Rectification]:
    """What the citizen said, for whoever reads the whole pod's activities as the citizen may (the Solid door, exports).

    Raises:
        PermitExceeded: this is a partner, a reader under a consent, or the public.
    """
    if not open_pod.permit.reads_as_owner:
        raise PermitExceeded
    return _rows(tx, open_pod)


def find(tx: Transaction, open_pod: OpenPod, rectification_id: str) -> Rectification:
    """One of them.

    Raises:
        PermitExceeded: this is not the owner.
        NoSuchActivity: there is none of this name.
    """
    for each in listed(tx, open_pod):
        if each.rectification_id == rectification_id:
            return each
    raise NoSuchActivity


def _rows(tx: Transaction, open_pod: OpenPod) -> list[Rectification]:
    rows = tx.all(f"SELECT {_COLUMNS} FROM rectification WHERE pod_id = ?", (open_pod.pod_id,))
    return [each for row in rows if (each := _opened(open_pod, row)) is not None]


def _opened(open_pod: OpenPod, row: Row) -> Rectification | None:
    rectification_id, grant, version, epoch, created, sealed = row
    try:
        plain = open_pod.vault.open(Scope("grant", grant, epoch), place(rectification_id, version), sealed)
    except KeyErased:
        return None  # an erasure is under way
    content = msgspec.msgpack.decode(plain, type=_Content)
    return Rectification(
        rectification_id,
        GrantId(grant),
        content.record_id,
        content.kind,
        content.claim,
        content.state,
        content.content_hash,
        tuple(Step(moment(at), what) for at, what in content.trail),
        content.message_id,
        moment(created),
        version,
    )


def _save(tx: Transaction, open_pod: OpenPod, said: Rectification) -> Rectification:
    """Write the next version.

    Raises:
        VersionMoved: somebody else changed it meanwhile.
    """
    scope = key_epochs.grant_scope(tx, open_pod.pod_id, said.grant)
    version = said.version + 1
    content = _Content(
        said.record_id,
        said.kind,
        said.claim,
        said.state,
        said.content_hash,
        [(microseconds(step.at), step.what) for step in said.trail],
        said.message_id,
    )
    sealed = open_pod.vault.seal(
        scope, place(said.rectification_id, version), msgspec.msgpack.encode(content), compress=True
    )
    if said.version == 0:
        tx.send(
            "INSERT INTO rectification (pod_id, rectification_id, grant_id, version, epoch, created, sealed) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                open_pod.pod_id,
                said.rectification_id,
                said.grant,
                version,
                scope.epoch,
                microseconds(said.created),
                sealed,
            ),
        )
    elif not tx.execute(
        "UPDATE rectification SET version = ?, epoch = ?, sealed = ? "
        "WHERE pod_id = ? AND rectification_id = ? AND version = ?",
        (version, scope.epoch, sealed, open_pod.pod_id, said.rectification_id, said.version),
    ):
        raise VersionMoved
    return _with(said, version=version)


def _changed(said: Rectification, state: str, step: Step) -> Rectification:
    return _with(said, state=state, trail=(*said.trail, step))


def _with(said: Rectification, **changes: object) -> Rectification:
    return replace(said, **changes)  # type: ignore[arg-type]


def _note(  # noqa: PLR0917 - called in two places
    host: Host, tx: Transaction, open_pod: OpenPod, grant: Grant, said: Rectification, action: str, at: datetime
) -> None:
    """The twin's work and the log's leaf; the log outlives an erasure, so it names no activity."""
    feed.tell_change(tx, open_pod.pod_id, "rectification", said.grant, at=host.clock.protocol_now())
    _log(tx, open_pod, grant, said, action, at)


def _log(  # noqa: PLR0917 - called in two places
    tx: Transaction, open_pod: OpenPod, grant: Grant, said: Rectification, action: str, at: datetime
) -> None:
    event = LogEvent(
        at,
        open_pod.permit.actor,
        action,
        purpose=grant.terms.purpose,
        grant=said.grant,
        count=1,
        detail={"rectification": said.rectification_id},
    )
    ledger.append(tx, open_pod.pod_id, event)


def _tell(  # noqa: PLR0917 - called in three places
    host: Host, tx: Transaction, open_pod: OpenPod, grant: Grant, said: Rectification, at: datetime
) -> Rectification:
    """Put the message down, once for each claim; nothing where the partner has no address."""
    if said.trail[-1].what == "told" or said.right_because or not is_reachable(tx, grant):
        return said
    message_id = _send(host, tx, open_pod, grant, said, "activity-disputed", at)
    told = _save(tx, open_pod, _with(_changed(said, said.state, Step(at, "told")), message_id=message_id))
    _log(tx, open_pod, grant, told, "dispute-told", at)
    return told


def _send(  # noqa: PLR0917 - called in two places
    host: Host, tx: Transaction, open_pod: OpenPod, grant: Grant, said: Rectification, kind: str, at: datetime
) -> str:
    if not is_reachable(tx, grant):
        return ""
    client_id = ClientId(grant.terms.client_id)
    return outbox.enqueue(
        host,
        tx,
        pod_id=open_pod.pod_id,
        client_id=client_id,
        kind=kind,
        body={
            "grant": grant.id,
            "subject": pairwise_subject(host.host_key, client_id, open_pod.pod_id),
            "at": at.isoformat(),
            "activity": said.record_id,
            "claim": said.claim,
            "rectification": said.rectification_id,
        },
        idempotency_key=f"{said.rectification_id} {said.version} {kind}",
    )


def _grant(host: Host, tx: Transaction, open_pod: OpenPod, grant_id: str) -> Grant:
    grant = grant_rows.grant_in_pod(tx, host.host_key, open_pod.pod_id, grant_id)
    if grant is None or grant.state == "erased":
        raise refusal_error(Refused((Reason.NO_SUCH_GRANT,)))
    return grant


def _owner_only(open_pod: OpenPod) -> None:
    if open_pod.permit.authority != "owner":
        raise PermitExceeded

"""The story of an activity, from a partner's payload to the pod; twin_agent/pipeline.py tells how it goes on.

    1. a partner's payload arrives by one of the channels (channels/);
    2. its connector normalises it: units, time zones, deterministic ids (connectors/);
    3. it is compact JSON-LD of a known kind, decoded and validated in one step;
    4. its own grant decides: kind, window, granularity, state;
    5. it is sealed under that grant's key, with its batch, as a segment;
    6. one transaction: grant state and quota read again, segment, idempotency marks, log leaf, feed entry; then the
       receipt (receipts.py);
    7. the agent takes the pod's feed;
    8. the citizen's page moves.

Steps 1 and 2 hand items to `deliver`, which carries out 3 to 6; 7 and 8 follow by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

import partner_bridge.errors  # noqa: F401 - declares what a refused item's problem is
from pod_server.activities import Delivery, Record, append
from pod_server.authorization.enforcement import find_grants, record_refusal, record_use, require_grant
from pod_server.authorization.errors import GrantRefused, NoSuchGrant, refusal_error
from pod_server.identifiers import Actor, GrantId
from pod_server.problems import problem_details
from vocab.errors import NotAnActivity
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from consent.decision import Refused
    from consent.grant import Grant
    from pod_server.activities import RecordOutcome
    from pod_server.authorization.enforcement import Client
    from pod_server.authorization.permit import Permit
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction
    from vocab.kinds import Activity

Settle = Callable[["Transaction", "Sequence[RecordOutcome]"], None]

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
PENDING = "pending"
REFUSED = "refused"
CONFLICT = "conflict"


class Item(msgspec.Struct, frozen=True):
    """One activity on its way in, or what became of it before it was one.

    Attributes:
        grant: The grant under which it is delivered, as the partner named it.
        activity: Compact JSON-LD; empty where it is decoded already.
        may_replace: The connector knows that a later version of this record stands for the earlier one (an estimated
            reading that was measured since): on a conflict it is delivered again as a declared correction.
        payload: The position of the payload it came from; None where activities were delivered as such.
        error: Why there is no activity, or None.
        decoded: The activity as its own decoder read it, where the channel read item and activity in one; perhaps with
            its context yet.
    """

    grant: str
    activity: bytes = b""
    may_replace: bool = False
    payload: int | None = None
    error: Exception | None = None
    decoded: Any = None


class ItemAnswer(msgspec.Struct, frozen=True):
    """What became of one item.

    Attributes:
        status: `accepted`, `duplicate`, `pending` or `refused`.
        id: The activity's own id; empty where none could be read.
        error: Why it was refused, an exception declared as a problem.
        payload: As in the item.
        log_index: The leaf in the citizen's log that tells of it.
    """

    status: str
    id: str = ""
    error: Exception | None = None
    payload: int | None = None
    log_index: int | None = None

    def to_json(self, base_url: str) -> dict[str, Any]:
        """The item of the answer, as DESIGN.md section 11 has it."""
        answer: dict[str, Any] = {"status": self.status, "id": self.id}
        if self.payload is not None:
            answer["payload"] = self.payload
        if self.error is not None:
            answer["problem"] = problem_details(self.error, base_url)
        return answer


@dataclass
class _Batch:
    """The records of one grant in one delivery, and where they stood in it."""

    permit: Permit
    positions: list[int] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class _Identified(msgspec.Struct, gc=False):
    """The one member that is read from an activity that is none, so that its sender recognises it."""

    id: str = msgspec.field(name="@id", default="")


_IDENTIFIED = msgspec.json.Decoder(_Identified)


def deliver(
    host: Host,
    partner: Client,
    items: Sequence[Item],
    *,
    only_grant: GrantId | None = None,
    actor: Actor | None = None,
    settle: Settle | None = None,
) -> list[ItemAnswer]:
    """Carry out steps 3 to 6 for every item of one delivery.

    Args:
        host: This host.
        partner: Who delivers, already authenticated.
        items: In the partner's order; of any number of grants.
        only_grant: The grant that the partner's token is bound to; a bulk token is bound to none.
        actor: Who does it, for the log, where it is not the partner.
        settle: For deliveries under one grant: called inside the transaction that writes the last of it, with what
            became of each record; not where the grant is refused. How far a source was read stands or falls with what was
            read there.

    Returns:
        One answer an item, in the same order.

    Raises:
        StorageFull: nothing more can be written; what was not answered may be delivered again without harm.
    """
    kinds = load_kinds()
    by_slug, encode = kinds.by_slug, kinds.encode
    at = host.clock.now()
    answers: list[ItemAnswer] = [ItemAnswer(REFUSED)] * len(items)
    batches: dict[str, _Batch] = {}
    closed: dict[str, GrantRefused] = {}
    counts = _count_by_grant(items)
    # Asked for together; only those that the token is good for.
    found = find_grants(host, counts if only_grant is None else counts.keys() & {only_grant})

    for position, item in enumerate(items):
        if item.error is not None:
            answers[position] = ItemAnswer(REFUSED, error=item.error, payload=item.payload)
            continue

        # 3. decoded and validated in one step
        try:
            activity = item.decoded
            if activity is None:
                activity = kinds.decode(item.activity, host.base_url)
            elif activity.context is not None:
                activity = kinds.in_our_context(activity, host.base_url)
            kind = activity.kind
            start, end = by_slug[kind].require_plausible(activity, at)
        except NotAnActivity as error:
            named = _id_of(item.activity) if item.decoded is None else item.decoded.id[:200]
            answers[position] = ItemAnswer(REFUSED, named, error, item.payload)
            continue

        # 4. its own grant decides
        batch = batches.get(item.grant)
        if batch is None:
            if item.grant not in closed:
                try:
                    batch = batches[item.grant] = _Batch(
                        _permit(host, partner, item.grant, only_grant, counts[item.grant], found)
                    )
                except GrantRefused as error:
                    closed[item.grant] = error
            if batch is None:
                answers[position] = ItemAnswer(REFUSED, activity.id, closed[item.grant], item.payload)
                continue
        refused = batch.permit.refusal_for(kind, start, end, at) or _barred(partner, kind)
        if refused is not None:
            batch.refused.append(refused)
            answers[position] = ItemAnswer(REFUSED, activity.id, refusal_error(refused), item.payload)
            continue
        batch.positions.append(position)
        batch.records.append(Record(activity.id, encode(activity), kind, start, end, activity.correction))

    # 5. and 6. sealed, and written in one transaction that reads each grant's state again
    actor = actor or Actor("partner", partner.client_id, partner.name, str(getattr(partner, "through", "")))
    _log_refusals(host, batches.values(), actor)
    full = [batch for batch in batches.values() if batch.records]
    # A record that may replace another is perhaps delivered once more, as a correction: then nothing is settled before.
    later = any(item.may_replace for item in items)
    conflicts = _append(host, full, actor, items, answers, None if later else settle)
    corrections = [batch for batch in conflicts if batch.records]
    if corrections:
        _append(host, corrections, actor, items, answers, settle)
    elif settle is not None and (later or not full) and not closed:
        with host.storage.write() as tx:
            settle(tx, ())
    return answers


def decode(raw: bytes, base_url: str, at: datetime) -> Activity:
    """Step 3: one activity out of its bytes.

    Args:
        raw: Compact JSON-LD.
        base_url: This host's, for its own contexts.
        at: When it was delivered, against which its time must be plausible.

    Raises:
        NotAnActivity: it is none; the error says where and how to mend it.
    """
    kinds = load_kinds()
    activity = kinds.decode(raw, base_url)
    kinds.by_slug[activity.kind].require_plausible(activity, at)
    return activity


def _barred(partner: Client, kind: str) -> Refused | None:
    """The municipality's limit on kinds, which holds whatever a citizen agreed to before it was set."""
    kinds: frozenset[str] | None = getattr(partner, "kinds", None)
    if kinds is None or kind in kinds:
        return None
    from consent.decision import Refused  # noqa: PLC0415 - rare
    from consent.reasons import Reason  # noqa: PLC0415

    return Refused((Reason.KIND_BARRED,))


def _permit(  # noqa: PLR0917 - called in one place
    host: Host, partner: Client, grant: str, only_grant: GrantId | None, count: int, found: Mapping[str, Grant]
) -> Permit:
    if only_grant is not None and grant != only_grant:
        # The token is good for one grant; whether the partner holds the other too is for another token to show.
        raise _no_such_grant()
    return require_grant(host, partner, grant, (), "append", host.clock.now(), count=count, found=found)


def _no_such_grant() -> GrantRefused:
    from consent.decision import Refused  # noqa: PLC0415 - rare
    from consent.reasons import Reason  # noqa: PLC0415

    return NoSuchGrant(Refused((Reason.NO_SUCH_GRANT,)))


def _append(  # noqa: PLR0917 - called in one place
    host: Host,
    batches: Sequence[_Batch],
    actor: Actor,
    items: Sequence[Item],
    answers: list[ItemAnswer],
    settle: Settle | None,
) -> list[_Batch]:
    """Append the batches, write down the answers, and return what may be delivered again as corrections."""
    kinds = load_kinds()
    again: list[_Batch] = []
    outcomes = append(host, [Delivery(batch.permit, batch.records, settle=settle) for batch in batches], actor=actor)
    for batch, outcome in zip(batches, outcomes, strict=True):
        retry = _Batch(batch.permit)
        for position, record, result in zip(batch.positions, batch.records, outcome.records, strict=True):
            item = items[position]
            if result.status == CONFLICT and item.may_replace and not record.correction:
                corrected = {**msgspec.json.decode(record.raw), "correction": True}
                raw = kinds.encode(kinds.decode(msgspec.json.encode(corrected)))
                retry.positions.append(position)
                retry.records.append(msgspec.structs.replace(record, raw=raw, correction=True))
            answers[position] = ItemAnswer(
                REFUSED if result.status == CONFLICT else result.status,
                record.id,
                result.error,
                item.payload,
                outcome.log_index,
            )
        again.append(retry)
    return again


def _log_refusals(host: Host, batches: Iterable[_Batch], actor: Actor) -> None:
    """Records that their grant's terms refuse: one leaf a grant in the citizen's log, before the partner is told."""
    refusing = [batch for batch in batches if batch.refused]
    if not refusing:
        return
    at = host.clock.now()
    with host.storage.write() as tx:
        for batch in refusing:
            permit = batch.permit
            assert permit.grant is not None
            record_use(tx, permit, at, accepted=0, refused=len(batch.refused))
            record_refusal(
                tx,
                pod_id=permit.pod_id,
                actor=actor,
                action="deliver",
                refused=batch.refused[0],
                grant=permit.grant,
                purpose=permit.purpose,
                count=len(batch.refused),
                at=at,
            )


def _count_by_grant(items: Sequence[Item]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in items:
        counts[item.grant] = counts.get(item.grant, 0) + 1
    return counts


def _id_of(activity: bytes) -> str:
    try:
        return _IDENTIFIED.decode(activity).id[:200]
    except (msgspec.DecodeError, RecursionError):
        return ""

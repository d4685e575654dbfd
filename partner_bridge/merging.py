"""Merging what waited for a locked pod: in the order in which it came, each delivery once.

Deliveries that this host sealed were checked when they came (pod_server/merging.py puts them in their places). What a
partner sealed itself is opened and checked here, by the rules of the moment at which it was acknowledged: shape, kind,
window, granularity, plausibility. What is refused is told to the partner: in a signed receipt, and in a message if it
has an address for them.

Every delivery is first held against the log's entry of its arrival. HPKE's base mode lets anybody seal to an inbox who
knows its public key; the entry was sealed and committed to when the delivery was acknowledged, so that a row slipped in
later is set aside, and not merged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import msgspec

from consent.decision import Refused
from consent.reasons import Reason
from partner_bridge.delivery import decode
from partner_bridge.receipts import issue_merge_receipt
from pod_server import inboxes, merging, outbox
from pod_server.activities import Delivery, Record, append
from pod_server.authorization import grant_rows
from pod_server.authorization.enforcement import require_acknowledged
from pod_server.authorization.errors import GrantRefused, QuotaExceeded, refusal_error
from pod_server.clock import moment
from pod_server.log import ledger
from pod_server.merging import Merged
from pod_server.partners import find_partner
from pod_server.problems import problem_details
from pod_server.vault.envelope import Scope
from pod_server.vault.errors import KeyErased, Tampered
from vocab.errors import NotAnActivity
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pod_server.activities import RecordOutcome
    from pod_server.authorization.permit import Permit
    from pod_server.host import Host
    from pod_server.identifiers import ClientId, PodId
    from pod_server.inboxes import Waiting
    from pod_server.merging import Step
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault


class _AlreadyMerged(Exception):
    """Another session was first: this transaction must not happen."""


@dataclass(frozen=True)
class _Checked:
    """A partner-sealed delivery, opened: the records to take in, and what was refused by its position."""

    records: list[Record]
    positions: list[int]
    refused: dict[int, Exception]
    lines: int


def merge_waiting(
    host: Host,
    vault: Vault,
    *,
    at_step: Callable[[Step], None] | None = None,
    rest: Callable[[], None] = lambda: None,
) -> Merged:
    """Merge everything that waits for a pod; returns what was done. Calling it again, or twice at once, is safe.

    Args:
        host: The host.
        vault: The pod's, open.
        at_step: Called at each step of each transaction; for tests of crashes.
        rest: Called between transactions, to leave the machine to others.

    Raises:
        PodLocked: the vault's root key is not the pod's any more.
        StorageFull, StorageBusy: what is not merged yet waits on.
    """
    merged = Merged()
    while True:
        with host.storage.read() as tx:
            waiting = inboxes.waiting(tx, vault.pod_id, limit=merging.AT_ONCE)
            genuine = [_is_logged(tx, vault, each) for each in waiting]
        if not waiting:
            return merged
        if not genuine[0]:
            done = _set_aside(host, vault.pod_id, waiting[0])
        elif waiting[0].form == "partner":
            done = _merge_sealed(host, vault, waiting[0])
        else:
            run = takewhile(lambda one: one[0].form == "host" and one[1], zip(waiting, genuine, strict=True))
            done = merging.merge_run(host, vault, [each for each, _ in run], at_step=at_step)
        if not any(done) and _still_first(host, vault.pod_id, waiting[0]):
            return merged  # what is left belongs to an erasure that is under way
        merged = merged.plus(done)
        rest()


def _is_logged(tx: Transaction, vault: Vault, waiting: Waiting) -> bool:
    """Whether the log's entry of its arrival tells of exactly these bytes."""
    entry = ledger.event_at(tx, vault, vault.pod_id, waiting.log_index)
    if entry is None or entry.grant != waiting.grant or entry.outcome != "pending":
        return False
    number = entry.detail.get("ordinal" if waiting.form == "host" else "sequence")
    return number == waiting.number and entry.detail.get("sha256") == hashlib.sha256(waiting.sealed).hexdigest()


def _still_first(host: Host, pod_id: PodId, waiting: Waiting) -> bool:
    with host.storage.read() as tx:
        return inboxes.waiting(tx, pod_id, limit=1) == [waiting]


def _set_aside(host: Host, pod_id: PodId, closed: Waiting) -> Merged:
    with host.storage.write() as tx:
        return Merged(unreadable=int(merging.set_aside(host, tx, pod_id, closed)))


def _merge_sealed(host: Host, vault: Vault, waiting: Waiting) -> Merged:
    received = moment(waiting.received)
    try:
        permit = require_acknowledged(host, vault, waiting.grant, received)
    except GrantRefused:
        return Merged()  # erased: its rows go with it
    try:
        inbox = vault.inbox(Scope("grant", waiting.grant, waiting.epoch))
        context = inboxes.context("partner", waiting.grant, waiting.epoch, waiting.number)
        opened = inbox.open(waiting.sealed, context)
    except KeyErased:
        return Merged()
    except Tampered:
        return _say_unreadable(host, permit, waiting)
    checked = _check(host, permit, opened.split(b"\n"), waiting)

    def settle(tx: Transaction, outcomes: Sequence[RecordOutcome]) -> None:
        _settle(host, tx, permit, waiting, checked, outcomes)

    try:
        if checked.records:
            (outcome,) = append(host, [Delivery(permit, checked.records, vault, settle)])
            if outcome.refusal is not None:
                return Merged()
            return Merged(1, outcome.count("accepted"))
        with host.storage.write() as tx:
            settle(tx, ())
    except _AlreadyMerged:
        return Merged()
    return Merged(1, 0)


def _check(host: Host, permit: Permit, lines: Sequence[bytes], waiting: Waiting) -> _Checked:
    """Steps 3 and 4 of a delivery (delivery.py), as of the moment at which it was acknowledged."""
    assert permit.accepted_at is not None
    at, kinds = permit.accepted_at, load_kinds()
    assert permit.terms is not None
    with host.storage.read() as tx:
        partner = find_partner(tx, permit.terms.client_id)
    # Which kinds a sealed delivery holds shows only now; what the municipality lets the partner handle is what it lets now.
    let_on = None if partner is None else partner.limits.kinds
    checked = _Checked([], [], {}, len(lines))
    for position, line in enumerate(lines):
        if position >= waiting.records:
            # More than the partner signed for: the day's quota was held against that number.
            checked.refused[position] = QuotaExceeded(Refused((Reason.QUOTA_EXCEEDED,)))
            continue
        try:
            activity = decode(line, host.base_url, at)
        except NotAnActivity as error:
            checked.refused[position] = error
            continue
        if let_on is not None and activity.kind not in let_on:
            checked.refused[position] = refusal_error(Refused((Reason.KIND_BARRED,)))
            continue
        refused = permit.refusal_for(activity.kind, activity.start, activity.end, at)
        if refused is not None:
            checked.refused[position] = refusal_error(refused)
            continue
        checked.positions.append(position)
        checked.records.append(
            Record(
                activity.id,
                kinds.encode(activity),
                activity.kind,
                activity.start,
                activity.end,
                activity.correction,
            )
        )
    return checked


def _settle(  # noqa: PLR0917 - called in one place
    host: Host,
    tx: Transaction,
    permit: Permit,
    waiting: Waiting,
    checked: _Checked,
    outcomes: Sequence[RecordOutcome],
) -> None:
    """In the transaction of the records: out of the inbox, the counts, the receipt and the message."""
    if not inboxes.take(tx, permit.pod_id, waiting):
        raise _AlreadyMerged
    refused = dict(checked.refused)
    statuses = [outcome.status for outcome in outcomes]
    for position, outcome in zip(checked.positions, outcomes, strict=True):
        if outcome.error is not None:
            refused[position] = outcome.error
    accepted, duplicates = statuses.count("accepted"), statuses.count("duplicate")
    _remember(tx, permit, waiting, "merged", accepted, duplicates, len(refused))
    items = [
        {"item": position, "problem": problem_details(error, host.base_url)}
        for position, error in sorted(refused.items())
    ]
    became = {"accepted": accepted, "duplicate": duplicates, "refused": len(refused), "refusedItems": items}
    _tell(host, tx, permit, waiting, msgspec.to_builtins(became))


def _say_unreadable(host: Host, permit: Permit, waiting: Waiting) -> Merged:
    """It opens with no key of the pod's: nothing is lost by letting go of it, and the partner is told."""
    with host.storage.write() as tx:
        if not inboxes.take(tx, permit.pod_id, waiting):
            return Merged()
        merging.log_unreadable(host, tx, permit.pod_id, waiting)
        _remember(tx, permit, waiting, "unreadable", 0, 0, waiting.records)
        problem = msgspec.to_builtins(problem_details(Tampered(), host.base_url))
        _tell(host, tx, permit, waiting, {"refused": waiting.records, "problem": problem})
    return Merged(unreadable=1)


def _remember(  # noqa: PLR0917 - the row's columns in their order
    tx: Transaction, permit: Permit, waiting: Waiting, state: str, accepted: int, duplicates: int, refused: int
) -> None:
    tx.execute(
        "UPDATE sealed_delivery SET state = ?, accepted = ?, duplicates = ?, refused = ? "
        "WHERE pod_id = ? AND grant_id = ? AND sequence = ?",
        (state, accepted, duplicates, refused, permit.pod_id, waiting.grant, waiting.number),
    )
    # All of them were counted as accepted when they came.
    grant_rows.add_use(
        tx,
        permit.pod_id,
        waiting.grant,
        moment(waiting.received),
        accepted=accepted - waiting.records,
        duplicates=duplicates,
        refused=refused,
    )


def _tell(host: Host, tx: Transaction, permit: Permit, waiting: Waiting, became: dict[str, Any]) -> None:
    """What became of the delivery, in a receipt and, where the partner has an address for messages, in one."""
    client_id: ClientId = permit.actor.id  # type: ignore[assignment]
    body: dict[str, Any] = {
        "grant": waiting.grant,
        "sequence": waiting.number,
        "sha256": hashlib.sha256(waiting.sealed).hexdigest(),
        **became,
    }
    receipt_id = issue_merge_receipt(host, tx, client_id, body)
    partner = find_partner(tx, client_id)
    if partner is None or partner.webhook is None or not partner.is_told:
        return
    outbox.enqueue(
        host,
        tx,
        pod_id=permit.pod_id,
        client_id=partner.client_id,
        kind="delivery-merged",
        body=body | {"receipt": f"{host.base_url}/bridge/receipts/{receipt_id}"},
        idempotency_key=f"{waiting.grant} sealed {waiting.number}",
    )

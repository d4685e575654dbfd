"""A citizen's consents: giving, pausing, renewing, withdrawing and erasing them, and seeing how they are used.

Each act is one transaction: the event, the enforcement row, the log leaf and the message to the partner stand or fall
together. A withdrawal is an urgent writer and needs no key, so it works on a locked pod; its commit is the point after
which no write under the grant succeeds, in any process.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from consent.decision import Refused
from consent.delegation import Act
from consent.errors import TermsInvalid
from consent.grant import Grant, GrantState, GrantTerms, narrowed
from consent.ledger import EventKind, GrantEvent, Standing, fold, follow
from consent.new_terms import require_new_terms
from consent.reasons import Reason
from pod_server import (
    calculations,
    consent_receipts,
    delegation,
    feed,
    figures,
    inboxes,
    key_epochs,
    outbox,
    partners,
    proposals,
    sandbox,
)
from pod_server.authorization import grant_rows
from pod_server.authorization.errors import refusal_error
from pod_server.clock import microseconds
from pod_server.identifiers import Actor, ClientId, GrantId, PodId, Subject
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.parties import find_party
from pod_server.signatures import pairwise_subject
from pod_server.storage.conflicts import again_after_conflict
from pod_server.vault.epoch_keys import COPIES_DIE_AFTER
from pod_server.vault.vault import Vault, unlock_with_custodian

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

REPROMPT_AFTER = timedelta(days=30)
"""A partner that was refused may not ask for the same purpose again before this (the demo's clock counts too)."""


@dataclass(frozen=True)
class GrantView:
    """One consent as its citizen sees it.

    Attributes:
        grant: The consent as it stands; ask `grant.state_at(now)`.
        partner_name: What people call the partner.
        subject: The name by which this partner alone knows the citizen.
        accepted: Records delivered since the beginning.
        duplicates: Records that were there already.
        refused: Records refused.
        last_delivery: When the latest delivery came, or None.
        daily: The last 30 days on which something came.
        events: What happened to the consent, in order.
        reads_lately: How often it was read in the last 30 days.
        reads: How often it was read, ever.
        last_read: When it was read last, or None.
    """

    grant: Grant
    partner_name: str
    subject: Subject
    accepted: int
    duplicates: int
    refused: int
    last_delivery: datetime | None
    daily: tuple[grant_rows.Use, ...]
    events: tuple[GrantEvent, ...]
    reads_lately: int = 0
    reads: int = 0
    last_read: datetime | None = None


@dataclass(frozen=True)
class Erased:
    """The receipt of an erasure.

    Attributes:
        grant: The consent, now erased.
        keys_destroyed: How many keys were destroyed.
        rows_deleted: How many sealed rows were deleted.
        at: When, city's time.
        copies_die_by: When the last copy of the key store from before opens nothing any more, real time.
    """

    grant: Grant
    keys_destroyed: int
    rows_deleted: int
    at: datetime
    copies_die_by: datetime


def new_grant_id() -> GrantId:
    """`g-` and 26 lower-case base32 characters: 130 random bits."""
    return GrantId("g-" + base64.b32encode(secrets.token_bytes(17)).decode().lower()[:26])


def subject_of(host: Host, grant: Grant) -> Subject:
    """The name by which the grant's partner, and no other, knows the citizen."""
    return pairwise_subject(host.host_key, ClientId(grant.terms.client_id), PodId(grant.pod_id))


def location_of(host: Host) -> str:
    """Where partners deliver; it tells nothing of any citizen's address."""
    return f"{host.base_url}/bridge/activities"


def give(
    host: Host,
    pod_id: PodId,
    terms: GrantTerms,
    *,
    actor: Actor,
    vault: Vault | None = None,
    grant_id: GrantId | None = None,
) -> Grant:
    """Write down that the citizen gave a consent.

    Args:
        host: This host.
        pod_id: Whose.
        terms: What was agreed, already narrowed by the citizen.
        actor: `citizen`, or `operator-assisted`.
        vault: The opened vault; None opens it by the custodian slot.
        grant_id: Where the id was chosen before (an interaction); a new one otherwise.

    Raises:
        PodLocked: no vault was given and the citizen has locked the pod.
        NoSuchPartner: the terms name nobody who may hold a consent.
        NotAdmitted: the partner may not hold this citizen's (sandbox.py).
    """
    return give_all(host, pod_id, [terms], actor=actor, vault=vault, grant_ids=[grant_id or new_grant_id()])[0]


def give_all(
    host: Host,
    pod_id: PodId,
    all_terms: Sequence[GrantTerms],
    *,
    actor: Actor,
    vault: Vault | None = None,
    grant_ids: Sequence[GrantId] | None = None,
) -> list[Grant]:
    """Several consents in one transaction; otherwise as `give`."""
    vault = vault or unlock_with_custodian(host.host_key, host.key_store, pod_id)
    ids = list(grant_ids) if grant_ids is not None else [new_grant_id() for _ in all_terms]
    for grant_id in ids:
        # Keys first: a key without a grant is harmless, a grant without its key could take nothing in.
        vault.create_grant(grant_id)
    locked = "custodian" not in host.key_store.slot_kinds(pod_id)
    given = []
    with host.storage.write() as tx:
        now = host.clock.now()
        for grant_id, terms in zip(ids, all_terms, strict=True):
            require_new_terms(terms, now)
            delegation.require(host, tx, pod_id, actor, Act.GIVE, purpose=terms.purpose)
            partner = _active_partner(host, tx, terms.client_id, pod_id)
            event = GrantEvent(EventKind.GIVEN, now, terms.expires_at, _said_by(actor))
            standing = follow(Standing(), event)
            grant = Grant(grant_id, pod_id, terms, GrantState.ACTIVE, standing.version, 1, now, now)
            grant_rows.insert_grant(tx, host.host_key, grant)
            grant_rows.add_event(tx, pod_id, grant_id, standing.version, event)
            if locked:
                inboxes.keep_inbox(tx, vault, grant_id, 1)
            _tell(host, tx, grant, [event], actor=actor, partner=partner)
            given.append(grant)
        consent_receipts.file_waiting(host, tx, pod_id, vault)
    return given


def refuse(host: Host, pod_id: PodId, terms: GrantTerms, *, actor: Actor) -> Grant:
    """Write down that the citizen said no; the partner learns nothing but that, and may not ask again at once."""
    with host.storage.write() as tx:
        now = host.clock.now()
        delegation.require(host, tx, pod_id, actor, Act.REFUSE, purpose=terms.purpose)
        partner = _active_partner(host, tx, terms.client_id, pod_id)
        event = GrantEvent(EventKind.REFUSED, now, by=_said_by(actor))
        grant = Grant(new_grant_id(), pod_id, terms, GrantState.REFUSED, 1, 1, now, now)
        grant_rows.insert_grant(tx, host.host_key, grant)
        grant_rows.add_event(tx, pod_id, GrantId(grant.id), 1, event)
        consent_receipts.write(host, tx, grant, [event], partner)
        _log(tx, grant, event, actor, partner)
    consent_receipts.file_if_open(host, pod_id)
    return grant


def refused_lately(host: Host, pod_id: PodId, client_id: str, purpose: str) -> bool:
    """Whether the citizen said no to this partner and purpose so lately that asking again would be pressing them."""
    since = host.clock.now() - REPROMPT_AFTER
    with host.storage.read() as tx:
        held = grant_rows.grants_in_pod(tx, host.host_key, pod_id, client_id=client_id)
    return any(
        grant.state is GrantState.REFUSED and grant.terms.purpose == purpose and grant.given_at > since
        for grant in held
    )


def withdraw(host: Host, pod_id: PodId, grant_id: str, *, actor: Actor) -> Grant:
    """Take a consent back; one step, no key, before any bulk writer (GDPR Art. 7(3)). Doing it twice changes nothing.

    Raises:
        NoSuchGrant: the pod has no such grant.
    """
    return _change(host, pod_id, grant_id, EventKind.WITHDRAWN, actor=actor, urgent=True, unless=GrantState.WITHDRAWN)


def pause(host: Host, pod_id: PodId, grant_id: str, *, actor: Actor) -> Grant:
    """Refuse deliveries for the time being.

    Raises:
        NoSuchGrant: the pod has no such grant.
        EventOutOfOrder: the grant is neither active nor paused.
    """
    return _change(host, pod_id, grant_id, EventKind.PAUSED, actor=actor, urgent=True, unless=GrantState.PAUSED)


def withdraw_all_of(host: Host, tx: Transaction, pod_id: PodId, client_id: str, *, actor: Actor) -> list[Grant]:
    """In the caller's transaction: withdraw every consent that one party holds in a pod and that has not ended."""
    held = grant_rows.grants_in_pod(tx, host.host_key, pod_id, client_id=client_id)
    return [
        _change_within(host, tx, pod_id, grant.id, EventKind.WITHDRAWN, actor=actor)[0]
        for grant in held
        if grant.state_at(host.clock.now()) in {GrantState.ACTIVE, GrantState.PAUSED}
    ]


def settle_arrival(
    host: Host, tx: Transaction, pod_id: PodId, grant_id: str, *, partner_is_known: bool, actor: Actor
) -> None:
    """In the transaction that brings a pod here: a consent that stood waits for its citizen, or ends with its partner.

    Raises:
        NoSuchGrant: the pod has no such grant.
    """
    kind = EventKind.PAUSED if partner_is_known else EventKind.WITHDRAWN
    _change_within(host, tx, pod_id, grant_id, kind, actor=actor, unless=GrantState(kind.value))


def resume(host: Host, pod_id: PodId, grant_id: str, *, actor: Actor) -> Grant:
    """Let deliveries in again.

    Raises:
        NoSuchGrant: the pod has no such grant.
        EventOutOfOrder: the grant is neither paused nor active.
    """
    return _change(host, pod_id, grant_id, EventKind.RESUMED, actor=actor, unless=GrantState.ACTIVE)


def renew(
    host: Host,
    pod_id: PodId,
    grant_id: str,
    *,
    actor: Actor,
    expires_at: datetime,
    notice: tuple[str, str] | None = None,
) -> Grant:
    """Give the same consent for longer: a new affirmative act. A paused grant is active again; a withdrawn one stays so.

    Args:
        host: This host.
        pod_id: Whose.
        grant_id: Which.
        actor: `citizen`, or `operator-assisted`.
        expires_at: The new end.
        notice: Version and SHA-256 of the text that the citizen was shown now; None where it is the one of before.

    Raises:
        NoSuchGrant: the pod has no such grant.
        EventOutOfOrder: the grant was withdrawn or erased.
        TermsInvalid: the new end lies in the past.
    """

    def under_this_notice(terms: GrantTerms) -> GrantTerms:
        version, notice_hash = notice or (terms.notice_version, terms.notice_hash)
        return replace(terms, expires_at=expires_at, notice_version=version, notice_hash=notice_hash)

    return _change(host, pod_id, grant_id, EventKind.RENEWED, actor=actor, change=under_this_notice)


def confirm(host: Host, pod_id: PodId, grant_id: str, *, actor: Actor) -> Grant:
    """Say yes oneself to what a guardian gave: the same terms until the same end, a new affirmative act.

    Raises:
        NoSuchGrant: the pod has no such grant.
        EventOutOfOrder: the grant was withdrawn or erased.
    """
    return _change(host, pod_id, grant_id, EventKind.RENEWED, actor=actor, change=replace)


def give_anew(host: Host, pod_id: PodId, grant_id: str, terms: GrantTerms, *, actor: Actor) -> Grant:
    """Put other terms in the place of a consent's own, as the citizen just agreed to: the same grant, newly given.

    What was delivered stays. Refresh tokens that were issued under the old terms end (OAuth Grant Management, section 5).

    Raises:
        NoSuchGrant: the pod has no such grant, or it is another partner's.
        EventOutOfOrder: the grant was withdrawn or erased.
        TermsInvalid: another purpose, or an end in the past.
    """

    def instead(present: GrantTerms) -> GrantTerms:
        if present.client_id != terms.client_id:
            raise refusal_error(Refused((Reason.NO_SUCH_GRANT,)))
        if present.purpose != terms.purpose:
            raise TermsInvalid("purpose", "another purpose is another consent")
        return terms

    return _change(host, pod_id, grant_id, EventKind.RENEWED, actor=actor, change=instead, ends_tokens=True)


def narrow(
    host: Host,
    pod_id: PodId,
    grant_id: str,
    *,
    actor: Actor,
    kinds: frozenset[str] | None = None,
    figures_kept: frozenset[str] | None = None,
    documents_kept: frozenset[str] | None = None,
    granularity: str | Mapping[str, str] | None = None,
    expires_at: datetime | None = None,
) -> Grant:
    """Allow less from now on: fewer kinds, figures or documents, coarser, or shorter; what was delivered stays. Never more than was agreed.

    A delivery that was decided under the wider terms and is not yet written is refused with `consent-changed`.

    Raises:
        NoSuchGrant: the pod has no such grant.
        EventOutOfOrder: the grant is neither active nor paused.
        TermsInvalid: it would be wider, would leave nothing, or ends in the past.
    """

    def less(terms: GrantTerms) -> GrantTerms:
        return narrowed(
            terms,
            kinds=kinds,
            figures=figures_kept,
            documents=documents_kept,
            granularity=granularity,
            expires_at=expires_at,
        )

    return _change(host, pod_id, grant_id, EventKind.NARROWED, actor=actor, urgent=True, change=less)


def erase(host: Host, pod_id: PodId, grant_id: str, *, actor: Actor) -> Erased:
    """Destroy the keys of all that came under a grant, then the rows (GDPR Art. 17). Calling again finishes the work.

    The first transaction is the durable intent: from its commit on nothing is written under the grant, and
    `resume_erasures` finishes what a crash left. No key of the citizen's is needed to destroy keys.

    Raises:
        NoSuchGrant: the pod has no such grant.
        EventOutOfOrder: it was never given.
    """
    grant = _change(host, pod_id, grant_id, EventKind.ERASED, actor=actor, urgent=True, unless=GrantState.ERASED)
    return _finish_erasure(host, grant, actor)


def resume_erasures(host: Host) -> list[Erased]:
    """Finish the erasures that a crash interrupted; the agent's process calls this when it starts."""
    with host.storage.read() as tx:
        pending = tx.all("SELECT pod_id, grant_id FROM consent WHERE erasure_pending = 1")
        grants = [grant_rows.grant_in_pod(tx, host.host_key, PodId(pod_id), grant_id) for pod_id, grant_id in pending]
    return [_finish_erasure(host, grant, Actor("operator", "", "resumed erasure")) for grant in grants if grant]


SEALED_UNDER_A_GRANT = (
    "segment",
    "partial",
    "twin_event",
    "pending_delivery",
    "sealed_delivery",
    "grant_inbox",
    "pull",
    "rectification",
    "calculation",
    "participation",
)
"""The tables whose rows belong to one grant, by pod_id and grant_id; what still waits for a locked pod goes too."""

_ENDS_PULLS = frozenset({EventKind.WITHDRAWN, EventKind.EXPIRED, EventKind.ERASED})


def _finish_erasure(host: Host, grant: Grant, actor: Actor) -> Erased:
    pod_id, grant_id = PodId(grant.pod_id), GrantId(grant.id)
    with host.storage.read() as tx:
        combined = key_epochs.figures_scope(tx, pod_id)
        unfinished = tx.one(
            "SELECT 1 FROM consent WHERE pod_id = ? AND grant_id = ? AND erasure_pending = 1", (pod_id, grant_id)
        )
    keys_destroyed = host.key_store.destroy_grant(pod_id, grant_id)
    contributed = "append" in grant.terms.operations
    if unfinished and contributed:
        # The combined figures hold the erased grant's share; the twin makes them anew under a new key.
        older = [scope for scope in host.key_store.keyring(pod_id) if scope.kind == "figures"]
        host.key_store.destroy_scopes(pod_id, {combined, *older})
    with host.storage.write(urgent=True) as tx:
        now = host.clock.now()
        rows = sum(
            tx.execute(f"DELETE FROM {table} WHERE pod_id = ? AND grant_id = ?", (pod_id, grant_id))
            for table in SEALED_UNDER_A_GRANT
        )
        finished = tx.execute(
            "UPDATE consent SET erasure_pending = 0 WHERE pod_id = ? AND grant_id = ? AND erasure_pending = 1",
            (pod_id, grant_id),
        )
        if finished:
            if contributed:  # who only read has no share in the figures
                figures.forget_grant(tx, pod_id, grant_id)
                proposals.forget_figures(tx, pod_id)
                calculations.forget_all(tx, pod_id)
            feed.tell_change(tx, pod_id, "erasure", grant_id, at=host.clock.protocol_now())
            append_to_log(
                tx,
                pod_id,
                LogEvent(
                    at=now,
                    actor=actor,
                    action="erasure-finished",
                    purpose=grant.terms.purpose,
                    grant=grant_id,
                    outcome="done",
                    count=rows,
                    detail={"keys": keys_destroyed},
                ),
                random=secrets.token_bytes,
            )
    host.signal.notify([pod_id])
    return Erased(grant, keys_destroyed, rows, now, host.clock.protocol_now() + COPIES_DIE_AFTER)


def expire_due(host: Host, *, limit: int = 200) -> int:
    """Write the `expired` event of grants whose time has run out; returns how many. Enforcement does not wait for it."""
    now = host.clock.now()
    with host.storage.read() as tx:
        due = tx.all(
            "SELECT pod_id, grant_id FROM consent WHERE state IN ('active', 'paused') AND expires_at <= ? LIMIT ?",
            (microseconds(now), limit),
        )
    for pod_id, grant_id in due:
        _change(host, PodId(pod_id), grant_id, EventKind.EXPIRED, actor=Actor("operator"), unless=GrantState.EXPIRED)
    return len(due)


def find_grant(host: Host, pod_id: PodId, grant_id: str) -> Grant:
    """One grant of one pod as it stands.

    Raises:
        NoSuchGrant: the pod has no such grant.
    """
    with host.storage.read() as tx:
        return _grant_or_refusal(host, tx, pod_id, grant_id)


def list_grants(host: Host, pod_id: PodId) -> list[GrantView]:
    """Every consent of one citizen, refused and ended ones included, the newest first, with how they are used."""
    since = host.clock.now() - timedelta(days=30)
    with host.storage.read() as tx:
        held = grant_rows.grants_in_pod(tx, host.host_key, pod_id)
        totals = grant_rows.totals(tx, pod_id)
        uses = grant_rows.uses_since(tx, pod_id, since)
        read = grant_rows.reads_of_pod(tx, pod_id, since)
        names = {client_id: find_party(host, tx, client_id) for client_id in {g.terms.client_id for g in held}}
        events = {grant.id: tuple(grant_rows.events_of(tx, pod_id, grant.id)) for grant in held}
    views = []
    for grant in held:
        accepted, duplicates, refused, last = totals.get(grant.id, (0, 0, 0, None))
        partner = names[grant.terms.client_id]
        reads_lately, reads, last_read = read.get(grant.id, (0, 0, None))
        views.append(
            GrantView(
                grant=grant,
                partner_name=partner.name if partner else grant.terms.client_id,
                subject=subject_of(host, grant),
                accepted=accepted,
                duplicates=duplicates,
                refused=refused,
                last_delivery=last,
                daily=tuple(uses.get(grant.id, ())),
                events=events[grant.id],
                reads_lately=reads_lately,
                reads=reads,
                last_read=last_read,
            )
        )
    return views


def _active_partner(host: Host, tx: Transaction, client_id: str, pod_id: PodId) -> partners.Partner:
    partner = find_party(host, tx, client_id)
    if partner is None:
        raise partners.NoSuchPartner("No partner has this client identifier.")
    partner.require_active()
    sandbox.require_may_consent(tx, partner, pod_id)
    return partner


def _grant_or_refusal(host: Host, tx: Transaction, pod_id: PodId, grant_id: str) -> Grant:
    grant = grant_rows.grant_in_pod(tx, host.host_key, pod_id, grant_id)
    if grant is None:
        raise refusal_error(Refused((Reason.NO_SUCH_GRANT,)))
    return grant


def _change(
    host: Host,
    pod_id: PodId,
    grant_id: str,
    kind: EventKind,
    *,
    actor: Actor,
    urgent: bool = False,
    change: Callable[[GrantTerms], GrantTerms] | None = None,
    ends_tokens: bool = False,
    unless: GrantState | None = None,
) -> Grant:
    """Add one event to a grant's ledger and let its enforcement row follow."""

    def write() -> tuple[Grant, bool]:
        return _write_change(
            host,
            pod_id,
            grant_id,
            kind,
            actor=actor,
            urgent=urgent,
            change=change,
            ends_tokens=ends_tokens,
            unless=unless,
        )

    # A withdrawal must not be lost to two transactions that waited for each other.
    grant, is_new = again_after_conflict(write)
    if is_new:
        consent_receipts.file_if_open(host, pod_id)
        host.signal.notify([pod_id])
    return grant


def _write_change(
    host: Host,
    pod_id: PodId,
    grant_id: str,
    kind: EventKind,
    *,
    actor: Actor,
    urgent: bool,
    change: Callable[[GrantTerms], GrantTerms] | None,
    ends_tokens: bool,
    unless: GrantState | None,
) -> tuple[Grant, bool]:
    """The transaction of a change; the grant as it then is, and whether anything was changed."""
    with host.storage.write(urgent=urgent) as tx:
        return _change_within(
            host, tx, pod_id, grant_id, kind, actor=actor, change=change, ends_tokens=ends_tokens, unless=unless
        )


def _change_within(
    host: Host,
    tx: Transaction,
    pod_id: PodId,
    grant_id: str,
    kind: EventKind,
    *,
    actor: Actor,
    change: Callable[[GrantTerms], GrantTerms] | None = None,
    ends_tokens: bool = False,
    unless: GrantState | None = None,
) -> tuple[Grant, bool]:
    """As `_write_change`, in the caller's transaction."""
    now = host.clock.now()
    grant = _grant_or_refusal(host, tx, pod_id, grant_id)
    if kind in _ACTS:
        delegation.require(host, tx, pod_id, actor, _ACTS[kind], purpose=grant.terms.purpose)
    if unless is not None and grant.state is unless:
        return grant, False
    partner = find_party(host, tx, grant.terms.client_id)
    events = grant_rows.events_of(tx, pod_id, grant_id)
    standing = fold(events)
    if kind is not EventKind.EXPIRED and grant.state_at(now) is GrantState.EXPIRED and grant.state != "expired":
        # Its time ran out unnoticed: the ledger says so before it says what came after.
        ran_out = GrantEvent(EventKind.EXPIRED, grant.terms.expires_at, by="host")
        events.append(ran_out)
        standing = follow(standing, ran_out)
        grant_rows.add_event(tx, pod_id, GrantId(grant.id), standing.version, ran_out)
    terms = change(grant.terms) if change else grant.terms
    ends = terms.expires_at if terms is not grant.terms else None
    event = GrantEvent(kind, now, ends, "host" if kind is EventKind.EXPIRED else _said_by(actor))
    standing = follow(standing, event)
    assert standing.state is not None
    # After the order of events: an expired consent that cannot be narrowed is not told that its end is wrong.
    if kind is EventKind.RENEWED:
        require_new_terms(terms, now)
    elif terms is not grant.terms and terms.expires_at <= now:
        raise TermsInvalid("expires_at", "the new end lies in the past")
    changed = replace(
        grant,
        terms=terms,
        state=standing.state,
        state_version=standing.version,
        changed_at=now,
    )
    grant_rows.update_grant(tx, host.host_key, changed)
    grant_rows.add_event(tx, pod_id, GrantId(grant.id), standing.version, event)
    if kind is EventKind.ERASED:
        tx.send("UPDATE consent SET erasure_pending = 1 WHERE pod_id = ? AND grant_id = ?", (pod_id, grant.id))
    if ends_tokens or kind in {EventKind.WITHDRAWN, EventKind.ERASED}:
        tx.send(
            "UPDATE refresh_token SET revoked_at = ? WHERE pod_id = ? AND grant_id = ? AND revoked_at IS NULL",
            (microseconds(host.clock.protocol_now()), pod_id, grant.id),
        )
        tx.send("DELETE FROM authorization_code WHERE pod_id = ? AND grant_id = ?", (pod_id, grant.id))
    if kind in _ENDS_PULLS:
        # Tokens for a source go with the consent that they were got under; whoever pulls now finds no row to go on in.
        tx.send("DELETE FROM pull WHERE pod_id = ? AND grant_id = ?", (pod_id, grant.id))
    feed.tell_change(tx, pod_id, "grant", GrantId(grant.id), at=host.clock.protocol_now())
    _tell(host, tx, changed, [*events, event], actor=actor, partner=partner)
    return changed, True


_ACTS = {
    EventKind.PAUSED: Act.PAUSE,
    EventKind.RESUMED: Act.RESUME,
    EventKind.RENEWED: Act.RENEW,
    EventKind.NARROWED: Act.NARROW,
    EventKind.WITHDRAWN: Act.WITHDRAW,
    EventKind.ERASED: Act.ERASE,
}

_SAID_BY = {
    "operator-assisted": "assistant",
    "partner": "partner",
    "app": "partner",
    "operator": "host",
    "guardian": "guardian",
    "attorney": "attorney",
}


def _said_by(actor: Actor) -> str:
    """Whose act an event is, in the words of the record."""
    return _SAID_BY.get(actor.kind, "citizen")


def _tell(
    host: Host,
    tx: Transaction,
    grant: Grant,
    events: Sequence[GrantEvent],
    *,
    actor: Actor,
    partner: partners.Partner | None,
) -> None:
    """The log leaf, the signed receipt, and the partner's notice with it in the outbox."""
    event = events[-1]
    _log(tx, grant, event, actor, partner)
    receipt = consent_receipts.write(host, tx, grant, events, partner)
    if partner is None or partner.webhook is None or not partner.is_told:
        return
    outbox.enqueue(
        host,
        tx,
        pod_id=PodId(grant.pod_id),
        client_id=partner.client_id,
        kind=f"consent-{event.kind}",
        body={
            "grant": grant.id,
            "subject": subject_of(host, grant),
            "at": event.at.isoformat(),
            "receipt": receipt,
        },
        idempotency_key=f"{grant.id} {grant.state_version}",
    )


def _log(tx: Transaction, grant: Grant, event: GrantEvent, actor: Actor, partner: partners.Partner | None) -> None:
    append_to_log(
        tx,
        PodId(grant.pod_id),
        LogEvent(
            at=event.at,
            actor=actor,
            action=f"consent-{event.kind}",
            purpose=grant.terms.purpose,
            grant=grant.id,
            outcome="done",
            count=1,
            detail={"partner": partner.name if partner else grant.terms.client_id},
        ),
        random=secrets.token_bytes,
    )

"""Consents that their citizens should look at again: found by the agent's process, told once, shown until answered.

What deserves a look is the law's affair (consent/attention.py). Here it is found among all the pods, written in the
citizen's log, told to the partner whose consent ends soon, and kept until the citizen renews, withdraws or keeps.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consent.attention import REMIND_BEFORE, UNUSED_AFTER, Attention, attention
from consent.decision import Refused
from consent.grant import GrantState
from consent.reasons import Reason
from pod_server import outbox, partners
from pod_server.authorization import grant_rows
from pod_server.authorization.errors import refusal_error
from pod_server.clock import microseconds, moment
from pod_server.identifiers import Actor, GrantId, PodId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.parties import find_party

if TYPE_CHECKING:
    from datetime import datetime

    from consent.grant import Grant
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

_HOUSE_CLIENTS = (partners.SELF.client_id, partners.RESEARCH.client_id)
"""The citizen's own files and the month's releases: neither is a partner that could be idle."""


@dataclass(frozen=True)
class Reminder:
    """One consent that waits for its citizen.

    Attributes:
        grant: Its id.
        about: Why.
        since: For an unused consent, the last use or the giving; for one that ends soon, its end; for one to confirm, until
            when. City's time.
    """

    grant: GrantId
    about: Attention
    since: datetime


def remind_due(host: Host, *, limit: int = 200) -> int:
    """Tell the citizens of consents that end soon or lie unused, each once; returns how many were told."""
    now = host.clock.now()
    candidates: dict[tuple[int, str], None] = {}
    with host.storage.read() as tx:
        # Each by an index of its own: the consents whose end is near, and those that have not changed for long.
        for of, until in (("expires_at", now + REMIND_BEFORE), ("changed_at", now - UNUSED_AFTER)):
            rows = tx.all(
                f"SELECT pod_id, grant_id FROM consent WHERE state = 'active' AND {of} <= ? AND expires_at > ? "
                "AND client_id NOT IN (?, ?) AND NOT EXISTS (SELECT 1 FROM consent_reminder AS told "
                "WHERE told.pod_id = consent.pod_id AND told.grant_id = consent.grant_id "
                f"AND told.state_version = consent.state_version AND told.look_again > ?) ORDER BY {of} LIMIT ?",
                (microseconds(until), microseconds(now), *_HOUSE_CLIENTS, microseconds(now), limit),
            )
            candidates.update(((pod_id, grant_id), None) for pod_id, grant_id in rows)
    return sum(_remind(host, PodId(pod_id), GrantId(grant_id)) for pod_id, grant_id in list(candidates)[:limit])


def _remind(host: Host, pod_id: PodId, grant_id: GrantId) -> bool:
    """Look at one consent again, in the transaction that writes down what was found."""
    with host.storage.write() as tx:
        now = host.clock.now()
        grant = grant_rows.grant_in_pod(tx, host.host_key, pod_id, grant_id)
        if grant is None:
            return False
        last_use = grant_rows.last_use(tx, pod_id, grant_id)
        about = attention(grant, last_use, now)
        # One that ends soon is told once a state; one that is used is looked at again when it could lie unused.
        look_again = (
            grant.terms.expires_at
            if about is Attention.ENDS_SOON
            else min((last_use if about is None and last_use else now) + UNUSED_AFTER, _soon(grant, now))
        )
        since = grant.terms.expires_at if about is Attention.ENDS_SOON else last_use or grant.given_at
        tx.execute("DELETE FROM consent_reminder WHERE pod_id = ? AND grant_id = ?", (pod_id, grant_id))
        tx.execute(
            "INSERT INTO consent_reminder (pod_id, grant_id, state_version, about, since, told_at, look_again, answered) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                pod_id,
                grant_id,
                grant.state_version,
                str(about) if about else "",
                microseconds(since),
                microseconds(now),
                microseconds(look_again),
                0 if about else 1,
            ),
        )
        if about is None:
            return False
        partner = find_party(host, tx, grant.terms.client_id)
        _log(host, tx, grant, f"consent-{about}", actor=Actor("operator"), at=now)
        if about is Attention.ENDS_SOON and partner is not None and partner.webhook is not None and partner.is_told:
            outbox.enqueue(
                host,
                tx,
                pod_id=pod_id,
                client_id=partner.client_id,
                kind=f"consent-{about}",
                body={"grant": grant.id, "at": now.isoformat(), "expires_at": grant.terms.expires_at.isoformat()},
                idempotency_key=f"{grant.id} {grant.state_version} {about}",
            )
    host.signal.notify([pod_id])
    return True


def _soon(grant: Grant, now: datetime) -> datetime:
    """The latest time to look at a consent again, so that its end does not come unannounced."""
    return max(grant.terms.expires_at - REMIND_BEFORE, now + (grant.terms.expires_at - now) / 8)


def waiting(tx: Transaction, pod_id: PodId, at: datetime) -> list[Reminder]:
    """What the citizen was told and has not answered; an act with the consent, and its end, answer it too.

    Args:
        tx: A snapshot.
        pod_id: Whose.
        at: Now, city's time: a consent may have run out before anybody has written that down.
    """
    return [
        Reminder(GrantId(grant_id), Attention(about), moment(since))
        for grant_id, about, since in tx.all(
            "SELECT told.grant_id, told.about, told.since FROM consent_reminder AS told "
            "JOIN consent ON consent.pod_id = told.pod_id AND consent.grant_id = told.grant_id "
            "WHERE told.pod_id = ? AND told.answered = 0 AND consent.state = 'active' AND consent.expires_at > ? "
            "AND consent.state_version = told.state_version ORDER BY told.since, told.grant_id",
            (pod_id, microseconds(at)),
        )
    ]


def ask_to_confirm(host: Host, pod_id: PodId, grant_id: GrantId) -> bool:
    """Ask a young person about a consent that a guardian gave; False where it changed at the same moment."""
    with host.storage.write() as tx:
        now = host.clock.now()
        grant = grant_rows.grant_in_pod(tx, host.host_key, pod_id, grant_id)
        if grant is None or grant.state_at(now) is not GrantState.ACTIVE:
            return False
        tx.execute("DELETE FROM consent_reminder WHERE pod_id = ? AND grant_id = ?", (pod_id, grant_id))
        _keep_reminder(tx, grant, Attention.CONFIRM, since=now + host.age_rules.confirm_within, now=now)
        _log(host, tx, grant, f"consent-{Attention.CONFIRM}", actor=Actor("operator"), at=now)
    host.signal.notify([pod_id])
    return True


def _keep_reminder(tx: Transaction, grant: Grant, about: Attention, *, since: datetime, now: datetime) -> None:
    tx.execute(
        "INSERT INTO consent_reminder (pod_id, grant_id, state_version, about, since, told_at, look_again, answered) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
        (
            grant.pod_id,
            grant.id,
            grant.state_version,
            str(about),
            microseconds(since),
            microseconds(now),
            microseconds(grant.terms.expires_at),
        ),
    )


def keep(host: Host, pod_id: PodId, grant_id: str, *, actor: Actor) -> None:
    """The citizen has looked and lets the consent stand as it is.

    Raises:
        NoSuchGrant: the pod has no such grant.
    """
    with host.storage.write() as tx:
        grant = grant_rows.grant_in_pod(tx, host.host_key, pod_id, grant_id)
        if grant is None:
            raise refusal_error(Refused((Reason.NO_SUCH_GRANT,)))
        kept = tx.execute(
            # What a guardian gave is confirmed by an act of one's own (grants.confirm), not left standing.
            "UPDATE consent_reminder SET answered = 1 "
            "WHERE pod_id = ? AND grant_id = ? AND answered = 0 AND about <> 'to-confirm'",
            (pod_id, grant_id),
        )
        if kept:
            _log(host, tx, grant, "consent-kept", actor=actor, at=host.clock.now())


def _log(host: Host, tx: Transaction, grant: Grant, action: str, *, actor: Actor, at: datetime) -> None:
    partner = find_party(host, tx, grant.terms.client_id)
    append_to_log(
        tx,
        PodId(grant.pod_id),
        LogEvent(
            at=at,
            actor=actor,
            action=action,
            purpose=grant.terms.purpose,
            grant=grant.id,
            outcome="done",
            count=1,
            detail={"partner": partner.name if partner else grant.terms.client_id},
        ),
        random=secrets.token_bytes,
    )

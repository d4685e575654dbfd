"""A partner's way from an application to admission, limits, a stop and removal; each step with who took it.

A step is one urgent transaction over the partner's row and the list of acts. Every door reads the row again at each
request, and every delivery reads it once more in the transaction that writes (authorization/enforcement.py): the commit
of a stop is the point after which nothing of the partner's is taken in, in any process.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from pod_server import partner_notices, problems
from pod_server.clock import microseconds, moment
from pod_server.identifiers import ClientId
from pod_server.organisations import mail_address, organisation_number, tidy_text
from pod_server.partners import (
    ACTIVE,
    APPLIED,
    REFUSED,
    REMOVED,
    SUSPENDED,
    Limits,
    NoSuchPartner,
    Partner,
    PartnerError,
    PartnerInvalid,
    add_partner,
    check_keys,
    find_partner,
    remove_partner,
    require_own_keys,
    require_own_name,
)
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from pod_server.host import Host
    from pod_server.partner_notices import Proposed
    from pod_server.storage.ports import Transaction

MOST_WAITING = 200
"""Applications that wait for the municipality at one time; a flood of them is turned away, not stored."""

MOST_AN_HOUR = 20
_LEAST_REASON, _MOST_REASON = 3, 500


class ApplicationsFull(PartnerError):
    """Too many applications wait, or came this hour.

    Attributes:
        retry_after: Whole seconds after which to try again.
    """

    retry_after = 3600


class StandingChanged(PartnerError):
    """The partner is not in a state where this can happen."""


@dataclass(frozen=True)
class By:
    """Who takes a step.

    Attributes:
        role: `operator` (the municipality's people) or `partner`.
        name: Who, as they are known there.
    """

    role: Literal["operator", "partner"]
    name: str


@dataclass(frozen=True)
class Act:
    """One step that somebody took.

    Attributes:
        client_id: Which partner it concerns; empty for none.
        at: When, real time.
        by: Who.
        act: `apply`, `admit`, `refuse`, `limit`, `suspend`, `resume`, `stop`, `restart`, `remove`, `keys`, ….
        detail: What a person wants to know besides.
    """

    client_id: ClientId
    at: datetime
    by: By
    act: str
    detail: dict[str, Any]


def note(host: Host, tx: Transaction, client_id: str, by: By, act: str, **detail: Any) -> None:
    """Write down who did what, in the transaction that does it."""
    tx.execute(
        "INSERT INTO operator_act (act_id, client_id, at, by_role, by_name, act, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            secrets.token_hex(16),
            client_id,
            microseconds(host.clock.protocol_now()),
            by.role,
            by.name[:80],
            act,
            json.dumps(detail, ensure_ascii=False),
        ),
    )


def acts(host: Host, client_id: str | None = None, *, limit: int = 50) -> list[Act]:
    """The latest acts about one partner, or about all, newest first."""
    with host.storage.read() as tx:
        return acts_in(tx, client_id, limit=limit)


def acts_in(tx: Transaction, client_id: str | None = None, *, limit: int = 50) -> list[Act]:
    """As `acts`, in the caller's transaction."""
    columns = "client_id, at, by_role, by_name, act, detail"
    rows = (
        tx.all(f"SELECT {columns} FROM operator_act ORDER BY at DESC, act_id LIMIT ?", (limit,))
        if client_id is None
        else tx.all(
            f"SELECT {columns} FROM operator_act WHERE client_id = ? ORDER BY at DESC, act_id LIMIT ?",
            (client_id, limit),
        )
    )
    return [Act(ClientId(row[0]), moment(row[1]), By(row[2], row[3]), row[4], json.loads(row[5])) for row in rows]


def apply(
    host: Host,
    *,
    name: str,
    number: str,
    contact: str,
    jwks: Mapping[str, Any],
    redirect_uris: Sequence[str],
    notices: Sequence[Proposed],
    webhook: str | None = None,
    address: str = "",
    jwks_uri: str = "",
) -> Partner:
    """Take an application in. Its sandbox works at once; citizens are asked only after the municipality has admitted it.

    Raises:
        PartnerInvalid: something that was said cannot stand; the message begins with the field.
        ApplicationsFull: too many wait.
    """
    try:
        about = {
            "organisation_number": organisation_number(number),
            "contact": mail_address(contact),
            "address": tidy_text(address, "address", most=200),
            "jwks_uri": jwks_uri,
            "country": "NO",
        }
    except ValueError as error:
        raise PartnerInvalid(str(error)) from error
    if not redirect_uris:
        raise PartnerInvalid("redirect_uri: at least one, where citizens' browsers come back")
    if len(redirect_uris) > 10:
        raise PartnerInvalid("redirect_uri: at most ten")
    if not notices:
        raise PartnerInvalid("purpose: at least one, with its kinds and its text")
    require_room(host)
    with host.storage.read() as tx:
        require_own_keys(tx, check_keys(jwks)["keys"])
    partner = add_partner(
        host,
        name=name,
        jwks=jwks,
        redirect_uris=redirect_uris,
        webhook=webhook,
        about={key: value for key, value in about.items() if value},
        state=APPLIED,
    )
    with host.storage.write() as tx:
        for proposed in notices:
            partner_notices.propose(host, tx, partner.client_id, proposed)
        note(host, tx, partner.client_id, By("partner", partner.name), "apply")
    return partner


def require_room(host: Host) -> None:
    """Whether one more application is taken; asked before anything costly is done for a stranger.

    Raises:
        ApplicationsFull: too many wait, or came this hour.
    """
    since = host.clock.protocol_now() - timedelta(hours=1)
    with host.storage.read() as tx:
        waiting = tx.one("SELECT COUNT(*) FROM partner WHERE state = 'applied'")
        lately = tx.one("SELECT COUNT(*) FROM operator_act WHERE act = 'apply' AND at > ?", (microseconds(since),))
    if waiting is None or lately is None or waiting[0] >= MOST_WAITING or lately[0] >= MOST_AN_HOUR:
        raise ApplicationsFull("As many applications wait as are taken. Try again later, or write to the municipality.")


def _require(tx: Transaction, client_id: str, states: Iterable[str], act: str) -> Partner:
    partner = find_partner(tx, client_id)
    if partner is None or partner.state == REMOVED:
        raise NoSuchPartner("No partner has this client identifier.")
    if partner.state not in states:
        raise StandingChanged(f"The partner is {partner.state}; from there one cannot {act}.")
    return partner


def _reason(text: str) -> str:
    try:
        reason = tidy_text(text, "reason", least=_LEAST_REASON, most=_MOST_REASON)
    except ValueError as error:
        raise PartnerInvalid(str(error)) from error
    return reason if reason[-1] in ".!?" else f"{reason}."


def _set(host: Host, tx: Transaction, client_id: str, state: str, reason: str = "") -> None:
    tx.execute(
        "UPDATE partner SET state = ?, reason = ?, changed_at = ? WHERE client_id = ?",
        (state, reason, microseconds(host.clock.now()), client_id),
    )


def admit(host: Host, client_id: str, *, by: By, limits: Limits | None = None) -> Partner:
    """Let an applicant ask citizens, with the notices that it proposed.

    Raises:
        NoSuchPartner: there is none.
        StandingChanged: it has not applied, or was answered.
        PartnerInvalid: its name is read like that of a partner admitted meanwhile, or it has one of that one's keys.
    """
    limits = limits or Limits()
    with host.storage.write(urgent=True) as tx:
        partner = _require(tx, client_id, {APPLIED}, "admit")
        require_own_name(tx, partner.name, but=client_id)
        require_own_keys(tx, partner.jwks["keys"], but=client_id)
        if not partner_notices.of_partner(tx, client_id):
            raise PartnerInvalid("notice: the application tells citizens nothing; it was cut off. Let it be sent anew")
        _set(host, tx, client_id, ACTIVE)
        _write_limits(tx, client_id, limits)
        partner_notices.admit_proposed(host, tx, client_id)
        note(host, tx, client_id, by, "admit", **limits.to_json())
    return find(host, client_id)


def refuse(host: Host, client_id: str, reason: str, *, by: By) -> Partner:
    """Turn an application down, saying why; it may be mended and sent again.

    Raises:
        NoSuchPartner, StandingChanged: as `admit`.
        PartnerInvalid: no reason.
    """
    words = _reason(reason)
    with host.storage.write(urgent=True) as tx:
        _require(tx, client_id, {APPLIED}, "refuse")
        _set(host, tx, client_id, REFUSED, words)
        note(host, tx, client_id, by, "refuse", reason=words)
    return find(host, client_id)


def apply_again(host: Host, client_id: str, *, by: By) -> Partner:
    """Send a refused application again.

    Raises:
        NoSuchPartner, StandingChanged: as `admit`.
    """
    with host.storage.write() as tx:
        _require(tx, client_id, {REFUSED}, "apply again")
        _set(host, tx, client_id, APPLIED)
        note(host, tx, client_id, by, "apply-again")
    return find(host, client_id)


def _write_limits(tx: Transaction, client_id: str, limits: Limits) -> None:
    for field, value in (
        ("requests_per_minute", limits.requests_per_minute),
        ("records_per_day", limits.records_per_day),
    ):
        if value is not None and not 1 <= value <= 1_000_000_000:
            raise PartnerInvalid(f"{field}: a whole number from 1 on, or none")
    if limits.kinds is not None and not (limits.kinds and limits.kinds <= set(load_kinds().by_slug)):
        raise PartnerInvalid("kinds: at least one kind of the vocabulary, or none for all of them")
    tx.execute("UPDATE partner SET limits = ? WHERE client_id = ?", (json.dumps(limits.to_json()), client_id))


def limit(host: Host, client_id: str, limits: Limits, *, by: By) -> Partner:
    """Set what a partner may do at most, in the place of what was set before; it holds from the commit on.

    Raises:
        NoSuchPartner, StandingChanged: there is none, or it is not admitted.
        PartnerInvalid: limits that are none.
    """
    with host.storage.write(urgent=True) as tx:
        _require(tx, client_id, {ACTIVE, SUSPENDED}, "limit")
        _write_limits(tx, client_id, limits)
        note(host, tx, client_id, by, "limit", **limits.to_json())
    return find(host, client_id)


def suspend(host: Host, client_id: str, reason: str, *, by: By) -> Partner:
    """Stop all that a partner does, at once and in every process; its citizens read the reason on their page.

    Raises:
        NoSuchPartner, StandingChanged: there is none, or it is not admitted.
        PartnerInvalid: no reason.
    """
    words = _reason(reason)
    with host.storage.write(urgent=True) as tx:
        _require(tx, client_id, {ACTIVE}, "suspend")
        _set(host, tx, client_id, SUSPENDED, words)
        note(host, tx, client_id, by, "suspend", reason=words)
    return find(host, client_id)


def resume(host: Host, client_id: str, *, by: By) -> Partner:
    """Let a suspended partner on again; what it stopped itself stays stopped.

    Raises:
        NoSuchPartner, StandingChanged: there is none, or it is not suspended.
    """
    with host.storage.write(urgent=True) as tx:
        _require(tx, client_id, {SUSPENDED}, "resume")
        _set(host, tx, client_id, ACTIVE)
        note(host, tx, client_id, by, "resume")
    return find(host, client_id)


def stop(host: Host, client_id: str, *, by: By) -> Partner:
    """The partner's own switch: nothing of it is taken in until it starts again.

    Raises:
        NoSuchPartner: there is none.
    """
    return _switch(host, client_id, by, stopped=True)


def restart(host: Host, client_id: str, *, by: By) -> Partner:
    """Turn the partner's own switch back; a stop by the municipality it does not undo.

    Raises:
        NoSuchPartner: there is none.
    """
    return _switch(host, client_id, by, stopped=False)


def _switch(host: Host, client_id: str, by: By, *, stopped: bool) -> Partner:
    at = microseconds(host.clock.protocol_now()) if stopped else None
    with host.storage.write(urgent=True) as tx:
        partner = _require(tx, client_id, {APPLIED, ACTIVE, SUSPENDED, REFUSED}, "stop")
        if (partner.stopped is not None) != stopped:
            tx.execute("UPDATE partner SET stopped_at = ? WHERE client_id = ?", (at, client_id))
            note(host, tx, client_id, by, "stop" if stopped else "restart")
    return find(host, client_id)


def remove(host: Host, client_id: str, *, by: By) -> None:
    """Shut a partner out for good: keys, tokens, consoles and grants open nothing after the commit.

    Raises:
        NoSuchPartner: there is none, or it was removed before.
    """
    remove_partner(host, client_id)
    with host.storage.write() as tx:
        tx.execute("DELETE FROM console_session WHERE client_id = ?", (client_id,))
        tx.execute("DELETE FROM console_link WHERE client_id = ?", (client_id,))
        note(host, tx, client_id, by, "remove")


def find(host: Host, client_id: str) -> Partner:
    """A partner that was not removed.

    Raises:
        NoSuchPartner: there is none.
    """
    with host.storage.read() as tx:
        partner = find_partner(tx, client_id)
    if partner is None or partner.state == REMOVED or client_id in {"self", "research"}:
        raise NoSuchPartner("No partner has this client identifier.")
    return partner


problems.declare(ApplicationsFull, "applications-full", "Too many applications wait", 429)
problems.declare(StandingChanged, "partner-standing", "The partner's standing does not allow this", 409)

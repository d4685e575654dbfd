"""Integrators: a partner that delivers for another one. The consent stays the other's; every page, log and receipt names both.

    principal    the partner whom citizens gave their consent, "SpareBank 1 SMN"
    actor        who delivers for it, "Evry"

Leave to act is a row, written by the principal or by the municipality, ended by either at once: every door reads it, and every
delivery reads it again in the transaction that writes (authorization/enforcement.py). It can be handed on to nobody.

Source: RFC 8693, sections 1.1, 4.1 and 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server import partner_standing, partners, problems
from pod_server.clock import microseconds, moment
from pod_server.identifiers import ClientId
from pod_server.partners import PartnerError

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.partner_standing import By
    from pod_server.storage.ports import Transaction

MOST_ACTORS = 20
"""For one principal at one time."""


class ActingInvalid(PartnerError):
    """Nobody can act like this; says why."""


@dataclass(frozen=True)
class Acting:
    """One partner's leave to act for another.

    Attributes:
        principal: For whom.
        actor: Who.
        since: From when, real time.
        given_by: `operator` or `partner` (the principal).
    """

    principal: ClientId
    actor: ClientId
    since: datetime
    given_by: str


def authorise(host: Host, principal: str, actor: str, *, by: By) -> Acting:
    """Let one partner act for another. Given again, it stands as it was.

    Raises:
        NoSuchPartner: one of them is not known, or was removed.
        ActingInvalid: it is the same partner, one that is not admitted, one without keys, or one more than there may be.
    """
    now = host.clock.protocol_now()
    with host.storage.write(urgent=True) as tx:
        for client_id in (principal, actor):
            known = partners.find_partner(tx, client_id)
            if known is None or known.state == partners.REMOVED or client_id in partners.HOUSE_CLIENTS:
                raise partners.NoSuchPartner("No partner has this client identifier.")
            if not known.is_admitted or (client_id == actor and not known.jwks["keys"]):
                raise ActingInvalid(f"{known.name} is not admitted, is stopped, or has no keys to come with")
        if principal == actor:
            raise ActingInvalid("a partner needs nobody's leave to act for itself")
        held = list_in(tx, principal)
        if actor not in {each.actor for each in held}:
            if len(held) >= MOST_ACTORS:
                raise ActingInvalid(f"at most {MOST_ACTORS} may act for one partner")
            tx.execute(
                "INSERT INTO acting_partner (principal, actor, since, given_by) VALUES (?, ?, ?, ?)",
                (principal, actor, microseconds(now), by.role),
            )
            partner_standing.note(host, tx, principal, by, "let-act", actor=actor)
        return next(each for each in list_in(tx, principal) if each.actor == actor)


def end(host: Host, principal: str, actor: str, *, by: By) -> bool:
    """End it: from the commit on nothing more is taken in, whatever tokens there are. False where there was none."""
    with host.storage.write(urgent=True) as tx:
        ended = tx.execute("DELETE FROM acting_partner WHERE principal = ? AND actor = ?", (principal, actor))
        if ended:
            partner_standing.note(host, tx, principal, by, "end-acting", actor=actor)
    return bool(ended)


def list_in(tx: Transaction, principal: str | None = None) -> list[Acting]:
    """Who may act for a partner, or all of them, oldest first."""
    columns = "principal, actor, since, given_by"
    rows = (
        tx.all(f"SELECT {columns} FROM acting_partner ORDER BY principal, since, actor")
        if principal is None
        else tx.all(f"SELECT {columns} FROM acting_partner WHERE principal = ? ORDER BY since, actor", (principal,))
    )
    return [Acting(ClientId(row[0]), ClientId(row[1]), moment(row[2]), row[3]) for row in rows]


def names_for(tx: Transaction, principal: str) -> list[str]:
    """What people call those who may deliver for a partner now."""
    found = [partners.find_partner(tx, each.actor) for each in list_in(tx, principal)]
    return [each.name for each in found if each is not None and each.active]


def may_act(tx: Transaction, principal: str, actor: str) -> bool:
    """Whether one may act for the other now: the leave stands, and nobody has stopped the actor."""
    row = tx.one("SELECT 1 FROM acting_partner WHERE principal = ? AND actor = ?", (principal, actor))
    return row is not None and not partners.is_stopped(tx, actor)


problems.declare(ActingInvalid, "acting-invalid", "Nobody can act like this", 400)

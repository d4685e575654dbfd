"""A citizen gives another a power of attorney: offered on the own page, good from the other's yes, ended by either at once.

No desk and no paper: who offers is signed in, and so is who accepts (avtaleloven §§ 10 and 11: a power covers what was
said; § 12: it ends when the giver takes it back). An offer opens nothing. Both have a signed receipt of the acceptance
and of the end.

The other is named by WebID, or by the national number that they sign in with here. Whether anybody here has a number is
nobody's to find out: the offer waits and looks alike either way, and names the other only once they said yes.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from consent.delegation import Act, Authority, Representation
from pod_server import delegation, power_receipts, problems
from pod_server.authorization.sealed_for_host import unseal
from pod_server.delegation import OFFERED, Recorded, TooYoung
from pod_server.errors import NoSuchPod, PodError, PodMoved
from pod_server.identifiers import Actor, PodId
from pod_server.opening import find_pod
from pod_server.sign_in.answers import subject_hash
from pod_server.sign_in.errors import AnswerInvalid
from pod_server.sign_in.links import LINK_LABEL
from pod_server.sign_in.providers import list_providers

if TYPE_CHECKING:
    from pod_server.authentication.session import Session
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

BY_CITIZEN = "citizen"
"""The source of such an authority: the represented citizen's own word, given on their own page."""

MOST_OFFERS = 10
"""Offers that wait at a time; who collects numbers to try gets no further."""

OFFER_STANDS = timedelta(days=30)
"""After so long an offer that nobody accepted is over."""

_NUMBER = re.compile(r"[0-9]{11}\Z")
_NOBODY = PodId(0)


class OfferInvalid(PodError):
    """A power of attorney cannot be offered like this; the message says why."""


problems.declare(OfferInvalid, "power-not-offered", "The power of attorney cannot be offered like this", 422)


def offer(host: Host, session: Session, to: str, *, acts: frozenset[Act], purposes: frozenset[str], days: int) -> str:
    """Offer somebody a power of attorney; its id.

    Args:
        host: This host.
        session: The giver's own, young enough for something that lasts.
        to: The other's WebID or handle on this host, or the national number that they sign in with here.
        acts: What they may do.
        purposes: For which purposes; at least one.
        days: For how long from now.

    Raises:
        SignInTooOld: sign in once more.
        OfferInvalid: nobody of that WebID lives here, it is the giver, nothing was chosen, or too many offers wait.
        TooYoung: a child gives no power of attorney.
    """
    session.require_fresh(host.clock.protocol_now())
    if not acts or not purposes:
        raise OfferInvalid("Choose what it covers: at least one act and one purpose.")
    now, pod_id = host.clock.now(), session.pod_id
    number = _NUMBER.match(to.replace(" ", ""))
    other = _by_number(host, to.replace(" ", "")) if number else _by_webid(host, to.strip())
    if other == pod_id:
        raise OfferInvalid("That is yourself.")
    terms = Representation(
        id=delegation.new_id(),
        authority=Authority.POWER_OF_ATTORNEY,
        acts=acts,
        begins=now,
        ends=now + timedelta(days=days),
        evidence="given on the own page",
        purposes=purposes,
    )
    with host.storage.write() as tx:
        if delegation.representative_is_a_child(host, tx, pod_id, now):
            raise TooYoung("A child gives nobody a power of attorney; the guardian answers.")
        if sum(each.offered for each in delegation.over(tx, host, pod_id)) >= MOST_OFFERS:
            raise OfferInvalid(f"{MOST_OFFERS} offers wait already. End one of them first.")
        made = Recorded(pod_id, other, BY_CITIZEN, standing=False, told_age=0, terms=terms, offered=True)
        made = replace(made, unnamed=bool(number))
        delegation.insert(host, tx, made, OFFERED)
        delegation.tell_both(tx, made, "representation-offered", now, actor=Actor("citizen"))
    if other != _NOBODY:
        host.signal.notify([other])
    return terms.id


def accept(host: Host, session: Session, representation_id: str) -> Recorded:
    """Say yes to an offer: from this commit on one may answer for the other, and both have the receipt.

    Raises:
        NotRepresented: no such offer waits for this citizen.
        TooYoung: a child answers for nobody.
    """
    now = host.clock.now()
    with host.storage.write() as tx:
        found = _offered_to(host, tx, session.pod_id, representation_id)
        if delegation.representative_is_a_child(host, tx, session.pod_id, now):
            raise TooYoung("A child answers for nobody.")
        terms = replace(found.terms, begins=now)
        names = [delegation.handle_of(tx, each) for each in (found.pod_id, found.representative)]
        receipt = power_receipts.sign(host, terms, "accepted", now, principal=names[0], attorney=names[1])
        accepted = replace(found, standing=True, offered=False, unnamed=False, terms=terms, receipt=receipt)
        delegation.update(host, tx, accepted, "standing")
        delegation.tell_both(tx, accepted, "representation-recorded", now, actor=Actor("citizen"))
    host.signal.notify([found.pod_id])
    return accepted


def waits(recorded: Recorded, host: Host) -> bool:
    """Whether an offer still waits: not accepted, not ended, and not older than a month or its own end."""
    now, terms = host.clock.now(), recorded.terms
    return recorded.offered and now < min(terms.begins + OFFER_STANDS, terms.ends or now)


def _offered_to(host: Host, tx: Transaction, pod_id: PodId, representation_id: str) -> Recorded:
    for each in delegation.held_by(tx, host, pod_id):
        if each.id == representation_id and waits(each, host):
            return each
    raise delegation.NotRepresented("No such offer waits for you.")


def _by_webid(host: Host, text: str) -> PodId:
    handle = text.removeprefix(f"{host.base_url}/").removesuffix("/profile/card#me").rstrip("/")
    try:
        with host.storage.read() as tx:
            return find_pod(tx, handle).pod_id
    except (NoSuchPod, PodMoved):
        raise OfferInvalid("Nobody of this WebID lives at this address.") from None


def _by_number(host: Host, number: str) -> PodId:
    """Whose number it is, as their sign-in provider vouched for; nobody's where no link here says so."""
    for provider in list_providers(host):
        if provider.subject_claim != "pid":
            continue
        try:
            named = subject_hash(host, provider, {"pid": number})
        except AnswerInvalid:
            return _NOBODY
        with host.storage.read() as tx:
            row = tx.one("SELECT pod_id, sealed FROM upstream_link WHERE subject_hash = ?", (named,))
        if row is not None and json.loads(unseal(host.host_key, LINK_LABEL, (named,), row[1])) == row[0]:
            return PodId(row[0])
    return _NOBODY

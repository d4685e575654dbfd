"""Who may answer for whom: one page with both sides, and the consent centre of somebody whom one represents.

A representative sees consents: who, what, why, how long, how much. Nothing else of the pod is shown, and none of it opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Response, redirect, request

from consent.delegation import Act, Authority
from dashboard import frame
from dashboard.standpoint import standpoint
from dashboard.views.my_data import grant_card
from dashboard.visits import answered_form, citizens_visit
from pod_server import delegation, grants, own_powers
from pod_server.delegation import NotRepresented
from pod_server.identifiers import Actor
from pod_server.own_powers import OfferInvalid
from pod_server.partners import HOUSE_CLIENTS
from vocab.purposes import load_purposes

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.delegation import Recorded
    from pod_server.host import Host


_DONE = frozenset({"end-authority", "offer-power", "accept-power"})


@dataclass(frozen=True)
class AuthorityCard:
    """One authority on the page.

    Attributes:
        id: Its name.
        other: The handle of the other one of the two.
        title: On what it rests.
        facts: What it covers, since when, until when, on which evidence.
        stands: Whether it covers anything now.
        address: The represented citizen's consent centre, for who may act; else "".
        can_end: Whether the reader may end it.
        offered: Whether it waits for somebody's yes.
        can_accept: Whether that somebody is the reader.
        has_receipt: Whether there is a signed receipt to fetch.
    """

    id: str
    other: str
    title: str
    facts: list[tuple[str, str]]
    stands: bool
    address: str
    can_end: bool
    offered: bool = False
    can_accept: bool = False
    has_receipt: bool = False


def authority_card(visit: Visit, recorded: Recorded, other: str, *, held: bool) -> AuthorityCard:
    """One authority in the reader's words.

    Args:
        visit: The look at the page.
        recorded: The authority.
        other: The handle of the other one.
        held: Whether the reader is who may act; else the one for whom.
    """
    t, w, terms = visit.words, visit.wording, recorded.terms
    stands = recorded.standing and terms.stands_at(visit.now, visit.host.age_rules)
    purposes = load_purposes()
    waits = own_powers.waits(recorded, visit.host)
    if recorded.unnamed and not held:
        other = t("authority.unnamed")
    covers = w.listing([t(f"consent-act.{act}") for act in sorted(terms.acts)])
    named = [w.of(purposes[each].titles) for each in sorted(terms.purposes or ()) if each in purposes]
    if terms.ended_at is not None:
        until = t("authority.ended", date=w.date(terms.ended_at))
    elif terms.ends is not None:
        until = w.date(terms.ends)
    else:
        until = t("authority.until-age" if terms.born else "authority.until-ended")
    return AuthorityCard(
        id=recorded.id,
        other=other or t("authority.gone"),
        title=t(f"authority.{terms.authority}"),
        facts=[
            (t("authority.covers"), covers),
            (t("fact.purpose"), w.listing(named) if named else t("authority.all-purposes")),
            (t("authority.since"), w.date(terms.begins)),
            (t("authority.until"), until),
            (
                t("authority.evidence"),
                t("authority.own-page") if recorded.source == own_powers.BY_CITIZEN else terms.evidence,
            ),
        ],
        stands=stands,
        address=f"/-/for/{recorded.id}" if held and stands else "",
        can_end=(recorded.standing or waits) and (held or terms.authority is Authority.POWER_OF_ATTORNEY),
        offered=waits,
        can_accept=waits and held,
        has_receipt=bool(recorded.receipt),
    )


_MONTHS = (1, 3, 12)
_MONTH_DAYS = 30


def representation_page(host: Host, *, problem: str = "") -> AnyResponse:
    """Both sides: who may answer for the reader, and for whom the reader may; and the form that offers a power.

    Raises:
        NotSignedIn: sign in first.
    """
    visit, session, _ = citizens_visit(host)
    with host.storage.read() as tx:
        over = [
            authority_card(visit, each, delegation.handle_of(tx, each.representative) or "", held=False)
            for each in delegation.over(tx, host, session.pod_id)
        ]
        held = [
            authority_card(visit, each, delegation.handle_of(tx, each.pod_id) or "", held=True)
            for each in delegation.held_by(tx, host, session.pod_id)
        ]
    t, done = visit.words, request.args.get("done", "")
    purposes = load_purposes()
    return frame.page(
        "representation.html.jinja",
        visit,
        over=over,
        held=held,
        done=t(f"done.{done}") if done in _DONE else "",
        problem=problem,
        acts=[(str(act), t(f"consent-act.{act}")) for act in sorted(Act)],
        purposes=[(slug, visit.wording.of(each.titles)) for slug, each in sorted(purposes.items())],
        terms_of=[
            (str(months), t("ask.months-one" if months == 1 else "ask.months", count=months)) for months in _MONTHS
        ],
        age=host.age_rules.consent,
        status=422 if problem else 200,
        request_path="/-/representation",
    )


def offer_power(host: Host) -> AnyResponse:
    """Offer somebody a power of attorney, as the form says.

    Raises:
        NotSignedIn, CsrfMismatch, SignInTooOld, TooYoung: as they say.
    """
    visit, session, _ = answered_form(host)
    t, form = visit.words, request.form
    acts = frozenset(act for act in Act if str(act) in form.getlist("act"))
    purposes = frozenset(form.getlist("purpose")) & load_purposes().keys()
    months = next((each for each in _MONTHS if str(each) == form.get("months")), None)
    if not form.get("to", "").strip() or not acts or not purposes or months is None:
        return representation_page(host, problem=t("power.incomplete"))
    try:
        own_powers.offer(host, session, form["to"], acts=acts, purposes=purposes, days=months * _MONTH_DAYS)
    except OfferInvalid as invalid:
        return representation_page(host, problem=t("power.invalid", reason=str(invalid)))
    return redirect("/-/representation?done=offer-power", code=303)


def accept_power(host: Host, authority: str) -> AnyResponse:
    """Say yes to a power of attorney that somebody offers.

    Raises:
        NotSignedIn, CsrfMismatch, NotRepresented, TooYoung: as they say.
    """
    _, session, _ = answered_form(host)
    own_powers.accept(host, session, authority)
    return redirect("/-/representation?done=accept-power", code=303)


def power_receipt(host: Host, authority: str) -> AnyResponse:
    """The signed receipt of a power of attorney, for either of the two.

    Raises:
        NotSignedIn: sign in first.
        NotRepresented: the reader is neither, or there is none.
    """
    _, session, _ = citizens_visit(host)
    with host.storage.read() as tx:
        both = [*delegation.over(tx, host, session.pod_id), *delegation.held_by(tx, host, session.pod_id)]
    found = next((each for each in both if each.id == authority and each.receipt), None)
    if found is None:
        raise NotRepresented("There is no such receipt for you.")
    return Response(
        found.receipt,
        content_type="application/jose",
        headers={"Content-Disposition": f'attachment; filename="{authority}.jwt"', "Cache-Control": "no-store"},
    )


def end_authority(host: Host, authority: str) -> AnyResponse:
    """Withdraw a power of attorney, or lay down an authority that one has; a guardianship is the public desk's to end.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        NotRepresented: there is no such authority that the reader may end.
    """
    _, session, _ = answered_form(host)
    with host.storage.read() as tx:
        own = delegation.find(tx, host, session.pod_id, authority)
        held = next((each for each in delegation.held_by(tx, host, session.pod_id) if each.id == authority), None)
    if own is not None and own.terms.authority is Authority.POWER_OF_ATTORNEY:
        delegation.end(host, session.pod_id, authority, actor=Actor("citizen"))
    elif held is not None:
        delegation.end(host, held.pod_id, authority, actor=held.actor("") if own is None else Actor("citizen"))
    else:
        raise NotRepresented("There is no such authority that you may end.")
    return redirect("/-/representation?done=end-authority", code=303)


def represented_page(host: Host, authority: str) -> AnyResponse:
    """The consents of somebody whom the reader represents.

    Raises:
        NotSignedIn: sign in first.
        NotRepresented: the reader has no such authority now.
    """
    who = standpoint(host, authority)
    assert who.held is not None
    visit, t = who.visit, who.visit.words
    shown = [view for view in grants.list_grants(host, who.pod_id) if view.grant.terms.client_id not in HOUSE_CLIENTS]
    done = request.args.get("done", "")
    return frame.page(
        "represented.html.jinja",
        visit,
        authority=authority_card(visit, who.held, visit.acting_for, held=True),
        grants=[grant_card(visit, view, who) for view in shown],
        base=who.base,
        done=t(f"done.{done}") if t.has(f"done.{done}") else "",
        request_path=who.home,
    )

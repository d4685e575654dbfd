"""Who may answer for whom: one page with both sides, and the consent centre of somebody whom one represents.

A representative sees consents: who, what, why, how long, how much. Nothing else of the pod is shown, and none of it opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import redirect, request

from consent.delegation import Authority
from dashboard import frame
from dashboard.standpoint import standpoint
from dashboard.views.my_data import grant_card
from dashboard.visits import answered_form, citizens_visit
from pod_server import delegation, grants
from pod_server.delegation import NotRepresented
from pod_server.identifiers import Actor
from pod_server.partners import HOUSE_CLIENTS
from vocab.purposes import load_purposes

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.delegation import Recorded
    from pod_server.host import Host


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
    """

    id: str
    other: str
    title: str
    facts: list[tuple[str, str]]
    stands: bool
    address: str
    can_end: bool


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
            (t("authority.evidence"), terms.evidence),
        ],
        stands=stands,
        address=f"/-/for/{recorded.id}" if held and stands else "",
        can_end=recorded.standing and (held or terms.authority is Authority.POWER_OF_ATTORNEY),
    )


def representation_page(host: Host) -> AnyResponse:
    """Both sides: who may answer for the reader, and for whom the reader may.

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
    done = request.args.get("done") == "end-authority"
    return frame.page(
        "representation.html.jinja",
        visit,
        over=over,
        held=held,
        done=visit.words("done.end-authority") if done else "",
        age=host.age_rules.consent,
        request_path="/-/representation",
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

"""A complaint about a partner, drafted from the receipt and the counts: printed or copied, and sent by the citizen alone.

GDPR Art. 77: everybody may lodge a complaint with a supervisory authority; in Norway that is Datatilsynet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard import frame
from dashboard.views.receipt import event_words
from dashboard.visits import citizens_visit
from pod_server import grants
from pod_server.parties import find_party
from pod_server.partners import HOUSE_CLIENTS
from vocab.kinds import load_kinds
from vocab.purposes import load_purposes

if TYPE_CHECKING:
    from flask import Response

    from pod_server.host import Host

DATATILSYNET = "https://www.datatilsynet.no/om-datatilsynet/kontakt-oss/"


def complaint_page(host: Host, grant_id: str) -> Response:
    """The draft, about one consent.

    Raises:
        NotSignedIn: sign in first.
        NoSuchGrant: none of the citizen's own.
    """
    visit, session, _ = citizens_visit(host)
    t, w = visit.words, visit.wording
    grant = grants.find_grant(host, session.pod_id, grant_id)
    terms = grant.terms
    view = next(each for each in grants.list_grants(host, session.pod_id) if each.grant.id == grant_id)
    with host.storage.read() as tx:
        partner = None if terms.client_id in HOUSE_CLIENTS else find_party(host, tx, terms.client_id)
    contact = (partner.about if partner else {}).get("contact", "")
    purpose = load_purposes().get(terms.purpose)
    kinds = load_kinds().by_slug
    return frame.page(
        "complaint.html.jinja",
        visit,
        partner=view.partner_name,
        grant=grant_id,
        contact=contact,
        address=DATATILSYNET,
        facts=[
            (t("receipt.state"), t(f"state.{grant.state_at(visit.now).value}")),
            (t("receipt.purpose"), w.of(purpose.titles) if purpose else terms.purpose),
            (t("receipt.data"), w.listing([kinds[each].labels[visit.language].title for each in sorted(terms.kinds)])),
            (t("receipt.until"), w.date(terms.expires_at)),
        ],
        events=[event_words(visit, event, view.partner_name) for event in view.events],
        use=t(
            "complaint.use",
            accepted=w.number(view.accepted),
            refused=w.number(view.refused),
            since=w.date(grant.given_at),
            last=w.date(view.last_delivery) if view.last_delivery else t("grant.never").lower(),
        ),
        request_path=f"/-/grants/{grant_id}/complaint",
    )

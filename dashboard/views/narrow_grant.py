"""Giving a partner less: a standing consent made narrower by its citizen, never wider.

What holds now is filled in, since leaving it is no new consent; only what is taken away is an act.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import redirect, request

from consent.delegation import Act
from consent.grant import shortest_interval
from dashboard import frame
from dashboard.standpoint import standpoint
from dashboard.views.consent_request import (
    Option,
    durations_of,
    granularities_of,
    granularity_chosen,
)
from pod_server import grants
from vocab.kinds import load_kinds
from vocab.shared_figures import load_shared_figures

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from consent.grant import GrantTerms
    from dashboard.frame import Visit
    from pod_server.host import Host

AS_NOW = "as-now"


def narrow_page(host: Host, grant_id: str, authority: str = "", *, problem: str = "") -> AnyResponse:
    """The consent as it stands, to take things away from.

    Raises:
        NotSignedIn: sign in first.
        NoSuchGrant: none of the citizen's own.
    """
    who = standpoint(host, authority)
    visit = who.visit
    grant = grants.find_grant(host, who.pod_id, grant_id)
    terms, t = grant.terms, visit.words
    view = next(each for each in grants.list_grants(host, who.pod_id) if each.grant.id == grant_id)
    labels = {slug: kind.labels[visit.language] for slug, kind in load_kinds().by_slug.items()}
    return frame.page(
        "narrow.html.jinja",
        visit,
        status=422 if problem else 200,
        grant=grant_id,
        partner=view.partner_name,
        kinds=[Option(kind, labels[kind].title, labels[kind].description) for kind in sorted(terms.kinds)],
        figures=[
            Option(slug, visit.wording.of(figure.titles), visit.wording.of(figure.descriptions))
            for slug, figure in load_shared_figures().items()
            if slug in terms.figures
        ],
        documents=[Option(path, path, t("ask.document-words")) for path in sorted(terms.documents)],
        appends="append" in terms.operations,
        granularities=_granularities(visit, terms),
        durations=[
            Option(AS_NOW, t("narrow.as-now"), t("narrow.until-now", date=visit.wording.date(terms.expires_at))),
            *(
                Option(
                    f"P{months}M",
                    t("ask.months-one" if months == 1 else "ask.months", count=months),
                    t("ask.until", date=visit.wording.date(until)),
                )
                for months, until, is_wish in durations_of(terms, visit.now)
                if not is_wish and until < terms.expires_at
            ),
        ],
        problem=problem,
        base=who.base,
        home=who.home,
        request_path=who.home,
    )


def _granularities(visit: Visit, terms: GrantTerms) -> list[Option]:
    """As now, and whatever is coarser for one of the kinds at least."""
    t = visit.words
    if not terms.kinds:
        return []
    finest = min((terms.granularity_of(kind) for kind in terms.kinds), key=shortest_interval)
    coarser: dict[str, None] = {}
    for kind in sorted(terms.kinds):
        coarser |= dict.fromkeys(granularities_of(kind, terms.granularity_of(kind)))
    return [
        Option(AS_NOW, t("narrow.as-now"), ""),
        *(
            Option(each, t(f"granularity.{each}"), t(f"granularity-words.{each}"))
            for each in sorted(coarser, key=shortest_interval)
            if shortest_interval(each) > shortest_interval(finest)
        ),
    ]


def narrow_grant(host: Host, grant_id: str, authority: str = "") -> AnyResponse:
    """Make the consent narrower, as the form says.

    Raises:
        NotSignedIn, CsrfMismatch, NoSuchGrant: as they say.
        EventOutOfOrder: the consent has ended.
    """
    who = standpoint(host, authority, form=True)
    visit, t = who.visit, who.visit.words
    terms = grants.find_grant(host, who.pod_id, grant_id).terms
    kinds = frozenset(request.form.getlist("kind")) & terms.kinds
    figures = frozenset(request.form.getlist("figure")) & terms.figures
    documents = frozenset(request.form.getlist("document")) & terms.documents
    fineness, duration = request.form.get("granularity", AS_NOW), request.form.get("duration", AS_NOW)
    untils = {f"P{months}M": until for months, until, is_wish in durations_of(terms, visit.now) if not is_wish}
    if not kinds and not figures and not documents:
        return narrow_page(host, grant_id, authority, problem=t("narrow.nothing"))
    if fineness != AS_NOW and fineness not in {option.value for option in _granularities(visit, terms)}:
        return narrow_page(host, grant_id, authority, problem=t("ask.no-granularity"))
    if duration != AS_NOW and duration not in untils:
        return narrow_page(host, grant_id, authority, problem=t("ask.no-duration"))
    kept = (kinds, figures, documents) == (terms.kinds, terms.figures, terms.documents)
    if kept and fineness == AS_NOW and duration == AS_NOW:
        return narrow_page(host, grant_id, authority, problem=t("narrow.same"))
    grants.narrow(
        host,
        who.pod_id,
        grant_id,
        actor=who.actor,
        kinds=kinds,
        figures_kept=figures,
        documents_kept=documents,
        granularity=None if fineness == AS_NOW or not kinds else granularity_chosen(terms, kinds, fineness),
        expires_at=untils.get(duration),
    )
    who.note(Act.NARROW, terms.purpose, grant_id)
    return redirect(f"{who.home}?done=narrow", code=303)

"""What municipalities offer, whether it fits and why, by the figures in the citizen's own pod; and what became of claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import redirect, request

from dashboard import frame
from dashboard.views.proposal_words import ProposalWords, all_proposals, rule_words
from dashboard.visits import answered_form, citizens_visit
from twin_agent.local_time import start_of
from twin_agent.propose import Judgement, look_now, propose_now, unit_of

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.host import Host


@dataclass(frozen=True)
class OfferSeen:
    """One offer in the reader's words.

    Attributes:
        slug: Its name.
        facts: What and its words, in order: who offers, what it gives, the rule, to whom, when, by which decision.
        page: Where to read the decision.
        why: A key of the verdicts.
        figures: The numbers that decided, in one sentence; empty where there are none.
        proposal: What the twin has proposed of it for this period; None where it has not.
    """

    slug: str
    title: str
    description: str
    facts: list[tuple[str, str]]
    page: str
    why: str
    verdict: str
    figures: str
    proposal: ProposalWords | None


def offers(host: Host) -> Response:
    """The page."""
    visit, _, own = citizens_visit(host)
    proposals = all_proposals(host, visit, own)
    return frame.page(
        "municipal-offers.html.jinja",
        visit,
        offered=[_seen(visit, each, proposals) for each in look_now(host, own)],
        claimed=[each for each in proposals if each.state == "sent"],
        done=visit.words("offers.looked") if request.args.get("done") == "looked" else "",
        request_path="/-/offers",
    )


def look(host: Host) -> AnyResponse:
    """Make the proposals of what fits; nothing leaves the pod by it."""
    _, _, own = answered_form(host)
    propose_now(host, own)
    return redirect("/-/offers?done=looked", code=303)


def _seen(visit: Visit, judged: Judgement, proposals: list[ProposalWords]) -> OfferSeen:
    t, w, programme = visit.words, visit.wording, judged.programme
    unit = unit_of(programme)
    facts = [
        (t("offers.by"), judged.partner.name),
        (t("offers.gives"), w.of(programme.rewards)),
        (t("offers.rule"), rule_words(visit, programme)),
    ]
    if programme.household_from > 1:
        facts.append((t("offers.open-to"), t("offers.households", count=programme.household_from)))
    facts += [
        (
            t("offers.when"),
            t("offers.period", start=w.date(start_of(programme.open_from)), end=w.date(start_of(programme.open_to))),
        ),
        (t("offers.decision"), programme.decision),
    ]
    days = [judged.measured.coverage_after] + (
        [judged.measured.coverage_before] if programme.threshold is not None else []
    )
    figures = t("offers.days", days=min(days), enough=programme.minimum_coverage_days)
    if judged.limit is not None and judged.measured.coverage_after:
        figures = t(
            "offers.figures",
            after=w.number(judged.measured.after, 1),
            limit=w.number(judged.limit, 1),
            unit=unit,
            days=min(days),
            enough=programme.minimum_coverage_days,
        )
    held = next(
        (
            each
            for each in proposals
            if (each.programme, each.period) == (programme.slug, judged.measured.period) and each.state != "withdrawn"
        ),
        None,
    )
    return OfferSeen(
        slug=programme.slug,
        title=w.of(programme.titles),
        description=w.of(programme.descriptions),
        facts=[(str(name), str(words)) for name, words in facts],
        page=programme.decision_page,
        why=judged.why,
        verdict=str(t(f"offers.why-{judged.why}")),
        figures=str(figures),
        proposal=held,
    )

"""Incentive programmes as data: what is measured, against what, how much less, for what reward."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import pyoxigraph as ox

from vocab.errors import BrokenVocabulary
from vocab.terms import DCTERMS, FOLDER, RDF, SKOS, TVILLING, Graph


@dataclass(frozen=True)
class Programme:
    """One programme.

    Attributes:
        slug: Its name.
        iri: Its IRI, under https://w3id.org/tvilling/programme/.
        rule_version: Counted up when any of its terms change; a claim names it.
        operator: Who runs it ("municipality").
        kind_slug: The kind of activity it measures.
        measure: "quantity-per-person": the household's summed quantity divided by its members.
        period: The last so many days are measured (P12M: 365 days).
        baseline: "the-period-before": the as many days before those.
        direction: "less".
        threshold: The share by which the measure must fall: 0.05.
        minimum_coverage_days: Both periods must have records spread over at least so many days.
        claim_type: The verifiable claim's type.
        open_from: The first day on which it can be claimed.
        open_to: The last day.
        titles: By language, as the descriptions, rewards and questions.
    """

    slug: str
    iri: str
    rule_version: int
    operator: str
    kind_slug: str
    measure: str
    period: timedelta
    baseline: str
    direction: str
    threshold: float
    minimum_coverage_days: int
    claim_type: str
    open_from: date
    open_to: date
    titles: dict[str, str]
    descriptions: dict[str, str]
    rewards: dict[str, str]
    questions: dict[str, str]


_PERIODS = {"P12M": timedelta(days=365)}


@cache
def load_programmes() -> dict[str, Programme]:
    """Every programme by slug.

    Raises:
        BrokenVocabulary: a programme asks for a measure, baseline, direction or period that we cannot compute.
    """
    files = sorted((FOLDER / "programmes").glob("*.ttl"))
    graph = Graph([*files, *sorted((FOLDER / "activities").glob("*/kind.ttl"))])
    programmes = {}
    for node in graph.subjects(f"{RDF}type", f"{TVILLING}Programme"):
        slug = graph.required(node, f"{SKOS}notation")
        open_from, _, open_to = graph.required(node, f"{DCTERMS}temporal").partition("/")
        programme = Programme(
            slug=slug,
            iri=str(node.value),
            rule_version=int(graph.required(node, f"{TVILLING}ruleVersion")),
            operator=graph.required(node, f"{TVILLING}operator"),
            kind_slug=graph.required(ox.NamedNode(graph.required(node, f"{TVILLING}measuresKind")), f"{SKOS}notation"),
            measure=graph.required(node, f"{TVILLING}measure"),
            period=_PERIODS[graph.required(node, f"{TVILLING}period")],
            baseline=graph.required(node, f"{TVILLING}baseline"),
            direction=graph.required(node, f"{TVILLING}direction"),
            threshold=float(graph.required(node, f"{TVILLING}threshold")),
            minimum_coverage_days=int(graph.required(node, f"{TVILLING}minimumCoverageDays")),
            claim_type=graph.required(node, f"{TVILLING}claim"),
            open_from=date.fromisoformat(open_from),
            open_to=date.fromisoformat(open_to),
            titles=graph.by_language(node, f"{SKOS}prefLabel"),
            descriptions=graph.by_language(node, f"{SKOS}definition"),
            rewards=graph.by_language(node, f"{TVILLING}reward"),
            questions=graph.by_language(node, f"{TVILLING}question"),
        )
        known = (programme.measure, programme.baseline, programme.direction)
        if known != ("quantity-per-person", "the-period-before", "less"):
            raise BrokenVocabulary(f"{slug} asks for what we cannot compute: {known}")
        programmes[slug] = programme
    return programmes

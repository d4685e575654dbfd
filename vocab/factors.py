"""Emission factors: what one unit of an activity emits, as low, mean and high, and where each figure comes from.

The data are ECFO factors in factors/*.ttl. Food, waste and travel name a discriminator beside the kind; places fall
back from the municipality to the country to the world.

Source: Emission Conversion Factor Ontology 1.0.0 (https://w3id.org/ecfo); the figures' sources in vocab/SOURCES.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Literal

import pyoxigraph as ox

from vocab.errors import BrokenVocabulary, NoFactor
from vocab.terms import DCTERMS, ECFO, FOLDER, RDF, RDFS, SKOS, TIME, TVILLING, UNIT, Graph, Subject
from vocab.words import LANGUAGES

_WIDER_PLACE = {"NO-5001": "NO-50", "NO-50": "NO", "NO": "WORLD"}


@dataclass(frozen=True)
class Factor:
    """One emission factor.

    Attributes:
        iri: Its name, under https://w3id.org/tvilling/factor/.
        label: By language: nb, en.
        kind_slug: The kind of activity it is for.
        discriminator: The food class, mode or fraction it is for; "" where the kind alone decides.
        low: Kilograms of CO2 equivalent per unit, the lowest of the cited figures.
        mean: The cited figure.
        high: The highest of the cited figures.
        unit: The unit of the activity's quantity: KiloW-HR, KiloGM or KiloM (passenger kilometres).
        place: Where it applies: NO-5001 (Trondheim), NO or WORLD.
        origin: Where it was measured; the same, but where a foreign figure stands in.
        period_start: The first day it applies.
        period_end: The last day it applies.
        source: Who published it, in a few words.
        citation: The full citation, with the arithmetic where there is some.
        url: Where it can be read.
        licence: On what terms it is restated.
        review_date: When the figure must be looked at again.
        directness: "primary" where read at its publisher, else "secondary".
        rule_version: Counted up when this factor's values change.
        spread_reason: One or two sentences by language on why low and high lie so far apart.
        bound_labels: For "low", "mean" and "high": what that figure is, by language.
    """

    iri: str
    label: dict[str, str]
    kind_slug: str
    discriminator: str
    low: float
    mean: float
    high: float
    unit: str
    place: str
    origin: str
    period_start: date
    period_end: date
    source: str
    citation: str
    url: str
    licence: str
    review_date: date
    directness: Literal["primary", "secondary"]
    rule_version: int
    spread_reason: dict[str, str]
    bound_labels: dict[str, dict[str, str]]


class FactorTable:
    """All factors, found by kind, discriminator, time and place."""

    def __init__(self, factors: tuple[Factor, ...], turtle_graph: Graph) -> None:
        self.factors = factors
        self.by_iri = {factor.iri: factor for factor in factors}
        self._graph = turtle_graph
        self._by_key: dict[tuple[str, str, str], list[Factor]] = {}
        for factor in factors:
            alternatives = self._by_key.setdefault((factor.kind_slug, factor.discriminator, factor.place), [])
            for other in alternatives:
                if factor.period_start <= other.period_end and other.period_start <= factor.period_end:
                    raise BrokenVocabulary(f"{factor.iri} and {other.iri} apply at the same time")
            alternatives.append(factor)

    def find(self, kind_slug: str, discriminator: str, at: datetime, place: str = "NO-5001") -> Factor:
        """The factor for one activity, by the narrowest place that has one.

        Args:
            kind_slug: The activity's kind.
            discriminator: `kind.discriminator(activity)`.
            at: The activity's start.
            place: NO-5001 (Trondheim), NO-50, NO or WORLD.

        Raises:
            NoFactor: nothing is known; the footprint is unknown, which is not zero.
        """
        day = at.date()
        wider: str | None = place
        while wider is not None:
            known = self._by_key.get((kind_slug, discriminator, wider))
            if known is not None:
                # The narrowest place that knows the thing decides, also where its periods have run out.
                for factor in known:
                    if factor.period_start <= day <= factor.period_end:
                        return factor
                break
            wider = _WIDER_PLACE.get(wider)
        raise NoFactor(kind_slug, discriminator, at, place)

    def applies(self, factor: Factor, place: str) -> bool:
        """Whether `find` could return this factor at `place`: no narrower place has one for its kind and discriminator."""
        wider: str | None = place
        while wider is not None:
            if (factor.kind_slug, factor.discriminator, wider) in self._by_key:
                return factor.place == wider
            wider = _WIDER_PLACE.get(wider)
        return False

    def graph(self) -> list[ox.Quad]:
        """Every factor as ECFO quads, for queries beside activities."""
        return list(self._graph.store)


@cache
def load_factors() -> FactorTable:
    """Read factors/*.ttl, once a process.

    Raises:
        BrokenVocabulary: a figure lacks its source, place, period, review date or reason, or contradicts another.
    """
    files = sorted((FOLDER / "factors").glob("*.ttl"))
    kinds = sorted((FOLDER / "activities").glob("*/kind.ttl"))
    graph = Graph(files)
    slugs = _slugs_by_class(Graph(kinds))
    factors = tuple(
        _factor(graph, node, slugs) for node in graph.subjects(f"{RDF}type", f"{ECFO}EmissionConversionFactor")
    )
    if not factors:
        raise BrokenVocabulary("no emission factors are installed")
    return FactorTable(factors, graph)


def _slugs_by_class(kinds: Graph) -> dict[str, str]:
    nodes = kinds.subjects(f"{RDF}type", f"{TVILLING}ActivityKind")
    return {str(node.value): kinds.required(node, f"{SKOS}notation") for node in nodes}


def _factor(graph: Graph, node: Subject, slugs: dict[str, str]) -> Factor:
    def in_each_language(predicate: str) -> dict[str, str]:
        texts = graph.by_language(node, predicate)
        if not set(LANGUAGES) <= texts.keys():
            raise BrokenVocabulary(f"{node} lacks {predicate} in nb, nn or en")
        return texts

    (period,) = graph.objects(node, f"{ECFO}hasApplicablePeriod")
    directness = graph.required(node, f"{TVILLING}directness")
    if directness not in {"primary", "secondary"}:
        raise BrokenVocabulary(f"{node} is neither primary nor secondary")
    factor = Factor(
        iri=str(node.value),
        label=in_each_language(f"{RDFS}label"),
        kind_slug=slugs[graph.required(node, f"{TVILLING}forKind")],
        discriminator=graph.required(node, f"{TVILLING}discriminator"),
        low=float(graph.required(node, f"{TVILLING}low")),
        mean=float(graph.required(node, f"{RDF}value")),
        high=float(graph.required(node, f"{TVILLING}high")),
        unit=graph.required(node, f"{ECFO}hasSourceUnit").removeprefix(UNIT),
        place=graph.required(node, f"{TVILLING}place"),
        origin=graph.required(node, f"{TVILLING}origin"),
        period_start=_day(graph, period, "hasBeginning"),
        period_end=_day(graph, period, "hasEnd"),
        source=graph.required(node, f"{DCTERMS}source"),
        citation=graph.required(node, f"{DCTERMS}bibliographicCitation"),
        url=graph.required(node, f"{RDFS}seeAlso"),
        licence=graph.required(node, f"{DCTERMS}license"),
        review_date=date.fromisoformat(graph.required(node, f"{TVILLING}reviewDate")),
        directness="primary" if directness == "primary" else "secondary",
        rule_version=int(graph.required(node, f"{TVILLING}ruleVersion")),
        spread_reason=in_each_language(f"{TVILLING}spreadReason"),
        bound_labels={bound: in_each_language(f"{TVILLING}{bound}Label") for bound in ("low", "mean", "high")},
    )
    if not 0 <= factor.low <= factor.mean <= factor.high:
        raise BrokenVocabulary(f"{node}: low, mean and high are not in order")
    return factor


def _day(graph: Graph, period: ox.NamedNode | ox.BlankNode | ox.Literal, end: str) -> date:
    if isinstance(period, ox.Literal):
        raise BrokenVocabulary("a period that is a literal")
    (instant,) = graph.objects(period, f"{TIME}{end}")
    if isinstance(instant, ox.Literal):
        raise BrokenVocabulary("an instant that is a literal")
    return date.fromisoformat(graph.required(instant, f"{TIME}inXSDDate"))

"""From noisy sums to a published cube: what is sure enough becomes an observation, the rest is suppressed.

All of it is post-processing of noisy numbers: nothing here sees an exact sum, so nothing here can spend budget.

Source: RDF Data Cube (W3C Recommendation 2014); DCAT 3; PROV-O; DPV 2.3 (dpv:DifferentialPrivacy).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyoxigraph as ox

from research_views.bounding import COUNT_WEIGHT, STEPS, VALUE_BOUND, Cell
from vocab.areas import load_areas
from vocab.kinds import canonical_double
from vocab.release_bounds import CategoryBounds, load_release_bounds
from vocab.terms import DCTERMS, PROV, QUDT, RDF, RDFS, SKOS, TVILLING, UNIT, XSD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

QB = "http://purl.org/linked-data/cube#"
SDMX_DIMENSION = "http://purl.org/linked-data/sdmx/2009/dimension#"
SDMX_ATTRIBUTE = "http://purl.org/linked-data/sdmx/2009/attribute#"
DCAT = "http://www.w3.org/ns/dcat#"
DPV = "https://w3id.org/dpv#"
CATEGORY = "https://w3id.org/tvilling/category/"
INTERVAL = "http://reference.data.gov.uk/id/gregorian-interval/"

SMALLEST_COUNT = 100
"""A cell with a noisy count below is suppressed."""

LARGEST_RELATIVE_DEVIATION = 0.25
"""A cell whose mean's noise is wider than this share of the mean is suppressed."""

_Z95 = 1.959964


@dataclass(frozen=True)
class Observation:
    """One published cell, kilograms of CO2 equivalent; `mean` is per participant and month.

    Each `_sd` is the standard deviation of the noise alone.
    """

    area: str
    category: str
    participants: float
    participants_sd: float
    total: float
    total_sd: float
    mean: float
    mean_sd: float
    mean_lower: float
    mean_upper: float


@dataclass(frozen=True)
class Published:
    """What a release publishes: observations, and the cells that are not told."""

    observations: tuple[Observation, ...]
    suppressed: tuple[Cell, ...]


def publish(cells: Sequence[Cell], counts: Sequence[int], sums: Sequence[int], *, scale_steps: float) -> Published:
    """Turn noisy counts and sums (in steps) into observations, or suppress them.

    An empty cell and one that is too uncertain are suppressed alike, by the same rule on noisy numbers.
    """
    bounds = {each.category: each for each in load_release_bounds()}
    observations, suppressed = [], []
    for cell, count, value in zip(cells, counts, sums, strict=True):
        observation = _observe(cell, count, value, bounds[cell.category], scale_steps)
        if observation is None:
            suppressed.append(cell)
        else:
            observations.append(observation)
    return Published(tuple(observations), tuple(suppressed))


def _observe(cell: Cell, count: int, value: int, bounds: CategoryBounds, scale: float) -> Observation | None:
    participants = count / (COUNT_WEIGHT * STEPS)
    participants_sd = scale / (COUNT_WEIGHT * STEPS)
    if participants < SMALLEST_COUNT:
        return None
    centred, centred_sd = value / STEPS, scale / STEPS
    ratio = centred / participants
    mean = bounds.centre + bounds.half_width * ratio
    # First-order propagation of both noises through the ratio.
    mean_sd = bounds.half_width / participants * math.hypot(centred_sd, ratio * participants_sd)
    if mean <= 0 or mean_sd / mean > LARGEST_RELATIVE_DEVIATION:
        return None
    return Observation(
        area=cell.area,
        category=cell.category,
        participants=_round(participants),
        participants_sd=_round(participants_sd),
        total=_round(bounds.centre * participants + bounds.half_width * centred),
        total_sd=_round(math.hypot(bounds.centre * participants_sd, bounds.half_width * centred_sd)),
        mean=_round(mean),
        mean_sd=_round(mean_sd),
        mean_lower=_round(max(bounds.low, mean - _Z95 * mean_sd)),
        mean_upper=_round(mean + _Z95 * mean_sd),
    )


def _round(value: float) -> float:
    return float(f"{value:.4g}")


@dataclass(frozen=True)
class Guarantee:
    """What a release promises, and the entry in the account that paid for it."""

    rho: float
    epsilon: float
    delta: float
    scale_steps: float
    entry_hash: str


class _Writer:
    """Collects triples of one graph."""

    def __init__(self) -> None:
        self.triples: list[ox.Triple] = []

    def say(self, subject: ox.NamedNode, predicate: str, *objects: ox.NamedNode | ox.Literal) -> None:
        self.triples += [ox.Triple(subject, ox.NamedNode(predicate), each) for each in objects]


def _number(value: float) -> ox.Literal:
    return ox.Literal(canonical_double(value), datatype=ox.NamedNode(f"{XSD}double"))


def release_iri(base_url: str, period: str) -> str:
    """The name of a month's release."""
    return f"{base_url}/research/releases/{period}"


def describe(
    published: Published, *, base_url: str, period: str, issued: datetime, guarantee: Guarantee, simulated: bool
) -> bytes:
    """The release as N-Triples: data set, structure, observations, suppressed cells, and how it was made."""
    w = _Writer()
    iri = release_iri(base_url, period)
    dataset, structure, making = ox.NamedNode(iri), ox.NamedNode(f"{iri}#structure"), ox.NamedNode(f"{iri}#making")
    node, text = ox.NamedNode, ox.Literal

    w.say(dataset, f"{RDF}type", node(f"{QB}DataSet"), node(f"{DCAT}Dataset"), node(f"{DPV}AnonymisedData"))
    w.say(
        dataset, f"{DCTERMS}title",
        text(f"Klimafotavtrykk i Trondheims bydeler, {period}", language="nb"),
        text(f"Climate footprints in Trondheim's districts, {period}", language="en"),
    )  # fmt: skip
    w.say(
        dataset, f"{DCTERMS}description",
        text(
            "Kilograms of CO2 equivalent per participant by district and category, with differentially private noise. "
            "Full SPARQL 1.1 may be asked of it: every answer is derived from numbers that are noisy already.",
            language="en",
        ),
    )  # fmt: skip
    w.say(dataset, f"{DCTERMS}issued", text(issued.isoformat(), datatype=node(f"{XSD}dateTime")))
    w.say(dataset, f"{DCTERMS}temporal", node(f"{INTERVAL}{_interval(period)}"))
    w.say(dataset, f"{DCTERMS}license", node("https://creativecommons.org/licenses/by/4.0/"))
    w.say(
        dataset,
        f"{DCTERMS}accessRights",
        text("Researchers with an invitation; the figures are anonymous", language="en"),
    )
    w.say(dataset, f"{DCAT}theme", node("http://publications.europa.eu/resource/authority/data-theme/ENVI"))
    w.say(dataset, f"{DCAT}endpointURL", node(f"{base_url}/research/sparql"))
    w.say(dataset, f"{QB}structure", structure)
    w.say(
        dataset, f"{TVILLING}selectionBias",
        text(
            "Only citizens who keep a pod here and consented to research are counted: they chose themselves. Figures are of "
            "what their partners deliver, not of all that they do."
            + (" Simulated neighbours of the demonstration are among them: these are not real figures." if simulated else ""),
            language="en",
        ),
    )  # fmt: skip

    w.say(making, f"{RDF}type", node(f"{PROV}Activity"), node(f"{DPV}DifferentialPrivacy"))
    w.say(dataset, f"{PROV}wasGeneratedBy", making)
    w.say(dataset, f"{DPV}hasTechnicalMeasure", making)
    w.say(making, f"{PROV}endedAtTime", text(issued.isoformat(), datatype=node(f"{XSD}dateTime")))
    w.say(
        making, f"{RDFS}comment",
        text("Discrete Gaussian noise on bounded sums (OpenDP), charged to the account before it was drawn.", language="en"),
    )  # fmt: skip
    for name, value in (
        ("rho", guarantee.rho),
        ("epsilon", guarantee.epsilon),
        ("delta", guarantee.delta),
        ("noiseScale", guarantee.scale_steps / STEPS),
        ("l2Bound", VALUE_BOUND),
        ("countWeight", COUNT_WEIGHT),
    ):
        w.say(making, f"{TVILLING}{name}", _number(value))
    w.say(making, f"{TVILLING}privacyUnit", text("one citizen: all figures of one pod in the month", language="en"))
    w.say(making, f"{TVILLING}budgetEntry", text(guarantee.entry_hash))
    for bounds in load_release_bounds():
        bound = node(f"{iri}#bounds-{bounds.category}")
        w.say(making, f"{TVILLING}releaseBounds", bound)
        w.say(bound, f"{TVILLING}categoryDimension", node(CATEGORY + bounds.category))
        w.say(bound, f"{TVILLING}clipLow", _number(bounds.low))
        w.say(bound, f"{TVILLING}centre", _number(bounds.centre))
        w.say(bound, f"{TVILLING}clipHigh", _number(bounds.high))
        w.say(bound, f"{DCTERMS}source", text(bounds.source))

    _describe_structure(w, iri, structure)
    for area in load_areas().values():
        w.say(node(area.iri), f"{SKOS}prefLabel", text(area.name))
        w.say(node(area.iri), f"{SKOS}notation", text(area.code))
    for bounds in load_release_bounds():
        w.say(node(CATEGORY + bounds.category), f"{SKOS}notation", text(bounds.category))

    for each in published.observations:
        observation = node(f"{iri}#{each.area}-{each.category}")
        w.say(observation, f"{RDF}type", node(f"{QB}Observation"))
        w.say(observation, f"{QB}dataSet", dataset)
        _say_where(w, observation, Cell(each.area, each.category), period)
        for name, value in (
            ("participants", each.participants),
            ("participantsStandardDeviation", each.participants_sd),
            ("totalFootprint", each.total),
            ("totalStandardDeviation", each.total_sd),
            ("meanFootprint", each.mean),
            ("meanStandardDeviation", each.mean_sd),
            ("meanLower", each.mean_lower),
            ("meanUpper", each.mean_upper),
        ):
            w.say(observation, f"{TVILLING}{name}", _number(value))
        w.say(observation, f"{SDMX_ATTRIBUTE}unitMeasure", node(f"{UNIT}KiloGM"))
    for cell in published.suppressed:
        told = node(f"{iri}#{cell.area}-{cell.category}")
        w.say(told, f"{RDF}type", node(f"{TVILLING}SuppressedCell"))
        w.say(dataset, f"{TVILLING}suppressedCell", told)
        _say_where(w, told, cell, period)

    serialised = ox.serialize(w.triples, format=ox.RdfFormat.N_TRIPLES)
    assert serialised is not None
    return serialised


def _say_where(w: _Writer, subject: ox.NamedNode, cell: Cell, period: str) -> None:
    w.say(subject, f"{SDMX_DIMENSION}refArea", ox.NamedNode(load_areas()[cell.area].iri))
    w.say(subject, f"{SDMX_DIMENSION}refPeriod", ox.NamedNode(f"{INTERVAL}{_interval(period)}"))
    w.say(subject, f"{TVILLING}categoryDimension", ox.NamedNode(CATEGORY + cell.category))


def _describe_structure(w: _Writer, iri: str, structure: ox.NamedNode) -> None:
    w.say(structure, f"{RDF}type", ox.NamedNode(f"{QB}DataStructureDefinition"))
    components = (
        [("dimension", f"{SDMX_DIMENSION}refArea"), ("dimension", f"{SDMX_DIMENSION}refPeriod")]
        + [("dimension", f"{TVILLING}categoryDimension")]
        + [("measure", f"{TVILLING}{name}") for name in ("participants", "totalFootprint", "meanFootprint")]
        + [
            ("attribute", f"{TVILLING}{name}")
            for name in (
                "participantsStandardDeviation", "totalStandardDeviation", "meanStandardDeviation", "meanLower", "meanUpper",
            )
        ]
        + [("attribute", f"{SDMX_ATTRIBUTE}unitMeasure")]
    )  # fmt: skip
    for place, (role, component) in enumerate(components, start=1):
        specification = ox.NamedNode(f"{iri}#component-{place}")
        w.say(structure, f"{QB}component", specification)
        w.say(specification, f"{QB}{role}", ox.NamedNode(component))
        kinds = {"dimension": "DimensionProperty", "measure": "MeasureProperty", "attribute": "AttributeProperty"}
        w.say(ox.NamedNode(component), f"{RDF}type", ox.NamedNode(f"{QB}{kinds[role]}"))
    w.say(ox.NamedNode(f"{TVILLING}meanFootprint"), f"{QUDT}unit", ox.NamedNode(f"{UNIT}KiloGM"))


def _interval(period: str) -> str:
    return f"{period}-01T00:00:00/P1M"

"""The figures that a citizen may let somebody read: what each is called, of which period, and in which unit.

Source: the twin's figures (twin_agent/figures.py); categories of personal data from DPV 2.3 (https://w3id.org/dpv/pd#).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from vocab.errors import BrokenVocabulary
from vocab.terms import FOLDER, QUDT, RDF, SKOS, TVILLING, Graph

PERIODS = ("month", "day")
MEASURES = ("footprint", "quantity")


@dataclass(frozen=True)
class SharedFigure:
    """One figure.

    Attributes:
        slug: Its name in grants, requests and answers: `footprint-month`.
        iri: Its IRI.
        personal_data: DPV's category of personal data.
        period: `month` or `day`, the city's own.
        measure: `footprint` (kilograms of CO2e, with low and high) or `quantity` (what was used, in `unit`).
        category: One of vocab/categories.ttl, or "" for the sum of all.
        unit: QUDT's IRI.
        titles: By language: nb, nn, en.
        descriptions: What it can reveal, likewise.
    """

    slug: str
    iri: str
    personal_data: str
    period: str
    measure: str
    category: str
    unit: str
    titles: dict[str, str]
    descriptions: dict[str, str]


@cache
def load_shared_figures() -> dict[str, SharedFigure]:
    """Every figure by slug, in the order of their names.

    Raises:
        BrokenVocabulary: a figure is of a period or a measure that the twin does not count.
    """
    graph = Graph([FOLDER / "shared-figures.ttl"])
    figures: dict[str, SharedFigure] = {}
    for node in graph.subjects(f"{RDF}type", f"{TVILLING}SharedFigure"):
        figure = SharedFigure(
            slug=graph.required(node, f"{SKOS}notation"),
            iri=str(node.value),
            personal_data=graph.required(node, f"{SKOS}broader"),
            period=graph.required(node, f"{TVILLING}period"),
            measure=graph.required(node, f"{TVILLING}measure"),
            category=graph.text(node, f"{TVILLING}category") or "",
            unit=graph.required(node, f"{QUDT}unit"),
            titles=graph.by_language(node, f"{SKOS}prefLabel"),
            descriptions=graph.by_language(node, f"{SKOS}definition"),
        )
        if figure.period not in PERIODS or figure.measure not in MEASURES:
            raise BrokenVocabulary(f"the figure {figure.slug} is of no period or measure that is counted")
        figures[figure.slug] = figure
    return dict(sorted(figures.items()))

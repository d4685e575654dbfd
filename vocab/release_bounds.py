"""The public bounds of the monthly releases: chosen from published figures, never from a citizen's data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from vocab.errors import BrokenVocabulary
from vocab.terms import DCTERMS, FOLDER, RDF, RDFS, TVILLING, Graph


@dataclass(frozen=True)
class CategoryBounds:
    """One category's bounds, kilograms of CO2 equivalent per person and month."""

    category: str
    low: float
    centre: float
    high: float
    source: str
    url: str

    @property
    def half_width(self) -> float:
        """The larger distance from the centre to a bound."""
        return max(self.high - self.centre, self.centre - self.low)


@cache
def load_release_bounds() -> tuple[CategoryBounds, ...]:
    """The bounds in their fixed order, which is also the order of a release's cells."""
    graph = Graph([FOLDER / "release.ttl"])
    found: list[tuple[int, CategoryBounds]] = []
    for node in graph.subjects(f"{RDF}type", f"{TVILLING}ReleaseBounds"):
        bounds = CategoryBounds(
            category=graph.required(node, f"{TVILLING}category"),
            low=float(graph.required(node, f"{TVILLING}low")),
            centre=float(graph.required(node, f"{TVILLING}centre")),
            high=float(graph.required(node, f"{TVILLING}high")),
            source=graph.required(node, f"{DCTERMS}source"),
            url=graph.required(node, f"{RDFS}seeAlso"),
        )
        if not bounds.low < bounds.centre < bounds.high:
            raise BrokenVocabulary(f"{node}: low, centre and high are not in order")
        found.append((int(graph.required(node, f"{TVILLING}order")), bounds))
    return tuple(bounds for _, bounds in sorted(found, key=lambda pair: pair[0]))

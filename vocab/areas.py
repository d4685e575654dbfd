"""The public list of areas that releases and comparisons are made for: Trondheim's four districts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from vocab.terms import FOLDER, RDF, SKOS, TVILLING, Graph


@dataclass(frozen=True)
class Area:
    """One district: Statistics Norway's code, its name, its inhabitants on 1 January 2021, its municipality."""

    code: str
    iri: str
    name: str
    population: int
    municipality: str


@cache
def load_areas() -> dict[str, Area]:
    """Every area by code."""
    graph = Graph([FOLDER / "areas.ttl"])
    areas = {}
    for node in graph.subjects(f"{RDF}type", f"{TVILLING}Area"):
        code = graph.required(node, f"{SKOS}notation")
        areas[code] = Area(
            code=code,
            iri=str(node.value),
            name=graph.required(node, f"{SKOS}prefLabel"),
            population=int(graph.required(node, f"{TVILLING}population")),
            municipality=graph.required(node, f"{TVILLING}municipality"),
        )
    return dict(sorted(areas.items()))

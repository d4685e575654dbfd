"""What data may be asked for: the purposes that grants name, each narrower than one of DPV's.

Source: Data Privacy Vocabulary 2.3, Purposes (https://w3id.org/dpv#); GDPR Art. 5(1)(b).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from vocab.terms import FOLDER, RDF, SKOS, Graph


@dataclass(frozen=True)
class Purpose:
    """One purpose: its slug, its IRI, the DPV purpose it narrows, and its words by language (nb, nn, en)."""

    slug: str
    iri: str
    broader: str
    titles: dict[str, str]
    descriptions: dict[str, str]


@cache
def load_purposes() -> dict[str, Purpose]:
    """Every purpose by slug."""
    graph = Graph([FOLDER / "purposes.ttl"])
    purposes = {}
    for node in graph.subjects(f"{RDF}type", "https://w3id.org/dpv#Purpose"):
        slug = graph.required(node, f"{SKOS}notation")
        purposes[slug] = Purpose(
            slug=slug,
            iri=str(node.value),
            broader=graph.required(node, f"{SKOS}broader"),
            titles=graph.by_language(node, f"{SKOS}prefLabel"),
            descriptions=graph.by_language(node, f"{SKOS}definition"),
        )
    return purposes


def find_purpose(text: str) -> Purpose | None:
    """A purpose by its slug or its IRI."""
    purposes = load_purposes()
    return purposes.get(text) or next((each for each in purposes.values() if each.iri == text), None)

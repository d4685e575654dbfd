"""The categories' names, icons and colours, and the UN goals they touch: the words that pages share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from vocab.errors import BrokenVocabulary
from vocab.terms import FOLDER, RDF, RDFS, SKOS, TVILLING, Graph

LANGUAGES = ("nb", "nn", "en")


@dataclass(frozen=True)
class Goal:
    """One of the UN's sustainable development goals, under the UN's own IRI."""

    number: int
    iri: str
    labels: dict[str, str]


@dataclass(frozen=True)
class Category:
    """Where a footprint is counted.

    `icon` is a name, not a file; `colour` is for light pages, `dark_colour` for dark ones (both with enough contrast
    for large text and shapes; a colour never stands alone).
    """

    slug: str
    labels: dict[str, str]
    icon: str
    colour: str
    dark_colour: str
    goals: tuple[Goal, ...]


@cache
def load_goals() -> dict[str, Goal]:
    """The goals that the categories touch, by IRI."""
    graph = Graph([FOLDER / "sdg" / "goals.ttl"])
    goals = {}
    for node in graph.subjects(f"{RDF}type", "http://metadata.un.org/sdg/ontology#Goal"):
        number = int(graph.required(node, f"{SKOS}notation"))
        goals[str(node.value)] = Goal(number, str(node.value), graph.by_language(node, f"{SKOS}prefLabel"))
    return goals


@cache
def load_categories() -> dict[str, Category]:
    """The categories in the order pages show them, by slug.

    Raises:
        BrokenVocabulary: a category lacks a word, or names a goal that is not there.
    """
    graph = Graph([FOLDER / "categories.ttl"])
    goals = load_goals()
    found: list[tuple[int, Category]] = []
    for node in graph.subjects(f"{RDF}type", f"{TVILLING}Category"):
        labels = graph.by_language(node, f"{SKOS}prefLabel")
        if set(labels) != set(LANGUAGES):
            raise BrokenVocabulary(f"{node} lacks a language")
        named = [str(each.value) for each in graph.objects(node, f"{RDFS}seeAlso")]
        unknown = [iri for iri in named if iri not in goals]
        if unknown:
            raise BrokenVocabulary(f"{node} names unknown goals: {unknown}")
        category = Category(
            slug=graph.required(node, f"{SKOS}notation"),
            labels=labels,
            icon=graph.required(node, f"{TVILLING}icon"),
            colour=graph.required(node, f"{TVILLING}colour"),
            dark_colour=graph.required(node, f"{TVILLING}darkColour"),
            goals=tuple(sorted((goals[iri] for iri in named), key=lambda goal: goal.number)),
        )
        found.append((int(graph.required(node, f"{TVILLING}order")), category))
    return {category.slug: category for _, category in sorted(found, key=lambda pair: pair[0])}

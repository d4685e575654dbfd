"""By which written rules one event that several records tell of is counted once; data in counting-rules.ttl."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from vocab.errors import BrokenVocabulary
from vocab.terms import FOLDER, RDF, SKOS, TVILLING, Graph
from vocab.words import LANGUAGES


@dataclass(frozen=True)
class CountingRule:
    """One rule.

    Attributes:
        slug: Its name, as `NotCounted.rule` says it.
        iri: Its IRI, under https://w3id.org/tvilling/counting-rule/.
        titles: By language: nb, nn, en.
        reasons: What a citizen is told of a record it leaves out; `{partner}` stands for whoever is counted instead.
        threshold: Its limits, in words.
        threshold_source: Where they come from; a guess says so.
    """

    slug: str
    iri: str
    titles: dict[str, str]
    reasons: dict[str, str]
    threshold: str
    threshold_source: str


@cache
def load_counting_rules() -> dict[str, CountingRule]:
    """Every rule by its slug.

    Raises:
        BrokenVocabulary: a rule lacks a language or its source.
    """
    graph = Graph([FOLDER / "counting-rules.ttl"])
    rules = {}
    for node in graph.subjects(f"{RDF}type", f"{TVILLING}CountingRule"):
        rule = CountingRule(
            slug=graph.required(node, f"{SKOS}notation"),
            iri=str(node.value),
            titles=graph.by_language(node, f"{SKOS}prefLabel"),
            reasons=graph.by_language(node, f"{TVILLING}reason"),
            threshold=graph.required(node, f"{TVILLING}threshold"),
            threshold_source=graph.required(node, f"{TVILLING}thresholdSource"),
        )
        if not set(LANGUAGES) <= rule.titles.keys() & rule.reasons.keys():
            raise BrokenVocabulary(f"{rule.iri} lacks its words in nb, nn or en")
        rules[rule.slug] = rule
    return rules

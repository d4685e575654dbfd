"""What both patch languages mean: conditions, deletions and insertions over one graph.

A pattern's terms are RDF terms or variables. Matching has a budget of steps, because a condition is a join that its
author may, by mistake or malice, make as costly as he likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pyoxigraph import BlankNode, Literal, NamedNode, Triple, Variable

from pod_server.representation.errors import PatchDoesNotMatch, PatchNotProcessable
from pod_server.representation.graph import Graph

Term = NamedNode | BlankNode | Literal | Variable
Pattern = tuple[Term, Term, Term]
Bindings = dict[Variable, NamedNode | BlankNode | Literal]

NAMED_PREFIX = "v_"
BLANK_PREFIX = "b_"
"""Blank nodes in conditions are variables that nobody asks for; the prefixes keep them apart from the named ones."""

STEP_BUDGET = 200_000
"""About 0.2 s of matching."""


@dataclass(frozen=True)
class Patch:
    """A change to one graph.

    Attributes:
        conditions: Patterns that must match together; empty matches once with no bindings.
        deletions: Taken away.
        insertions: Added.
        strict: As in N3 Patch: exactly one match, and every deletion must be there. Otherwise as in SPARQL Update:
            carried out for each match, and what is not there is not missed.
        prefixes: The prefixes the patch was written with.
    """

    conditions: tuple[Pattern, ...]
    deletions: tuple[Pattern, ...]
    insertions: tuple[Pattern, ...]
    strict: bool
    prefixes: dict[str, str]

    @property
    def needs_reading(self) -> bool:
        """True when its outcome tells what the document holds."""
        return bool(self.conditions or self.deletions)


def apply(graph: Graph, patch: Patch) -> Graph:
    """The graph after the patch; triples that the patch does not touch stay, in their order.

    Raises:
        PatchDoesNotMatch: a strict patch whose conditions match not once, or whose deletions are not there.
        PatchNotProcessable: matching costs more than the budget, or a binding puts a literal where none may stand.
    """
    matches = _matches(graph, patch)
    taken: set[Triple] = set()
    added: list[Triple] = []
    for bindings in matches:
        taken.update(_filled(pattern, bindings, {}) for pattern in patch.deletions)
        fresh: dict[BlankNode, BlankNode] = {}
        added.extend(_filled(pattern, bindings, fresh) for pattern in patch.insertions)
    present = set(graph.triples)
    if patch.strict and not taken <= present:
        raise PatchDoesNotMatch("a triple to be deleted is not in the document")
    kept = [triple for triple in graph.triples if triple not in taken]
    return Graph.of([*kept, *added], {**patch.prefixes, **graph.prefixes})


def _matches(graph: Graph, patch: Patch) -> list[Bindings]:
    if not patch.conditions:
        return [{}]
    found: list[Bindings] = []
    for bindings in _Matcher(graph).solutions(patch.conditions):
        named = {variable: term for variable, term in bindings.items() if not variable.value.startswith(BLANK_PREFIX)}
        if named not in found:
            found.append(named)
        if patch.strict and len(found) > 1:
            raise PatchDoesNotMatch("the conditions match more than once, so it is not clear what is meant")
    if patch.strict and not found:
        raise PatchDoesNotMatch("the conditions do not match the document")
    return found


def _filled(pattern: Pattern, bindings: Bindings, fresh: dict[BlankNode, BlankNode]) -> Triple:
    terms: list[NamedNode | BlankNode | Literal] = []
    for term in pattern:
        if isinstance(term, Variable):
            terms.append(bindings[term])
        elif isinstance(term, BlankNode):
            terms.append(fresh.setdefault(term, BlankNode()))
        else:
            terms.append(term)
    subject, predicate, object_ = terms
    if isinstance(subject, Literal) or not isinstance(predicate, NamedNode):
        raise PatchNotProcessable("a variable puts a literal or a blank node where only an IRI may stand")
    return Triple(subject, predicate, object_)


class _Matcher:
    """Joins patterns over a graph, the most bound pattern first."""

    def __init__(self, graph: Graph) -> None:
        self._all = graph.triples
        self._by_subject: dict[Term, list[Triple]] = {}
        self._by_predicate: dict[Term, list[Triple]] = {}
        self._by_object: dict[Term, list[Triple]] = {}
        for triple in graph.triples:
            self._by_subject.setdefault(triple.subject, []).append(triple)  # type: ignore[arg-type]
            self._by_predicate.setdefault(triple.predicate, []).append(triple)
            self._by_object.setdefault(triple.object, []).append(triple)  # type: ignore[arg-type]
        self._steps = 0

    def solutions(self, patterns: tuple[Pattern, ...], bindings: Bindings | None = None) -> Iterator[Bindings]:
        bound = bindings or {}
        if not patterns:
            yield bound
            return
        candidates = [self._candidates(pattern, bound) for pattern in patterns]
        chosen = min(range(len(patterns)), key=lambda index: len(candidates[index]))
        rest = patterns[:chosen] + patterns[chosen + 1 :]
        for triple in candidates[chosen]:
            self._steps += 1
            if self._steps > STEP_BUDGET:
                raise PatchNotProcessable("the conditions are too costly to match")
            extended = _unify(patterns[chosen], triple, bound)
            if extended is not None:
                yield from self.solutions(rest, extended)

    def _candidates(self, pattern: Pattern, bound: Bindings) -> list[Triple] | tuple[Triple, ...]:
        best: list[Triple] | tuple[Triple, ...] = self._all
        for term, index in zip(pattern, (self._by_subject, self._by_predicate, self._by_object), strict=True):
            value = bound.get(term) if isinstance(term, Variable) else term
            if value is not None:
                those = index.get(value, [])
                if len(those) < len(best):
                    best = those
        return best


def _unify(pattern: Pattern, triple: Triple, bound: Bindings) -> Bindings | None:
    extended = dict(bound)
    for term, value in zip(pattern, (triple.subject, triple.predicate, triple.object), strict=True):
        if isinstance(term, Variable):
            known = extended.setdefault(term, value)  # type: ignore[arg-type]
            if known != value:
                return None
        elif term != value:
            return None
    return extended

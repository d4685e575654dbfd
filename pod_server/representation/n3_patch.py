"""N3 Patch (Solid Protocol, section 5.3.1): one `solid:InsertDeletePatch` with where, deletes and inserts.

pyoxigraph's N3 parser keeps formulas apart but takes no variables, so variables travel as IRIs of a scheme of their
own and are turned back after parsing; a body that itself uses that scheme is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pyoxigraph import BlankNode, DefaultGraph, Literal, NamedNode, Quad, RdfFormat, Triple, Variable, parse

from pod_server.representation.errors import MalformedRepresentation, PatchNotProcessable
from pod_server.representation.patch import BLANK_PREFIX, NAMED_PREFIX, Patch, Pattern, Term

MEDIA_TYPE = "text/n3"

_SOLID = "http://www.w3.org/ns/solid/terms#"
_TYPE = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
_PATCH = NamedNode(_SOLID + "InsertDeletePatch")
_PARTS = {name: NamedNode(_SOLID + name) for name in ("where", "deletes", "inserts")}

_VARIABLE_SCHEME = "tvilling-variable:"

_TOKENS = re.compile(
    r'"""(?:[^\\]|\\.)*?"""'
    r"|'''(?:[^\\]|\\.)*?'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'(?:[^'\\\n]|\\.)*'"
    r'|<[^<>"{}|^`\x00-\x20]*>'
    r"|\\."
    r"|\#[^\n]*"
    r"|[?$](?P<variable>\w+)",
    re.DOTALL,
)
"""What may hide a question mark, matched first; then a variable (SPARQL 1.1, VAR1 and VAR2)."""


def read(body: bytes, base_iri: str) -> Patch:
    """Read an N3 Patch.

    Raises:
        MalformedRepresentation: not N3.
        PatchNotProcessable: N3, but not a patch that the specification allows.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise MalformedRepresentation("the patch is not UTF-8") from error
    quads, prefixes = parse_with_variables(text, base_iri)
    patches = {quad.subject for quad in quads if quad.predicate == _TYPE and quad.object == _PATCH and _outside(quad)}
    if len(patches) != 1:
        raise PatchNotProcessable("the body must hold exactly one solid:InsertDeletePatch")
    (patch,) = patches
    parts: dict[str, tuple[Pattern, ...]] = {}
    for name, predicate in _PARTS.items():
        formulas = [quad.object for quad in quads if quad.subject == patch and quad.predicate == predicate]
        if len(formulas) > 1:
            raise PatchNotProcessable(f"the patch has more than one solid:{name}")
        parts[name] = formula(quads, formulas[0]) if formulas else ()
    for name in ("deletes", "inserts"):
        if any(isinstance(term, BlankNode) for pattern in parts[name] for term in pattern):
            raise PatchNotProcessable(f"solid:{name} must not hold blank nodes")
    conditions = blank_nodes_as_variables(parts["where"])
    check_variables(conditions, parts["deletes"], parts["inserts"])
    return Patch(conditions, parts["deletes"], parts["inserts"], strict=True, prefixes=_without_patch_words(prefixes))


def parse_with_variables(text: str, base_iri: str) -> tuple[list[Quad], dict[str, str]]:
    """Parse N3 whose formulas may hold variables; formulas are the graphs of the quads.

    Raises:
        MalformedRepresentation: not N3.
    """
    if _VARIABLE_SCHEME in text:
        raise MalformedRepresentation(f"the scheme {_VARIABLE_SCHEME!r} is kept for the server's own use")
    named = _TOKENS.sub(
        lambda match: f"<{_VARIABLE_SCHEME}{match['variable']}>" if match["variable"] else match[0], text
    )
    try:
        parser = parse(named.encode(), format=RdfFormat.N3, base_iri=base_iri, rename_blank_nodes=True)
        quads = list(parser)
    except SyntaxError as error:
        raise MalformedRepresentation("the patch breaks the syntax of its media type", line=error.lineno) from error
    except ValueError as error:
        raise MalformedRepresentation("the patch cannot be read") from error
    return quads, parser.prefixes


def formula(quads: list[Quad], name: object) -> tuple[Pattern, ...]:
    """The patterns of one formula.

    Raises:
        PatchNotProcessable: `name` is not a formula (a literal or an IRI was written in its place), or the formula
            holds another one.
    """
    if not isinstance(name, BlankNode):
        raise PatchNotProcessable("a part of the patch is not a formula in braces")
    graphs = {quad.graph_name for quad in quads}
    patterns: list[Pattern] = []
    for quad in quads:
        if quad.graph_name != name:
            continue
        if quad.object in graphs or quad.subject in graphs or isinstance(quad.object, Triple):
            raise PatchNotProcessable("a formula must not hold another formula")
        patterns.append((_term(quad.subject), _term(quad.predicate), _term(quad.object)))
    return tuple(patterns)


def blank_nodes_as_variables(patterns: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
    """In conditions a blank node stands for anything, as in SPARQL 1.1, section 4.1.4."""

    def opened(term: Term) -> Term:
        return Variable(BLANK_PREFIX + term.value) if isinstance(term, BlankNode) else term

    return tuple((opened(subject), opened(predicate), opened(object_)) for subject, predicate, object_ in patterns)


def check_variables(conditions: tuple[Pattern, ...], *changes: tuple[Pattern, ...]) -> None:
    """Every variable that is deleted or inserted must be bound by the conditions.

    Raises:
        PatchNotProcessable: one is not.
    """
    bound = {term for pattern in conditions for term in pattern if isinstance(term, Variable)}
    for patterns in changes:
        for pattern in patterns:
            if any(isinstance(term, Variable) and term not in bound for term in pattern):
                raise PatchNotProcessable("a variable is used that the conditions do not bind")


def prefix_lines(prefixes: Mapping[str, str]) -> str:
    """Prefixes as N3 directives."""
    return "".join(f"@prefix {name}: <{iri}> .\n" for name, iri in prefixes.items())


def _without_patch_words(prefixes: Mapping[str, str]) -> dict[str, str]:
    # The patch's own vocabulary does not belong to the document it changes.
    return {name: iri for name, iri in prefixes.items() if iri != _SOLID}


def _outside(quad: Quad) -> bool:
    return isinstance(quad.graph_name, DefaultGraph)


def _term(term: object) -> Term:
    if isinstance(term, NamedNode) and term.value.startswith(_VARIABLE_SCHEME):
        return Variable(NAMED_PREFIX + term.value[len(_VARIABLE_SCHEME) :])
    assert isinstance(term, NamedNode | BlankNode | Literal)
    return term

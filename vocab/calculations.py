"""The RDF of what a calculation service answered: one context over the JSON-LD that is kept (calculation.jsonld)."""

from __future__ import annotations

import json
from functools import cache

import pyoxigraph as ox

from vocab.kinds import canonical_double
from vocab.terms import FOLDER, XSD

_DOUBLE = ox.NamedNode(f"{XSD}double")


@cache
def context() -> dict[str, object]:
    """The context, once a process."""
    found: dict[str, object] = json.loads((FOLDER / "calculation.jsonld").read_text("utf-8"))["@context"]
    return found


def prefixes() -> dict[str, str]:
    """The context's own short names, for whoever writes Turtle."""
    found = {name: iri for name, iri in context().items() if isinstance(iri, str) and iri.endswith(("#", "/"))}
    # In the context a term named `unit` would shadow the prefix, as it did once (docs/partners.md).
    return {"unit" if name == "units" else name: iri for name, iri in found.items()}


def triples(content: bytes, root_iri: str) -> list[ox.Triple]:
    """The triples of one kept answer, its names resolved against the pod's root.

    Numbers are written as JSON-LD prescribes (JSON-LD 1.1 API, section 8.2.2), whichever reader it was.
    """
    document = json.dumps({"@context": context(), **json.loads(content)})
    made = []
    for quad in ox.parse(document.encode(), format=ox.RdfFormat.JSON_LD, base_iri=root_iri):
        literal = quad.object
        if isinstance(literal, ox.Literal) and literal.datatype == _DOUBLE:
            literal = ox.Literal(canonical_double(float(literal.value)), datatype=_DOUBLE)
        made.append(ox.Triple(quad.subject, quad.predicate, literal))
    return made

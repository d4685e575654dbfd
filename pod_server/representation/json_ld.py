"""JSON-LD 1.1: contexts that the house knows are put in by hand, all others are refused.

pyoxigraph fetches nothing; a context that is only named must therefore be one of `known_contexts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyoxigraph import RdfFormat, serialize

from pod_server.representation.errors import MalformedRepresentation
from pod_server.representation.graph import Graph, parse_graph

MEDIA_TYPE = "application/ld+json"


def read(
    body: bytes, base_iri: str, known_contexts: Mapping[str, Any] | None = None, *, named_graphs: bool = False
) -> Graph:
    """Read a JSON-LD document.

    Args:
        body: The whole document.
        base_iri: What relative IRIs are resolved against.
        known_contexts: Context IRI → the context's value, put in where the document only names it.
        named_graphs: Whether the document may hold named graphs.

    Raises:
        MalformedRepresentation: not JSON-LD, or it names graphs where it may not.
        RemoteContextRefused: it names a context that is not known here.
    """
    if known_contexts and any(name.encode() in body for name in known_contexts):
        try:
            body = json.dumps(_with_contexts(json.loads(body), known_contexts)).encode()
        except (ValueError, RecursionError) as error:
            raise MalformedRepresentation("the body is not JSON") from error
    return parse_graph(body, RdfFormat.JSON_LD, base_iri, named_graphs=named_graphs)


def write(graph: Graph) -> bytes:
    """Write a graph, with its named graphs, in expanded form, which needs no context."""
    return serialize(graph.quads if graph.named else graph.triples, format=RdfFormat.JSON_LD) or b"[]"


def _with_contexts(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_with_contexts(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    result = {name: _with_contexts(item, known) for name, item in value.items() if name != "@context"}
    if "@context" in value:
        named = value["@context"]
        several = named if isinstance(named, list) else [named]
        result["@context"] = [known.get(one, one) if isinstance(one, str) else one for one in several]
    return result

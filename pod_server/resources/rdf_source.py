"""RDF sources (LDP, section 4.3): documents kept as graphs, in whatever representation they came and are asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pyoxigraph import Literal, NamedNode, Triple

from pod_server.representation import n3_patch, negotiation, sparql_update, stored
from pod_server.representation.errors import UnsupportedMediaType
from pod_server.representation.graph import Graph
from pod_server.representation.patch import apply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from pod_server.representation.patch import Patch

STORED_MEDIA_TYPE = "text/turtle"

PATCH_MEDIA_TYPES = (n3_patch.MEDIA_TYPE, sparql_update.MEDIA_TYPE)


def read_body(
    body: bytes, media_type: str, iri: str, known_contexts: Mapping[str, Any], *, named_graphs: bool = False
) -> Graph:
    """The graph of a request's body, its relative IRIs resolved against the resource."""
    return negotiation.read(body, media_type, iri, known_contexts, named_graphs=named_graphs)


def read_patch(body: bytes, media_type: str, iri: str) -> list[Patch]:
    """The patches of a request's body, in order.

    Raises:
        UnsupportedMediaType: neither N3 Patch nor SPARQL Update.
    """
    if media_type == n3_patch.MEDIA_TYPE:
        return [n3_patch.read(body, iri)]
    if media_type == sparql_update.MEDIA_TYPE:
        return sparql_update.read(body, iri)
    raise UnsupportedMediaType("a resource is patched with N3 Patch or SPARQL Update", accepted=PATCH_MEDIA_TYPES)


def patched(graph: Graph, patches: Iterable[Patch]) -> Graph:
    """The graph after all patches, which leave its named graphs alone; see `patch.apply` for what it raises."""
    named = graph.named
    for patch in patches:
        graph = apply(graph, patch)
    return replace(graph, named=named)


def only_adds(patches: Iterable[Patch], root_iri: str) -> bytes | None:
    """The stored form of what patches add, where they do nothing else and name everything they add; else None.

    It can stand after the stored form of any graph without named graphs: there each triple is a line.
    (A line break comes first, in case a document that was loaded from elsewhere ends without one.)
    """
    triples = []
    for patch in patches:
        if patch.conditions or patch.deletions:
            return None
        for subject, predicate, value in patch.insertions:
            if not isinstance(subject, NamedNode) or not isinstance(value, NamedNode | Literal):
                return None
            assert isinstance(predicate, NamedNode)
            triples.append(Triple(subject, predicate, value))
    return b"\n" + stored.write(Graph.of(triples), root_iri) if triples else None


def from_stored(content: bytes, root_iri: str) -> Graph:
    """The graph of a stored document."""
    return stored.read(content, root_iri)


def stored_media_type(graph: Graph) -> str:
    """The media type under which a graph is kept: Turtle, or TriG where it has named graphs."""
    return stored.media_type_of(graph)


def to_stored(graph: Graph, root_iri: str) -> bytes:
    """The bytes to seal."""
    return stored.write(graph, root_iri)

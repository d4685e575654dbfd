"""Turtle (RDF 1.1 Turtle), the representation that every Solid client reads."""

from __future__ import annotations

from pyoxigraph import RdfFormat, serialize

from pod_server.representation.graph import Graph, parse_graph

MEDIA_TYPE = "text/turtle"


def read(body: bytes, base_iri: str) -> Graph:
    """Read a Turtle document; see `parse_graph` for what it raises."""
    return parse_graph(body, RdfFormat.TURTLE, base_iri)


def write(graph: Graph) -> bytes:
    """Write a graph with its author's prefixes; IRIs are absolute or prefixed, so that it can be read anywhere."""
    return serialize(graph.triples, format=RdfFormat.TURTLE, prefixes=dict(graph.prefixes)) or b""

"""N-Triples (RDF 1.1 N-Triples), one triple a line."""

from __future__ import annotations

from pyoxigraph import RdfFormat, serialize

from pod_server.representation.graph import Graph, parse_graph

MEDIA_TYPE = "application/n-triples"


def read(body: bytes, base_iri: str) -> Graph:
    """Read an N-Triples document; see `parse_graph` for what it raises."""
    return parse_graph(body, RdfFormat.N_TRIPLES, base_iri)


def write(graph: Graph) -> bytes:
    """Write a graph, one triple a line."""
    return serialize(graph.triples, format=RdfFormat.N_TRIPLES) or b""

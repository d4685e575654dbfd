"""TriG (RDF 1.1 TriG): Turtle with named graphs."""

from __future__ import annotations

from pyoxigraph import RdfFormat, serialize

from pod_server.representation.graph import Graph, parse_graph

MEDIA_TYPE = "application/trig"


def read(body: bytes, base_iri: str, *, named_graphs: bool = True) -> Graph:
    """Read a TriG document; see `parse_graph` for what it raises."""
    return parse_graph(body, RdfFormat.TRIG, base_iri, named_graphs=named_graphs)


def write(graph: Graph) -> bytes:
    """Write a graph and its named graphs with their author's prefixes."""
    return serialize(graph.quads, format=RdfFormat.TRIG, prefixes=dict(graph.prefixes)) or b""

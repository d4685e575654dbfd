"""N-Quads (RDF 1.1 N-Quads), one statement a line, each with its graph's name."""

from __future__ import annotations

from pyoxigraph import RdfFormat, serialize

from pod_server.representation.graph import Graph, parse_graph

MEDIA_TYPE = "application/n-quads"


def read(body: bytes, base_iri: str, *, named_graphs: bool = True) -> Graph:
    """Read an N-Quads document; see `parse_graph` for what it raises."""
    return parse_graph(body, RdfFormat.N_QUADS, base_iri, named_graphs=named_graphs)


def write(graph: Graph) -> bytes:
    """Write a graph and its named graphs, one statement a line."""
    return serialize(graph.quads, format=RdfFormat.N_QUADS) or b""

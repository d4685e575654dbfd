"""The form an RDF document has inside the pod: Turtle, one triple a line, IRIs relative to the pod's root.

Where a document has named graphs the form is TriG, one triple a line and each in its graph's braces; every Turtle
document is a TriG document too, so that one reader does for both.

The pod's own IRIs are written without scheme, host and handle, so that a pod moves to another host without a byte
changing. Prefixes come first and are kept for the reader's sake. Any Turtle whose base is the pod's root may be read
back (the seed is written by hand); what this module writes is one triple a line.
"""

from __future__ import annotations

import re

from pyoxigraph import Quad, RdfFormat, serialize

from pod_server.representation import trig, turtle
from pod_server.representation.graph import Graph, parse_graph

_PREFIX_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z|\Z")


def read(content: bytes, root_iri: str) -> Graph:
    """Read a stored document of the pod that is now reached at `root_iri` (which ends in a slash)."""
    # Nearly all documents are one graph, and that is read faster; a brace in a literal costs the difference.
    named_graphs = b"{" in content
    return parse_graph(
        content, RdfFormat.TRIG if named_graphs else RdfFormat.TURTLE, root_iri, named_graphs=named_graphs
    )


def media_type_of(graph: Graph) -> str:
    """What the stored form of a graph is."""
    return trig.MEDIA_TYPE if graph.named else turtle.MEDIA_TYPE


def write(graph: Graph, root_iri: str) -> bytes:
    """Write a graph so that `read` gives the same graph, at this root or, moved along, at another one."""
    lines = serialize(graph.triples, format=RdfFormat.N_TRIPLES) or b""
    lines += b"".join(_in_braces(quad) for quad in graph.named)
    prefixes = "".join(
        f"@prefix {name}: <{iri}> .\n"
        for name, iri in graph.prefixes.items()
        if _PREFIX_NAME.match(name) and not iri.startswith(root_iri)
    )
    root = re.escape(root_iri.encode())
    # A literal may hold what looks like an IRI of ours, so literals are matched first and left alone.
    own_iris = re.compile(rb'"(?:[^"\\]|\\.)*"|<' + root + rb"([^>]*)>")
    return prefixes.encode() + own_iris.sub(_relative, lines)


def _in_braces(quad: Quad) -> bytes:
    line = (serialize([quad.triple], format=RdfFormat.N_TRIPLES) or b"").rstrip()
    return f"{quad.graph_name} {{ ".encode() + line + b" }\n"


def _relative(match: re.Match[bytes]) -> bytes:
    rest = match[1]
    if rest is None:
        return match[0]
    path = re.split(rb"[?#]", rest, maxsplit=1)[0]
    segments = path.split(b"/")
    if b"." in segments or b".." in segments:
        # Resolving would take these segments away (RFC 3986, section 5.2.4); such an IRI stays absolute.
        return match[0]
    if rest.startswith(b"/") or b":" in segments[0]:
        return b"<./" + rest + b">"
    return b"<" + rest + b">"

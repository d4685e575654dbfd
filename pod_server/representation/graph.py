"""An RDF graph between two representations: its triples in order, once each, and the prefixes its author chose.

A document may hold named graphs too (RDF 1.1 Concepts, section 4: a dataset). They are kept, and given back in the
representations that have a place for them; whoever asks for a graph alone gets the default graph, and rules, patches,
groups and listings know that one only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pyoxigraph import DefaultGraph, Quad, QuadParser, RdfFormat, Triple, parse

from pod_server.representation.errors import MalformedRepresentation, RemoteContextRefused
from pod_server.representation.nesting import check_nesting


@dataclass(frozen=True)
class Graph:
    """A set of triples that remembers the order it was written in.

    Attributes:
        triples: Each once.
        prefixes: Kept because people read Turtle; they mean nothing to the graph.
        named: The quads of the document's named graphs, each once.
    """

    triples: tuple[Triple, ...] = ()
    prefixes: Mapping[str, str] = field(default_factory=dict)
    named: tuple[Quad, ...] = ()

    @staticmethod
    def of(triples: Iterable[Triple], prefixes: Mapping[str, str] | None = None, named: Iterable[Quad] = ()) -> Graph:
        """A graph of these triples (and named graphs of these quads), each kept where it first stands."""
        return Graph(tuple(dict.fromkeys(triples)), dict(prefixes or {}), tuple(dict.fromkeys(named)))

    @property
    def quads(self) -> tuple[Quad, ...]:
        """Everything: the default graph, then the named ones."""
        default = DefaultGraph()
        return (*(Quad(one.subject, one.predicate, one.object, default) for one in self.triples), *self.named)

    def joined(self, other: Graph) -> Graph:
        """Both graphs in one; for graphs without blank nodes, whose labels might meet."""
        return Graph.of((*self.triples, *other.triples), {**self.prefixes, **other.prefixes})


def parse_graph(
    body: bytes, rdf_format: RdfFormat, base_iri: str, *, rename_blank_nodes: bool = False, named_graphs: bool = False
) -> Graph:
    """Read one graph, or a dataset.

    Args:
        body: The whole document.
        rdf_format: The concrete syntax.
        base_iri: What relative IRIs are resolved against.
        rename_blank_nodes: Gives blank nodes fresh labels, so that they cannot meet those of another document.
        named_graphs: Whether the document may hold named graphs.

    Raises:
        MalformedRepresentation: the body breaks the syntax, names graphs where it may not, or holds triple terms
            (RDF 1.2), which the other representations cannot carry.
        RemoteContextRefused: JSON-LD that would need a context from elsewhere.
    """
    check_nesting(body, rdf_format)
    try:
        parser = parse(
            body,
            format=rdf_format,
            base_iri=base_iri,
            without_named_graphs=not named_graphs,
            rename_blank_nodes=rename_blank_nodes,
        )
        quads = [_plain(quad) for quad in parser]
    except SyntaxError as error:
        if "LoadDocumentCallback" in str(error):
            raise RemoteContextRefused(
                "this server fetches nothing while it reads; write the context's terms into the document itself"
            ) from error
        raise MalformedRepresentation(_without_excerpt(error), line=error.lineno, column=error.offset) from error
    except ValueError as error:
        raise MalformedRepresentation("the body cannot be read as RDF") from error
    except MemoryError as error:
        # The parser's own word for a token that is longer than its buffer; no memory has run out.
        raise MalformedRepresentation("the body holds a name, a text or a comment of more than 16 MiB") from error
    prefixes = parser.prefixes if isinstance(parser, QuadParser) else {}
    if not named_graphs:
        return Graph.of((quad.triple for quad in quads), prefixes)
    default = DefaultGraph()
    return Graph.of(
        (quad.triple for quad in quads if quad.graph_name == default),
        prefixes,
        (quad for quad in quads if quad.graph_name != default),
    )


def _plain(quad: Quad) -> Quad:
    if isinstance(quad.object, Triple):
        raise MalformedRepresentation("triple terms (RDF 1.2) are not supported")
    return quad


def _without_excerpt(error: SyntaxError) -> str:
    # The parser's own message may quote the document, and a problem's detail must not repeat what a pod holds.
    if error.lineno is None:
        return "the body breaks the syntax of its media type"
    return f"the body breaks the syntax of its media type at line {error.lineno}, column {error.offset}"

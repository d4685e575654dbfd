"""Content negotiation (RFC 9110, section 12.5.1) between the RDF representations, and from media type to reader."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from pod_server.representation import json_ld, n_quads, n_triples, trig, turtle
from pod_server.representation.errors import NotAcceptable, UnsupportedMediaType
from pod_server.representation.graph import Graph

RDF_MEDIA_TYPES = (
    turtle.MEDIA_TYPE,
    json_ld.MEDIA_TYPE,
    n_triples.MEDIA_TYPE,
    trig.MEDIA_TYPE,
    n_quads.MEDIA_TYPE,
)
"""In the server's order of preference; Solid asks for the first two (Solid Protocol, section 5.5)."""

_WITH_NAMED_GRAPHS = (json_ld.MEDIA_TYPE, trig.MEDIA_TYPE, n_quads.MEDIA_TYPE)


def offered(graph: Graph) -> tuple[str, ...]:
    """The representations of a graph; where it has named graphs, those that can show them come first."""
    return (*_WITH_NAMED_GRAPHS, turtle.MEDIA_TYPE, n_triples.MEDIA_TYPE) if graph.named else RDF_MEDIA_TYPES


def is_rdf(media_type: str) -> bool:
    """True when documents of this media type are kept as graphs."""
    return media_type in RDF_MEDIA_TYPES


@lru_cache(maxsize=256)
def media_type_of(content_type: str | None) -> str:
    """The media type of a Content-Type header, lower case and without parameters; empty when there is none."""
    return parse_options_header(content_type)[0].strip().lower() if content_type else ""


@lru_cache(maxsize=256)
def choose(accept: str | None, available: tuple[str, ...]) -> str:
    """The best of the media types that can be made.

    Raises:
        NotAcceptable: the client accepts none of them.
    """
    if not accept:
        return available[0]
    # What is offered has no parameters, so a profile or version that a client adds does not make a difference.
    wanted = [(one.partition(";")[0].strip(), quality) for one, quality in parse_accept_header(accept, MIMEAccept)]
    best = MIMEAccept(wanted).best_match(available)
    if best is None:
        raise NotAcceptable("none of the accepted media types can be made of this resource", available=available)
    return best


def read(
    body: bytes,
    media_type: str,
    base_iri: str,
    known_contexts: Mapping[str, Any] | None = None,
    *,
    named_graphs: bool = False,
) -> Graph:
    """Read an RDF body, with its named graphs where it may have such.

    Raises:
        UnsupportedMediaType: not an RDF media type that is read here.
        MalformedRepresentation, RemoteContextRefused: see `graph.parse_graph`.
    """
    if media_type == turtle.MEDIA_TYPE:
        return turtle.read(body, base_iri)
    if media_type == json_ld.MEDIA_TYPE:
        return json_ld.read(body, base_iri, known_contexts, named_graphs=named_graphs)
    if media_type == n_triples.MEDIA_TYPE:
        return n_triples.read(body, base_iri)
    if media_type == trig.MEDIA_TYPE:
        return trig.read(body, base_iri, named_graphs=named_graphs)
    if media_type == n_quads.MEDIA_TYPE:
        return n_quads.read(body, base_iri, named_graphs=named_graphs)
    raise UnsupportedMediaType("this resource is written in an RDF media type", accepted=RDF_MEDIA_TYPES)


def write(graph: Graph, media_type: str) -> bytes:
    """Write a graph in one of `RDF_MEDIA_TYPES`."""
    writers = {
        turtle.MEDIA_TYPE: turtle.write,
        json_ld.MEDIA_TYPE: json_ld.write,
        n_triples.MEDIA_TYPE: n_triples.write,
        trig.MEDIA_TYPE: trig.write,
        n_quads.MEDIA_TYPE: n_quads.write,
    }
    return writers[media_type](graph)

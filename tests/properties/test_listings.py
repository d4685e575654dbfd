"""A container's listing says the same in Turtle, which is written at once, as in the graph that all others are made of."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as some
from pyoxigraph import Literal, NamedNode, RdfFormat, Triple, parse

from pod_server.representation.graph import Graph
from pod_server.resources.container import Member, listing, listing_in_turtle, member_in_turtle
from pod_server.resources.errors import PathNotAllowed
from pod_server.resources.non_rdf_source import check_media_type
from pod_server.resources.path import canonical_path

ROOT = "http://localhost:8080/kari/"


@some.composite
def names(draw):
    text = draw(some.text(min_size=1, max_size=12))
    try:
        return canonical_path(text)
    except PathNotAllowed:
        return "plain"


media_types = some.from_regex(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,8}/[a-z0-9][a-z0-9!#$&^_.+-]{0,8}", fullmatch=True)
times = some.none() | some.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=some.just(UTC))
members = some.lists(
    some.builds(
        lambda name, is_container, media_type, modified, size: Member(
            f"notes/{name.rstrip('/')}{'/' if is_container else ''}", check_media_type(media_type), modified, size
        ),
        names().filter(lambda name: name.strip("/")),
        some.booleans(),
        media_types,
        times,
        some.none() | some.integers(0, 2**40),
    ),
    max_size=5,
    unique_by=lambda member: member.path,
)
own_graphs = some.sampled_from(
    [
        Graph(),
        Graph.of(
            [
                Triple(
                    NamedNode(ROOT + "notes/"), NamedNode("http://purl.org/dc/terms/title"), Literal('"Ære" \\ være\n')
                )
            ],
            {"ldp": "http://example.org/not-ldp#", "dc": "http://purl.org/dc/terms/"},
        ),
    ]
)


@given(members, own_graphs, some.sampled_from(["notes/", ""]), times)
@settings(max_examples=200, deadline=None)
def test_the_turtle_that_is_written_at_once_says_what_the_graph_says(listed, own, path, modified):
    graph = listing(path, ROOT, own, modified, listed)
    blocks = [(member.path, member_in_turtle(member, ROOT)) for member in listed]
    body = listing_in_turtle(path, ROOT, own, modified, blocks)
    assert {quad.triple for quad in parse(body, format=RdfFormat.TURTLE)} == set(graph.triples)

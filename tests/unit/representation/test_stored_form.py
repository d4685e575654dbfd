"""Documents inside the pod hold IRIs relative to its root, so that the pod can move."""

from __future__ import annotations

import pytest
from pyoxigraph import Literal, NamedNode, Triple

from pod_server.representation import stored, turtle
from pod_server.representation.graph import Graph

ROOT = "http://localhost:8080/kari/"
ELSEWHERE = "https://pods.example/k/"
P = NamedNode("http://example.org/p")


def graph_of(*objects):
    return Graph.of(Triple(NamedNode(ROOT + "public/a"), P, one) for one in objects)


def test_the_hosts_name_is_nowhere_in_the_stored_bytes():
    content = stored.write(graph_of(NamedNode(ROOT), NamedNode(ROOT + "profile/card#me"), NamedNode(ROOT + "#x")), ROOT)
    assert b"localhost" not in content


def test_a_moved_pod_names_itself_by_its_new_address():
    content = stored.write(graph_of(NamedNode(ROOT + "profile/card#me")), ROOT)
    (triple,) = stored.read(content, ELSEWHERE).triples
    assert triple.subject == NamedNode(ELSEWHERE + "public/a")
    assert triple.object == NamedNode(ELSEWHERE + "profile/card#me")


def test_literals_that_look_like_our_iris_are_left_alone():
    literals = [Literal(f"<{ROOT}x>"), Literal(f'" <{ROOT}y> \\" </b>\n'), Literal("</p>"), Literal("\\")]
    graph = graph_of(*literals)
    assert set(stored.read(stored.write(graph, ROOT), ELSEWHERE).triples) == {
        Triple(NamedNode(ELSEWHERE + "public/a"), P, literal) for literal in literals
    }


@pytest.mark.parametrize(
    "rest",
    ["", "a", "a:b", "a/b:c", "/a", "//a", "a//b", "./a", "a/../b", "?q=/../x", "#f", "a?b#c", "%2e%2e/x", "é", ".a"],
)
def test_every_iri_of_the_pod_comes_back_as_it_was(rest):
    graph = graph_of(NamedNode(ROOT + rest))
    assert stored.read(stored.write(graph, ROOT), ROOT).triples == graph.triples


def test_a_neighbours_pod_with_a_longer_handle_is_not_ours():
    graph = graph_of(NamedNode("http://localhost:8080/karin/x"), NamedNode("http://localhost:8080/kari"))
    assert b"http://localhost:8080/karin/x" in stored.write(graph, ROOT)
    assert set(stored.read(stored.write(graph, ROOT), ROOT).triples) == set(graph.triples)


def test_the_authors_prefixes_are_kept():
    graph = turtle.read(b"@prefix ex: <http://example.org/> . <> ex:p ex:o .", ROOT + "a")
    assert b"@prefix ex: <http://example.org/> ." in stored.write(graph, ROOT)
    assert b"ex:p ex:o" in turtle.write(stored.read(stored.write(graph, ROOT), ROOT))

"""The supported part of SPARQL 1.1 Update, and the refusal of the rest."""

from __future__ import annotations

import pytest

from pod_server.representation import sparql_update, turtle
from pod_server.representation.errors import MalformedRepresentation, PatchNotProcessable
from pod_server.representation.patch import apply

BASE = "http://localhost/doc"
EX = "PREFIX ex: <http://example.org/>\n"
DOCUMENT = b"@prefix ex: <http://example.org/> . <> ex:a 1, 2 ; ex:b 3 ."


def after(update):
    graph = turtle.read(DOCUMENT, BASE)
    for patch in sparql_update.read((EX + update).encode(), BASE):
        graph = apply(graph, patch)
    return set(graph.triples)


def triples(text):
    return set(turtle.read(b"@prefix ex: <http://example.org/> . " + text.encode(), BASE).triples)


@pytest.mark.parametrize(
    ("update", "result"),
    [
        ("INSERT DATA { <> ex:c 4 }", "<> ex:a 1, 2 ; ex:b 3 ; ex:c 4 ."),
        ("insert data { <> ex:c 4 . }", "<> ex:a 1, 2 ; ex:b 3 ; ex:c 4 ."),
        ("DELETE DATA { <> ex:b 3 }", "<> ex:a 1, 2 ."),
        ("DELETE DATA { <> ex:b 99 }", "<> ex:a 1, 2 ; ex:b 3 ."),
        ("DELETE DATA { <> ex:b 3 } ; INSERT DATA { <> ex:b 4 } ;", "<> ex:a 1, 2 ; ex:b 4 ."),
        ("DELETE WHERE { <> ex:a ?n }", "<> ex:b 3 ."),
        ("DELETE { ?s ex:a ?n } INSERT { ?s ex:c ?n } WHERE { ?s ex:a ?n }", "<> ex:c 1, 2 ; ex:b 3 ."),
        ("INSERT { ?s ex:c ?n } WHERE { ?s ex:zzz ?n }", "<> ex:a 1, 2 ; ex:b 3 ."),
        ('# { a comment\nINSERT DATA { <> ex:c "} ; {" }', '<> ex:a 1, 2 ; ex:b 3 ; ex:c "} ; {" .'),
        ("INSERT DATA { }", "<> ex:a 1, 2 ; ex:b 3 ."),
    ],
)
def test_an_update_changes_what_it_says(update, result):
    assert after(update) == triples(result)


@pytest.mark.parametrize(
    "update",
    [
        "LOAD <http://example.org/>",
        "LOAD <file:///etc/passwd> INTO GRAPH <a>",
        "CLEAR ALL",
        "DROP DEFAULT",
        "CREATE GRAPH <a>",
        "WITH <a> DELETE { ?s ?p ?o } WHERE { ?s ?p ?o }",
        "DELETE { ?s ?p ?o } USING <a> WHERE { ?s ?p ?o }",
        "INSERT DATA { GRAPH <a> { <> ex:c 4 } }",
        "INSERT { <> ex:c ?n } WHERE { SERVICE <http://example.org/> { <> ex:a ?n } }",
        "INSERT { <> ex:c ?n } WHERE { { <> ex:a ?n } UNION { <> ex:b ?n } }",
        "INSERT DATA { ?s ex:c 4 }",
        "DELETE DATA { <> ex:c [] }",
        "BASE <http://evil.example/> INSERT DATA { <> ex:c 4 }",
        "",
    ],
)
def test_what_reaches_beyond_the_document_is_refused(update):
    with pytest.raises(PatchNotProcessable):
        after(update)


@pytest.mark.parametrize(
    "update",
    [
        "INSERT DATA { <> ex:c 4",
        "INSERT DATA <> ex:c 4 }",
        "INSERT DATA { <> ex:c 4 } }",
        "INSERT DATA { <> ex:c 4 } DELETE DATA { <> ex:b 3 }",
        "INSERT DATA { <> ex:c }",
        "PREFIX ex <http://example.org/> INSERT DATA { <> ex:c 4 }",
        "INSERT { <> ex:c ?n } WHERE { <> ex:a ?n FILTER(?n > 1) }",
    ],
)
def test_what_is_no_update_is_malformed(update):
    with pytest.raises(MalformedRepresentation):
        after(update)

"""What is a keyword and what is not."""

from __future__ import annotations

import pytest

from pod_server.queries.errors import QueryRefused
from pod_server.queries.text import MAXIMUM_QUERY_CHARACTERS, check_query

REFUSED = [
    "SELECT * { SERVICE <http://127.0.0.1/> { ?s ?p ?o } }",
    "SELECT * { service silent <http://127.0.0.1/> { ?s ?p ?o } }",
    "SELECT * { \\u0053ERVICE <http://127.0.0.1/> { ?s ?p ?o } }",
    "SELECT * { \\U00000053ERVICE <http://127.0.0.1/> { ?s ?p ?o } }",
    "PREFIX : <http://x/> SELECT * { SERVICE:ep { ?s ?p ?o } }",
    "SELECT * { # harmless\nSERVICE<http://127.0.0.1/>{} }",
    "SELECT * { ?s ?p '''it's''' SERVICE <http://x/> {} }",
    'SELECT * { ?s ?p "a\\"b" . SERVICE <http://x/> {} }',
    "SELECT * FROM <file:///etc/passwd> { ?s ?p ?o }",
    "SELECT * FROM NAMED <http://x/> { ?s ?p ?o }",
    "ASKFROM<file:///etc/passwd>{ ?s ?p ?o }",
    "SELECT*FROM<file:///etc/passwd>{ ?s ?p ?o }",
    "LOAD <file:///etc/passwd>",
    "INSERT DATA { <a:a> <a:b> <a:c> }",
    "DELETE WHERE { ?s ?p ?o }",
    "DROP ALL",
    "CLEAR ALL",
    "PREFIX x: <http://x/> INSERT { ?s ?p ?o } WHERE { ?s ?p ?o }",
    "?" * (MAXIMUM_QUERY_CHARACTERS + 1),
]
ALLOWED = [
    "SELECT * { ?s ?p ?o }",
    "SELECT ?from ?service { ?from ?load ?service }",
    'SELECT * { ?s ?p "SERVICE <http://x/>" }',
    "SELECT * { ?s ?p '''FROM\n<x>''' } # SERVICE FROM LOAD",
    "PREFIX dcat: <http://www.w3.org/ns/dcat#> SELECT * { ?s dcat:service ?o ; <http://x/FROM> ?f }",
    'SELECT * { ?s ?p "x"@FROM }',
    "SELECT * { _:FROM ?p ?o FILTER(?o<3 && ?o>1) }",
]


@pytest.mark.parametrize("query", REFUSED)
def test_what_reaches_out_or_changes_is_refused(query: str) -> None:
    with pytest.raises(QueryRefused):
        check_query(query)


@pytest.mark.parametrize("query", ALLOWED)
def test_the_same_words_in_strings_names_and_comments_are_not(query: str) -> None:
    check_query(query)

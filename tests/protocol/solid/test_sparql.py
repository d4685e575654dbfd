"""`/{handle}/sparql`: SPARQL 1.1 Query and Protocol over what the asker may read, and nothing else."""

from __future__ import annotations

import json
import time

import pytest
from deliveries import deliver, granted, readings
from solid_door import KARI, OLA, ROOT

from pod_server.log.ledger import read_events
from pod_server.opening import custodian_vault
from pod_server.queries import endpoint
from pod_server.queries.process import Limits

EVERYTHING = "SELECT DISTINCT ?g { GRAPH ?g { ?s ?p ?o } }"
SELECT = "SELECT ?o { ?s <urn:p> ?o } ORDER BY ?o"
PREFIXES = "@prefix acl: <http://www.w3.org/ns/auth/acl#> .\n"
RULE = (
    f"{PREFIXES}[] a acl:Authorization ; acl:agent <{OLA}> ; acl:accessTo <shared> ; acl:mode acl:Read .\n"
    f"[] a acl:Authorization ; acl:agent <{KARI}> ; acl:accessTo <shared> ; acl:mode acl:Read, acl:Write, acl:Control ."
)


@pytest.fixture
def filled(door):
    door.put("private/own", "<> <urn:p> 'own' .")
    door.put("private/shared", "<> <urn:p> 'shared' .")
    door.put("private/shared.acl", RULE)
    door.put("private/shared.meta", "<shared> <urn:p> 'about' .")
    door.put("public/open", "<> <urn:p> 'open' .")
    door.put("private/file.txt", "<> <urn:p> 'text' .", type_="text/plain")
    return door


@pytest.fixture
def delivered(city, kari):
    """How many activities a partner has delivered."""
    given = granted(city.host, kari.pod_id)
    assert set(deliver(city.host, given.permit, readings(0, 10))) == {"accepted"}
    return 10


@pytest.fixture
def logged(city, kari):
    def events():
        with city.host.storage.read() as tx:
            vault = custodian_vault(city.host, kari.pod_id)
            return [entry.event for entry in reversed(read_events(tx, vault, kari.pod_id, before=None, limit=100))]

    return events


def ask(door, query, *, as_=KARI, accept="application/sparql-results+json", **parameters):
    from urllib.parse import urlencode

    return door("GET", "sparql?" + urlencode({"query": query, **parameters}, doseq=True), as_=as_, Accept=accept)


def values(answer):
    assert answer.status_code == 200, answer.text
    return [next(iter(row.values()))["value"] for row in answer.json["results"]["bindings"]]


@pytest.mark.parametrize(
    ("who", "seen"),
    [(KARI, ["open", "own", "shared"]), (OLA, ["open", "shared"]), (None, ["open"])],
    ids=["owner", "reader", "stranger"],
)
def test_the_query_is_over_what_the_asker_may_read(filled, who, seen):
    assert values(ask(filled, SELECT, as_=who)) == seen
    for hidden in {"own", "shared"} - set(seen):
        iri = f"{ROOT}private/{hidden}"
        assert not values(ask(filled, f"SELECT ?o {{ GRAPH <{iri}> {{ ?s ?p ?o }} }}", as_=who))
        assert not values(ask(filled, f"SELECT ?o FROM <{iri}> {{ ?s ?p ?o }}", as_=who))
        assert not values(ask(filled, "SELECT ?o { ?s ?p ?o }", as_=who, **{"default-graph-uri": iri}))
        assert iri not in values(ask(filled, EVERYTHING, as_=who))


def test_the_named_graphs_are_the_documents(filled):
    graphs = set(values(ask(filled, EVERYTHING)))
    assert graphs == {ROOT + path for path in ("private/own", "private/shared", "public/open", "profile/card")}


def test_a_reader_who_is_taken_out_of_the_rules_sees_it_no_more(filled):
    assert "shared" in values(ask(filled, SELECT, as_=OLA))
    filled("DELETE", "private/shared.acl")
    assert values(ask(filled, SELECT, as_=OLA)) == ["open"]


def test_relative_iris_stay_those_of_the_pod(filled):
    filled.put("private/link", "<> <urn:to> <own> .")
    assert values(ask(filled, "SELECT ?o { ?s <urn:to> ?o }")) == [ROOT + "private/own"]
    assert values(ask(filled, "SELECT ?o { GRAPH <private/link> { ?s ?p ?o } }")) == [ROOT + "private/own"]


@pytest.mark.parametrize(
    ("query", "parameters", "seen"),
    [
        (f"SELECT ?o FROM <{ROOT}private/own> {{ ?s <urn:p> ?o }}", {}, ["own"]),
        ("SELECT ?o FROM <private/own> FROM <public/open> { ?s <urn:p> ?o } ORDER BY ?o", {}, ["open", "own"]),
        (f"SELECT ?o FROM NAMED <{ROOT}private/own> {{ GRAPH ?g {{ ?s <urn:p> ?o }} }}", {}, ["own"]),
        (f"SELECT ?o FROM NAMED <{ROOT}private/own> {{ ?s <urn:p> ?o }}", {}, []),
        (SELECT, {"default-graph-uri": ROOT + "public/open"}, ["open"]),
        (SELECT, {"named-graph-uri": ROOT + "public/open"}, []),
        ("SELECT ?o { GRAPH ?g { ?s <urn:p> ?o } }", {"named-graph-uri": ROOT + "private/own"}, ["own"]),
        (
            f"SELECT ?o FROM <{ROOT}private/own> {{ ?s <urn:p> ?o }}",
            {"default-graph-uri": ROOT + "public/open"},
            ["open"],
        ),
    ],
)
def test_the_data_set_may_be_chosen_by_the_query_or_beside_it(filled, query, parameters, seen):
    assert values(ask(filled, query, **parameters)) == seen


@pytest.mark.parametrize(
    ("query", "accept", "beginning"),
    [
        (SELECT, "application/sparql-results+json", b'{"head"'),
        (SELECT, "application/sparql-results+xml", b"<?xml"),
        (SELECT, "text/csv", b"o\r\nopen"),
        (SELECT, "text/tab-separated-values", b'?o\n"open"'),
        (SELECT, "application/json", b'{"head"'),
        (SELECT, "*/*", b'{"head"'),
        ("ASK { ?s <urn:p> 'own' }", "application/sparql-results+json", b'{"head":{},"boolean":true}'),
        ("CONSTRUCT { ?s <urn:q> ?o } WHERE { ?s <urn:p> ?o }", "text/turtle", b"<http"),
        ("CONSTRUCT WHERE { ?s <urn:p> ?o }", "application/n-triples", b"<http"),
        ("CONSTRUCT WHERE { ?s <urn:p> ?o }", "application/ld+json", b"["),
        ("CONSTRUCT WHERE { ?s <urn:p> ?o }", "application/rdf+xml", b"<?xml"),
        (f"DESCRIBE <{ROOT}private/own>", "text/turtle", b"<http"),
    ],
)
def test_every_form_has_its_formats(filled, query, accept, beginning):
    answer = ask(filled, query, accept=accept)
    assert answer.status_code == 200, answer.text
    assert answer.data.startswith(beginning)
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_query_comes_by_get_as_a_form_or_as_the_body(filled):
    form = "query=" + SELECT.replace(" ", "+").replace("?", "%3F").replace("{", "%7B").replace("}", "%7D")
    answers = [
        ask(filled, SELECT),
        filled("POST", "sparql", form, type_="application/x-www-form-urlencoded"),
        filled("POST", "sparql", SELECT, type_="application/sparql-query"),
    ]
    assert [values(answer) for answer in answers] == [["open", "own", "shared"]] * 3


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELEKT", "query-malformed"),
        ("SELECT * { SERVICE <http://127.0.0.1:1/> { ?s ?p ?o } }", "query-refused"),
        ("INSERT DATA { <a:a> <a:b> <a:c> }", "query-refused"),
        ("LOAD <file:///etc/passwd>", "query-refused"),
        ("PREFIX from: <urn:x> SELECT * { from:a ?p ?o }", "query-refused"),
        ("?" * 20_001, "query-refused"),
    ],
)
def test_what_is_no_query_is_a_problem(filled, query, problem):
    answer = ask(filled, query)
    assert answer.status_code == 400
    assert answer.json["type"].endswith("/problems/" + problem)


def test_a_query_that_explodes_is_ended_and_the_next_one_answered(filled, monkeypatch):
    monkeypatch.setattr(endpoint, "LIMITS", Limits(seconds=1.0, cpu_seconds=1))
    product = " ".join(f"VALUES ?v{place} {{ {' '.join(map(str, range(50)))} }}" for place in range(8))
    started = time.monotonic()
    answer = ask(filled, f"SELECT (COUNT(*) AS ?n) {{ {product} }}")
    assert answer.json["type"].endswith("/problems/query-too-expensive")
    assert time.monotonic() - started < 30
    assert ask(filled, "ASK {}").status_code == 200


def test_a_pod_too_large_for_one_query_is_said_to_be_so(filled, monkeypatch):
    monkeypatch.setattr(endpoint, "MOST_BYTES", 100)
    assert ask(filled, SELECT).json["type"].endswith("/problems/query-too-expensive")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_the_endpoint_is_no_document(filled, method):
    answer = filled(method, "sparql", "<> <urn:p> 1 .", type_="text/turtle")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


def test_the_preflight_of_a_query_is_answered(filled):
    answer = filled("OPTIONS", "sparql", as_=None, Origin="https://app.example", Access_Control_Request_Method="POST")
    assert answer.status_code == 204
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]


def test_the_owner_asks_over_the_activities_too_and_nobody_else(door, delivered):
    seen = set(values(ask(door, EVERYTHING)))
    assert any(graph.startswith(ROOT + "activities/") for graph in seen)
    door.put(
        ".acl",
        RULE.replace("acl:accessTo <shared>", "acl:accessTo <./> ; acl:default <./>")
        + f" [] a acl:Authorization ; acl:agent <{OLA}> ; acl:default <./> ; acl:mode acl:Read .",
    )
    others = set(values(ask(door, EVERYTHING, as_=OLA)))
    assert others
    assert not any(graph.startswith(ROOT + "activities/") for graph in others)
    count = "SELECT (COUNT(*) AS ?n) { ?a a <https://w3id.org/peco#EmissionGenerationActivity> }"
    assert values(ask(door, count)) == [str(delivered)]


def test_a_locked_pod_answers_strangers_over_what_is_public_and_others_that_it_is_locked(filled, city, kari):
    with city.host.storage.write() as tx:
        tx.execute("UPDATE pod SET state = 'locked' WHERE pod_id = ?", (kari.pod_id,))
    city.host.key_store.remove_slot(kari.pod_id, "custodian")
    assert values(ask(filled, SELECT, as_=None)) == ["open"]
    assert ask(filled, SELECT, as_=OLA).json["type"].endswith("/problems/pod-locked")


def test_a_readers_query_is_in_the_log_and_the_owners_once_an_hour(filled, logged):
    before = logged()
    for _ in range(3):
        ask(filled, SELECT)
        ask(filled, SELECT, as_=OLA)
        ask(filled, SELECT, as_=None)
    new = logged()[len(before) :]
    assert [event.action for event in new].count("query-documents") == 3
    assert [event.action for event in new].count("read-own-documents") <= 1
    assert len(new) <= 4
    assert not any("urn:p" in json.dumps(dict(event.detail)) for event in new)

"""T18: a researcher's query reads files, calls out, changes something, or never ends."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from pod_server import http_problems
from pod_server.queries.errors import QueriesBusy, QueryMalformed, QueryRefused, QueryTooExpensive
from pod_server.queries.process import CHILD, Limits
from research_views import routes
from research_views.endpoint import answer_query
from research_views.invitations import invite
from research_views.release import ReleaseGraph

RELEASE = ReleaseGraph(
    "http://localhost:8080/research/releases/2026-10",
    datetime(2026, 11, 2, tzinfo=UTC),
    b'<http://x/a> <http://x/b> "1" .\n<http://x/a> <http://x/b> "2" .\n',
)
EVERYTHING = "SELECT * { ?s ?p ?o }"


def ask(query, *, formats=("*/*",), **limits):
    return answer_query(query, [RELEASE], base="http://localhost:8080/", formats=formats, limits=Limits(**limits))


@pytest.fixture
def client(host, monkeypatch):
    """The researchers' door alone, over one small release."""
    monkeypatch.setattr("research_views.release.release_graphs", lambda _host: [RELEASE])
    app = Flask("research")
    http_problems.register(app, host)
    routes.register(app, host)
    return app.test_client()


@pytest.fixture
def bearer(host):
    made = invite(host, "Ada, NTNU", purpose="a test", expires=host.clock.now() + timedelta(days=30))
    return {"Authorization": f"Bearer {made.token}"}


def test_without_a_token_nothing_is_answered(client, bearer, clock):
    for headers in (
        {},
        {"Authorization": "Bearer tvr_wrong"},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer"},
    ):
        refused = client.get("/research/sparql", query_string={"query": EVERYTHING}, headers=headers)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert refused.json["type"].endswith("/problems/research-token-missing")
    assert client.get("/research/sparql", query_string={"query": EVERYTHING}, headers=bearer).status_code == 200
    clock.advance(timedelta(days=31))
    assert client.get("/research/sparql", query_string={"query": EVERYTHING}, headers=bearer).status_code == 401


def test_the_token_is_kept_nowhere(host, bearer):
    token = bearer["Authorization"].removeprefix("Bearer ").encode()
    files = [file for file in host.data_folder.rglob("*") if file.is_file()]
    assert files
    assert not any(token in file.read_bytes() for file in files)


def test_a_query_comes_by_get_by_form_or_as_the_body(client, bearer):
    answers = [
        client.get("/research/sparql", query_string={"query": EVERYTHING}, headers=bearer),
        client.post("/research/sparql", data={"query": EVERYTHING}, headers=bearer),
        client.post("/research/sparql", data=EVERYTHING, content_type="application/sparql-query", headers=bearer),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert all(len(answer.get_json(force=True)["results"]["bindings"]) == 2 for answer in answers)


@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        (EVERYTHING, "application/sparql-results+json", "application/sparql-results+json"),
        (EVERYTHING, "application/json", "application/sparql-results+json"),
        (EVERYTHING, "application/sparql-results+xml", "application/sparql-results+xml"),
        (EVERYTHING, "text/csv", "text/csv"),
        (EVERYTHING, "text/tab-separated-values", "text/tab-separated-values"),
        (EVERYTHING, "text/csv;q=0.1, application/sparql-results+xml", "application/sparql-results+xml"),
        (EVERYTHING, "*/*", "application/sparql-results+json"),
        ("ASK { ?s ?p ?o }", "application/sparql-results+xml", "application/sparql-results+xml"),
        ("CONSTRUCT WHERE { ?s ?p ?o }", "text/turtle", "text/turtle"),
        ("CONSTRUCT WHERE { ?s ?p ?o }", "application/ld+json", "application/ld+json"),
        ("CONSTRUCT WHERE { ?s ?p ?o }", "application/rdf+xml", "application/rdf+xml"),
        ("DESCRIBE <http://x/a>", "application/n-triples", "application/n-triples"),
    ],
)
def test_each_form_answers_in_each_of_its_formats(client, bearer, query, accept, media_type):
    answer = client.get("/research/sparql", query_string={"query": query}, headers={**bearer, "Accept": accept})
    assert answer.status_code == 200
    assert answer.mimetype == media_type
    assert answer.data


def test_a_format_that_does_not_fit_the_query_is_not_acceptable(client, bearer):
    construct = {"query": "CONSTRUCT WHERE { ?s ?p ?o }"}
    assert (
        client.get("/research/sparql", query_string=construct, headers={**bearer, "Accept": "text/csv"}).status_code
        == 406
    )


def test_nothing_can_be_changed_and_no_other_data_chosen(client, bearer):
    update = "INSERT DATA { <a:a> <a:b> <a:c> }"
    attempts = [
        client.post("/research/sparql", data={"update": update}, headers=bearer),
        client.post("/research/sparql", data=update, content_type="application/sparql-update", headers=bearer),
        client.post("/research/sparql", data={"query": update}, headers=bearer),
        client.get("/research/sparql", query_string={"query": EVERYTHING, "update": update}, headers=bearer),
        client.get(
            "/research/sparql", query_string={"query": EVERYTHING, "default-graph-uri": "file:///"}, headers=bearer
        ),
        client.post("/research/sparql", data={"query": EVERYTHING, "named-graph-uri": "http://x/"}, headers=bearer),
        client.post("/research/sparql?named-graph-uri=x", data={"query": EVERYTHING}, headers=bearer),
        client.get("/research/sparql?query=ASK%7B%7D&query=ASK%7B%7D", headers=bearer),
        client.get("/research/sparql", headers=bearer),
        client.post("/research/sparql", data=b"\xff", content_type="application/sparql-query", headers=bearer),
    ]
    assert [attempt.status_code for attempt in attempts] == [400] * len(attempts)
    assert client.put("/research/sparql", data=update, headers=bearer).status_code == 405


def test_every_query_is_written_down_with_its_outcome(host, client, bearer):
    client.get("/research/sparql", query_string={"query": EVERYTHING}, headers=bearer)
    client.get("/research/sparql", query_string={"query": "DROP ALL"}, headers=bearer)
    with host.storage.read() as tx:
        rows = tx.all("SELECT outcome, query FROM research_query ORDER BY query")
    assert rows == [("QueryRefused", "DROP ALL"), ("answered", EVERYTHING)]


def test_asking_again_gives_the_same_noise(client, bearer):
    answers = {
        client.get("/research/sparql", query_string={"query": EVERYTHING}, headers=bearer).data for _ in range(5)
    }
    assert len(answers) == 1


def run_child(query: str) -> tuple[dict, bytes]:
    """The child alone, as if the check of the query's text were not there."""
    request = {
        "query": query, "base": "http://x/", "formats": ["*/*"], "cpu_seconds": 5, "memory_bytes": 768 * 2**20,
        "graphs": [(RELEASE.iri, "application/n-triples", "", len(RELEASE.n_triples))],
        "default_graphs": [RELEASE.iri], "named_graphs": [RELEASE.iri],
    }  # fmt: skip
    document = json.dumps(request).encode() + b"\n" + RELEASE.n_triples
    done = subprocess.run(
        [sys.executable, "-I", str(CHILD)],
        input=document,
        capture_output=True,
        check=True,
        timeout=20,
        env={},
    )
    head, _, body = done.stdout.partition(b"\n")
    return json.loads(head), body


def test_service_calls_nobody_even_past_the_check_of_the_text():
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(2)

        def listen() -> None:
            try:
                listener.accept()[0].close()
                calls.append("called")
            except TimeoutError:
                calls.append("silence")

        thread = threading.Thread(target=listen)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/sparql"
        query = f"SELECT * {{ SERVICE <{address}> {{ ?s ?p ?o }} }}"
        with pytest.raises(QueryRefused):
            ask(query)
        assert run_child(query)[0]["error"] == "refused"
        thread.join()
    assert calls == ["silence"]


def test_from_reads_no_file_even_past_the_check_of_the_text(tmp_path):
    secret = tmp_path / "secret.nt"
    secret.write_text("<http://x/secret> <http://x/b> <http://x/c> .\n")
    for clause in (f"FROM <file://{secret}>", f"FROM NAMED <file://{secret}>", "FROM <file:///etc/passwd>"):
        query = f"SELECT ?s {clause} {{ {{ ?s ?p ?o }} UNION {{ GRAPH ?g {{ ?s ?p ?o }} }} }}"
        with pytest.raises(QueryRefused):
            ask(query)
        _, body = run_child(query)
        subjects = {row["s"]["value"] for row in json.loads(body)["results"]["bindings"]}
        assert subjects == {"http://x/a"}, "the query saw other data than the release"


def test_graph_names_the_releases_and_nothing_else():
    answer = ask("SELECT DISTINCT ?g { GRAPH ?g { ?s ?p ?o } }", formats=["text/csv"])
    assert answer.body.split() == [b"g", RELEASE.iri.encode()]
    elsewhere = ask("SELECT ?s { GRAPH <http://localhost:8080/kari/profile/card> { ?s ?p ?o } }", formats=["text/csv"])
    assert elsewhere.body.split() == [b"s"]
    described = ask("DESCRIBE <http://localhost:8080/kari/profile/card#me>", formats=["application/n-triples"])
    assert described.body == b""


TEN = "{ " + " ".join(map(str, range(50))) + " }"
PRODUCT = " ".join(f"VALUES ?v{place} {TEN}" for place in range(8))


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT (COUNT(*) AS ?n) {{ {PRODUCT} }}",
        f"SELECT * {{ {PRODUCT} }}",
        f"SELECT (GROUP_CONCAT(STR(?v1)) AS ?n) {{ {PRODUCT} }}",
        f"SELECT * {{ {PRODUCT} }} ORDER BY ?v1",
        f"SELECT DISTINCT * {{ {PRODUCT} }}",
        "SELECT * " + "{" * 4000 + "?s ?p ?o" + "}" * 4000,
        "SELECT * { ?s " + "(" * 2000 + "<http://x/b>" + "*)" * 2000 + " ?o }",
    ],
    ids=["count", "product", "concat", "sort", "distinct", "nesting", "paths"],
)
def test_an_exploding_query_is_ended_and_the_next_one_answered(query):
    started = time.monotonic()
    with pytest.raises((QueryTooExpensive, QueryMalformed)):
        ask(query, seconds=1.0, cpu_seconds=1, memory_bytes=512 * 2**20, answer_bytes=2**20)
    assert time.monotonic() - started < 30
    assert ask("ASK {}").body


def test_an_answer_too_large_is_cut_off_with_a_reason():
    with pytest.raises(QueryTooExpensive, match="larger"):
        ask(f"SELECT * {{ VALUES ?a {TEN} VALUES ?b {TEN} }}", answer_bytes=1000)


def test_many_clients_at_once_wait_their_turn_or_are_told_so():
    slow = f"SELECT (COUNT(*) AS ?n) {{ {PRODUCT} }}"
    outcomes: list[str] = []

    def run() -> None:
        try:
            ask(slow, seconds=1.5, waiting_seconds=0.1)
        except (QueriesBusy, QueryTooExpensive) as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["QueriesBusy"] * 4 + ["QueryTooExpensive"] * 2
    assert ask("ASK {}").body


def test_what_is_not_sparql_is_said_to_be_so():
    for query in ("", "SELEKT * { }", "SELECT ?x { FILTER(", "SELECT * { ?s ?p }", "SELECT ?a (?b AS ?a) { ?a ?p ?b }"):
        with pytest.raises(QueryMalformed):
            ask(query)


def test_the_child_holds_no_key_no_setting_and_nothing_of_the_house():
    text = CHILD.read_text("utf-8")
    for name in ("pod_server", "research_views", "vocab", "os.environ"):
        assert f"import {name}" not in text
        assert f"from {name}" not in text
    head, body = run_child("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }")
    assert head == {"ok": "application/sparql-results+json"}
    assert json.loads(body)["results"]["bindings"][0]["n"]["value"] == "2"

"""T13: hostile RDF at the Solid door: remote contexts, bombs, broken Turtle; and HTML kept in a pod."""

from __future__ import annotations

import io
import socket
import time

import pytest
from flask import Flask
from solid_door import KARI, Door

from pod_server import http_problems, lifecycle, routes


@pytest.fixture
def door(city, monkeypatch):
    city.citizen("kari")
    app = Flask("pods", static_folder=None)
    http_problems.register(app, city.host)
    routes.register(app, city.host)
    monkeypatch.setattr(lifecycle, "verify_solid_request", lambda host, request: None)
    return Door(app.test_client(), monkeypatch)


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to look up or reach another host fails the test."""

    def refuse(*arguments, **options):
        raise AssertionError("the server tried to reach out")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(
    ("type_", "body", "problem"),
    [
        ("application/ld+json", '{"@context": "https://evil.example/c", "a": 1}', "remote-context-refused"),
        ("application/ld+json", '{"@context": "file:///etc/passwd", "a": 1}', "remote-context-refused"),
        (
            "application/ld+json",
            '{"@context": {"@import": "http://169.254.169.254/"}, "a": 1}',
            "remote-context-refused",
        ),
        ("application/ld+json", "[" * 300_000, "malformed-representation"),
        ("application/ld+json", '{"a":' * 100_000, "malformed-representation"),
        (
            "application/ld+json",
            '{"@graph": [{"@id": "urn:g", "@graph": [{"@id": "urn:a", "urn:p": <<}]}]}',
            "malformed-representation",
        ),
        ("application/trig", "<g> { <a> <b> <c> ", "malformed-representation"),
        ("application/n-quads", "<a> <b> <c> <d> <e> .", "malformed-representation"),
        ("application/ld+json", '{"@id": "a", "urn:p": NaN}', "malformed-representation"),
        ("text/turtle", "<a> <b> <c", "malformed-representation"),
        ("text/turtle", '<a> <b> "unclosed', "malformed-representation"),
        ("text/turtle", "<a> <b> <c d> .", "malformed-representation"),
        ("text/turtle", "\x00\x01\x02", "malformed-representation"),
        ("text/turtle", "<a> <b> " + "[ <p> " * 50_000, "malformed-representation"),
        ("text/turtle", "<a> <b> <<( <c> <d> <e> )>> .", "malformed-representation"),
        ("text/turtle", "<a> <b> <c> . }", "malformed-representation"),
        ("application/n-triples", "<a> <b> <c> .", "malformed-representation"),
    ],
)
def test_a_hostile_document_is_refused_at_once_without_reaching_out(door, no_network, type_, body, problem):
    began = time.monotonic()
    refused = door.put("private/a", body, type_=type_)
    assert refused.status_code == 400, refused.text
    assert refused.json["type"].endswith(f"/problems/{problem}")
    assert time.monotonic() - began < 20
    assert door.get("private/a").status_code == 404


def test_a_problem_does_not_repeat_what_was_sent(door):
    refused = door.put("private/a", "<urn:a> <urn:b> my-secret-diary .")
    assert "my-secret-diary" not in refused.text
    assert refused.json["line"] == 1


def test_prefix_names_cannot_smuggle_statements_into_the_stored_form(door):
    door.put("private/a", "@prefix ex: <http://example.org/> . @prefix é: <http://example.org/é> . <> ex:p é:x .")
    assert len(door.triples("private/a")) == 1


@pytest.mark.parametrize(
    ("type_", "content"),
    [
        ("text/html", "<script>fetch('/-/grants')</script>"),
        ("image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("application/xhtml+xml", "<html xmlns='http://www.w3.org/1999/xhtml'><script/></html>"),
        ("application/javascript", "alert(1)"),
        ("text/plain", "<script>alert(1)</script>"),
    ],
)
def test_a_page_kept_in_a_pod_is_sandboxed_and_never_guessed_at(door, type_, content):
    door.put("public/page", content, type_=type_)
    for who in (None, KARI):
        answer = door.get("public/page", as_=who)
        assert answer.headers["Content-Security-Policy"] == "sandbox"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Type"] == type_


@pytest.mark.parametrize("type_", ["text/html\r\nX: y", "nonsense", "text/", "/html", "a/b/c", "text/ht ml", "*/*"])
def test_a_media_type_that_is_none_is_refused(door, type_):
    try:
        answer = door.put("private/a", "x", type_=type_)
    except ValueError:
        return  # the client itself refuses to send a line break in a header
    assert answer.status_code in {400, 415}


@pytest.mark.parametrize("announced", [True, False], ids=["with its length", "in chunks"])
@pytest.mark.parametrize(("over", "status"), [(0, 201), (1, 413), (1_000_000, 413)])
def test_a_body_over_the_limit_is_refused_and_never_cut(city, door, announced, over, status):
    size = http_problems.MAX_BODY_BYTES + over
    end = b"\n<#a> <urn:p> 'read to its end' ."
    body = ((b"#" * 1023 + b"\n") * (size // 1024 + 1))[: size - len(end)] + end  # comments, and one statement
    sent = {"data": body} if announced else {"input_stream": io.BytesIO(body)}
    chunked = {} if announced else {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    door.get("private/")
    answer = door.client.put("/kari/private/a", content_type="text/turtle", environ_overrides=chunked, **sent)
    assert answer.status_code == status
    if status == 413:
        assert answer.json["type"].endswith("/problems/body-too-large")
        assert door.get("private/a").status_code == 404
    else:
        assert len(door.triples("private/a")) == 1


def test_one_endless_token_is_the_bodys_fault_and_not_ours(door):
    answer = door.put("private/a", b"#" * (17 * 1024 * 1024))
    assert (answer.status_code, answer.json["type"].rpartition("/")[2]) == (400, "malformed-representation")

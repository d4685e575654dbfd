"""Every failure is a problem: declared ones tell what to mend, all others tell nothing."""

from __future__ import annotations

import logging

import pytest
from flask import Flask, redirect

from pod_server import http_problems
from pod_server.authorization.errors import Unauthenticated
from pod_server.representation.errors import UnsupportedMediaType
from pod_server.resources.errors import MethodNotSupported, PreconditionFailed


class TooManyTries(PreconditionFailed):
    retry_after = 30


class Challenged(Unauthenticated):
    www_authenticate = 'DPoP error="invalid_token"'


SECRET = "passphrase: hunter2"


@pytest.fixture
def client(host):
    app = Flask("failing", static_folder=None)
    http_problems.register(app, host)
    raised = {
        "unforeseen": RuntimeError(SECRET),
        "precondition": PreconditionFailed("the resource is not in this version"),
        "method": MethodNotSupported("no", allowed=("GET", "HEAD")),
        "type": UnsupportedMediaType("no", accepted=("text/turtle",)),
        "tries": TooManyTries("wait"),
        "challenged": Challenged("token"),
    }

    @app.route("/fail/<name>", methods=["GET", "PUT", "PATCH"])
    def fail(name):
        raise raised[name]

    @app.get("/-/page")
    def page():
        raise PreconditionFailed("the resource is not in this version")

    @app.get("/-/elsewhere")
    def elsewhere():
        return redirect("/-/page", 303)

    app.config["PROBLEM_PAGE"] = lambda details: app.response_class(
        f"<h1>{details['title']}</h1>", mimetype="text/html"
    )
    return app.test_client()


def test_an_unforeseen_failure_tells_the_operator_and_not_the_caller(client, caplog):
    with caplog.at_level(logging.ERROR, logger="tvilling.http"):
        answer = client.get("/fail/unforeseen")
    assert (answer.status_code, answer.json["type"]) == (500, "http://localhost:8080/problems/internal-error")
    assert SECRET not in answer.text
    assert SECRET in caplog.text
    assert answer.json["instance"].removeprefix("urn:tvilling:request:") == answer.headers["X-Request-Id"]
    assert answer.headers["X-Request-Id"] in caplog.text


def test_a_declared_failure_has_the_canonical_shape(client):
    answer = client.get("/fail/precondition")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {
        "type": "http://localhost:8080/problems/precondition-failed",
        "title": "The resource has another version",
        "status": 412,
        "detail": "the resource is not in this version",
        "instance": f"urn:tvilling:request:{answer.headers['X-Request-Id']}",
    }


@pytest.mark.parametrize(
    ("method", "path", "header", "value"),
    [
        ("GET", "/fail/method", "Allow", "GET, HEAD"),
        ("PUT", "/fail/type", "Accept-Put", "text/turtle"),
        ("PATCH", "/fail/type", "Accept-Patch", "text/turtle"),
        ("GET", "/fail/tries", "Retry-After", "30"),
    ],
)
def test_the_headers_say_what_would_help(client, method, path, header, value):
    assert client.open(path, method=method).headers[header] == value


def test_a_refused_token_is_told_why_and_where_to_get_another(client):
    challenge = client.get("/fail/challenged").headers["WWW-Authenticate"]
    assert challenge.startswith('DPoP error="invalid_token", algs="')
    assert challenge.endswith('resource_metadata="http://localhost:8080/.well-known/oauth-protected-resource"')


def test_the_frameworks_own_refusals_are_told_in_the_houses_words(client):
    assert client.get("/nowhere").json["type"].endswith("/problems/no-such-page")
    wrong = client.delete("/fail/method")
    assert (wrong.status_code, wrong.json["type"]) == (405, "http://localhost:8080/problems/method-not-allowed")
    assert "GET" in wrong.headers["Allow"]


def test_people_get_a_page_and_programs_json(client):
    page = client.get("/-/page", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (page.status_code, page.text) == (412, "<h1>The resource has another version</h1>")
    program = client.get("/-/page", headers={"Accept": "application/json"})
    assert program.headers["Content-Type"] == "application/problem+json"
    assert (
        client.get("/fail/precondition", headers={"Accept": "text/html"}).headers["Content-Type"]
        == "application/problem+json"
    )


def test_redirects_are_no_failures(client):
    assert client.get("/-/elsewhere").status_code == 303


def test_security_headers_are_on_every_answer_and_hsts_where_there_is_tls(client, host):
    from dataclasses import replace

    assert client.get("/fail/tries").headers["X-Content-Type-Options"] == "nosniff"
    assert "Strict-Transport-Security" not in client.get("/fail/tries").headers
    app = Flask("tls")
    http_problems.register(app, replace(host, base_url="https://pods.example"))
    assert "Strict-Transport-Security" in app.test_client().get("/x").headers

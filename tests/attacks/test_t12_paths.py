"""T12: path tricks at the Solid door. Whatever the spelling, a path names one resource in one pod or nothing."""

from __future__ import annotations

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from solid_door import KARI, TestAgent

from pod_server import http_problems, lifecycle, routes
from pod_server.resources.errors import PathNotAllowed
from pod_server.resources.path import canonical_path, containers_above

TRICKS = [
    "private/../../ola/private/secret",
    "private/%2e%2e/%2e%2e/ola/private/secret",
    "private/%2E%2E/x",
    "./private/secret",
    "private/./secret",
    "private//secret",
    "/private/secret",
    "private%2Fsecret",
    "private%2fsecret",
    "private%5Csecret",
    "private\\secret",
    "private/secret%00",
    "private/%0d%0aX-Injected:%20yes",
    "private/%ff%fe",
    "private/%c0%ae%c0%ae/x",
    "private/..%2f..%2fx",
    "private/" + "a" * 1001,
]


@pytest.fixture
def client(city, monkeypatch):
    """A server with two pods; the asker is Kari, whom her own rules let do everything."""
    for handle in ("kari", "ola"):
        city.citizen(handle)
    app = Flask("pods", static_folder=None)
    http_problems.register(app, city.host)
    routes.register(app, city.host)
    monkeypatch.setattr(lifecycle, "verify_solid_request", lambda host, request: TestAgent(KARI))
    return app.test_client()


@pytest.mark.parametrize("path", TRICKS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_trick_is_refused_before_anything_is_looked_up(client, method, path):
    # The test client would tidy the path up; the raw one goes into the environment as a server would put it.
    answer = client.open(
        "/kari/x", method=method, data=b"x", content_type="text/plain", environ_overrides=environment("/kari/" + path)
    )
    assert answer.status_code == 400, answer.text
    assert answer.json["type"].endswith("/problems/path-not-allowed")
    assert "X-Injected" not in answer.headers


def environment(raw):
    from urllib.parse import unquote_to_bytes

    return {"REQUEST_URI": raw, "RAW_URI": raw, "PATH_INFO": unquote_to_bytes(raw).decode("latin-1")}


@pytest.mark.parametrize("path", ["private/", "private/mine", ".acl", "private/.acl", "", "activities/"])
def test_the_neighbours_pod_is_not_mine(client, path):
    assert client.get(f"/ola/{path}").status_code == 403


@given(st.text(max_size=40))
def test_a_canonical_path_has_no_dots_no_empty_segments_and_no_raw_signs(text):
    try:
        path = canonical_path(text)
    except PathNotAllowed:
        return
    assert path.isascii()
    assert not set(path.rstrip("/").split("/")) & {".", ".."}
    assert "//" not in path
    assert all(path.startswith(above) for above in containers_above(path))


@given(st.text(max_size=40), st.text(max_size=40))
def test_two_names_are_never_one_path(one, other):
    try:
        same = canonical_path(one) == canonical_path(other)
    except PathNotAllowed:
        return
    assert same == (one == other)

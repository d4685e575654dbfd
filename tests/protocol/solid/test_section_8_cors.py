"""Solid Protocol, section 8.1: scripts of any origin may ask, and learn why they are refused; pages may not be asked."""

from __future__ import annotations

import pytest

ORIGIN = "https://app.example"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "profile/card", 200), ("GET", "private/", 401), ("GET", "private/../x", 400), ("PUT", "private/x", 401)],
)
def test_the_cors_headers_are_there_on_success_and_on_refusal(door, method, path, status):
    response = door(method, path, as_=None, type_="text/turtle", Origin=ORIGIN)
    assert response.status_code == status
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Origin" in response.headers["Vary"]
    assert response.headers["Access-Control-Allow-Credentials"] == "true"


SAFE = {"cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma"}
"""What scripts may read of any answer (Fetch, CORS-safelisted response-header name)."""


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("GET", "profile/card", {}),
        ("GET", "private/", {}),
        ("PUT", "private/x", {}),
        ("PUT", "private/x", {"If_Match": '"0"'}),
        ("PATCH", "private/x", {}),
        ("DELETE", "", {}),
        ("OPTIONS", "private/", {}),
        ("GET", "sparql?query=ASK%7B%7D", {}),
        ("GET", "none/none", {}),
    ],
)
def test_a_script_may_read_every_header(door, method, path, sent):
    response = door(method, path, "x", type_="text/plain", Origin=ORIGIN, **sent)
    exposed = response.headers["Access-Control-Expose-Headers"].lower().split(", ")
    readable = SAFE.union(exposed)
    names = {name.lower() for name, _ in response.headers if not name.lower().startswith("access-control-")}
    assert names <= readable


def test_cookies_count_for_nothing_at_a_pod(door, monkeypatch):
    """Which is why an answer may say that credentials are allowed."""
    monkeypatch.undo()
    cookies = {"Cookie": "tvilling_session=anything; __Host-tvilling_session=anything"}
    answers = [door.client.get("/kari/private/", headers={"Origin": ORIGIN, **more}) for more in ({}, cookies)]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert not any("Set-Cookie" in answer.headers for answer in answers)


@pytest.mark.parametrize(
    "path", ["/vocab", "/problems/not-found", "/.well-known/openid-configuration", "/-/oauth/jwks"]
)
def test_outside_the_pods_no_credentials_are_asked_for(app, path):
    response = app.test_client().get(path, headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_a_preflight_needs_no_token_and_allows_what_it_asks_for(door):
    response = door(
        "OPTIONS",
        "private/x",
        as_=None,
        Origin=ORIGIN,
        Access_Control_Request_Method="PATCH",
        Access_Control_Request_Headers="authorization, dpop, content-type",
    )
    assert response.status_code == 204
    assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
    assert response.headers["Access-Control-Allow-Headers"] == "authorization, dpop, content-type"


@pytest.mark.parametrize("path", ["/", "/-/home", "/bridge/activities", "/-/oauth/authorize", "/research/sparql"])
def test_pages_and_the_partners_door_are_closed_to_other_origins(app, path):
    response = app.test_client().get(path, headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in response.headers


def test_a_stranger_is_told_how_to_sign_in(door):
    challenge = door.get("private/", as_=None).headers["WWW-Authenticate"]
    assert challenge.startswith("DPoP ")
    assert 'resource_metadata="http://localhost:8080/.well-known/oauth-protected-resource"' in challenge

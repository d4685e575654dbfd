"""Solid-OIDC, section 5: dynamic registration (RFC 7591), and documents at the client's own address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from solid_app import BACK, SolidApp, query_of

from pod_server.authorization_server import apps, registration
from pod_server.authorization_server.errors import OAuthError

DOCUMENT = "https://app.example/id.jsonld"


def document(**members):
    return {
        "@context": ["https://www.w3.org/ns/solid/oidc-context.jsonld"],
        "client_id": DOCUMENT,
        "client_name": "Dokumentert",
        "redirect_uris": [BACK],
        "scope": "openid webid offline_access",
        "grant_types": ["refresh_token", "authorization_code"],
    } | members


def test_registration_gives_an_identifier_and_a_secret(app):
    answer = app.register()
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json["client_id"].startswith("app-")
    assert len(answer.json["client_secret"]) >= 43
    assert answer.json["client_secret_expires_at"] == 0
    assert answer.json["token_endpoint_auth_method"] == "client_secret_basic"
    assert answer.json["redirect_uris"] == [BACK]


def test_an_app_that_cannot_keep_a_secret_gets_none(app):
    answer = app.register(token_endpoint_auth_method="none")
    assert answer.status_code == 201
    assert "client_secret" not in answer.json


def test_members_that_are_not_known_are_left_out(app):
    answer = app.register(request_uris=["https://app.example/r"], application_type="web", frontchannel_logout_uri=7)
    assert answer.status_code == 201
    assert "application_type" not in answer.json


@pytest.mark.parametrize(
    "redirect",
    [
        "http://app.example/back", "javascript:alert(1)", "data:text/html,x", "https://app.example/back#x", "/back", "",
        "https://app.example;script-src *", "https://u:p@app.example/", "https://app.example:99999/", "file:///etc/passwd",
        "https://app.example/ space", "https://[::1", "https:\\\\app.example", "https://app.example/\u00e5", 7, None,
    ],
)  # fmt: skip
def test_only_addresses_that_are_safe_to_send_people_to_are_taken(app, redirect):
    answer = app.register(redirect_uris=[redirect])
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_redirect_uri")


@pytest.mark.parametrize("redirect", [BACK, "http://localhost:3000/cb", "http://127.0.0.1/cb", "com.example.app:/back"])
def test_https_loopback_and_schemes_of_ones_own_are_taken(app, redirect):
    assert app.register(redirect_uris=[redirect]).status_code == 201


@pytest.mark.parametrize(
    "metadata",
    [
        {"redirect_uris": []}, {"redirect_uris": BACK * 40}, {"redirect_uris": [BACK] * 21}, {"client_name": 7},
        {"token_endpoint_auth_method": "private_key_jwt"}, {"token_endpoint_auth_method": []},
        {"response_types": ["token"]}, {"grant_types": ["client_credentials"]}, {"post_logout_redirect_uris": ["ftp://x"]},
    ],
)  # fmt: skip
def test_metadata_that_does_not_hold_is_refused_by_name(app, metadata):
    answer = app.register(**metadata)
    assert answer.status_code == 400
    assert answer.json["error"] in {"invalid_client_metadata", "invalid_redirect_uri"}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"a":"\\ud800"}', b"[" * 100_000, b" " * 20_000])
def test_a_body_that_is_no_object_is_refused(app, body):
    answer = app.client.post("/-/oauth/register", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_client_metadata")


def test_registration_yields_neither_partners_nor_scripts(town, registered):
    assert registered.token_request(grant_type="client_credentials").json["error"] == "unauthorized_client"
    pushed = registered.client.post("/-/oauth/par", data={"client_id": registered.client_id})
    assert pushed.status_code == 401


def test_apps_nobody_said_yes_to_are_forgotten_after_a_day(town, kari, registered, clock):
    used = SolidApp(town.host, client=town.stranger())
    used.register()
    used.let_in(kari)
    clock.advance(timedelta(days=1, seconds=1))
    SolidApp(town.host, client=town.stranger()).register()
    assert apps.find_registered(town.host, registered.client_id) is None
    assert apps.find_registered(town.host, used.client_id) is not None


def test_a_flood_of_registrations_pushes_out_unused_ones_only(town, kari, registered, monkeypatch):
    monkeypatch.setattr(registration, "MOST_UNUSED", 3)
    registered.let_in(kari)
    for _ in range(5):
        SolidApp(town.host, client=town.stranger()).register()
    with town.host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM app_registration WHERE used_at IS NULL") == (3,)
    assert apps.find_registered(town.host, registered.client_id) is not None


def test_a_document_at_the_clients_own_address_describes_it(town, kari, app):
    town.elsewhere.put(DOCUMENT, document(), "application/ld+json")
    app.client_id = DOCUMENT
    shown = kari.get(app.ask(kari)).text
    assert "Dokumentert" in shown
    assert "app.example" in shown
    assert app.let_in(kari)["token_type"] == "DPoP"
    assert town.elsewhere.asked == [DOCUMENT], "one look is enough for all that happens within five minutes"


def test_a_document_is_looked_at_again_after_five_minutes(town, kari, app, clock):
    town.elsewhere.put(DOCUMENT, document())
    app.client_id = DOCUMENT
    page = app.ask(kari)
    clock.advance(timedelta(minutes=5, seconds=1))
    town.elsewhere.put(DOCUMENT, document(redirect_uris=["https://app.example/other"]))
    assert kari.get(page, headers={"Accept": "application/json"}).status_code == 410
    assert len(town.elsewhere.asked) == 2


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (document(client_id="https://app.example/other.jsonld"), "application/ld+json"),
        (document(client_id="https://APP.example/id.jsonld"), "application/ld+json"),
        (document(redirect_uris=["javascript:alert(1)"]), "application/ld+json"),
        (document(redirect_uris=[]), "application/ld+json"),
        (document(token_endpoint_auth_method="client_secret_basic"), "application/ld+json"),
        (document(client_secret="x"), "application/ld+json"),
        (document(), "text/html"),
        ([document()], "application/ld+json"),
        ("{", "application/json"),
        ("[" * 60_000, "application/json"),
    ],
)
def test_a_document_that_does_not_hold_lets_nobody_in(town, kari, app, body, media_type):
    town.elsewhere.put(DOCUMENT, body, media_type)
    app.client_id = DOCUMENT
    answer = app.arrive(kari)
    assert answer.status_code == 400
    assert answer.json["type"].endswith("/problems/authorization-request")


def test_a_document_that_is_reached_by_a_redirect_is_not_its_own(town, kari, app):
    town.elsewhere.put(DOCUMENT, document(), at="https://evil.example/id.jsonld")
    app.client_id = DOCUMENT
    assert app.arrive(kari).status_code == 400


@pytest.mark.parametrize(
    "address",
    ["http://169.254.169.254/latest", "https://app.example/id.jsonld#x", "https://" + "a" * 500, "ftp://x", "app-none"],
)
def test_addresses_that_are_no_apps_are_refused_and_sent_nowhere(kari, app, address):
    app.client_id = address
    answer = app.arrive(kari)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_a_documents_failure_is_kept_for_half_a_minute(town, kari, app, clock):
    app.client_id = DOCUMENT
    for _ in range(3):
        assert app.arrive(kari).status_code == 400
    assert len(town.elsewhere.asked) == 1
    clock.advance(timedelta(seconds=31))
    town.elsewhere.put(DOCUMENT, document())
    assert app.arrive(kari).status_code == 303


def test_a_native_apps_loopback_address_may_have_any_port(kari, app):
    app.register(redirect_uris=["http://127.0.0.1/cb"])
    page = app.ask(kari, redirect_uri="http://127.0.0.1:51004/cb")
    answer = app.answered(kari, page, answer="allow", modes="read")
    assert answer.headers["Location"].startswith("http://127.0.0.1:51004/cb?")
    code = query_of(answer)["code"]
    assert app.redeem(code, redirect_uri="http://127.0.0.1:51004/cb").status_code == 200
    assert app.arrive(kari, redirect_uri="http://127.0.0.1:51004/other").status_code == 400


def test_names_are_shown_as_text_without_what_cannot_be_seen():
    app = apps.described(
        "app-1", {"redirect_uris": [BACK], "client_name": " A\u202eB\n\x00 C" + "d" * 200}, has_secret=False
    )
    assert app.name.startswith("AB Cd")
    assert len(app.name) == 80
    assert apps.described("app-1", {"redirect_uris": [BACK]}, has_secret=False).name == "app.example"


def test_an_oauth_error_names_the_member(town):
    with town.app.test_request_context(json={"redirect_uris": ["x"]}):
        from flask import request

        with pytest.raises(OAuthError, match="redirect_uris"):
            registration.register(town.host, request)

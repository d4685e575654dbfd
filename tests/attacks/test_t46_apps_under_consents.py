"""T46: an app that nobody admitted asks for more than it may, reads after it may not, or borrows another's yes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from reading_app import DOCUMENT, READER_SCOPE, described, details, neighbourhood, put_document
from solid_app import BACK, query_of

from pod_server import documents, grants
from pod_server.authorization.enforcement import require_grant
from pod_server.authorization_server.tokens import AuthenticatedPartner
from pod_server.errors import PermitExceeded
from pod_server.identifiers import Actor
from pod_server.opening import open_pod

OTHER = "https://other.example/id.jsonld"
CITIZEN = Actor("citizen")


@pytest.fixture
def near(city):
    return neighbourhood(city)


def slug(answer):
    return answer.json["type"].rpartition("/")[2]


def figures_of(given):
    return f"/bridge/grants/{given['grant_id']}/figures"


def test_what_was_not_chosen_is_refused_and_the_refusal_logged(near):
    app = near.app()
    code = app.code(near.browser, app.page(near.browser), figure=["footprint-month"])
    given = app.redeem(code).json
    token = given["access_token"]
    assert slug(app.read(token, f"{figures_of(given)}?figure=electricity-day")) == "figure-not-granted"
    assert slug(app.read(token, f"/bridge/grants/{given['grant_id']}/graph")) == "figure-not-granted"
    (view,) = (each for each in grants.list_grants(app.host, near.kari.pod_id) if each.grant.id == given["grant_id"])
    assert view.refused == 2


def test_an_app_cannot_ask_to_deliver(near):
    app = near.app()
    asked = details(
        app.host, type=f"{app.host.base_url}/vocab/rar#pod-append", figures=None, datatypes=["ElectricityReading"]
    ).replace('"max_reads_per_day": 6, ', "")
    for text in (asked, asked.replace(', "max_reads_per_day": 6', ""), details(app.host, actions=["read", "append"])):
        answer = app.arrive(near.browser, **READER_SCOPE, authorization_details=text)
        assert query_of(answer)["error"] == "invalid_authorization_details"


@pytest.mark.parametrize(
    ("act", "problem"),
    [("pause", "consent-paused"), ("withdraw", "consent-withdrawn"), ("erase", "consent-erased")],
)
def test_nothing_is_read_after_the_citizen_took_it_back_though_the_token_is_fresh(near, act, problem):
    app = near.app()
    given = app.granted(near.browser)
    getattr(grants, act)(app.host, near.kari.pod_id, given["grant_id"], actor=CITIZEN)
    assert slug(app.read(given["access_token"], figures_of(given))) == problem


def test_nothing_is_read_after_the_consent_ran_out_though_the_token_is_fresh(near, clock):
    app = near.app()
    soon = (app.host.clock.now() + timedelta(minutes=5)).isoformat()
    page = app.page(near.browser, asked=details(app.host, validTo=soon))
    given = app.redeem(app.code(near.browser, page, duration="P1M")).json
    clock.advance(timedelta(minutes=6))
    assert slug(app.read(given["access_token"], figures_of(given))) == "consent-expired"


def test_a_token_of_one_consent_does_not_open_another(near):
    app = near.app()
    first, second = app.granted(near.browser), app.granted(near.browser)
    assert slug(app.read(first["access_token"], figures_of(second))) == "no-such-grant"


def test_another_apps_token_or_key_opens_nothing(near):
    app, other = near.app(), near.app(OTHER)
    given, others = app.granted(near.browser), other.granted(near.browser)
    assert slug(other.read(others["access_token"], figures_of(given))) == "no-such-grant"
    assert other.read(given["access_token"], figures_of(given)).status_code == 401, "a proof of another key"
    assert other.read(others["access_token"], f"/-/oauth/grants/{given['grant_id']}").status_code == 404
    assert other.refresh(given["refresh_token"]).json["error"] == "invalid_grant"
    other.client_id = DOCUMENT  # it says it is the other app, which anybody can say; it has not the other's key
    assert other.refresh(given["refresh_token"]).json["error"] == "invalid_grant"
    assert app.read(given["access_token"], figures_of(given)).status_code == 200


def test_a_stolen_code_is_worth_nothing_without_the_verifier_and_names_no_other_address(near):
    app, other = near.app(), near.app(OTHER)
    code = app.code(near.browser, app.page(near.browser))
    assert other.redeem(code).json["error"] == "invalid_grant", "another client; the code stays good for its own"
    assert app.redeem(code).status_code == 200
    for wrong in ({"code_verifier": "v" * 43}, {"redirect_uri": "https://app.example/elsewhere"}):
        code = app.code(near.browser, app.page(near.browser))
        assert app.redeem(code, **wrong).json["error"] == "invalid_grant"


def test_a_code_used_twice_ends_what_the_first_use_got(near):
    app = near.app()
    code = app.code(near.browser, app.page(near.browser))
    given = app.redeem(code).json
    assert app.redeem(code).json["error"] == "invalid_grant"
    assert app.read(given["access_token"], figures_of(given)).status_code == 401
    assert app.refresh(given["refresh_token"]).json["error"] == "invalid_grant"


def test_the_token_is_none_of_the_pods_and_a_pods_token_none_of_the_bridges(near):
    app = near.app()
    given = app.granted(near.browser)
    for path in ("/kari/private/", "/kari/profile/card", "/kari/sparql?query=ASK%7B%7D"):
        assert app.use("GET", path, given["access_token"]).status_code == 401, path
    solid = app.let_in(near.browser, "everything")
    assert app.read(solid["access_token"], figures_of(given)).status_code == 401


def test_the_token_delivers_nothing_and_reads_no_receipts(near):
    app = near.app()
    token = app.granted(near.browser)["access_token"]
    address = f"{app.host.base_url}/bridge/activities"
    sent = app.client.post(
        "/bridge/activities", json=[], headers=app.authorised("POST", address, token)
    )  # fmt: skip
    assert sent.status_code == 401
    assert app.read(token, "/bridge/receipts").status_code == 401


def test_a_consent_to_read_signs_nobody_in(near):
    """An app that holds a consent, and was never let in, asks silently who is there."""
    app = near.app()
    app.granted(near.browser)
    answer = app.arrive(near.browser, prompt="none")
    assert query_of(answer)["error"] == "consent_required"


def test_an_app_without_an_address_of_its_own_cannot_ask_to_read(near):
    app = near.app()
    app.client_id = ""
    assert app.register().status_code == 201
    answer = app.arrive(near.browser, **READER_SCOPE, authorization_details=details(app.host))
    assert query_of(answer)["error"] == "unauthorized_client"


def test_a_document_that_changed_its_addresses_meanwhile_gets_no_answer(near):
    app = near.app()
    page = app.page(near.browser)
    near.town.elsewhere.put(DOCUMENT, described(DOCUMENT, back="https://app.example/new"), "application/ld+json")
    app.host.lookups.forget("client", DOCUMENT)
    assert near.browser.get(page, headers={"Accept": "text/html"}).status_code == 410


def test_a_name_that_turns_the_reading_round_or_borrows_one_stands_beside_the_apps_own_address(near):
    app = near.app(client_name="Trondheim kommune\u202e \u2066moc.live\u2069")
    shown = near.browser.get(app.page(near.browser), headers={"Accept": "text/html"}).text
    assert not set("\u202e\u2066\u2069") & set(shown)
    assert "Trondheim kommune moc.live (app.example)" in shown


def test_the_answer_goes_nowhere_but_to_a_registered_address(near):
    app = near.app()
    answer = app.arrive(
        near.browser, **READER_SCOPE, authorization_details=details(app.host), redirect_uri="https://evil.example/"
    )
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_two_apps_learn_no_common_name_of_the_citizen(near):
    def words(given, app):
        told = json.dumps([given["authorization_details"], app.read(given["access_token"], figures_of(given)).json])
        return {each for each in told.replace('"', " ").split() if near.kari.city.host.base_url not in each}

    app, other = near.app(), near.app(OTHER)
    first, second = app.granted(near.browser), other.granted(near.browser)
    assert first["authorization_details"][0]["subject"] != second["authorization_details"][0]["subject"]
    assert not any("kari" in each.lower() for each in words(first, app) | words(second, other))


def test_the_database_does_not_say_which_app_reads(near):
    app = near.app()
    app.code(near.browser, app.page(near.browser))
    app.granted(near.browser)
    with app.host.storage.read() as tx:
        for table in ("pushed_request", "authorization_code", "refresh_token", "app_connection", "consent"):
            rows = tx.all(f"SELECT * FROM {table}")
            assert rows, table
            assert not [row for row in rows if "app.example" in repr(row)], table
    assert BACK.startswith("https://app.example")


def test_a_document_that_was_not_named_stays_shut_to_door_and_permit_alike(near):
    put_document(near, "private/notes/heating", b'<a> <http://schema.org/text> "yes" .')
    put_document(near, "private/diary", b'<a> <http://schema.org/text> "no" .')
    app = near.app()
    page = app.page(near.browser, asked=details(app.host, figures=None, documents=["private/notes/heating"]))
    given = app.redeem(
        app.code(near.browser, page, figure=[], document=["private/notes/heating", "private/diary"])
    ).json
    place = f"/bridge/grants/{given['grant_id']}/document?path="
    assert app.read(given["access_token"], place + "private/notes/heating").status_code == 200
    for path in ("private/diary", "private/notes/../diary", "private/notes/heating.acl", "", "/private/notes/heating"):
        assert slug(app.read(given["access_token"], place + path)) == "figure-not-granted", path
    # The Permit itself holds, whoever forgets to ask.
    permit = require_grant(
        app.host, AuthenticatedPartner(view_client(near, given), "", None, ""), given["grant_id"], (), "read",
        app.host.clock.now(),
    )  # fmt: skip
    own = open_pod(app.host, permit)
    with app.host.storage.read() as tx, pytest.raises(PermitExceeded):
        documents.get(tx, own, "private/diary")


def view_client(near, given):
    return grants.find_grant(near.town.host, near.kari.pod_id, given["grant_id"]).terms.client_id


@pytest.mark.parametrize(
    "path",
    [
        "../ola/diary",
        "private/",
        "",
        "a//b",
        "./a",
        "private/a.acl",
        "private/a.meta",
        "a\\b",
        "a?b",
        "a#b",
        "a b",
        "æ",
        "x" * 301,
    ],
)
def test_paths_that_lead_elsewhere_cannot_be_asked_for(near, path):
    app = near.app()
    asked = details(app.host, figures=None, documents=[path])
    assert query_of(app.arrive(near.browser, **READER_SCOPE, authorization_details=asked))["error"] == (
        "invalid_authorization_details"
    )

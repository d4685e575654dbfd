"""An app that nobody admitted is granted figures or activities by the law that holds for partners (ADR 0092)."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from reading_app import DOCUMENT, details, neighbourhood, put_document
from solid_app import query_of

from pod_server import grants
from pod_server.authorization_server.connections import list_connections
from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.parties import find_party


@pytest.fixture
def near(city):
    return neighbourhood(city)


def log_of(near, action=None):
    with near.town.host.storage.read() as tx:
        found = ledger.read_events(tx, near.kari.made.vault, near.kari.pod_id, limit=200)
    return [each.event for each in found if action in {None, each.event.action}]


def view_of(near, grant):
    return next(each for each in grants.list_grants(near.town.host, near.kari.pod_id) if each.grant.id == grant)


def test_the_page_says_who_what_why_and_how_long_and_that_nobody_has_checked_the_app(near):
    page = near.app().page(near.browser)
    shown = near.browser.get(page, headers={"Accept": "text/html", "Accept-Language": "en"}).text
    for words in ("Strømvenn (app.example)", "nobody here has checked", "app.example", "take it back", "3 months"):
        assert words in shown, words
    assert "checked=" not in shown.replace("data-checked", ""), "nothing is chosen beforehand"


def test_what_was_chosen_is_read_logged_with_its_purpose_and_ends_at_once_with_the_withdrawal(near):
    app = near.app()
    given = app.granted(near.browser)
    (told,) = given["authorization_details"]
    assert (told["actions"], sorted(told["figures"])) == (["read"], ["electricity-day", "footprint-month"])
    assert "id_token" not in given
    place = f"/bridge/grants/{given['grant_id']}"
    answer = app.read(given["access_token"], f"{place}/figures")
    assert answer.status_code == 200, answer.text
    days = {part["day"]: part["value"] for part in json.loads(answer.data)["part"] if "day" in part}
    assert days["2026-11-22"] == pytest.approx(36.0)
    (event,) = log_of(near, "read-figures")
    assert (event.actor, event.purpose, event.grant) == (
        Actor("app", DOCUMENT, "Strømvenn (app.example)"), "personal-footprint", given["grant_id"],
    )  # fmt: skip
    assert view_of(near, given["grant_id"]).reads == 1
    grants.withdraw(near.town.host, near.kari.pod_id, given["grant_id"], actor=Actor("citizen"))
    refused = app.read(given["access_token"], f"{place}/figures")
    assert (refused.status_code, refused.json["type"].rpartition("/")[2]) == (403, "consent-withdrawn")
    assert app.refresh(given["refresh_token"]).json["error"] == "invalid_grant"


def test_a_refresh_token_serves_the_apps_own_key_until_the_consent_ends(near, clock):
    app = near.app()
    given = app.granted(near.browser)
    clock.advance(timedelta(hours=2))
    again = app.refresh(given["refresh_token"])
    assert again.status_code == 200, again.text
    assert app.read(again.json["access_token"], f"/bridge/grants/{given['grant_id']}/figures").status_code == 200
    clock.advance(timedelta(days=91))
    assert app.refresh(given["refresh_token"]).json["error"] == "invalid_grant"


def test_both_get_the_signed_receipt_which_names_the_app_by_its_address(near):
    app = near.app()
    given = app.granted(near.browser)
    told = app.read(given["access_token"], f"/-/oauth/grants/{given['grant_id']}")
    assert told.status_code == 200, told.text
    receipt = json.dumps(told.json["receipt"])
    assert DOCUMENT in receipt
    assert "proof" in told.json["receipt"]
    assert "/kari/" not in receipt, "the app learns no WebID"


def test_the_app_may_give_its_consent_up_and_the_log_says_who_did(near):
    app = near.app()
    given = app.granted(near.browser)
    assert app.read(given["access_token"], f"/-/oauth/grants/{given['grant_id']}", "DELETE").status_code == 204
    assert view_of(near, given["grant_id"]).events[-1].by == "partner"
    assert log_of(near, "consent-withdrawn")[0].actor.id == DOCUMENT


def test_no_is_remembered_and_the_app_hears_no_more_than_no(near):
    app = near.app()
    answer = app.answered(near.browser, app.page(near.browser), answer="refuse")
    assert query_of(answer)["error"] == "access_denied"
    page = app.page(near.browser)
    again = near.browser.get(page, headers={"Accept": "text/html"})
    assert again.status_code == 303
    assert query_of(again)["error"] == "access_denied"
    (asked,) = log_of(near, "consent-requested")
    assert (asked.outcome, asked.actor.id) == ("refused-lately", DOCUMENT)


def test_an_app_that_only_reads_is_not_among_those_that_act_for_the_citizen(near):
    near.app().granted(near.browser)
    assert list_connections(near.town.host, near.kari.pod_id) == []


def test_ending_an_app_withdraws_its_consents_too(near):
    app = near.app()
    given = app.granted(near.browser)
    app.let_in(near.browser, "read")
    (connection,) = list_connections(near.town.host, near.kari.pod_id)
    page = near.browser.get("/-/my-data", headers={"Accept": "text/html"}).text
    token = page.partition('name="csrf" value="')[2].partition('"')[0]
    assert near.browser.post(f"/-/apps/{connection.id}/end", data={"csrf": token}).status_code == 303
    assert str(view_of(near, given["grant_id"]).grant.state) == "withdrawn"
    assert app.read(given["access_token"], f"/bridge/grants/{given['grant_id']}/figures").status_code == 401


def test_a_browser_of_another_origin_may_read_with_its_token(near):
    answer = near.town.stranger().options(
        "/bridge/grants/g-x/figures",
        headers={"Origin": "https://app.example", "Access-Control-Request-Headers": "dpop"},
    )
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"scope": "openid webid"}, "invalid_scope"),
        ({"prompt": "none"}, "consent_required"),
        ({"grant_management_action": "merge"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"authorization_details": "[]"}, "invalid_authorization_details"),
    ],
)
def test_what_an_app_cannot_ask_is_told_to_it(near, parameters, error):
    app = near.app()
    asked = {"scope": None, "nonce": None, "authorization_details": details(app.host)} | parameters
    answer = app.arrive(near.browser, **asked)
    assert answer.status_code == 303
    assert query_of(answer)["error"] == error


NOTE = (
    b'<private/notes/heating#it> <http://schema.org/about> <profile/card#me> ; <http://schema.org/text> "Heat pump" .'
)
PATH = "private/notes/heating"


def document_of(given, path=PATH):
    return f"/bridge/grants/{given['grant_id']}/document?path={path}"


def test_a_named_document_is_read_whole_and_says_nothing_of_where_the_pod_is(near):
    put_document(near, PATH, NOTE)
    app = near.app()
    page = app.page(near.browser, asked=details(app.host, figures=None, documents=[PATH]))
    shown = near.browser.get(page, headers={"Accept": "text/html", "Accept-Language": "en"}).text
    assert PATH in shown
    assert "2 facts, last changed" in shown
    given = app.redeem(app.code(near.browser, page, figure=[], document=[PATH])).json
    assert given["authorization_details"][0]["documents"] == [PATH]
    answer = app.read(given["access_token"], document_of(given), accept="text/turtle")
    assert answer.status_code == 200, answer.text
    assert "Heat pump" in answer.text
    assert f"/bridge/grants/{given['grant_id']}/pod/profile/card#me" in answer.text
    assert "/kari/" not in answer.text
    (event,) = log_of(near, "read-document")
    assert (event.detail, event.purpose) == ({"document": PATH}, "personal-footprint")
    put_document(near, PATH, NOTE.replace(b"Heat pump", b"Stove"))
    assert "Stove" in app.read(given["access_token"], document_of(given)).text, "as it stands when it is read"


def test_what_is_not_there_or_no_graph_is_told_and_stands_in_the_log(near):
    app = near.app()
    put_document(near, "private/photo", b"\x89PNG", "image/png")
    page = app.page(near.browser, asked=details(app.host, figures=None, documents=[PATH, "private/photo"]))
    given = app.redeem(app.code(near.browser, page, figure=[], document=[PATH, "private/photo"])).json
    for path in (PATH, "private/photo"):
        answer = app.read(given["access_token"], document_of(given, path))
        assert (answer.status_code, answer.json["type"].rpartition("/")[2]) == (404, "nothing-to-read")
    assert [event.outcome for event in log_of(near, "read-document")] == ["nothing-to-read"] * 2


def test_readings_of_a_kind_for_a_period_end_where_the_period_ends(near):
    app = near.app()
    asked = details(
        app.host, figures=None, datatypes=["ElectricityReading"], granularity="event",
        history_from="2026-11-21T12:00:00Z", history_to="2026-11-22T12:00:00Z",
    )  # fmt: skip
    page = app.page(near.browser, asked=asked)
    shown = near.browser.get(page, headers={"Accept": "text/html", "Accept-Language": "en"}).text
    assert "Nothing after 22 November 2026" in shown
    given = app.redeem(app.code(near.browser, page, figure=[], kind=["electricity-reading"], granularity="event")).json
    assert given["authorization_details"][0]["history_to"].startswith("2026-11-22T12:00")
    answer = app.read(given["access_token"], f"/bridge/grants/{given['grant_id']}/graph?from=2026-11-01")
    starts = sorted(part["start"] for part in json.loads(answer.data)["part"])
    assert starts
    assert starts[0] >= "2026-11-21T12:00"
    assert starts[-1] < "2026-11-22T12:00"


def test_a_pod_that_moved_leaves_its_apps_behind_and_their_consents_end(near):
    """Connections stay with the host that made them: on arrival nobody stands behind such a consent."""
    app = near.app()
    given = app.granted(near.browser)
    host, pod_id = near.town.host, near.kari.pod_id
    with host.storage.write() as tx:
        tx.execute("DELETE FROM app_connection WHERE pod_id = ?", (pod_id,))
        assert find_party(host, tx, given["authorization_details"][0]["subject"]) is None
        grants.settle_arrival(
            host, tx, pod_id, given["grant_id"], partner_is_known=False, actor=Actor("operator", "", "move")
        )
    assert str(view_of(near, given["grant_id"]).grant.state) == "withdrawn"
    assert app.read(given["access_token"], f"/bridge/grants/{given['grant_id']}/figures").status_code == 401
    assert near.browser.get("/-/my-data", headers={"Accept": "text/html"}).status_code == 200

"""T8: a code's second use ends everything its first use got; a question is answered in the browser that opened it."""

from __future__ import annotations

import pytest
from oauth_client import PartnerClient
from solid_app import BACK, SolidApp, make_town, query_of

HTML = {"Accept": "text/html"}


@pytest.fixture
def town(city):
    return make_town(city)


@pytest.fixture
def kari(town):
    return town.citizen("kari")


@pytest.fixture
def app(town):
    app = SolidApp(town.host, client=town.stranger())
    app.register()
    return app


def opens(app, token):
    return app.use("GET", "/kari/", token).status_code == 200


def test_an_apps_code_used_twice_ends_its_access_tokens_too(kari, app):
    code = app.code_from(kari)
    first = app.redeem(code).json
    refreshed = app.refresh(first["refresh_token"]).json["access_token"]
    assert opens(app, first["access_token"])
    assert opens(app, refreshed)
    assert app.redeem(code).json["error"] == "invalid_grant"
    assert not opens(app, first["access_token"])
    assert not opens(app, refreshed)
    assert app.refresh(first["refresh_token"]).json["error"] == "invalid_grant"


def test_another_code_of_the_same_app_goes_on(kari, app):
    code = app.code_from(kari)
    app.redeem(code)
    other = app.let_in(kari)["access_token"]
    app.redeem(code)
    assert opens(app, other)


def test_a_stranger_who_tries_a_code_ends_nothing(town, kari, app):
    """Only the code's own client uses it up, or another app could end what it never had."""
    code = app.code_from(kari)
    token = app.redeem(code).json["access_token"]
    other = SolidApp(town.host, client=town.stranger())
    other.register()
    other.redeem(code)
    assert opens(app, token)


def test_a_partners_code_used_twice_ends_its_access_tokens_too(town):
    partner = PartnerClient(town.host)
    code = partner.code_from(town.city.citizen("nina").pod_id)
    first = partner.redeem(code).json
    refreshed = partner.token_request(grant_type="refresh_token", refresh_token=first["refresh_token"]).json
    assert partner.probe(first["access_token"]).status_code == 200
    assert partner.redeem(code).status_code == 400
    assert partner.probe(first["access_token"]).status_code == 401
    assert partner.probe(refreshed["access_token"]).status_code == 401
    own = partner.own_token()
    assert partner.probe(own).status_code == 200, "what the partner signed in for as itself goes on"


def test_a_refresh_token_that_comes_too_late_to_be_ended_is_never_made(kari, app, monkeypatch):
    """Two requests with one code at once: the first has been judged when the second ends its family."""
    from pod_server.authorization_server import app_tokens

    code = app.code_from(kari)
    issue = app_tokens.issue_access_token

    def meanwhile(*arguments, **named):
        monkeypatch.setattr(app_tokens, "issue_access_token", issue)
        assert app.redeem(code).status_code == 400
        return issue(*arguments, **named)

    monkeypatch.setattr(app_tokens, "issue_access_token", meanwhile)
    assert app.redeem(code).json["error"] == "invalid_grant"


# Questions and browsers


def test_an_apps_question_is_shown_and_answered_in_one_browser_alone(town, kari, app):
    """An attacker begins, and sends the victim the address: the victim's yes would give the attacker's app her code."""
    attacker = town.citizen("mallory")
    page = app.ask(attacker)
    assert attacker.get(page, headers=HTML).status_code == 200
    shown = kari.get(page, headers=HTML)
    assert shown.status_code == 403
    assert "annen nettleser" in shown.text
    from pod_server.authentication.session import cookie_settings, load_session

    session = load_session(town.host, kari.get_cookie(cookie_settings(town.host).key).value)
    sent = kari.post(page, data={"csrf": session.csrf_token, "answer": "allow", "modes": "read"})
    assert sent.status_code == 403
    assert sent.json["type"].endswith("/question-elsewhere")
    assert query_of(app.answered(attacker, page, answer="deny"))["error"] == "access_denied"


def test_a_partners_question_is_shown_and_answered_in_one_browser_alone(town, kari):
    partner = PartnerClient(town.host)
    address = authorize_address(partner)
    attacker = town.citizen("mallory")
    page = attacker.get(address).headers["Location"].removeprefix(town.host.base_url)
    assert attacker.get(page, headers=HTML).status_code == 200
    again = kari.get(address).headers["Location"].removeprefix(town.host.base_url)
    assert again == page
    refused = kari.get(page)
    assert refused.status_code == 403
    assert refused.json["type"].endswith("/question-elsewhere")
    answered = kari.post(page, data={"answer": "give", "kind": "electricity-reading"})
    assert (answered.status_code, "Location" in answered.headers) == (403, False)
    assert attacker.get(page, headers=HTML).status_code == 200


def test_a_question_that_was_not_shown_yet_waits_for_the_browser_that_signs_in(town, app):
    from pod_server.authentication.session import cookie_settings, create_session

    browser = town.stranger()
    page = app.ask(browser)
    assert browser.get(page, headers=HTML).status_code == 303, "sign in first"
    made = town.city.citizen("anna", name="Anna")
    browser.set_cookie(cookie_settings(town.host).key, create_session(town.host, made.vault.pod_id, made.vault))
    answer = app.answered(browser, page, answer="allow", modes="read")
    assert answer.headers["Location"].startswith(f"{BACK}?code=")


def test_the_database_does_not_hold_the_browsers_word(town, kari, app):
    kari.get(app.ask(kari), headers=HTML)
    word = kari.get_cookie("tvilling-browser").value
    with town.host.storage.read() as tx:
        rows = tx.all("SELECT * FROM question_browser", ())
    assert len(rows) == 1
    assert word not in str(rows)


def authorize_address(partner):
    pushed = partner.push().json
    return f"/-/oauth/authorize?client_id={partner.partner.client_id}&request_uri={pushed['request_uri']}"

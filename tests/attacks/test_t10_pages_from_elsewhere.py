"""T10, the pages' half: another site's page neither acts in a citizen's session nor leads a citizen astray."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from flask import Flask

from dashboard.frame import content_policy
from dashboard.views.public import own_path
from pod_server import http_problems
from pod_server.authentication.session import cookie_settings, create_session

FORM_TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


def browser(city, *, secure: bool):
    """A browser at the pages, nobody signed in."""
    import dashboard.routes

    host = replace(city.host, allow_insecure=not secure)
    app = Flask("pages", static_folder=None)
    app.config["HOST"] = host
    http_problems.register(app, host)
    dashboard.routes.register(app, host)
    return app.test_client()


@pytest.fixture
def kari(city):
    client = browser(city, secure=False)
    made = city.citizen("kari")
    client.set_cookie("tvilling-session", create_session(city.host, made.pod_id, made.vault))
    return client


def addresses_of_forms(app: Flask) -> list[str]:
    return sorted(
        re.sub(r"<[^>]+>", "x-1", str(rule)) for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())
    )


def test_no_form_is_taken_without_the_session_s_own_token(kari, city):
    strangers = FORM_TOKEN.search(browser(city, secure=False).get("/-/sign-in").text).group(1)
    forms = addresses_of_forms(kari.application)
    assert len(forms) >= 18
    for address in forms:
        if address.startswith("/-/demo/"):
            continue  # this host is no demo: 404 before anything else
        if address.endswith("/signed-out-there"):
            continue  # a provider's own message, proved by its signature (tests/protocol/upstream)
        if re.match(r"/-/(operator|partners)/(?!register|enter)", address):
            continue  # sessions of their own, which this browser has none of (T36)
        for form in ({}, {"csrf": ""}, {"csrf": strangers}):
            answer = kari.post(address, data=form, headers={"Origin": "https://evil.example"})
            assert answer.status_code == 403, address
            assert not answer.headers.getlist("Set-Cookie")
    assert kari.get("/-/home").status_code == 200


def test_a_form_of_another_site_cannot_have_the_session_s_cookie_deleted(city):
    """It comes without the cookie (SameSite), but browsers would heed what the answer sets."""
    answer = browser(city, secure=False).post("/-/sign-out", headers={"Origin": "https://evil.example"})
    assert not [each for each in answer.headers.getlist("Set-Cookie") if each.startswith("tvilling-session")]


@pytest.mark.parametrize(
    "address",
    [
        "/-/../mallory/page.html",
        "/-/./../mallory/",
        "/-/..",
        "//evil.example",
        "/-/home?next=//evil.example",
        "/-/%2e%2e/m",
    ],
)
def test_signing_in_leads_to_our_own_pages_alone(address):
    assert own_path(address) == "/-/home"


def test_with_tls_no_neighbouring_host_can_choose_a_stranger_s_form_token(city):
    client = browser(city, secure=True)
    (cookie,) = client.get("/-/sign-in", base_url="https://localhost").headers.getlist("Set-Cookie")
    assert cookie.startswith("__Host-tvilling_form=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    planted = browser(city, secure=True)
    planted.set_cookie("tvilling_form", "A" * 32)
    answer = planted.post("/-/sign-in", data={"csrf": "A" * 32, "handle": "kari", "passphrase": "x"})
    assert answer.status_code == 403


def test_the_session_s_cookie_is_out_of_reach_of_scripts_plain_http_and_neighbours(city):
    settings = cookie_settings(replace(city.host, allow_insecure=False))
    assert (settings.key, settings.secure, settings.httponly, settings.samesite, settings.path) == (
        "__Host-tvilling-session", True, True, "Lax", "/",
    )  # fmt: skip


@pytest.mark.parametrize("number", ["9" * 30, str(2**63)])
def test_a_number_beyond_the_database_is_no_page(kari, number):
    assert kari.get(f"/-/why/{number}").status_code == 404
    assert kari.get("/-/log", query_string={"before": "²"}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example;script-src *",
        "https://evil.example *",
        "https://*",
        "'unsafe-inline'",
        "https://a\r\nX: y",
    ],
)
def test_a_place_to_go_on_to_adds_nothing_else_to_the_policy(city, origin):
    assert content_policy(city.host, (origin,)) == content_policy(city.host)
    assert "form-action 'self' https://partner.example;" in content_policy(city.host, ("https://partner.example",))


def test_a_program_that_takes_anything_gets_a_problem_and_no_page_with_cookies(kari):
    answer = kari.get("/-/why/99", headers={"Accept": "*/*"})
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert not answer.headers.getlist("Set-Cookie")

"""T10: pages and pods are strangers. A page's cookie opens no pod, and a document in a pod acts in nobody's session."""

from __future__ import annotations

import pytest
from flask import Flask

from pod_server import http_problems, routes
from pod_server.authentication.session import cookie_settings, create_session


@pytest.fixture
def signed_in(city):
    """A browser that is signed in at the pages, turned to the pods. Nothing of the lifecycle is replaced."""
    kari = city.citizen("kari")
    app = Flask("pods", static_folder=None)
    http_problems.register(app, city.host)
    routes.register(app, city.host)
    browser = app.test_client()
    session = create_session(city.host, kari.pod_id, kari.vault)
    browser.set_cookie(cookie_settings(city.host).key, session, domain="localhost")
    return browser


@pytest.mark.parametrize("path", ["", ".acl", "private/", "activities/"])
def test_a_pages_cookie_reads_nothing_in_the_pod(signed_in, path):
    refused = signed_in.get(f"/kari/{path}", base_url="http://localhost:8080")
    assert refused.request.headers["Cookie"]
    assert refused.status_code == 401
    assert "Set-Cookie" not in refused.headers


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("place", ["public/", "profile/card", ".acl"])
def test_a_pages_cookie_writes_nothing_in_the_pod(signed_in, method, place):
    type_ = "application/sparql-update" if method == "PATCH" else "text/turtle"
    body = "INSERT DATA { <a> <b> <c> }" if method == "PATCH" else ""
    refused = signed_in.open(
        f"/kari/{place}", method=method, data=body, content_type=type_, base_url="http://localhost:8080"
    )
    assert refused.status_code in {401, 405}
    if place != "profile/card":
        return
    assert b"foaf:Person" in signed_in.get("/kari/profile/card").data


def test_a_cookie_that_another_origin_sends_along_to_a_pod_changes_nothing(signed_in):
    """So CORS may let it through (Solid Protocol, section 8.1); what scripts may read is what everyone may."""
    evil = {"Origin": "https://evil.example"}
    for path in ("/kari/profile/card", "/kari/private/", "/kari/sparql?query=ASK{}"):
        answers = [client.get(path, headers=evil) for client in (signed_in, signed_in.application.test_client())]
        signed, stranger = ((one.status_code, one.headers.get("WAC-Allow")) for one in answers)
        assert signed == stranger
        assert answers[0].headers["Access-Control-Allow-Credentials"] == "true"


def test_other_origins_may_never_send_cookies_along_to_the_pages(signed_in):
    for path in ("/-/home", "/-/oauth/jwks", "/vocab", "/.well-known/solid"):
        answer = signed_in.get(path, headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_every_answer_of_a_pod_is_sandboxed_and_not_guessed_at(signed_in):
    answer = signed_in.get("/kari/profile/card")
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    refusal = signed_in.get("/kari/private/")
    assert refusal.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in refusal.headers["Content-Security-Policy"]


@pytest.fixture
def at_the_pages(city):
    """The same citizen's browser, at the pages."""
    import dashboard.routes

    kari = city.citizen("kari", name="Kari")
    app = Flask("pages", static_folder=None)
    http_problems.register(app, city.host)
    dashboard.routes.register(app, city.host)
    browser = app.test_client()
    browser.set_cookie(cookie_settings(city.host).key, create_session(city.host, kari.pod_id, kari.vault))
    return browser


CHANGES = [
    "/-/calculations/p-1/agree", "/-/calculations/p-1/send", "/-/calculations/p-1/withdraw", "/-/calculations/answers/p-1/drop",
    "/-/challenges/p-1/g-1/join", "/-/challenges/mine/g-1/tell", "/-/challenges/mine/g-1/leave",
    "/-/sign-out", "/-/choices", "/-/lock", "/-/lock/open", "/-/lock/renew", "/-/lock/passphrase", "/-/lock/passphrase/drop", "/-/lock/recovery-code", "/-/recover", "/-/remove", "/-/download/pod", "/-/move/file", "/-/move/away", "/-/research/give", "/-/live/ticket", "/-/twin/p-1/approve", "/-/offers/look", "/-/twin/off", "/-/twin/on",
    "/-/twin/p-1/decline", "/-/grants/g-1/withdraw", "/-/grants/g-1/narrow", "/-/grants/g-1/keep", "/-/grants/g-1/pause", "/-/grants/g-1/resume", "/-/grants/g-1/renew",
    "/-/grants/g-1/erase", "/-/grants/g-1/confirm", "/-/representation/g-1/end", "/-/representation", "/-/representation/g-1/accept", "/-/lock/drill", "/-/for/g-1/grants/g-1/withdraw",
    "/-/for/g-1/grants/g-1/pause", "/-/for/g-1/grants/g-1/resume", "/-/for/g-1/grants/g-1/renew",
    "/-/for/g-1/grants/g-1/erase", "/-/for/g-1/grants/g-1/narrow", "/-/consent/anything", "/-/apps/questions/anything", "/-/apps/g-1/end", "/-/apps/sign-out/anything",
    "/-/security/passkeys", "/-/security/passkeys/options", "/-/security/passkeys/open", "/-/security/passkeys/p-1/rename",
    "/-/security/passkeys/p-1/remove", "/-/security/passkeys/p-1/options", "/-/security/sessions/p-1/end",
    "/-/security/sessions/end-others", "/-/security/scripts/p-1/end", "/-/sign-in/passkey", "/-/sign-in/passkey/options",
    "/-/sign-in/with/p-1/link", "/-/sign-in/with/p-1/unlink", "/-/files", "/-/files/one", "/-/delivered/g-1/not-mine", "/-/delivered/g-1/wrong", "/-/rectifications/p-1/take-back",
    "/-/rectifications/p-1/tell", "/-/sources/p-1/connect",
    "/-/sources/p-1/disconnect", "/-/sources/p-1/pull", "/-/partners/register", "/-/partners/enter/p-1",
    "/-/operator/enter/p-1",
]  # fmt: skip


@pytest.mark.parametrize("address", CHANGES)
@pytest.mark.parametrize("token", [None, "", "0" * 64])
def test_another_site_s_form_changes_nothing_although_the_cookie_comes_along(at_the_pages, address, token):
    data = {} if token is None else {"csrf": token}
    refused = at_the_pages.post(address, data=data, headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403
    assert refused.get_json()["type"].endswith("/problems/form-out-of-date")


def test_the_list_above_names_every_page_that_changes_something(at_the_pages):
    """A new form that nobody put into the list fails here."""
    rules = at_the_pages.application.url_map.iter_rules()
    changing = {rule.rule for rule in rules if "POST" in (rule.methods or ())}
    named = {
        "/".join("<>" if part in {"p-1", "g-1", "anything"} else part for part in each.split("/")) for each in CHANGES
    }
    changing -= set(console_forms(at_the_pages))
    shape = {"/".join("<>" if "<" in part else part for part in rule.split("/")) for rule in changing}
    demo = {each for each in shape if each.startswith("/-/demo/")}
    told_by_a_provider = {"/-/sign-in/with/<>/signed-out-there"}  # its signed token is its proof, not a session
    assert shape - named - demo - told_by_a_provider == {"/-/sign-in"}


def console_forms(browser) -> list[str]:
    """The rules of forms that have sessions of their own (T36): a partner's console and the municipality's pages."""
    return [
        rule.rule
        for rule in browser.application.url_map.iter_rules()
        if "POST" in (rule.methods or ())
        and rule.rule.startswith(("/-/partners/", "/-/operator/"))
        and not rule.rule.endswith(("/register", "/enter/<token>"))
    ]


def test_a_citizen_s_cookie_opens_no_console(at_the_pages):
    forms = console_forms(at_the_pages)
    assert len(forms) > 15
    for rule in forms:
        answer = at_the_pages.post("/".join("p-1" if "<" in part else part for part in rule.split("/")))
        if rule.endswith("/sign-out"):
            assert answer.status_code == 303
        else:
            assert answer.status_code == 401, rule
            assert answer.get_json()["type"].endswith("/problems/not-in-console")


@pytest.mark.parametrize("address", ["/-/home", "/-/figures.json", "/-/log.json", "/-/home/parts"])
def test_another_site_s_script_reads_no_page(at_the_pages, address):
    answer = at_the_pages.get(address, headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("address", ["/-/home", "/-/sign-in", "/-/my-data", "/problems/", "/vocab/"])
def test_a_page_runs_its_own_scripts_alone_and_is_framed_by_nobody(at_the_pages, address):
    policy = at_the_pages.get(address, headers={"Accept": "text/html"}).headers["Content-Security-Policy"]
    directives = dict(each.strip().partition(" ")[::2] for each in policy.split(";"))
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert directives["default-src"] == directives["frame-ancestors"] == directives["base-uri"] == "'none'"


def test_a_page_s_cookie_is_out_of_scripts_reach(city):
    settings = cookie_settings(city.host)
    assert settings.httponly
    assert settings.samesite == "Lax"

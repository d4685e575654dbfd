"""T36: a partner's console shows another partner's things, opens to another's hand, or stands in for a citizen's session."""

from __future__ import annotations

import json

import pytest
from console import CONSOLE, TOKEN, Desk, a_partner, an_operator
from flask import Flask
from oauth_client import new_key

from dashboard import routes
from partner_bridge.delivery import Item, ItemAnswer
from partner_bridge.receipts import issue_receipt
from pod_server import console_sessions, http_problems, outbox
from pod_server.authentication.session import cookie_settings as citizens_cookie
from pod_server.authentication.session import create_session, load_session
from pod_server.partner_standing import find


@pytest.fixture
def app(host):
    app = Flask("pages", static_folder=None)
    app.config["HOST"] = host
    http_problems.register(app, host)
    routes.register(app, host)
    return app


@pytest.fixture
def host(city):
    from dataclasses import replace

    return replace(city.host, allow_insecure=True)


@pytest.fixture
def two(host, app):
    return a_partner(host, app), a_partner(host, app, name="Sparkesykkel AS", contact="hei@sparkesykkel.no")


PLACES = ("", "/keys", "/purposes", "/deliveries", "/messages", "/sandbox")


def test_nothing_of_another_partner_is_on_any_page_or_behind_any_name(host, two):
    mine, theirs = two
    receipt = issue_receipt(
        host, theirs.client_id, [Item("g", b"")], [ItemAnswer("accepted")], request_sha256="", response_sha256=""
    )
    with host.storage.write() as tx:
        message = outbox.enqueue(
            host, tx, pod_id=None, client_id=theirs.client_id, kind="consent-secret", body={}, idempotency_key="1"
        )
    theirs.post(f"{CONSOLE}/sandbox/open", CONSOLE)
    pages = "".join(mine.get(f"{CONSOLE}{place}").text for place in PLACES)
    for secret in (theirs.client_id, "Sparkesykkel", theirs.key.thumbprint(), receipt, message, "consent-secret"):
        assert secret not in pages
    for address in (f"{CONSOLE}/deliveries/{receipt}", f"{CONSOLE}/deliveries/{receipt}/receipt"):
        assert mine.get(address).status_code == mine.get(address.replace(receipt, "r-0")).status_code == 404
    # Naming another in a form names nobody: the session alone says whose console it is.
    mine.post(f"{CONSOLE}/stop", CONSOLE, client_id=theirs.client_id, partner=theirs.client_id)
    assert find(host, theirs.client_id).stopped is None
    before = find(host, theirs.client_id).jwks
    mine.post(f"{CONSOLE}/keys/retire", CONSOLE, thumbprint=theirs.key.thumbprint(), client_id=theirs.client_id)
    assert find(host, theirs.client_id).jwks == before


def test_one_partners_key_opens_no_other_console(two):
    mine, theirs = two
    forged = Desk(mine.host, mine.client, mine.key, theirs.client_id)
    answer = forged.link()
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def forms_below(app, prefix):
    """Every form below a path, as the application routes them: a new one is tried by itself."""
    return [rule.rule for rule in app.url_map.iter_rules() if "POST" in rule.methods and rule.rule.startswith(prefix)]


def test_a_form_from_elsewhere_does_nothing(host, app, two):
    mine, theirs = two
    stranger = TOKEN.findall(mine.get("/-/partners/register").text)[0]
    forms = forms_below(app, f"{CONSOLE}/")
    assert len(forms) >= 10
    for form in forms:
        for token in ("", stranger, theirs.token(CONSOLE)):
            answer = mine.client.post(form, data={"csrf": token, "thumbprint": mine.key.thumbprint()})
            assert answer.status_code == 403, form
    assert find(host, mine.client_id).stopped is None
    assert find(host, mine.client_id).sandbox is None


def test_a_form_from_elsewhere_decides_nothing_for_the_municipality(host, app, two):
    mine, _ = two
    operator, colleague = an_operator(host, app), an_operator(host, app, "Ola Saksbehandler")
    forms = forms_below(app, "/-/operator/partners/")
    assert len(forms) >= 8
    before = find(host, mine.client_id)
    for form in forms:
        address = "/".join(mine.client_id if "<" in part else part for part in form.split("/"))
        for token in ("", mine.token(CONSOLE), colleague.token(f"/-/operator/partners/{mine.client_id}")):
            answer = operator.client.post(address, data={"csrf": token, "reason": "no", "confirm": "yes"})
            assert answer.status_code == 403, form
    assert find(host, mine.client_id) == before


def test_a_planted_cookie_becomes_nobodys_session(host, app, two):
    """Session fixation: the cookie is new at each sign-in, and one that was not given by the host opens nothing."""
    mine, _ = two
    settings = console_sessions.cookie_settings(host, "partner")
    victim = Desk(host, app.test_client(), mine.key, mine.client_id)
    victim.client.set_cookie(settings.key, "planted-by-somebody-else-in-advance")
    path = mine.link().json["link"].removeprefix(host.base_url)
    victim.enter(path)
    given = victim.client.get_cookie(settings.key).value
    assert given != "planted-by-somebody-else-in-advance"
    planted = Desk(host, app.test_client())
    planted.client.set_cookie(settings.key, "planted-by-somebody-else-in-advance")
    assert planted.get(CONSOLE).status_code == 303
    assert victim.get(path).status_code == 403, "a link signs in once"


def test_a_link_signs_nobody_in_by_being_fetched(host, app, two):
    """Somebody else's link in a mail: it says as whom, and waits for a button on our own page."""
    mine, _ = two
    path = mine.link(name="Ola Tveit").json["link"].removeprefix(host.base_url)
    victim = Desk(host, app.test_client())
    page = victim.get(path)
    assert "Sign in as Ola Tveit · Bysykkel AS?" in page.text
    assert not any("console" in each for each in page.headers.getlist("Set-Cookie"))
    assert victim.client.post(path).status_code == 403
    assert victim.get(CONSOLE).status_code == 303


def test_the_three_kinds_of_sessions_open_each_their_own_pages_alone(host, app, city, two):
    mine, _ = two
    operator = an_operator(host, app)
    made = city.citizen("kari")
    citizen = create_session(host, made.pod_id, made.vault)
    names = {
        "partner": console_sessions.cookie_settings(host, "partner").key,
        "operator": console_sessions.cookie_settings(host, "operator").key,
        "citizen": citizens_cookie(host).key,
    }
    values = {
        "partner": mine.client.get_cookie(names["partner"]).value,
        "operator": operator.client.get_cookie(names["operator"]).value,
        "citizen": citizen,
    }
    pages = {"partner": CONSOLE, "operator": "/-/operator", "citizen": "/-/my-data"}
    for kind, value in values.items():
        for place, name in names.items():
            browser = Desk(host, app.test_client())
            browser.client.set_cookie(name, value)
            opened = {each for each, address in pages.items() if browser.get(address).status_code == 200}
            assert opened == ({kind} if kind == place else set()), (kind, place)
    assert load_session(host, values["partner"]) is None
    assert mine.get(f"/-/operator/partners/{mine.client_id}").status_code == 303
    assert mine.client.post(f"/-/operator/partners/{mine.client_id}/admit").status_code == 401


def test_a_session_row_made_by_hand_opens_nothing(host, app, two):
    """With the database alone: another row's sealed text, or a partner's name put in the place of another's."""
    from pod_server.authentication.session import hashed

    mine, theirs = two
    settings = console_sessions.cookie_settings(host, "partner")
    with host.storage.write() as tx:
        sealed = tx.one("SELECT sealed FROM console_session WHERE client_id = ?", (theirs.client_id,))[0]
        tx.execute(
            "INSERT INTO console_session (session_hash, client_id, sealed, expires_at) VALUES (?, ?, ?, ?)",
            (hashed("by-hand"), theirs.client_id, sealed, 2**62),
        )
        tx.execute("UPDATE console_session SET client_id = ?", (theirs.client_id,))
    thief = Desk(host, app.test_client())
    thief.client.set_cookie(settings.key, "by-hand")
    assert thief.get(CONSOLE).status_code == 303
    assert mine.client_id in mine.get(CONSOLE).text
    assert theirs.client_id not in mine.get(CONSOLE).text


def test_a_retired_key_is_no_way_in_and_a_stolen_session_is_put_out_by_the_change(host, app, two):
    mine, _ = two
    thief = Desk(host, app.test_client(), mine.key, mine.client_id)
    thief.enter(mine.link().json["link"].removeprefix(host.base_url))
    lying_about = mine.link().json["link"].removeprefix(host.base_url)
    page = f"{CONSOLE}/keys"
    mine.post(f"{page}/add", page, jwks=json.dumps(new_key("k2").as_dict(private=False)))
    assert thief.get(CONSOLE).status_code == 303
    assert thief.get(lying_about).status_code == 403
    mine.post(f"{page}/retire", page, thumbprint=mine.key.thumbprint())
    assert thief.link().status_code == 401

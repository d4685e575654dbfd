"""Solid-OIDC, section 6: code and PKCE, the page that asks, the citizen's answer; OpenID Connect's prompts and logout."""

from __future__ import annotations

from datetime import timedelta

import pytest
from solid_app import BACK, CSRF, GONE, SolidApp, query_of

from pod_server.authorization.enforcement import require_owner
from pod_server.authorization_server.connections import MODES
from pod_server.log import ledger
from pod_server.signatures import issuer_key, verify_jws


def claims_of(town, token, typ="JWT"):
    return verify_jws(token, [issuer_key(town.host.host_key).public_key], typ=typ).payload


def events_of(town, handle="kari"):
    from pod_server.opening import find_pod, open_pod
    from pod_server.vault.vault import unlock_with_custodian

    with town.host.storage.read() as tx:
        pod = find_pod(tx, handle)
        vault = unlock_with_custodian(town.host.host_key, town.host.key_store, pod.pod_id)
        opened = open_pod(town.host, require_owner(vault), vault=vault)
        return [logged.event.action for logged in ledger.read_events(tx, opened.vault, pod.pod_id)]


def test_an_app_is_let_in_and_acts_for_its_citizen(town, kari, registered):
    members = registered.let_in(kari)
    assert members["token_type"] == "DPoP"
    put = registered.use(
        "PUT",
        "/kari/note.ttl",
        members["access_token"],
        data=b"<#it> a <#Note> .",
        headers={"Content-Type": "text/turtle"},
    )
    assert put.status_code == 201, put.text
    assert registered.use("GET", "/kari/note.ttl", members["access_token"]).status_code == 200
    assert town.stranger().get("/kari/note.ttl").status_code == 401


def test_the_access_token_is_rfc_9068s_and_solids(town, kari, registered):
    claims = claims_of(town, registered.let_in(kari)["access_token"], "at+jwt")
    assert claims["iss"] == town.host.base_url
    assert claims["aud"] == "solid"
    assert claims["webid"] == claims["sub"] == f"{town.host.base_url}/kari/profile/card#me"
    assert claims["client_id"] == registered.client_id
    assert claims["cnf"] == {"jkt": registered.thumbprint}
    assert claims["exp"] - claims["iat"] == 600
    assert claims["jti"]


def test_the_id_token_says_who_signed_in_to_that_app(town, kari, registered):
    claims = claims_of(town, registered.let_in(kari)["id_token"])
    assert claims["webid"] == claims["sub"] == f"{town.host.base_url}/kari/profile/card#me"
    assert claims["aud"] == [registered.client_id, "solid"]
    assert claims["azp"] == registered.client_id
    assert claims["nonce"] == "n-1"
    assert claims["iss"] == town.host.base_url
    assert claims["exp"] > claims["iat"] >= claims["auth_time"]


def test_the_page_asks_without_preselecting_and_yes_weighs_as_much_as_no(kari, registered):
    page = kari.get(registered.ask(kari))
    assert page.status_code == 200
    assert " checked" not in page.text
    assert page.text.count('name="modes"') == len(MODES)
    allow, deny = (
        page.text[: page.text.index(f'value="{answer}"')].rpartition("<button")[2] for answer in ("allow", "deny")
    )
    assert allow == deny
    assert "form-action 'self' https://app.example;" in page.headers["Content-Security-Policy"]
    assert "Notater" in page.text


def test_a_stranger_signs_in_first_and_the_question_waits(town, registered):
    browser = town.stranger()
    page = registered.ask(browser)
    answer = browser.get(page, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/-/sign-in?next=/-/apps/questions/")


def test_no_sends_the_browser_back_and_is_logged(town, kari, registered):
    answer = registered.answered(kari, registered.ask(kari), answer="deny")
    assert answer.headers["Location"].startswith(BACK + "?")
    assert query_of(answer) == {"error": "access_denied", "state": "s-1", "iss": town.host.base_url}
    assert events_of(town)[0] == "refuse-app"


def test_yes_carries_the_code_the_state_and_our_name(town, kari, registered):
    answer = registered.answered(kari, registered.ask(kari), answer="allow", modes="read")
    query = query_of(answer)
    assert query.keys() == {"code", "state", "iss"}
    assert query["iss"] == town.host.base_url
    assert events_of(town)[0] == "let-app-in"


@pytest.mark.parametrize("fields", [{}, {"answer": "allow"}, {"answer": "allow", "modes": "root"}, {"modes": "read"}])
def test_an_answer_that_is_none_asks_again(kari, registered, fields):
    page = registered.ask(kari)
    answer = registered.answered(kari, page, **fields)
    assert answer.status_code == 422
    assert registered.answered(kari, page, answer="deny").status_code == 303


def test_an_answer_without_the_pages_own_token_counts_for_nothing(town, kari, registered):
    page = registered.ask(kari)
    for token in ("", "x" * 64):
        answer = kari.post(page, data={"csrf": token, "answer": "allow", "modes": "everything"})
        assert answer.status_code == 403
    assert "let-app-in" not in events_of(town)


def test_a_question_is_answered_once_and_waits_half_an_hour(kari, registered, clock):
    page = registered.ask(kari)
    token = CSRF.search(kari.get(page).text).group(1)
    assert kari.post(page, data={"csrf": token, "answer": "deny"}).status_code == 303
    assert kari.post(page, data={"csrf": token, "answer": "allow", "modes": "read"}).status_code == 410
    late = registered.ask(kari)
    clock.advance(timedelta(minutes=30, seconds=1))
    assert kari.get(late).status_code == 410


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": "webid"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"nonce": "n" * 501}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"dpop_jkt": "x"}, "invalid_request"),
        ({"request": "e30."}, "request_not_supported"),
        ({"prompt": "login"}, "login_required"),
        ({"prompt": "select_account"}, "account_selection_required"),
        ({"prompt": "none"}, "consent_required"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_to_the_app(town, kari, registered, parameters, error):
    answer = registered.arrive(kari, **parameters)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(BACK + "?")
    query = query_of(answer)
    assert (query["error"], query["iss"], query["state"]) == (error, town.host.base_url, "s-1")


@pytest.mark.parametrize("redirect", [BACK + "/", BACK + "?x=1", BACK.upper(), "https://evil.example/back", None])
def test_nobody_is_sent_to_an_address_that_was_not_registered(kari, registered, redirect):
    answer = registered.arrive(kari, redirect_uri=redirect)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_a_parameter_that_comes_twice_is_refused(kari, registered):
    parameters = [*registered.parameters().items(), ("scope", "openid")]
    assert query_of(kari.get("/-/oauth/authorize", query_string=parameters))["error"] == "invalid_request"


def test_silence_gives_a_code_to_an_app_that_is_in_and_to_no_other(town, kari, registered):
    registered.let_in(kari)
    silent = registered.arrive(kari, prompt="none")
    members = registered.redeem(query_of(silent)["code"]).json
    assert "refresh_token" not in members, "staying signed in is asked for on the page alone"
    assert query_of(registered.arrive(town.stranger(), prompt="none"))["error"] == "login_required"
    ola = town.citizen("ola")
    assert query_of(registered.arrive(ola, prompt="none"))["error"] == "consent_required"


def test_an_app_that_wants_a_young_session_is_not_given_an_old_one(kari, registered, clock):
    clock.advance(timedelta(minutes=10))
    answer = registered.answered(kari, registered.ask(kari, max_age="60"), answer="allow", modes="read")
    assert query_of(answer)["error"] == "login_required"


@pytest.mark.parametrize(
    "parameters",
    [
        {"code_verifier": "w" * 43}, {"code_verifier": None}, {"redirect_uri": "https://app.example/other"},
        {"redirect_uri": None}, {"code": "wrong"},
    ],
)  # fmt: skip
def test_a_code_needs_its_verifier_and_its_address(kari, registered, parameters):
    answer = registered.redeem(registered.code_from(kari), **parameters)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")


def test_a_code_lives_a_minute(kari, registered, clock):
    code = registered.code_from(kari)
    clock.advance(timedelta(seconds=61))
    assert registered.redeem(code).json["error"] == "invalid_grant"


def test_a_code_is_good_once_and_its_second_use_ends_what_the_first_one_got(kari, registered):
    code = registered.code_from(kari)
    members = registered.redeem(code).json
    assert registered.redeem(code).json["error"] == "invalid_grant"
    assert registered.refresh(members["refresh_token"]).json["error"] == "invalid_grant"


def test_a_code_bound_to_a_key_is_good_with_that_key_alone(town, kari, registered):
    other = SolidApp(town.host, client=town.stranger())
    code = registered.code_from(kari, dpop_jkt=other.thumbprint)
    assert registered.redeem(code).json["error"] == "invalid_grant"


def test_another_app_cannot_use_the_code(town, kari, registered):
    other = SolidApp(town.host, client=town.stranger(), verifier=registered.verifier)
    other.register()
    code = registered.code_from(kari)
    assert other.redeem(code).json["error"] == "invalid_grant"
    assert registered.redeem(code).status_code == 200


def test_the_token_endpoint_wants_the_secret_that_was_given(town, kari, registered):
    code = registered.code_from(kari)
    registered.secret, kept = "wrong" * 9, registered.secret
    assert registered.redeem(code).status_code == 401
    registered.secret = ""
    assert registered.redeem(code).status_code == 401, "an app with a secret does not go without"
    registered.secret = kept
    assert registered.redeem(code).status_code == 200


def test_the_token_endpoint_wants_a_proof(kari, registered):
    answer = registered.redeem(registered.code_from(kari), proof="x.y.z")
    assert answer.json["error"] == "invalid_dpop_proof"


def test_a_refresh_token_gives_new_tokens_until_the_app_is_ended(town, kari, registered):
    members = registered.let_in(kari)
    again = registered.refresh(members["refresh_token"])
    assert again.status_code == 200
    assert registered.use("GET", "/kari/", again.json["access_token"]).status_code == 200
    connection = claims_of(town, again.json["access_token"], "at+jwt")["connection"]
    token = CSRF.search(kari.get("/-/my-data").text).group(1)
    assert kari.post(f"/-/apps/{connection}/end", data={"csrf": token}).status_code == 303
    assert registered.use("GET", "/kari/", again.json["access_token"]).status_code == 401
    assert registered.refresh(members["refresh_token"]).json["error"] == "invalid_grant"
    assert events_of(town)[0] == "end-app"


def test_without_offline_access_there_is_no_refresh_token(kari, registered):
    assert "refresh_token" not in registered.let_in(kari, scope="openid webid")


def test_a_refresh_token_runs_out(kari, registered, clock):
    members = registered.let_in(kari)
    clock.advance(timedelta(days=180, seconds=1))
    assert registered.refresh(members["refresh_token"]).json["error"] == "invalid_grant"


def test_a_refresh_token_without_a_secret_behind_it_is_bound_to_the_key(town, kari, app):
    app.register(token_endpoint_auth_method="none")
    members = app.let_in(kari)
    assert app.refresh(members["refresh_token"]).status_code == 200
    thief = SolidApp(town.host, client=town.stranger(), client_id=app.client_id)
    assert thief.refresh(members["refresh_token"]).json["error"] == "invalid_grant"


def test_an_app_ends_its_own_tokens_and_no_others(town, kari, registered):
    members = registered.let_in(kari)
    other = SolidApp(town.host, client=town.stranger())
    other.register(token_endpoint_auth_method="none")
    for client_id, secret, outcome in ((other.client_id, "", 200), (registered.client_id, registered.secret, 400)):
        who = SolidApp(town.host, client=town.stranger(), client_id=client_id, secret=secret)
        form = {"token": members["refresh_token"], "client_id": client_id}
        headers = {"Authorization": _basic(who)} if secret else {}
        assert who.client.post("/-/oauth/revoke", data=form, headers=headers).status_code == 200
        assert registered.refresh(members["refresh_token"]).status_code == outcome
    form = {"token": members["access_token"], "client_id": registered.client_id}
    registered.client.post("/-/oauth/revoke", data=form, headers={"Authorization": _basic(registered)})
    assert registered.use("GET", "/kari/", members["access_token"]).status_code == 401


def _basic(app):
    import base64

    return "Basic " + base64.b64encode(f"{app.client_id}:{app.secret}".encode()).decode()


def test_my_data_lists_each_app_with_what_it_may_do(kari, registered):
    registered.let_in(kari, "read")
    page = kari.get("/-/my-data").text
    assert "Notater" in page
    assert page.count('/end"') == 1
    registered.let_in(kari, "change")
    assert kari.get("/-/my-data").text.count('/end"') == 1, "a new answer takes the old one's place"


def test_nobody_ends_another_citizens_app(town, kari, registered):
    members = registered.let_in(kari)
    connection = claims_of(town, members["access_token"], "at+jwt")["connection"]
    ola = town.citizen("ola")
    token = CSRF.search(ola.get("/-/my-data").text).group(1)
    ola.post(f"/-/apps/{connection}/end", data={"csrf": token})
    assert registered.use("GET", "/kari/", members["access_token"]).status_code == 200


def test_signing_out_asks_and_goes_where_the_app_registered(town, kari, registered):
    hint = registered.let_in(kari)["id_token"]
    answer = kari.get(
        "/-/oauth/logout", query_string={"id_token_hint": hint, "post_logout_redirect_uri": GONE, "state": "s"}
    )
    page = answer.headers["Location"].removeprefix(town.host.base_url)
    assert "Notater" in kari.get(page).text
    assert kari.get("/-/my-data").status_code == 200, "arriving signs nobody out"
    left = registered.answered(kari, page, answer="sign-out")
    assert left.headers["Location"] == f"{GONE}?state=s"
    assert kari.get("/-/my-data", headers={"Accept": "text/html"}).status_code == 303


def test_signing_out_keeps_a_citizen_who_stays(town, kari, registered):
    page = kari.get("/-/oauth/logout").headers["Location"].removeprefix(town.host.base_url)
    assert registered.answered(kari, page, answer="stay").headers["Location"] == "/-/"
    assert kari.get("/-/my-data").status_code == 200


@pytest.mark.parametrize(
    "parameters",
    [
        {"post_logout_redirect_uri": "https://evil.example/"}, {"id_token_hint": "x.y.z"}, {"state": "s" * 501},
        {"post_logout_redirect_uri": GONE}, {"client_id": "app-none", "post_logout_redirect_uri": GONE},
    ],
)  # fmt: skip
def test_signing_out_sends_nobody_to_a_strangers_address(kari, registered, parameters):
    answer = kari.get("/-/oauth/logout", query_string=parameters)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_an_access_token_is_no_hint_of_who_signs_out(kari, registered):
    members = registered.let_in(kari)
    answer = kari.get("/-/oauth/logout", query_string={"id_token_hint": members["access_token"]})
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/-/oauth/token", "/-/oauth/register", "/-/oauth/revoke", "/-/oauth/jwks"])
def test_apps_in_browsers_may_use_the_doors_that_take_no_cookies(registered, path):
    asked = registered.client.options(
        path, headers={"Origin": "https://app.example", "Access-Control-Request-Headers": "dpop, authorization"}
    )
    assert asked.headers["Access-Control-Allow-Origin"] in {"*", "https://app.example"}
    assert "dpop" in asked.headers["Access-Control-Allow-Headers"].lower()
    assert "Access-Control-Allow-Credentials" not in asked.headers


def test_no_other_origin_reads_the_addresses_that_take_cookies(kari, registered):
    for path in ("/-/oauth/authorize", "/-/oauth/logout", registered.ask(kari)):
        assert "Access-Control-Allow-Origin" not in kari.get(path, headers={"Origin": "https://app.example"}).headers


def test_the_parameters_that_the_package_solid_oidc_client_sends_are_enough(kari, app):
    """Release 0.0.4: no `webid` scope, no nonce; Basic and `client_id` together; proofs without `ath`."""
    app.register(request_uris=["https://example.org/any"])
    code = app.code_from(kari, scope="openid offline_access", nonce=None)
    answer = app.redeem(code, client_id=app.client_id)
    assert answer.status_code == 200
    assert app.use("GET", "/kari/", answer.json["access_token"]).status_code == 200

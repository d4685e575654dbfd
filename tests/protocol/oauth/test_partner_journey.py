"""A partner's way from its request to a token, step by step (FAPI 2.0 Security Profile; research numbers 9 to 27)."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from oauth_client import CITIZEN, REDIRECT, PartnerClient, new_key

from pod_server import grants
from pod_server.authorization_server import interactions
from pod_server.authorization_server.errors import InteractionGone
from pod_server.authorization_server.tokens import LIFETIME
from pod_server.signatures import issuer_key, verify_jws


def yes(**choices):
    return interactions.Answer(refused=False, kinds=frozenset({"electricity-reading"}), **choices)


def test_a_pushed_request_becomes_a_question_an_answer_and_a_token(host, kari, partner):
    pushed = partner.push()
    assert pushed.status_code == 201
    assert pushed.json["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    assert 0 < pushed.json["expires_in"] < 600
    arrived = partner.arrive(pushed.json["request_uri"])
    assert arrived.status_code == 303
    interaction_id = arrived.headers["Location"].removeprefix(f"{host.base_url}/-/consent/")

    question = interactions.load_interaction(host, interaction_id)
    assert question.client.client_id == partner.partner.client_id
    assert question.terms.kinds == {"electricity-reading"}

    address = interactions.answer_interaction(host, interaction_id, kari.pod_id, yes(), CITIZEN)
    query = parse_qs(urlsplit(address).query)
    assert address.startswith(REDIRECT + "?")
    assert query["iss"] == [host.base_url]
    assert query["state"] == ["s-1"]

    answer = partner.redeem(query["code"][0])
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["token_type"] == "DPoP"
    (given,) = grants.list_grants(host, kari.pod_id)
    assert answer.json["grant_id"] == given.grant.id
    (detail,) = answer.json["authorization_details"]
    assert detail["grant"] == given.grant.id
    assert detail["subject"] == given.subject
    assert "kari" not in json.dumps(answer.json)

    claims = verify_jws(answer.json["access_token"], [issuer_key(host.host_key).public_key], typ="at+jwt").payload
    assert claims["aud"] == f"{host.base_url}/bridge"
    assert claims["cnf"] == {"jkt": partner.thumbprint}
    assert claims["exp"] - claims["iat"] == LIFETIME.total_seconds()
    assert "webid" not in claims
    door = partner.probe(answer.json["access_token"])
    assert door.json == {"client_id": partner.partner.client_id, "grant": given.grant.id}


def test_the_citizen_can_narrow_what_was_asked_and_never_widen_it(host, kari, partner):
    interaction_id = partner.asked(
        authorization_details=partner.details(datatypes=["electricity-reading", "grocery-line"], granularity="event")
    )
    end = host.clock.now() + timedelta(days=10)
    with pytest.raises(ValueError, match="more kinds"):
        interactions.answer_interaction(
            host,
            interaction_id,
            kari.pod_id,
            interactions.Answer(refused=False, kinds=frozenset({"transit-trip"})),
            CITIZEN,
        )
    interactions.answer_interaction(
        host, interaction_id, kari.pod_id, yes(granularity={"electricity-reading": "PT1H"}, expires_at=end), CITIZEN
    )
    (given,) = grants.list_grants(host, kari.pod_id)
    assert given.grant.terms.kinds == {"electricity-reading"}
    assert given.grant.terms.granularity_of("electricity-reading") == "PT1H"
    assert given.grant.terms.expires_at == end


def test_a_no_sends_the_browser_back_without_a_code_and_is_remembered(host, kari, partner):
    address = interactions.answer_interaction(
        host, partner.asked(), kari.pod_id, interactions.Answer(refused=True), CITIZEN
    )
    query = parse_qs(urlsplit(address).query)
    assert query["error"] == ["access_denied"]
    assert "code" not in query
    (view,) = grants.list_grants(host, kari.pod_id)
    assert view.grant.state == "refused"
    assert grants.refused_lately(host, kari.pod_id, partner.partner.client_id, "personal-footprint")


def test_a_question_is_answered_once(host, kari, partner):
    interaction_id = partner.asked()
    interactions.answer_interaction(host, interaction_id, kari.pod_id, yes(), CITIZEN)
    with pytest.raises(InteractionGone):
        interactions.answer_interaction(host, interaction_id, kari.pod_id, yes(), CITIZEN)


def test_a_refresh_token_gives_new_access_until_the_consent_is_withdrawn(host, kari, partner):
    first = partner.redeem(partner.code_from(kari.pod_id)).json
    again = partner.token_request(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert again.status_code == 200, again.text
    assert "refresh_token" not in again.json
    grants.withdraw(host, kari.pod_id, first["grant_id"], actor=CITIZEN)
    after = partner.token_request(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (after.status_code, after.json["error"]) == (400, "invalid_grant")


def test_a_revoked_access_token_opens_nothing_though_it_is_fresh(partner):
    token = partner.own_token()
    assert partner.probe(token).status_code == 200
    revoked = partner.client.post("/-/oauth/revoke", data={**partner.signed_in(), "token": token})
    assert revoked.status_code == 200
    assert partner.probe(token).status_code == 401


def test_introspection_tells_a_partner_of_its_own_tokens_alone(host, partner):
    other = PartnerClient(host, name="En annen AS")
    token = partner.own_token()
    own = partner.client.post("/-/oauth/introspect", data={**partner.signed_in(), "token": token})
    assert own.json["active"] is True
    foreign = other.client.post("/-/oauth/introspect", data={**other.signed_in(), "token": token})
    assert foreign.json == {"active": False}


def test_a_partner_can_query_and_give_up_its_own_grant(host, kari, partner):
    answer = partner.redeem(partner.code_from(kari.pod_id)).json
    path = f"/-/oauth/grants/{answer['grant_id']}"
    headers = partner.authorised("GET", host.base_url + path, answer["access_token"])
    seen = partner.client.get(path, headers=headers)
    assert (seen.status_code, seen.json["state"]) == (200, "active")
    headers = partner.authorised("DELETE", host.base_url + path, answer["access_token"])
    assert partner.client.delete(path, headers=headers).status_code == 204
    (view,) = grants.list_grants(host, kari.pod_id)
    assert view.grant.state == "withdrawn"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"redirect_uri": "https://evil.example/back"}, "invalid_request"),
        ({"redirect_uri": REDIRECT + "/more"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"request_uri": "urn:x"}, "invalid_request"),
        ({"request": "e30.e30."}, "invalid_request"),
        ({"client_id": "p-0000000000000000"}, "invalid_client"),
        ({"dpop_jkt": "short"}, "invalid_request"),
        ({"grant_management_action": "replace"}, "invalid_grant_id"),
        ({"grant_management_action": "update"}, "invalid_request"),
        ({"grant_id": "g-1"}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"authorization_details": None}, "invalid_authorization_details"),
        ({"authorization_details": "[]"}, "invalid_authorization_details"),
        ({"authorization_details": "{"}, "invalid_authorization_details"),
    ],
)
def test_a_pushed_request_that_is_not_as_it_must_be_is_refused(partner, change, error):
    answer = partner.push(**change)
    assert (answer.status_code, answer.json["error"]) == (401 if error == "invalid_client" else 400, error)


@pytest.mark.parametrize(
    "members",
    [
        {"type": "https://elsewhere.example/rar"},
        {"datatypes": []},
        {"datatypes": ["Thoughts"]},
        {"purpose": "advertising"},
        {"actions": ["append", "delete"]},
        {"validTo": "2020-01-01T00:00:00Z"},
        {"validTo": "2126-01-01T00:00:00Z"},
        {"validTo": "2027-01-01T00:00:00"},
        {"granularity": "often"},
        {"max_records_per_day": 0},
        {"legal_basis": "eu-gdpr:A6-1-f"},
        {"revocable": False},
        {"locations": ["https://elsewhere.example/"]},
        {"surprise": 1},
    ],
)
def test_authorization_details_nobody_could_consent_to_are_refused(partner, members):
    answer = partner.push(authorization_details=partner.details(**members))
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_authorization_details")


def test_an_authorization_request_in_the_address_bar_is_not_taken(host, partner):
    answer = partner.client.get(
        "/-/oauth/authorize",
        query_string={"client_id": partner.partner.client_id, "response_type": "code", "redirect_uri": REDIRECT},
    )
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_a_pushed_request_runs_out(city, partner):
    request_uri = partner.push().json["request_uri"]
    city.clock.advance(timedelta(seconds=301))
    assert partner.arrive(request_uri).status_code == 400


def test_a_proof_at_the_pushed_request_must_be_of_the_key_it_names(host, partner):
    address = f"{host.base_url}/-/oauth/par"
    good = partner.push(headers={"DPoP": partner.proof("POST", address)})
    assert good.status_code == 201
    bad = partner.push(headers={"DPoP": partner.proof("POST", address, key=new_key())})
    assert bad.json["error"] == "invalid_dpop_proof"


def test_metadata_says_what_holds(host, partner):
    server = partner.client.get("/.well-known/oauth-authorization-server").json
    assert server["issuer"] == host.base_url
    assert server["require_pushed_authorization_requests"] is False, "apps need not push; partners must, see above"
    assert server["code_challenge_methods_supported"] == ["S256"]
    assert "none" not in server["token_endpoint_auth_signing_alg_values_supported"]
    addresses = {rule.rule for rule in partner.client.application.url_map.iter_rules()}
    for name, value in server.items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            path = value.removeprefix(host.base_url)
            assert path in addresses or f"{path}/<grant_id>" in addresses, name
    door = partner.client.get("/.well-known/oauth-protected-resource/bridge").json
    assert door["resource"] == f"{host.base_url}/bridge"
    (key,) = partner.client.get("/-/oauth/jwks").json["keys"]
    assert "d" not in key

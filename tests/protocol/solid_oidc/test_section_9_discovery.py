"""Solid-OIDC, section 9; OpenID Connect Discovery; RFC 8414: every member that is served is true."""

from __future__ import annotations

import base64
import json

import pytest

from pod_server.signatures import PublicKey, verify_jws


@pytest.fixture(params=["openid-configuration", "oauth-authorization-server"])
def configuration(town, request):
    return town.stranger().get(f"/.well-known/{request.param}").json


def test_every_address_is_routed(town, configuration):
    rules = {rule.rule for rule in town.app.url_map.iter_rules()}
    named = [name for name in configuration if name.endswith(("_endpoint", "_uri"))]
    assert len(named) >= 7
    for name in named:
        path = configuration[name].removeprefix(town.host.base_url)
        assert path in rules or f"{path}/<grant_id>" in rules, name


def test_the_issuer_is_what_webids_name(town, kari, configuration):
    card = kari.get("/kari/profile/card", headers={"Accept": "text/turtle"}).text
    assert f"oidcIssuer> <{configuration['issuer']}>" in card or f"oidcIssuer <{configuration['issuer']}>" in card


def test_solid_oidc_is_named(town):
    configuration = town.stranger().get("/.well-known/openid-configuration").json
    assert configuration["solid_oidc_supported"] == "https://solidproject.org/TR/solid-oidc"
    assert {"openid", "webid", "offline_access"} == set(configuration["scopes_supported"])
    assert {"sub", "webid"} <= set(configuration["claims_supported"])
    assert configuration["subject_types_supported"] == ["public"]


def test_every_algorithm_of_id_tokens_is_signed_with_a_key_of_the_key_set(town, kari, app):
    """OpenID Connect Discovery, section 3; Dynamic Registration, section 2 (`id_token_signed_response_alg`)."""
    served = town.stranger().get("/.well-known/openid-configuration").json["id_token_signing_alg_values_supported"]
    assert served == ["ES256", "RS256"]
    for algorithm in served:
        assert app.register(id_token_signed_response_alg=algorithm).json["id_token_signed_response_alg"] == algorithm
        members = app.let_in(kari)
        keys = [PublicKey(key) for key in town.stranger().get("/-/oauth/jwks").json["keys"]]
        for token in (members["id_token"], app.refresh(members["refresh_token"]).json["id_token"]):
            assert json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))["alg"] == algorithm
            assert verify_jws(token, keys, typ="JWT").payload["azp"] == app.client_id


@pytest.mark.parametrize("algorithm", ["none", "HS256", "PS256", "RS512", "", 7, None, ["RS256"]])
def test_no_other_algorithm_of_id_tokens_can_be_had(app, algorithm):
    assert app.register(id_token_signed_response_alg=algorithm).json["error"] == "invalid_client_metadata"


def test_each_way_to_authenticate_at_the_token_endpoint_works(kari, app, configuration):
    ways = set(configuration["token_endpoint_auth_methods_supported"])
    assert ways == {"private_key_jwt", "client_secret_basic", "none"}, "private_key_jwt: tests/protocol/oauth"
    for way in ways - {"private_key_jwt"}:
        assert app.register(token_endpoint_auth_method=way).json["token_endpoint_auth_method"] == way
        assert app.let_in(kari)["token_type"] == "DPoP"


def test_apps_need_not_push_and_partners_must(town, kari, registered, configuration):
    assert configuration["require_pushed_authorization_requests"] is False
    assert registered.arrive(kari).status_code == 303
    registered.client_id = "partner-unknown"
    assert registered.arrive(kari).status_code == 400

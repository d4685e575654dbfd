"""T7: forged, mistyped and re-purposed tokens, proofs and assertions."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from oauth_client import PartnerClient, Prover, new_key, signed

from pod_server.authorization.enforcement import require_owner
from pod_server.authorization_server import scripts, tokens
from pod_server.signatures import issuer_key, sign_jws


@pytest.fixture
def partner(host):
    return PartnerClient(host)


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def claims_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def header_of(host, **changes):
    return {"alg": "ES256", "kid": issuer_key(host.host_key).kid, "typ": "at+jwt"} | changes


def test_a_token_nobody_signed_is_refused(host, partner):
    token = partner.own_token()
    unsigned = f"{part(header_of(host, alg='none'))}.{part(claims_of(token))}."
    answer = partner.probe(unsigned)
    assert answer.status_code == 401
    assert answer.json["type"].endswith("/problems/invalid-token")
    assert answer.headers["WWW-Authenticate"].startswith("DPoP ")


def test_a_token_signed_by_somebody_else_is_refused(host, partner):
    forged = signed(claims_of(partner.own_token()), new_key(), header_of(host))
    assert partner.probe(forged).status_code == 401


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(host, partner):
    public = json.dumps(issuer_key(host.host_key).public_jwk).encode()
    forged = signed(claims_of(partner.own_token()), OctKey.import_key(public), header_of(host, alg="HS256"))
    assert partner.probe(forged).status_code == 401


@pytest.mark.parametrize("kind", ["JWT", "secevent+jwt", "dpop+jwt", "dc+sd-jwt"])
def test_something_else_that_the_house_signed_is_no_access_token(host, partner, kind):
    other = sign_jws(issuer_key(host.host_key), claims_of(partner.own_token()), typ=kind)
    assert partner.probe(other).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "solid"},
        {"aud": ["http://localhost:8080/bridge"]},
        {"exp": 1},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"cnf": None},
        {"cnf": {"jkt": "somebody-else"}},
        {"client_id": "p-unknown"},
        {"webid": "http://localhost:8080/kari/profile/card#me"},
    ],
)
def test_a_token_with_one_wrong_claim_does_not_open_the_bridge(host, partner, change):
    claims = claims_of(partner.own_token()) | change
    assert partner.probe(sign_jws(issuer_key(host.host_key), claims, typ="at+jwt")).status_code == 401


def test_a_token_runs_out(city, partner):
    token = partner.own_token()
    city.clock.advance(tokens.LIFETIME + timedelta(seconds=1))
    assert partner.probe(token).status_code == 401


def test_a_stolen_token_is_worthless_without_its_key(host, partner):
    token = partner.own_token()
    assert partner.probe(token, key=new_key()).status_code == 401
    bare = partner.client.get("/bridge/probe", headers={"Authorization": f"Bearer {token}"})
    assert bare.status_code == 401
    without_proof = partner.client.get("/bridge/probe", headers={"Authorization": f"DPoP {token}"})
    assert without_proof.status_code == 401
    in_the_address = partner.client.get("/bridge/probe", query_string={"access_token": token})
    assert in_the_address.status_code == 401


@pytest.mark.parametrize(
    "options",
    [
        {"htm": "POST"},
        {"htu": "http://localhost:8080/bridge/other"},
        {"htu": "http://evil.example/bridge/probe"},
        {"htu": 7},
        {"ath": "AAAA"},
        {"without": ("ath",)},
        {"without": ("jti",)},
        {"without": ("iat",)},
        {"jti": "short"},
        {"iat": "now"},
        {"iat": float("1e300")},
        {"jti": "half a pair \ud800"},
        {"htu": "http://localhost:8080/\udfff"},
        {"htu": "http://[::1/bridge/probe"},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": 7}},
        {"header": {"jwk": None}},
        {"header": {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}},
        {"header": {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}},
        {"header": {"jwk": {"kty": ["EC"], "crv": {}}}},
        {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}},
        {"header": {"crit": ["exp"]}},
    ],
)
def test_a_mistyped_proof_is_refused(partner, options):
    answer = partner.probe(partner.own_token(), **options)
    assert answer.status_code == 401
    assert answer.json["type"].endswith("/problems/invalid-dpop-proof")


def test_a_proof_that_carries_its_private_key_is_refused(partner):
    private = partner.proof_key.as_dict(private=True)
    answer = partner.probe(partner.own_token(), header={"jwk": private})
    assert answer.status_code == 401


def test_the_address_of_a_proof_is_compared_without_its_query_and_in_one_spelling(partner):
    token = partner.own_token()
    assert partner.probe(token, htu="HTTP://LOCALHOST:8080/bridge/probe?x=1#y").status_code == 200
    assert partner.probe(token, htu="http://localhost:8080/%62ridge/probe").status_code == 200


def test_two_proofs_or_two_tokens_are_refused(host, partner):
    token = partner.own_token()
    address = f"{host.base_url}/bridge/probe"
    one = partner.authorised("GET", address, token)
    headers = [*one.items(), ("DPoP", partner.proof("GET", address, token=token))]
    assert partner.client.get("/bridge/probe", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSAKey.generate_key(2048), "PS256"), (OKPKey.generate_key("Ed25519"), "Ed25519")],
    ids=["PS256", "Ed25519"],
)
def test_the_other_good_algorithms_are_taken(host, key, algorithm):
    partner = PartnerClient(host, proof_key=key)
    address = f"{host.base_url}/-/oauth/token"
    proof = partner.proof("POST", address, header={"alg": algorithm})
    answer = partner.token_request(grant_type="client_credentials", proof=proof)
    assert answer.status_code == 200, answer.text
    assert partner.probe(answer.json["access_token"], header={"alg": algorithm}).status_code == 200


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(ECKey.generate_key("P-384"), "ES384"), (RSAKey.generate_key(2048), "RS256"), (OctKey.generate_key(256), "HS256")],
    ids=["ES384", "RS256", "HS256"],
)
def test_algorithms_off_the_list_are_refused(host, partner, key, algorithm):
    public = {name: value for name, value in key.as_dict().items() if name not in {"kid", "d"}}
    proof = partner.proof("POST", f"{host.base_url}/-/oauth/token", key=key, header={"alg": algorithm, "jwk": public})
    answer = partner.token_request(grant_type="client_credentials", proof=proof)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize(
    "options",
    [
        {"aud": "http://localhost:8080/-/oauth/token"},
        {"aud": ["http://localhost:8080"]},
        {"aud": "https://elsewhere.example"},
        {"iss": "p-other", "sub": "p-other"},
        {"sub": "p-other"},
        {"exp": 1},
        {"exp": 4_000_000_000},
        {"without": ("exp",)},
        {"without": ("jti",)},
        {"without": ("iat",)},
        {"nbf": 4_000_000_000},
        {"key": new_key()},
        {"header": {"typ": "dpop+jwt"}},
        {"header": {"typ": "at+jwt"}},
        {"header": {"typ": 7}},
        {"header": {"kid": ["k1"]}},
        {"iss": 7, "sub": 7},
        {"iss": "\ud800", "sub": "\ud800"},
        {"exp": float("inf")},
        {"header": {"kid": "unknown"}},
        {"header": {"crit": ["b64"], "b64": False}},
    ],
)
def test_a_mistyped_client_assertion_is_refused(partner, options):
    answer = partner.token_request(grant_type="client_credentials", assertion=partner.assertion(**options))
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "header", ["", "DPoP", "DPoP ", "Basic", "Bearer x", "DPoP a b", "DPoP é", "DPoP a.b.c", "\x00"]
)
def test_a_garbled_authorization_header_is_a_plain_401(partner, header):
    for door in ("/bridge/probe", "/kari/probe"):
        answer = partner.client.get(door, headers={"Authorization": header})
        assert answer.status_code == 401


@pytest.mark.parametrize("header", ["", "Basic", "Basic é", "Basic ####", "Basic eA==", "Basic /////w==", "Digest x"])
def test_garbled_script_credentials_are_a_plain_401(partner, header):
    answer = partner.client.post(
        "/-/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": header}
    )
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def test_an_assertion_with_a_member_twice_is_refused(partner):
    good = partner.assertion()
    heading, _, signature = good.split(".")
    payload = json.dumps(claims_of(good))
    twice = base64.urlsafe_b64encode(f'{{"iss":"p-x",{payload[1:]}'.encode()).rstrip(b"=").decode()
    answer = partner.token_request(grant_type="client_credentials", assertion=f"{heading}.{twice}.{signature}")
    assert answer.json["error"] == "invalid_client"


def test_each_door_refuses_the_others_tokens(city, host, partner):
    kari = city.citizen("kari")
    script = scripts.create_credentials(host, require_owner(kari.vault), kari.webid)
    prover = Prover(host)
    basic = base64.b64encode(f"{script.client_id}:{script.client_secret}".encode()).decode()
    answer = partner.client.post(
        "/-/oauth/token",
        data={"grant_type": "client_credentials"},
        headers={"Authorization": f"Basic {basic}", "DPoP": prover.proof("POST", f"{host.base_url}/-/oauth/token")},
    )
    scripts_token = answer.json["access_token"]
    pod, bridge = f"{host.base_url}/kari/probe", f"{host.base_url}/bridge/probe"
    own = partner.client.get("/kari/probe", headers=prover.authorised("GET", pod, scripts_token))
    assert own.json["webid"] == kari.webid
    at_the_bridge = partner.client.get("/bridge/probe", headers=prover.authorised("GET", bridge, scripts_token))
    assert at_the_bridge.status_code == 401
    partners_token = partner.own_token()
    at_the_pod = partner.client.get("/kari/probe", headers=partner.authorised("GET", pod, partners_token))
    assert at_the_pod.status_code == 401


def test_existing_solid_clients_without_ath_are_let_in_and_a_wrong_ath_is_not(city, host, partner):
    kari = city.citizen("kari")
    script = scripts.create_credentials(host, require_owner(kari.vault), kari.webid)
    prover = Prover(host)
    token = tokens.issue_access_token(
        host,
        audience="solid",
        client_id=script.client_id,
        subject=kari.webid,
        jkt=prover.thumbprint,
        claims={"webid": kari.webid},
    )
    address = f"{host.base_url}/kari/probe"
    plain = {"Authorization": f"DPoP {token}", "DPoP": prover.proof("GET", address)}
    assert partner.client.get("/kari/probe", headers=plain).status_code == 200
    wrong = prover.authorised("GET", address, token, ath="AAAA")
    assert partner.client.get("/kari/probe", headers=wrong).status_code == 401


def test_a_script_whose_credentials_ended_is_out_at_once(city, host, partner):
    kari = city.citizen("kari")
    owner = require_owner(kari.vault)
    script = scripts.create_credentials(host, owner, kari.webid)
    prover = Prover(host)
    token = tokens.issue_access_token(
        host,
        audience="solid",
        client_id=script.client_id,
        subject=kari.webid,
        jkt=prover.thumbprint,
        claims={"webid": kari.webid},
    )
    assert scripts.revoke_credentials(host, owner, script.client_id)
    headers = prover.authorised("GET", f"{host.base_url}/kari/probe", token)
    assert partner.client.get("/kari/probe", headers=headers).status_code == 401


def test_a_cookie_says_nothing_at_a_pods_door(city, host, partner):
    kari = city.citizen("kari")
    from pod_server.authentication.session import cookie_settings, create_session

    partner.client.set_cookie(cookie_settings(host).key, create_session(host, kari.pod_id, kari.vault))
    assert partner.client.get("/kari/probe").json == {"webid": None, "client_id": ""}
    assert partner.client.get("/bridge/probe").status_code == 401


def test_a_removed_partner_and_rotated_keys_are_out_at_once(host, partner):
    from pod_server import partners

    token = partner.own_token()
    fresh = new_key("k2")
    partners.rotate_keys(host, partner.partner.client_id, {"keys": [fresh.as_dict(private=False)]})
    assert partner.token_request(grant_type="client_credentials").json["error"] == "invalid_client"
    partners.remove_partner(host, partner.partner.client_id)
    assert partner.probe(token).status_code == 401

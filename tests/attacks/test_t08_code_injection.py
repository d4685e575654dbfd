"""T8: authorization code injection, PKCE downgrade, redirect tricks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from oauth_client import PartnerClient, new_key

from pod_server.partners import PartnerInvalid, check_redirect_uri


@pytest.fixture
def partner(host):
    return PartnerClient(host)


@pytest.fixture
def kari(city):
    return city.citizen("kari")


def refused(answer):
    return (answer.status_code, answer.json["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "change",
    [
        {"code_verifier": "A" * 43},
        {"code_verifier": None},
        {"code_verifier": "short"},
        {"redirect_uri": "https://partner.example/other"},
        {"redirect_uri": None},
    ],
)
def test_a_code_without_its_verifier_and_address_is_refused_and_used_up(kari, partner, change):
    code = partner.code_from(kari.pod_id)
    assert refused(partner.redeem(code, **change))
    assert refused(partner.redeem(code))


def test_the_challenge_itself_is_no_verifier(kari, partner):
    """The downgrade to `plain`: who saw the challenge in the browser must not be able to use it."""
    assert refused(partner.redeem(partner.code_from(kari.pod_id), code_verifier=partner.challenge()))


def test_a_code_belongs_to_the_client_that_asked(host, kari, partner):
    thief = PartnerClient(host, name="Tyvegods AS", verifier=partner.verifier, proof_key=partner.proof_key)
    code = partner.code_from(kari.pod_id)
    assert refused(thief.redeem(code))
    assert partner.redeem(code).status_code == 200


def test_a_code_belongs_to_the_proof_key_that_was_named(host, kari, partner):
    code = partner.code_from(kari.pod_id)
    proof = partner.proof("POST", f"{host.base_url}/-/oauth/token", key=new_key())
    assert refused(partner.redeem(code, proof=proof))


def test_a_code_is_used_once_and_its_second_use_ends_the_first_ones_refresh_token(kari, partner):
    code = partner.code_from(kari.pod_id)
    first = partner.redeem(code)
    assert first.status_code == 200
    assert refused(partner.redeem(code))
    assert refused(partner.token_request(grant_type="refresh_token", refresh_token=first.json["refresh_token"]))


def test_a_code_lives_for_sixty_seconds(city, kari, partner):
    code = partner.code_from(kari.pod_id)
    city.clock.advance(timedelta(seconds=61))
    assert refused(partner.redeem(code))


def test_another_clients_request_cannot_be_brought_along(host, partner):
    other = PartnerClient(host, name="En annen AS")
    request_uri = partner.push().json["request_uri"]
    assert other.arrive(request_uri).status_code == 400


def test_another_clients_refresh_token_is_worthless(host, kari, partner):
    other = PartnerClient(host, name="En annen AS")
    stolen = partner.redeem(partner.code_from(kari.pod_id)).json["refresh_token"]
    assert refused(other.token_request(grant_type="refresh_token", refresh_token=stolen))


def test_a_parameter_given_twice_is_refused(partner):
    form = [*partner.signed_in().items(), ("grant_type", "client_credentials"), ("grant_type", "authorization_code")]
    from werkzeug.datastructures import MultiDict

    answer = partner.client.post("/-/oauth/token", data=MultiDict(form))
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


def test_secrets_in_the_address_or_body_are_refused(partner):
    in_address = partner.client.post("/-/oauth/token?grant_type=client_credentials", data=partner.signed_in())
    assert in_address.json["error"] == "invalid_request"
    in_body = partner.client.post("/-/oauth/token", data={"client_id": "script-1", "client_secret": "x"})
    assert in_body.json["error"] == "invalid_client"


@pytest.mark.parametrize(
    "uri",
    [
        "http://partner.example/back",
        "https://partner.example/back#fragment",
        "https://user@partner.example/",
        "javascript:alert(1)",
        "//partner.example/",
        "/back",
        "https://",
        "com.example:/back",
        "http://127.0.0.1.evil.example/",
        "https://evil.example;script-src */back",
        "https://evil.example '*'/back",
        "https://*/back",
        "https://evil.example/back\r\nSet-Cookie: a=b",
        "https://evil.example:99999/",
    ],
)
def test_an_unsafe_redirect_cannot_be_registered(uri):
    with pytest.raises(PartnerInvalid):
        check_redirect_uri(uri)


@pytest.mark.parametrize("uri", ["https://partner.example/back?x=1", "http://127.0.0.1:9000/cb", "http://[::1]/cb"])
def test_a_safe_redirect_can(uri):
    assert check_redirect_uri(uri) == uri

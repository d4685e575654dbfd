"""T25: a forged, replayed, mixed-up or stolen answer of a provider signs nobody in (RFC 9700; OpenID Connect Core, 3.1.3.7)."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hosts import NOON, City, make_host
from id_provider import IdProvider, as_secret, other_ec, other_rsa
from joserfc.jwk import OctKey
from provider_house import HTML, Visitor, open_house
from solid_app import house

from pod_server.clock import SetClock
from pod_server.lookups import Lookups
from pod_server.outbound import Outbound
from pod_server.sign_in import requests
from pod_server.sign_in.providers import add_provider, remove_provider


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """One house for all attacks: none of them changes anything, or it has succeeded."""
    clock = SetClock(NOON)
    opened = open_house(City(make_host(tmp_path_factory.mktemp("t25") / "data", clock), clock))
    assert opened.citizen().link().status_code == 303
    yield opened
    opened.provider.stop()
    opened.host.storage.close()
    opened.host.key_store.close()


@pytest.fixture
def provider(opened):
    """The provider, telling the truth again."""
    opened.provider.wrong.clear()
    opened.provider.seen.clear()
    return opened.provider


@pytest.fixture
def host(opened):
    return opened.host


@pytest.fixture
def linked(opened, provider):
    """A stranger's browser, while Kari is linked."""
    return opened.visitor()


def refused(visitor, back):
    assert back.status_code == 403, back.text
    assert "ble ikke godtatt" in back.text or "svarte ikke som den skulle" in back.text
    assert not visitor.is_signed_in()


def test_the_good_answer_does_sign_in(linked):
    assert linked.go().status_code == 303
    assert linked.is_signed_in()


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"}, {"iss": None}, {"aud": "other"}, {"aud": ["client-1", "other"]}, {"aud": None},
        {"aud": ["client-1", "other"], "azp": "other"}, {"azp": "other"}, {"exp": 1}, {"exp": None}, {"exp": "soon"},
        {"iat": 1}, {"iat": None}, {"iat": 9999999999}, {"nonce": "another"}, {"nonce": None}, {"nonce": 7}, {"nonce": ""},
        {"acr": "idporten-loa-low"}, {"acr": "idporten-loa-substantial"}, {"acr": None}, {"acr": ["idporten-loa-high"]},
        {"pid": None}, {"pid": ""}, {"pid": 12057900342}, {"pid": "1205790034"}, {"pid": "12057900342 "}, {"pid": ["1"]},
    ],
)  # fmt: skip
def test_an_id_token_whose_claims_do_not_hold(provider, linked, claims):
    provider.wrong["claims"] = claims
    refused(linked, linked.go())


def unsigned(provider, asked):
    parts = [{"alg": "none", "typ": "JWT"}, provider.claims(asked)]
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in parts), ""]
    )


def with_payload(token, claims):
    """The signature of one token below the claims of another."""
    head, _, signature = token.split(".")
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.{signature}"


FORGED = {
    "alg none": unsigned,
    "HS256 with the public key": lambda p, asked: p.sign(p.claims(asked), key=as_secret(p), header={"alg": "HS256"}),
    "HS256 with the client identifier": lambda p, asked: p.sign(
        p.claims(asked), key=OctKey.import_key(b"client-1" * 8), header={"alg": "HS256"}
    ),
    "another RSA key": lambda p, asked: p.sign(p.claims(asked), key=other_rsa()),
    "another key kind": lambda p, asked: p.sign(p.claims(asked), key=other_ec(), header={"alg": "ES256"}),
    "an unknown kid": lambda p, asked: p.sign(p.claims(asked), key=other_rsa(), header={"kid": "p-2"}),
    "a key in the header": lambda p, asked: p.sign(
        p.claims(asked), key=other_rsa(), header={"jwk": other_rsa().as_dict(private=False), "kid": "x"}
    ),
    "an access token": lambda p, asked: p.sign(p.claims(asked), header={"typ": "at+jwt"}),
    "a logout token": lambda p, asked: p.logout_token("client-1", nonce=asked["nonce"], **p.person),
    "a changed payload": lambda p, asked: with_payload(p.sign(p.claims(asked)), p.claims(asked) | {"sub": "x"}),
    "no signature": lambda p, asked: p.sign(p.claims(asked)).rpartition(".")[0] + ".",
    "not a token": lambda p, asked: "x",
    "a huge token": lambda p, asked: p.sign(p.claims(asked) | {"x": "y" * 20_000}),
    "not text": lambda p, asked: 7,
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_id_token(provider, linked, name):
    provider.wrong["id_token"] = FORGED[name]
    refused(linked, linked.go())


def test_a_symmetric_key_among_the_providers_keys(opened, provider):
    secret = OctKey.generate_key(256, parameters={"kid": "p-1"})
    fresh = opened.knowing_nothing().visitor()
    provider.wrong["jwks"] = {"keys": [secret.as_dict(private=True)]}
    provider.wrong["id_token"] = lambda p, asked: p.sign(p.claims(asked), key=secret, header={"alg": "HS256"})
    refused(fresh, fresh.go())


def test_an_answer_is_good_once(provider, linked):
    address = linked.at_the_provider(linked.leave())
    cookie = linked.client.get_cookie("tvilling-provider").value
    assert linked.client.get(address, headers=HTML).status_code == 303
    thief = Visitor(linked.app, linked.host)
    thief.client.set_cookie("tvilling-provider", cookie)
    refused(thief, thief.client.get(address, headers=HTML))
    tokens = [what for what, _ in provider.seen if what == "token"]
    assert len(tokens) == 1, "the second answer is refused here, before the provider is asked"


def test_an_answer_belongs_to_the_browser_that_asked(linked):
    """Login CSRF: an attacker's own answer, brought to somebody else's browser."""
    victim = Visitor(linked.app, linked.host)
    address = linked.at_the_provider(linked.leave())
    refused(victim, victim.client.get(address, headers=HTML))
    victim.leave()
    refused(victim, victim.client.get(address, headers=HTML))


def test_a_code_of_another_sign_in_is_of_no_use(linked):
    """Code injection: the victim's code beside the attacker's own state."""
    theirs = linked.at_the_provider(linked.leave())
    attacker = Visitor(linked.app, linked.host)
    mine = attacker.at_the_provider(attacker.leave())
    code = theirs.partition("code=")[2].partition("&")[0]
    own = mine.partition("code=")[2].partition("&")[0]
    refused(attacker, attacker.client.get(mine.replace(own, code), headers=HTML))


@pytest.mark.parametrize(
    "back",
    [
        {"state": "another"}, {"state": None}, {"iss": "https://evil.example"}, {"iss": None}, {"code": None}, {"code": ""},
        {"code": "x" * 5000},
    ],
)  # fmt: skip
def test_an_answer_that_is_not_the_requests(provider, linked, back):
    provider.wrong["back"] = back
    refused(linked, linked.go())


def test_a_parameter_that_came_twice(linked):
    address = linked.at_the_provider(linked.leave())
    refused(linked, linked.client.get(f"{address}&iss=https%3A%2F%2Fevil.example", headers=HTML))


def test_an_answer_that_took_too_long(opened, linked):
    address = linked.at_the_provider(linked.leave())
    opened.city.clock.advance(requests.LIFETIME + timedelta(seconds=1))
    refused(linked, linked.client.get(address, headers=HTML))


def test_a_cookie_made_by_hand(linked):
    address = linked.at_the_provider(linked.leave())
    for value in ("", "x", "e30.e30.e30.e30.e30", "x" * 3900):
        browser = Visitor(linked.app, linked.host)
        browser.client.set_cookie("tvilling-provider", value)
        refused(browser, browser.client.get(address, headers=HTML))


def test_mix_up_the_answer_of_one_provider_at_the_address_of_another(opened, host, provider):
    """RFC 9700, section 4.4: an attacker's provider beside an honest one."""
    evil = IdProvider(opened.city.clock)
    try:
        host = replace(host, outbound=Outbound(frozenset({provider.issuer, evil.issuer})), lookups=Lookups())
        made = add_provider(
            host,
            "evil",
            name="Evil",
            issuer=evil.issuer,
            client_id="client-1",
            subject_claim="pid",
            algorithm="ES256",
        )
        evil.client_keys = [made.key.public_jwk]
        browser = Visitor(house(host), host)
        asked_of_evil = browser.leave("evil")
        # The attacker's provider sends the browser on to the honest one, and its answer comes to the attacker's address.
        honest = Visitor(browser.app, host)
        address = honest.at_the_provider(honest.leave())
        refused(browser, browser.client.get(address.replace("/id-porten/", "/evil/"), headers=HTML))
        assert not [what for what, _ in evil.seen if what == "token"], "the honest code must not reach the attacker"
        assert asked_of_evil
        # And its own ID token, naming Kari's number, opens nothing: the issuer is part of who somebody is.
        back = browser.go("evil")
        assert back.status_code == 403
        assert "ingen pod her er koblet" in back.text
    finally:
        remove_provider(host, "evil")
        evil.stop()


@pytest.mark.parametrize(
    "wrong",
    [
        {"configuration": {"issuer": "https://evil.example"}}, {"configuration": {"issuer": None}},
        {"configuration": {"authorization_endpoint": None}}, {"configuration": {"authorization_endpoint": "javascript:x"}},
        {"configuration": {"token_endpoint": "ftp://x"}}, {"configuration": {"jwks_uri": 7}},
        {"configuration": {"token_endpoint": "https://x/#y"}}, {"raw": "[]"}, {"raw": "{" * 50_000}, {"raw": "x" * 70_000},
        {"redirect": "http://169.254.169.254/latest"}, {"redirect": "http://127.0.0.1:1/"}, {"redirect": "/.well-known/openid-configuration"},
    ],
)  # fmt: skip
def test_discovery_that_points_elsewhere_or_is_garbage(opened, provider, wrong):
    provider.wrong |= wrong
    answer = opened.knowing_nothing().visitor().client.get("/-/sign-in/with/id-porten")
    assert answer.status_code == 502
    assert answer.json["type"].endswith("/sign-in-provider-unreachable")


@pytest.mark.parametrize("address", ["http://169.254.169.254/keys", "http://10.0.0.1/keys", "file:///etc/passwd"])
def test_keys_and_doors_at_forbidden_addresses_are_not_fetched(opened, provider, address):
    fresh = opened.knowing_nothing().visitor()
    provider.wrong["configuration"] = {"jwks_uri": address}
    if address.startswith("file"):
        assert fresh.client.get("/-/sign-in/with/id-porten").status_code == 502
        return
    refused(fresh, fresh.go())


@pytest.mark.parametrize(
    "answer", [("[]", 200), ("{}", 200), ("x", 500), ('{"error": "invalid_grant"}', 400), ('{"id_token": ""}', 200)]
)
def test_a_token_endpoint_that_answers_garbage(provider, linked, answer):
    provider.wrong["token"] = answer
    refused(linked, linked.go())


def test_what_a_provider_says_of_a_refusal_is_not_passed_on(provider, linked, monkeypatch):
    monkeypatch.setattr(provider, "authenticates", lambda form: False)
    answer = linked.client.get("/-/sign-in/with/id-porten")
    assert answer.status_code == 502
    assert "12057900342" not in answer.text


def links_of(host):
    with host.storage.read() as tx:
        return tx.all("SELECT pod_id, subject_hash FROM upstream_link", ())


def test_a_link_that_another_session_asked_for(opened, provider, host):
    """Whoever makes a victim's browser come back with the attacker's answer must not link the attacker to her pod."""
    before = links_of(host)
    attacker, victim = opened.citizen("mallory"), opened.citizen("anna")
    address = attacker.at_the_provider(attacker.link_address())
    victim.client.set_cookie("tvilling-provider", attacker.client.get_cookie("tvilling-provider").value)
    assert victim.client.get(address, headers=HTML).status_code == 403
    assert links_of(host) == before


def test_a_sign_in_answer_links_nobody(opened, provider, host):
    """The purpose is sealed in the cookie: coming back from signing in never links, whoever is signed in."""
    before = links_of(host)
    opened.citizen("berit").go()
    assert links_of(host) == before


@pytest.mark.parametrize("following", ["https://evil.example/", "//evil.example", "/-/../mallory/x", "/mallory/page"])
def test_the_way_back_leads_nowhere_else(linked, following):
    assert linked.go(following=following).headers["Location"] == "/-/home"

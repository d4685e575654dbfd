"""Solid-OIDC, section 8: tokens of other issuers at our pods: the WebID names the issuer, the issuer signed."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from flask import request
from joserfc.jwk import RSAKey
from oauth_client import new_key
from other_issuer import ISSUER, WEBID, OtherIssuer

from pod_server import lookups
from pod_server.authorization_server.tokens import verify_solid_request
from pod_server.lookups import Lookups, LookupsBusy

CARD = WEBID.partition("#")[0]
SHARED = f"""@prefix acl: <http://www.w3.org/ns/auth/acl#>.
<#owner> a acl:Authorization; acl:agent <profile/card#me>; acl:accessTo <shared.ttl>; acl:mode acl:Read, acl:Write, acl:Control.
<#anna> a acl:Authorization; acl:agent <{WEBID}>; acl:accessTo <shared.ttl>; acl:mode acl:Read.
"""


@pytest.fixture
def anna(town):
    """Anna of another host."""
    issuer = OtherIssuer(town.host, elsewhere=town.elsewhere)
    issuer.publish()
    return issuer


@pytest.fixture
def pod(town, kari, registered):
    """Kari's pod, where one document is shared with Anna; asks with a token for what lies there."""
    owner = registered.let_in(kari)["access_token"]
    for path, body in (("shared.ttl", "<#a> <#b> <#c> ."), ("shared.ttl.acl", SHARED)):
        put = registered.use("PUT", f"/kari/{path}", owner, data=body.encode(), headers={"Content-Type": "text/turtle"})
        assert put.status_code < 300, put.text
    client = town.stranger()

    def ask(who, token, path="/kari/shared.ttl", **options):
        options = {"without": ("ath",)} | options
        return client.get(path, headers=who.authorised("GET", f"{town.host.base_url}{path}", token, **options))

    return ask


def test_somebody_of_another_host_reads_what_was_shared_with_her(anna, pod):
    assert pod(anna, anna.token()).status_code == 200
    assert pod(anna, anna.token(), "/kari/").status_code == 403


@pytest.mark.parametrize("audience", ["solid", ["solid"], ["https://app.example/id", "solid"]])
def test_solid_is_among_the_audiences(anna, pod, audience):
    assert pod(anna, anna.token(aud=audience)).status_code == 200


def test_webid_and_keys_are_asked_for_once_in_five_minutes(town, anna, pod, clock):
    for _ in range(3):
        assert pod(anna, anna.token()).status_code == 200
    asked = [CARD, f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/keys"]
    assert town.elsewhere.asked == asked
    clock.advance(timedelta(minutes=5, seconds=1))
    assert pod(anna, anna.token()).status_code == 200
    assert town.elsewhere.asked == asked * 2


def test_a_webid_that_changed_its_issuer_is_believed_after_five_minutes(anna, pod, clock):
    assert pod(anna, anna.token()).status_code == 200
    anna.publish(issuers=("https://elsewhere.example",))
    clock.advance(timedelta(minutes=5, seconds=1))
    assert pod(anna, anna.token()).status_code == 401


@pytest.mark.parametrize(
    "issuers", [(ISSUER + "/",), ("http://login.example",), ("https://LOGIN.example",), (f"{ISSUER}#me",)]
)
def test_the_issuer_is_matched_letter_by_letter(anna, pod, issuers):
    anna.publish(issuers=issuers)
    answer = pod(anna, anna.token())
    assert answer.status_code == 401
    assert "solid:oidcIssuer" in answer.json["detail"]


def test_one_of_several_issuers_will_do(anna, pod):
    anna.publish(issuers=("https://elsewhere.example", ISSUER))
    assert pod(anna, anna.token()).status_code == 200


def test_an_issuer_that_somebody_else_names_is_not_the_webids(town, anna, pod):
    card = f"<#other> <http://www.w3.org/ns/solid/terms#oidcIssuer> <{ISSUER}> ."
    town.elsewhere.put(CARD, card, "text/turtle")
    assert pod(anna, anna.token()).status_code == 401


def test_a_webid_in_json_ld_is_read(town, anna, pod):
    card = {"@id": WEBID, "http://www.w3.org/ns/solid/terms#oidcIssuer": {"@id": ISSUER}}
    town.elsewhere.put(CARD, card, "application/ld+json")
    assert pod(anna, anna.token()).status_code == 200


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        ("not turtle", "text/turtle"), ("", "text/turtle"), ("<html>", "text/html"), (b"\xff\xfe", "text/turtle"),
        ("[" * 60_000, "application/ld+json"),
        ({"@context": "https://evil.example/context", "@id": WEBID}, "application/ld+json"),
        ("".join(f"<#me> <http://www.w3.org/ns/solid/terms#oidcIssuer> <https://i{n}.example> .\n" for n in range(21)), "text/turtle"),
    ],
)  # fmt: skip
def test_a_webid_document_that_does_not_hold_lets_nobody_in(town, anna, pod, body, media_type):
    town.elsewhere.put(CARD, body, media_type)
    answer = pod(anna, anna.token())
    assert (answer.status_code, answer.json["type"].rpartition("/")[2]) == (401, "invalid-token")
    assert "https://evil.example/context" not in town.elsewhere.asked


def test_a_webid_that_redirects_to_another_origin_is_not_followed_there(town, anna, pod):
    card = f"<{WEBID}> <http://www.w3.org/ns/solid/terms#oidcIssuer> <{ISSUER}> ."
    town.elsewhere.put(CARD, card, "text/turtle", at="https://evil.example/card")
    assert pod(anna, anna.token()).status_code == 401


def test_keys_are_looked_for_once_more_when_the_issuer_has_new_ones(town, anna, pod):
    assert pod(anna, anna.token()).status_code == 200
    anna.key = new_key("other-2")
    anna.publish()
    assert pod(anna, anna.token(header={"kid": "other-2"})).status_code == 200
    before = len(town.elsewhere.asked)
    for n in range(5):
        assert pod(anna, anna.token(header={"kid": f"made-up-{n}"})).status_code == 401
    assert len(town.elsewhere.asked) == before


def test_an_issuer_may_sign_with_rs256_and_a_proof_may_not(anna, pod):
    anna.key = RSAKey.generate_key(2048, parameters={"kid": "rsa"}, auto_kid=False)
    anna.publish()
    token = anna.token(header={"alg": "RS256", "kid": "rsa"})
    assert pod(anna, token).status_code == 200
    anna.proof_key = anna.key
    token = anna.token(header={"alg": "RS256", "kid": "rsa"})
    answer = pod(anna, token, header={"alg": "RS256"})
    assert answer.json["type"].endswith("/problems/invalid-dpop-proof")


def test_issuers_are_not_asked_before_the_webid_names_them(town, anna, pod):
    anna.publish(issuers=("https://elsewhere.example",))
    pod(anna, anna.token())
    assert town.elsewhere.asked == [CARD]


def test_nobody_is_asked_before_the_proof_holds(town, anna, pod):
    for options in ({"htu": "https://evil.example/"}, {"key": new_key()}, {"iat": 0}, {"header": {"typ": "JWT"}}):
        assert pod(anna, anna.token(), **options).status_code == 401
    assert town.elsewhere.asked == []


def test_a_failed_lookup_is_not_tried_again_for_half_a_minute(town, anna, pod, clock):
    del town.elsewhere.documents[CARD]
    for _ in range(3):
        assert pod(anna, anna.token()).status_code == 401
    assert town.elsewhere.asked == [CARD]
    anna.publish()
    clock.advance(timedelta(seconds=31))
    assert pod(anna, anna.token()).status_code == 200


def test_answers_are_kept_within_a_limit_and_the_oldest_goes(clock):
    kept = Lookups(most_kept=2)
    now = clock.protocol_now()
    asked = []
    for name in ("a", "b", "a", "c", "a", "b"):
        kept.find("webid", name, now, lambda name=name: asked.append(name), ValueError)
    assert len(kept) == 2
    assert asked == ["a", "b", "c", "b"]


def test_slow_hosts_hold_a_few_threads_and_no_more(clock):
    kept = Lookups(most_at_a_time=1)
    now, waiting, go = clock.protocol_now(), threading.Event(), threading.Event()

    def slow():
        waiting.set()
        assert go.wait(30)

    thread = threading.Thread(target=lambda: kept.find("webid", "slow", now, slow, ValueError))
    thread.start()
    assert waiting.wait(30)
    with pytest.raises(LookupsBusy):
        kept.find("webid", "other", now, lambda: None, ValueError)
    go.set()
    thread.join(30)
    assert kept.find("webid", "other", now, lambda: 7, ValueError) == 7


def test_a_mistake_of_our_own_is_not_kept_as_an_answer(clock):
    kept = Lookups()
    with pytest.raises(ZeroDivisionError):
        kept.find("webid", "x", clock.protocol_now(), lambda: 1 // 0, ValueError)
    assert len(kept) == 0
    assert kept.find("webid", "x", clock.protocol_now(), lambda: 7, ValueError) == 7
    assert timedelta(seconds=30) == lookups.FAILURE_KEPT_FOR


@pytest.mark.parametrize("name", ["script-00", "app-00", "https://app.example/id"])
def test_no_name_that_another_issuer_gives_its_client_is_one_of_ours(town, anna, name):
    headers = anna.authorised("GET", f"{town.host.base_url}/kari/", anna.token(client_id=name), without=("ath",))
    with town.app.test_request_context("/kari/", headers=headers):
        agent = verify_solid_request(town.host, request)
    assert agent.webid == WEBID
    assert agent.client_id == f"{ISSUER} {name}"
    assert agent.modes is None

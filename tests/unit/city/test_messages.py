"""A stranger believes a claim for its signature, and every disclosure in it for the signed digest."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from pod_server.signatures.jws import sign_jws
from pod_server.signatures.keys import SigningKey
from pod_server.signatures.sd_jwt import disclosure, issue
from tvilling.city.simulators.messages import MessageRefused, read_claim, read_message

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ISSUER = "https://twin.example"
KEY, OTHER = SigningKey.es256(b"1" * 48), SigningKey.es256(b"2" * 48)
KEYS = {"keys": [KEY.public_jwk]}


def credential(key=KEY, issuer=ISSUER, expires=timedelta(days=30)):
    return issue(
        key,
        credential_type="https://twin.example/TramPass",
        issuer=issuer,
        issued_at=NOW,
        expires_at=NOW + expires,
        disclosable={"answer": "yes", "programme": "tram-pass"},
        always_open={"aud": "p-1"},
        random=os.urandom,
    )


def test_a_claim_shows_what_was_disclosed_and_nothing_else():
    whole = credential()
    assert read_claim(whole, KEYS, issuer=ISSUER, now=NOW)["answer"] == "yes"
    token, *disclosures = whole.split("~")
    partly = "~".join([token, disclosures[0], ""])
    shown = read_claim(partly, KEYS, issuer=ISSUER, now=NOW)
    assert len({"answer", "programme"} & set(shown)) == 1


@pytest.mark.parametrize(
    "broken",
    [
        lambda text: text.replace(".", "A.", 1),
        lambda text: text[:-1] + disclosure("salt", "answer", "no") + "~",
        lambda _: credential(OTHER),
        lambda _: credential(issuer="https://elsewhere.example"),
        lambda _: credential(expires=timedelta(seconds=-1)),
        lambda _: "",
        lambda _: "~~",
        lambda _: sign_jws(KEY, {"iss": ISSUER, "answer": "yes"}, typ="JWT") + "~",
    ],
    ids=["signature", "disclosure", "key", "issuer", "expired", "empty", "bare", "type"],
)
def test_a_claim_that_does_not_hold_is_refused(broken):
    with pytest.raises(MessageRefused):
        read_claim(broken(credential()), KEYS, issuer=ISSUER, now=NOW)


def event(**changes):
    claims = {
        "iss": ISSUER,
        "aud": "p-1",
        "jti": "m-1",
        "events": {f"{ISSUER}/vocab/events#claim": {"a": 1}},
        **changes,
    }
    return sign_jws(KEY, claims, typ="secevent+jwt")


def test_a_message_says_its_kind_and_body():
    message = read_message(event(), KEYS, issuer=ISSUER, audience="p-1")
    assert (message.id, message.kind, message.body) == ("m-1", "claim", {"a": 1})


@pytest.mark.parametrize(
    "changes", [{"iss": "https://elsewhere.example"}, {"aud": "p-2"}, {"aud": ["p-1"]}, {"events": {}}, {"jti": None}]
)
def test_a_message_for_somebody_else_or_of_no_form_is_refused(changes):
    with pytest.raises(MessageRefused):
        read_message(event(**changes), KEYS, issuer=ISSUER, audience="p-1")


def test_an_access_token_is_no_message():
    claims = {"iss": ISSUER, "aud": "p-1", "jti": "m-1", "events": {"x#claim": {}}}
    with pytest.raises(MessageRefused, match="not a security event token"):
        read_message(sign_jws(KEY, claims, typ="at+jwt"), KEYS, issuer=ISSUER, audience="p-1")

"""Minimal claims: what is shown, to whom, until when; and what a stranger can and cannot do with them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from pod_server.signatures import ClaimInvalid, PublicKey, SignatureInvalid, SigningKey, sd_jwt, sign_jws, verify_jws

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ISSUER = SigningKey.es256(bytes(range(48)))
HOLDER = SigningKey.ed25519(bytes(32))
TYPE, HOST = "https://pods.example/vocab/claims#TramPass", "https://pods.example"
CLAIMS = {"measure": "waste", "threshold_met": True, "period": "2025-11/2026-10"}


def issued(**changes):
    members = {
        "credential_type": TYPE,
        "issuer": HOST,
        "issued_at": NOW,
        "expires_at": NOW + timedelta(days=30),
        "disclosable": CLAIMS,
        "always_open": {"aud": "c-municipality", "jti": "p-1"},
        "random": os.urandom,
    }
    return sd_jwt.issue(ISSUER, **(members | changes))


def verified(presentation, **changes):
    members = {
        "credential_type": TYPE,
        "issuer": HOST,
        "at": NOW + timedelta(minutes=1),
        "leeway": timedelta(seconds=60),
        "audience": "c-municipality",
    }
    return sd_jwt.verify(presentation, [ISSUER.public_key], **(members | changes))


def test_a_claim_shows_what_was_chosen_and_nothing_else():
    credential = issued()
    shown = sd_jwt.present(credential, ["threshold_met"])
    claims = verified(shown).claims
    assert claims["threshold_met"] is True
    assert claims["jti"] == "p-1"
    assert "measure" not in claims
    assert "period" not in claims
    decoded = b"".join(base64.urlsafe_b64decode(part + "==") for part in shown.replace("~", ".").split(".") if part)
    assert b"2025-11" not in decoded
    assert b"waste" not in decoded


def test_all_disclosures_verify_too():
    assert CLAIMS.items() <= verified(issued()).claims.items()


def test_a_claim_without_hidden_parts_verifies():
    assert verified(issued(disclosable={})).claims["aud"] == "c-municipality"


def test_a_stranger_checks_it_with_nothing_of_ours():
    from joserfc import jws
    from joserfc.jwk import ECKey

    token, *disclosures, last = issued().split("~")
    assert last == ""
    opened = jws.deserialize_compact(token, ECKey.import_key(ISSUER.public_jwk), algorithms=["ES256"])
    payload = json.loads(opened.payload)
    assert opened.headers()["typ"] == "dc+sd-jwt"
    for text in disclosures:
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        assert digest in payload["_sd"]


@pytest.mark.parametrize(
    "changes",
    [
        {"credential_type": TYPE + "2"},
        {"issuer": "https://other.example"},
        {"at": NOW + timedelta(days=31)},
        {"at": NOW - timedelta(minutes=2)},
        {"audience": "c-another"},
        {"audience": None},
        {"nonce": "n-1"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_claim_does_not_hold_elsewhere_or_at_another_time(changes):
    with pytest.raises(ClaimInvalid):
        verified(issued(), **changes)


def test_made_up_disclosures_are_refused():
    credential = issued()
    shown = sd_jwt.present(credential, ["threshold_met"])
    for extra in (
        sd_jwt.disclosure("salt", "threshold_met", False),
        sd_jwt.disclosure("salt", "iss", "https://evil.example"),
        sd_jwt.disclosure("salt", "jti", "p-2"),
        shown.split("~")[1],
        "not-a-disclosure",
    ):
        with pytest.raises(SignatureInvalid):
            verified(shown + extra + "~")
    with pytest.raises(SignatureInvalid):
        verified(shown.split("~")[0])


def test_a_claim_signed_by_another_key_is_refused():
    with pytest.raises(SignatureInvalid):
        sd_jwt.verify(
            issued(), [HOLDER.public_key], credential_type=TYPE, issuer=HOST, at=NOW, leeway=timedelta(seconds=60)
        )


def test_the_holders_proof_answers_one_question_of_one_verifier():
    credential = issued(holder=HOLDER.public_jwk)
    shown = sd_jwt.present(credential, ["measure"], holder_key=HOLDER, audience="c-municipality", nonce="n-1", at=NOW)
    result = verified(shown, nonce="n-1", at=NOW)
    assert result.holder is not None
    assert result.holder["x"] == HOLDER.public_jwk["x"]
    stolen_proof = shown.rsplit("~", 1)[1]
    another = SigningKey.ed25519(bytes(31) + b"\x01")
    for refused, error in (
        (lambda: verified(shown, nonce="n-2", at=NOW), ClaimInvalid),
        (lambda: verified(shown, nonce="n-1", at=NOW + timedelta(minutes=5)), ClaimInvalid),
        (lambda: verified(sd_jwt.present(credential, ["measure"]), nonce="n-1"), ClaimInvalid),
        (lambda: verified(sd_jwt.present(credential, ["period"]) + stolen_proof, nonce="n-1", at=NOW), ClaimInvalid),
        (
            lambda: verified(
                sd_jwt.present(
                    credential, ["measure"], holder_key=another, audience="c-municipality", nonce="n-1", at=NOW
                ),
                nonce="n-1",
                at=NOW,
            ),
            SignatureInvalid,
        ),
    ):
        with pytest.raises(error):
            refused()


def test_claims_with_a_place_of_their_own_are_not_hidden():
    for name in ("iss", "exp", "vct", "_sd", "aud"):
        with pytest.raises(ValueError, match=name):
            issued(disclosable={name: "x"})
    with pytest.raises(ValueError, match="no claim"):
        sd_jwt.present(issued(), ["income"])


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none", "kid": ISSUER.kid, "typ": "at+jwt"}, "algorithm"),
        ({"alg": "HS256", "kid": ISSUER.kid, "typ": "at+jwt"}, "algorithm"),
        ({"alg": "ES256", "kid": "another", "typ": "at+jwt"}, "not known"),
        ({"alg": "ES256", "kid": ISSUER.kid, "typ": "jwt"}, "type"),
        ({"alg": "ES256", "kid": ISSUER.kid}, "type"),
        ({"alg": "ES256", "kid": ISSUER.kid, "typ": "at+jwt", "crit": ["b64"], "b64": False}, "extensions"),
    ],
)
def test_headers_that_steer_the_verifier_are_refused(header, reason):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    signing_input = f"{part(header)}.{part({'sub': 'x'})}"
    signature = base64.urlsafe_b64encode(ISSUER.sign(signing_input.encode())).rstrip(b"=").decode()
    with pytest.raises(SignatureInvalid, match=reason):
        verify_jws(f"{signing_input}.{signature}", [ISSUER.public_key], typ="at+jwt")


def test_every_changed_character_of_a_jws_is_noticed():
    token = sign_jws(ISSUER, {"sub": "s-1"}, typ="at+jwt")
    for at in range(len(token)):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(SignatureInvalid):
            verify_jws(changed, [ISSUER.public_key], typ="at+jwt")


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
        {"kty": "EC", "crv": "P-256"},
        {"kty": "EC", "crv": "P-256", "x": 1, "y": 2},
        {"kty": "EC", "crv": "P-384", "x": "AAAA", "y": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        HOLDER.public_jwk | {"alg": "ES256"},
        HOLDER.public_jwk | {"use": "enc"},
    ],
)
def test_what_is_no_signing_key_is_refused(jwk):
    with pytest.raises(SignatureInvalid):
        PublicKey(jwk)


def test_a_private_member_never_becomes_part_of_a_public_key():
    assert "d" not in PublicKey(ISSUER.private_jwk()).jwk
    assert "d" not in ISSUER.public_jwk
    assert ISSUER.private_jwk()["d"] not in repr(ISSUER)

"""Two ways to verify a proof give one answer: the house's ES256, with what a header says remembered, and joserfc's."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from joserfc import jwk, jws
from joserfc.jwk import ECKey, OKPKey

from pod_server.authorization_server import jose

KEYS = [ECKey.generate_key("P-256") for _ in range(2)]
ED25519 = OKPKey.generate_key("Ed25519")
CLAIMS = {"jti": "a" * 16, "htm": "GET", "htu": "http://localhost:8080/kari/", "iat": 1}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: object) -> str:
    return base64url(json.dumps(value, separators=(",", ":")).encode())


def proof(key=KEYS[0], *, shown=None, alg="ES256", claims=CLAIMS) -> str:
    members = (shown or key).as_dict(private=False)
    header = {"alg": alg, "typ": "dpop+jwt", "jwk": members}
    return jws.serialize_compact(header, json.dumps(claims), key, registry=jose._REGISTRY)


def by_joserfc(text: str):
    """What the general way says: the claims and the thumbprint, or None."""
    try:
        unverified = jose.read(text)
        members = unverified.header.get("jwk")
        if not isinstance(members, dict):
            return None
        return jose.verify(unverified, members), jose.public_key(members).thumbprint()
    except jose.JoseInvalid:
        return None


def by_own_key(text: str):
    try:
        return jose.verify_by_own_key(jose.read(text))
    except jose.JoseInvalid:
        return None


def agree(text: str) -> None:
    """What the quick way accepts the general way accepts, and the other way round where base64url is written as RFC
    7515 wants it: of several spellings of one signature the quick way takes the one without spare bits."""
    quick, general = by_own_key(text), by_joserfc(text)
    if quick is not None:
        assert quick == general
    elif general is not None:
        signature = text.rpartition(".")[2]
        assert base64url(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))) != signature


def test_good_proofs_pass_both_ways():
    for key in KEYS:
        claims, thumbprint = by_own_key(proof(key))
        assert claims == CLAIMS
        assert thumbprint == key.thumbprint()
        agree(proof(key))
    assert by_own_key(proof(ED25519, alg="EdDSA")) == (CLAIMS, ED25519.thumbprint())


def test_the_remembered_header_of_one_key_lets_no_other_key_sign():
    good = proof(KEYS[0])
    assert by_own_key(good) is not None
    assert by_own_key(proof(KEYS[1], shown=KEYS[0])) is None
    header, _, _ = good.split(".")
    _, claims, signature = proof(KEYS[1]).split(".")
    assert by_own_key(f"{header}.{claims}.{signature}") is None
    for number in range(2 * jose._REMEMBERED):  # whatever was forgotten meanwhile
        jose._remembered_part(part({"alg": "ES256", "n": number}))
    assert by_own_key(good) is not None


@given(data=some.data())
@settings(max_examples=250, deadline=None)
def test_a_changed_proof_gets_one_answer(data):
    text = list(proof(data.draw(some.sampled_from(KEYS))))
    for _ in range(data.draw(some.integers(1, 3))):
        place = data.draw(some.integers(0, len(text) - 1))
        text[place] = data.draw(some.sampled_from("AQgwx_-9.=+"))
    agree("".join(text))


@given(r=some.integers(0, 2**256 - 1), s=some.integers(0, 2**256 - 1), length=some.sampled_from([0, 63, 64, 65]))
@settings(max_examples=100, deadline=None)
def test_made_up_signatures_pass_neither_way(r, s, length):
    signed = proof().rpartition(".")[0]
    signature = (r.to_bytes(32, "big") + s.to_bytes(32, "big") + b"\0")[:length]
    text = f"{signed}.{base64url(signature)}"
    assert by_own_key(text) is None
    assert by_joserfc(text) is None


@pytest.mark.parametrize("r", [0, 1, P256_ORDER, P256_ORDER + 1])
@pytest.mark.parametrize("s", [0, 1, P256_ORDER, P256_ORDER + 1])
def test_numbers_at_the_edge_pass_neither_way(r, s):
    text = f"{proof().rpartition('.')[0]}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    assert by_own_key(text) is None
    assert by_joserfc(text) is None


HEADERS = {
    "another algorithm": lambda header: header | {"alg": "EdDSA"},
    "no algorithm": lambda header: header | {"alg": "none"},
    "a shared secret": lambda header: header | {"alg": "HS256"},
    "extensions": lambda header: header | {"crit": ["exp"], "exp": 1},
    "unencoded payload": lambda header: header | {"b64": False},
    "a private key": lambda header: header | {"jwk": KEYS[0].as_dict(private=True)},
    "a key for encryption": lambda header: header | {"jwk": header["jwk"] | {"use": "enc"}},
    "a key for another algorithm": lambda header: header | {"jwk": header["jwk"] | {"alg": "ES384"}},
    "another curve": lambda header: header | {"jwk": header["jwk"] | {"crv": "P-384"}},
    "a point off the curve": lambda header: header | {"jwk": header["jwk"] | {"y": base64url(b"\1" * 32)}},
    "a short coordinate": lambda header: header | {"jwk": header["jwk"] | {"x": base64url(b"\1" * 31)}},
    "no key": lambda header: {name: value for name, value in header.items() if name != "jwk"},
    "a text for a key": lambda header: header | {"jwk": "key"},
    "kty a list": lambda header: header | {"jwk": header["jwk"] | {"kty": ["EC"]}},
}


@pytest.mark.parametrize("change", HEADERS)
def test_headers_that_ask_for_something_else_pass_neither_way(change):
    """Signed over the changed header, so that nothing but the header's words is at fault."""
    key = jwk.import_key(KEYS[0].as_dict(private=True))
    header = HEADERS[change]({"alg": "ES256", "typ": "dpop+jwt", "jwk": KEYS[0].as_dict(private=False)})
    signed = f"{part(header)}.{part(CLAIMS)}"
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    r, s = utils.decode_dss_signature(key.private_key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    text = f"{signed}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    assert by_own_key(text) is None
    assert by_joserfc(text) is None

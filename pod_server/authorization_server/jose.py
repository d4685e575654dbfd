"""Strangers' JSON Web Signatures, read strictly: a closed list of algorithms, one key, no extensions (RFC 7515, 8725).

Parsing and verifying are two steps with two types: `Unverified` cannot be passed where claims are expected.

A client makes a proof for each request and all with the same header, so what follows from a header alone (its key, the
key's thumbprint) is worked out once and remembered; each signature is verified. ES256, which nearly everybody uses, is
verified by the house's own keys, everything else by joserfc; a test holds the two against each other.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from joserfc import jwk, jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from pod_server import signatures
from pod_server.authorization_server.errors import AuthorizationServerError
from pod_server.signatures import SignatureInvalid, base64url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from joserfc._rfc7515.model import JWSAlgModel

    PublicKey = ECKey | OKPKey | RSAKey

ALGORITHMS = ("ES256", "PS256", "EdDSA", "Ed25519")
ISSUER_ALGORITHMS = (*ALGORITHMS, "RS256")
"""Other Solid-OIDC issuers may sign with RS256 too, since that is what OpenID Connect makes everybody support."""

MAXIMUM_CHARACTERS = 8192
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_ALGORITHMS_OF = {
    ("EC", "P-256"): frozenset({"ES256"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA", "Ed25519"}),
    ("RSA", None): frozenset({"PS256", "RS256"}),
}


class JoseInvalid(AuthorizationServerError):
    """Not a signature by that key over that text; the message says what is wrong with it, as far as it helps."""


class _ClosedRegistry(JWSRegistry):
    """joserfc's registry with our list alone, and without its warning about the name EdDSA (RFC 9864 renames it)."""

    max_header_length = MAXIMUM_CHARACTERS  # a proof's header holds its key; joserfc's 512 bytes hold no RSA key

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in ISSUER_ALGORITHMS:
            raise JoseInvalid("the algorithm is not one of ES256, PS256, EdDSA and Ed25519")
        return self.algorithms[name]


_REGISTRY = _ClosedRegistry(algorithms=list(ISSUER_ALGORITHMS), strict_check_header=False)


@dataclass(frozen=True)
class Unverified:
    """A JWS that was read and not yet verified. Its claims are what somebody says, no more.

    Attributes:
        header: The protected header.
        claims: The payload.
        text: The compact form.
    """

    header: dict[str, Any]
    claims: dict[str, Any]
    text: str


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member is there twice")
    return value


def _no_constants(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_no_constants)


def _json_part(part: str) -> dict[str, Any]:
    try:
        text = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True).decode()
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text, here or in a database
    except (binascii.Error, ValueError, RecursionError) as error:
        raise JoseInvalid("a part is not base64url of a JSON object") from error
    if not isinstance(value, dict):
        raise JoseInvalid("a part is not base64url of a JSON object")
    return value


_REMEMBERED = 1024
_REMEMBERED_CHARACTERS = 1024
"""Headers longer than this (they hold RSA keys) are read each time, so that nobody fills the memory with them."""

_remembered_part = lru_cache(maxsize=_REMEMBERED)(_json_part)


def _header_part(part: str) -> dict[str, Any]:
    return (_remembered_part if len(part) <= _REMEMBERED_CHARACTERS else _json_part)(part)


def read(text: str, algorithms: Sequence[str] = ALGORITHMS) -> Unverified:
    """Read a compact JWS without believing it.

    Args:
        text: The compact form.
        algorithms: The closed list; anything else is refused here, so that `verify` never meets it.

    Raises:
        JoseInvalid: not a compact JWS of JSON objects, too long, an algorithm off the list, or with extensions.
    """
    parts = text.split(".")
    if len(parts) != 3 or not all(parts) or len(text) > MAXIMUM_CHARACTERS or not text.isascii():
        raise JoseInvalid("not a compact JWS of at most 8192 characters")
    header = _header_part(parts[0])
    if header.get("alg") not in algorithms:
        raise JoseInvalid(f"the algorithm is not one of {', '.join(algorithms[:-1])} and {algorithms[-1]}")
    if "crit" in header or "b64" in header:
        raise JoseInvalid("the header asks for extensions that are not known here")
    return Unverified(header, _json_part(parts[1]), text)


def public_key(members: Mapping[str, Any]) -> PublicKey:
    """A public key from its JWK.

    Raises:
        JoseInvalid: private, weak, of an unknown kind or damaged.
    """
    if _PRIVATE_MEMBERS & members.keys():
        raise JoseInvalid("the key is not a public key")
    if not all(isinstance(members.get(name), str | None) for name in ("kty", "crv")):
        raise JoseInvalid("the key cannot be read")
    if (members.get("kty"), members.get("crv")) not in _ALGORITHMS_OF:
        raise JoseInvalid("the key is neither P-256, Ed25519 nor RSA")
    if members.get("kty") == "RSA" and not 340 <= len(str(members.get("n", ""))) <= 1400:
        raise JoseInvalid("an RSA key has 2048 to 8192 bits")
    if members.get("use", "sig") != "sig":
        raise JoseInvalid("the key is not for signatures")
    try:
        key = cast("PublicKey", jwk.import_key({**members}))
        if isinstance(key, RSAKey) and key.public_key.key_size < 2048:
            raise JoseInvalid("an RSA key has 2048 to 8192 bits")
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JoseInvalid("the key cannot be read") from error
    return key


def _check_algorithm(algorithm: str, members: Mapping[str, Any]) -> None:
    if algorithm not in _ALGORITHMS_OF[members["kty"], members.get("crv")]:
        raise JoseInvalid("the algorithm does not belong to the key")
    if members.get("alg", algorithm) != algorithm:
        raise JoseInvalid("the key is for another algorithm")


def verify(unverified: Unverified, members: Mapping[str, Any]) -> dict[str, Any]:
    """The claims, once the signature by this key holds.

    Raises:
        JoseInvalid: the key is not fit for the algorithm, or did not sign this.
    """
    key = public_key(members)
    _check_algorithm(unverified.header["alg"], members)
    try:
        jws.deserialize_compact(unverified.text, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError) as error:
        raise JoseInvalid("the signature does not hold") from error
    return unverified.claims


@dataclass(frozen=True)
class _OwnKey:
    """The key that a header holds.

    Attributes:
        members: Its JWK.
        thumbprint: RFC 7638.
        es256: The same key in the house's form; None where it has no such form, and joserfc verifies.
    """

    members: dict[str, Any]
    thumbprint: str
    es256: signatures.PublicKey | None


def _own_key(header_part: str) -> _OwnKey:
    header = _json_part(header_part)
    members = header.get("jwk")
    if not isinstance(members, dict):
        raise JoseInvalid("the header holds no jwk")
    key = public_key(members)
    _check_algorithm(header["alg"], members)
    es256 = None
    if header["alg"] == "ES256":
        try:
            es256 = signatures.PublicKey({name: members[name] for name in ("kty", "crv", "x", "y")})
        except SignatureInvalid:
            es256 = None  # coordinates in an unusual spelling, which joserfc reads
    return _OwnKey(members, key.thumbprint(), es256)


_remembered_key = lru_cache(maxsize=_REMEMBERED)(_own_key)


def verify_by_own_key(unverified: Unverified) -> tuple[dict[str, Any], str]:
    """The claims, once the signature by the key in the header (`jwk`) holds, and that key's thumbprint.

    Raises:
        JoseInvalid: no fit key is there, or it did not sign this.
    """
    signed, _, signature = unverified.text.rpartition(".")
    header_part = signed.partition(".")[0]
    key = (_remembered_key if len(header_part) <= _REMEMBERED_CHARACTERS else _own_key)(header_part)
    if key.es256 is None:
        return verify(unverified, key.members), key.thumbprint
    try:
        key.es256.verify(base64url.read(signature), signed.encode())
    except SignatureInvalid as error:
        raise JoseInvalid("the signature does not hold") from error
    return unverified.claims, key.thumbprint

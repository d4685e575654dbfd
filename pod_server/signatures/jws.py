"""JSON Web Signatures in compact form (RFC 7515): made with the house's keys, verified with named ones."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pod_server.signatures import base64url
from pod_server.signatures.errors import SignatureInvalid
from pod_server.signatures.keys import PublicKey, SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAXIMUM_CHARACTERS = 64 * 1024


class VerifiedJws(NamedTuple):
    """A JWS whose signature was checked.

    Attributes:
        header: The protected header.
        payload: The claims, or any JSON object.
        kid: Which key signed.
    """

    header: dict[str, Any]
    payload: dict[str, Any]
    kid: str


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def sign_jws(key: SigningKey, payload: Mapping[str, Any], *, typ: str, headers: Mapping[str, Any] | None = None) -> str:
    """A compact JWS of a JSON object, with `alg`, `kid` and an explicit `typ` (RFC 8725, section 3.11)."""
    header = {**(headers or {}), "alg": key.algorithm, "kid": key.kid, "typ": typ}
    signing_input = f"{base64url.write(_json(header))}.{base64url.write(_json(payload))}"
    return f"{signing_input}.{base64url.write(key.sign(signing_input.encode()))}"


def verify_jws(token: str, keys: Iterable[PublicKey], *, typ: str) -> VerifiedJws:
    """Check a compact JWS against known keys.

    That a key has signed a text stays true, so an access token that comes with every request is verified once and
    remembered for a while. What may end meanwhile (its time, its revocation, the key) is the caller's to check.

    Args:
        token: The compact form, at most 64 KiB.
        keys: The keys that may have signed; one is chosen by `kid`, and its algorithm is the only one accepted.
        typ: The `typ` it must have.

    Raises:
        SignatureInvalid: wrong form, `typ`, algorithm, key or signature.
    """
    check = _remembered if len(token) <= _REMEMBERED_CHARACTERS else _verify
    header, payload, kid = check(token, tuple(keys), typ)
    return VerifiedJws(dict(header), dict(payload), kid)


def _verify(token: str, keys: tuple[PublicKey, ...], typ: str) -> VerifiedJws:
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MAXIMUM_CHARACTERS:
        raise SignatureInvalid("The text is not a compact JWS.")
    header = _object(parts[0])
    if header.get("typ") != typ:
        raise SignatureInvalid(f"The JWS is not of type {typ}.")
    if "crit" in header:
        raise SignatureInvalid("The JWS asks for extensions that are not known here.")
    candidates = [key for key in keys if "kid" not in header or key.kid == header["kid"]]
    if len(candidates) != 1:
        raise SignatureInvalid("The JWS is signed by a key that is not known here.")
    (key,) = candidates
    if header.get("alg") != key.algorithm:
        raise SignatureInvalid("The JWS names another algorithm than its key has.")
    key.verify(base64url.read(parts[2]), f"{parts[0]}.{parts[1]}".encode())
    return VerifiedJws(header, _object(parts[1]), key.kid)


_REMEMBERED_CHARACTERS = 2048
_remembered = lru_cache(maxsize=1024)(_verify)


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(base64url.read(part), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        raise SignatureInvalid("A part of the JWS is not JSON.") from None
    if not isinstance(value, dict):
        raise SignatureInvalid("A part of the JWS is not a JSON object.")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member is there twice")  # RFC 7515, section 4: must be unique
    return value

"""What the house sends to its partners, checked as a stranger checks it: by the issuer's published keys alone.

Notices and claims are Security Event Tokens (RFC 8417); a claim carries an SD-JWT (RFC 9901).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from tvilling.city.simulators.oauth_client import base64url

ALGORITHMS = ["ES256", "Ed25519"]


class MessageRefused(Exception):
    """A message that does not come from the issuer, or not to us, or not as it should."""


@dataclass(frozen=True)
class Message:
    """One checked message.

    Attributes:
        id: Its `jti`; the same at each try, so that it counts once.
        kind: `consent-withdrawn`, `claim`, …
        body: The event's members.
    """

    id: str
    kind: str
    body: Mapping[str, Any]


def read_message(token: str, keys: Mapping[str, Any], *, issuer: str, audience: str) -> Message:
    """Check a Security Event Token.

    Raises:
        MessageRefused: signature, type, issuer or audience are not as they must be.
    """
    header, claims = _verified(token, keys)
    if header.get("typ") != "secevent+jwt":
        raise MessageRefused("not a security event token")
    if claims.get("iss") != issuer or claims.get("aud") != audience:
        raise MessageRefused("another issuer's, or for somebody else")
    events = claims.get("events")
    if not isinstance(events, dict) or len(events) != 1 or not isinstance(claims.get("jti"), str):
        raise MessageRefused("one event and an identifier are expected")
    ((iri, body),) = events.items()
    return Message(claims["jti"], iri.rpartition("#")[2], body)


def read_claim(credential: str, keys: Mapping[str, Any], *, issuer: str, now: datetime) -> dict[str, Any]:
    """Verify an SD-JWT and put the shown claims in their places.

    Args:
        credential: `<jwt>~<disclosure>~…~`.
        keys: The issuer's JWK set.
        issuer: Whose claims we take.
        now: Real or the city's time, whichever the issuer dates by.

    Raises:
        MessageRefused: the signature, a disclosure or the time does not hold.
    """
    token, *disclosures = credential.split("~")
    header, claims = _verified(token, keys)
    if header.get("typ") not in {"dc+sd-jwt", "vc+sd-jwt"} or claims.get("iss") != issuer:
        raise MessageRefused("not a credential of this issuer")
    if isinstance(claims.get("exp"), int) and claims["exp"] < now.timestamp():
        raise MessageRefused("the credential has run out")
    promised = set(claims.pop("_sd", []))
    if claims.pop("_sd_alg", "sha-256") != "sha-256":
        raise MessageRefused("another hash than SHA-256")
    for disclosure in disclosures:
        if not disclosure or "." in disclosure:
            continue  # the empty end, or a holder's proof, which is for another verifier to ask for
        if base64url(hashlib.sha256(disclosure.encode("ascii")).digest()) not in promised:
            raise MessageRefused("a disclosure that the issuer did not sign")
        try:
            _, name, value = json.loads(base64.urlsafe_b64decode(disclosure + "=" * (-len(disclosure) % 4)))
        except (ValueError, binascii.Error) as error:
            raise MessageRefused("a disclosure that cannot be read") from error
        if name in claims:
            raise MessageRefused("a claim that comes twice")
        claims[name] = value
    return claims


def _verified(token: str, keys: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        found = jws.deserialize_compact(
            token, KeySet.import_key_set({"keys": list(keys["keys"])}), algorithms=ALGORITHMS
        )
        claims = json.loads(found.payload)
    except (JoseError, ValueError, KeyError) as error:
        raise MessageRefused("the signature is not the issuer's") from error
    if not isinstance(claims, dict):
        raise MessageRefused("no claims")
    return dict(found.headers()), claims

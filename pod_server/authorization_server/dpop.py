"""Proofs of possession: a token is good only in the hands that hold its key (RFC 9449)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pod_server.authorization_server import dpop_nonces, jose
from pod_server.authorization_server.errors import NonceNeeded, ProofInvalid
from pod_server.spelling import respelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pod_server.host import Host


OLDEST = timedelta(seconds=60)
"""A proof older than this is refused; clients make one for each request."""

AHEAD = timedelta(seconds=10)
"""How far a client's clock may run ahead (FAPI 2.0, section 5.3.2.1)."""


@lru_cache(maxsize=1024)
def canonical_address(address: str) -> str:
    """A URI without query and fragment, its scheme and host in lower case, its path in one spelling.

    Raises:
        ProofInvalid: not an absolute http(s) URI.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise ProofInvalid("htu is not an absolute URI") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ProofInvalid("htu is not an absolute URI")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    standard = {"http": 80, "https": 443}[parts.scheme]
    place = name if port in {None, standard} else f"{name}:{port}"
    return f"{parts.scheme}://{place}{respelled(parts.path) or '/'}"


def token_hash(access_token: str) -> str:
    """`ath`: the token's SHA-256 in base64url."""
    return base64.urlsafe_b64encode(hashlib.sha256(access_token.encode()).digest()).rstrip(b"=").decode()


def check_proof(
    host: Host,
    proofs: Sequence[str],
    *,
    method: str,
    address: str,
    access_token: str | None = None,
    token_hash_needed: bool = True,
    key_thumbprint: str | None = None,
    nonce_needed: bool = False,
) -> str:
    """Check a request's DPoP proof; each proof is good once.

    Args:
        host: Its replay store and protocol time.
        proofs: Every `DPoP` header of the request.
        method: The request's method.
        address: The request's own address as this host knows it; never taken from the `Host` header.
        access_token: The token that came along, at a door.
        token_hash_needed: Whether `ath` must be there; existing Solid clients send none, and it is checked where present.
        key_thumbprint: The key the token is bound to (`cnf.jkt`), or the request (`dpop_jkt`).
        nonce_needed: Whether a nonce of this time must be there; one that is there is checked in any case.

    Returns:
        The thumbprint of the proof's key.

    Raises:
        ProofInvalid: the message says what is wrong.
        NonceNeeded: all is well but the nonce.
    """
    if len(proofs) != 1:
        raise ProofInvalid("exactly one DPoP header is needed")
    try:
        unverified = jose.read(proofs[0])
        if unverified.header.get("typ") != "dpop+jwt":
            raise ProofInvalid("typ is not dpop+jwt")
        claims, thumbprint = jose.verify_by_own_key(unverified)
    except jose.JoseInvalid as error:
        raise ProofInvalid(str(error)) from error
    if claims.get("htm") != method:
        raise ProofInvalid("htm is not the request's method")
    if not isinstance(claims.get("htu"), str) or canonical_address(claims["htu"]) != canonical_address(address):
        raise ProofInvalid("htu is not the request's address")
    now = host.clock.protocol_now()
    issued = moment_of(claims.get("iat"))
    if issued is None or not now - OLDEST <= issued <= now + AHEAD:
        raise ProofInvalid("iat is more than 60 seconds old or more than 10 seconds ahead")
    if not host.replay.covers(issued):
        raise ProofInvalid("iat lies before this server's start; make a new proof")
    if access_token is not None and (token_hash_needed or "ath" in claims):
        named = claims.get("ath")
        if not isinstance(named, str) or not hmac.compare_digest(named.encode(), token_hash(access_token).encode()):
            raise ProofInvalid("ath is not the hash of the access token")
    if key_thumbprint is not None and not hmac.compare_digest(thumbprint, key_thumbprint):
        raise ProofInvalid("the proof's key is not the one the token is bound to")
    if (nonce_needed or "nonce" in claims) and not dpop_nonces.holds(host, claims.get("nonce")):
        raise NonceNeeded(dpop_nonces.current(host))
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not 8 <= len(identifier) <= 200:
        raise ProofInvalid("jti is not a text of 8 to 200 characters")
    if not host.replay.first_use(f"dpop {thumbprint} {identifier}", issued + OLDEST + AHEAD):
        raise ProofInvalid("the proof has been used before")
    return thumbprint


def nonce_headers(host: Host, proofs: Sequence[str]) -> dict[str, str]:
    """For whoever sends nonces, the next one: the headers of an answer to a request whose proof was good."""
    with contextlib.suppress(jose.JoseInvalid):
        if len(proofs) == 1 and "nonce" in jose.read(proofs[0]).claims:
            return {dpop_nonces.HEADER: dpop_nonces.current(host)}
    return {}


def moment_of(seconds: Any) -> datetime | None:
    """A NumericDate (RFC 7519, section 2) as a time, or None where it is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e11:
        return None
    return datetime.fromtimestamp(seconds, UTC)

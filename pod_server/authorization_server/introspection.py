"""A partner asks what one of its own tokens is worth now (RFC 7662); anything else is merely not active."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consent.grant import GrantState
from pod_server import signing_keys
from pod_server.authorization import grant_rows
from pod_server.authorization_server.client_authentication import authenticate_partner, form_of
from pod_server.authorization_server.errors import TokenRefused
from pod_server.authorization_server.tokens import is_revoked, read_access_token
from pod_server.signatures import sign_jws

if TYPE_CHECKING:
    from flask import Request

    from pod_server.host import Host
    from pod_server.partners import Partner

_SHOWN = ("iss", "sub", "aud", "client_id", "iat", "exp", "cnf", "act")


def introspect(host: Host, request: Request) -> tuple[Partner, dict[str, Any]]:
    """Who asked, and the answer's JSON members.

    Raises:
        OAuthError: the client is not known.
    """
    form = form_of(request)
    partner = authenticate_partner(host, request, form)
    try:
        claims = read_access_token(host, form.get("token", ""))
    except TokenRefused:
        return partner, {"active": False}
    return partner, _worth_of(host, partner, claims)


def _worth_of(host: Host, partner: Partner, claims: dict[str, Any]) -> dict[str, Any]:
    if claims.get("client_id") != partner.client_id:
        return {"active": False}
    with host.storage.read() as tx:
        revoked = is_revoked(tx, claims)
        grant = grant_rows.find_grant(tx, host.host_key, str(claims["grant"])) if "grant" in claims else None
    ended = "grant" in claims and (grant is None or grant.state_at(host.clock.now()) is not GrantState.ACTIVE)
    if revoked or ended:
        return {"active": False}
    shown = {name: claims[name] for name in _SHOWN if name in claims}
    if grant is not None:
        shown["grant_id"] = grant.id
    return {"active": True, "token_type": "DPoP", **shown}


SIGNED = "application/token-introspection+jwt"


def signed(host: Host, partner: Partner, answer: dict[str, Any]) -> str:
    """The same answer as a signed text that its partner can keep as evidence (RFC 9701)."""
    claims = {
        "iss": host.base_url,
        "aud": partner.client_id,
        "iat": int(host.clock.protocol_now().timestamp()),
        "token_introspection": answer,
    }
    return sign_jws(signing_keys.current(host), claims, typ="token-introspection+jwt")

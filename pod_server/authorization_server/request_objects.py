"""Signed requests and signed answers: the optional tier of message signing (RFC 9101; FAPI 2.0 Message Signing).

A partner may sign the request that it pushes, and have the answer that travels through the citizen's browser signed.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pod_server import signing_keys
from pod_server.authorization_server import jose
from pod_server.authorization_server.dpop import AHEAD, moment_of
from pod_server.authorization_server.errors import OAuthError
from pod_server.partner_key_sets import with_keys_for
from pod_server.signatures import sign_jws

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pod_server.host import Host
    from pod_server.partners import Partner

LONGEST_LIFE = timedelta(minutes=60)
ANSWER_LIFETIME = timedelta(minutes=10)
_TYPES = frozenset({"oauth-authz-req+jwt", "jwt"})
_OUTSIDE = frozenset({"request", "client_id", "client_assertion", "client_assertion_type"})
_ABOUT_THE_OBJECT = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti"})


def _refused(description: str) -> OAuthError:
    return OAuthError("invalid_request_object", description)


def parameters_of_object(host: Host, partner: Partner, form: Mapping[str, str]) -> dict[str, str]:
    """The request's parameters as the partner signed them (RFC 9101, section 6; FAPI 2.0 Message Signing, 5.3.1).

    Args:
        host: This host.
        partner: Who signed in at the endpoint, and must have signed the object.
        form: What was pushed: the object, and nothing else beside the client's authentication.

    Raises:
        OAuthError: `invalid_request_object`, or `invalid_request` where parameters lie beside the object.
    """
    beside = sorted(form.keys() - _OUTSIDE)
    if beside:
        raise OAuthError("invalid_request", "with a request object all parameters belong inside it")
    try:
        unverified = jose.read(form["request"])
        if str(unverified.header.get("typ", "jwt")).lower() not in _TYPES:
            raise _refused("typ is to be oauth-authz-req+jwt")
        wanted = unverified.header.get("kid")
        partner = with_keys_for(host, partner, wanted)
        keys = [key for key in partner.jwks["keys"] if wanted is None or key.get("kid") == wanted]
        if len(keys) != 1:
            raise _refused("no key of the partner's has this kid")
        claims = jose.verify(unverified, keys[0])
    except jose.JoseInvalid as error:
        raise _refused(str(error)) from error
    if claims.get("iss") != partner.client_id or claims.get("client_id", partner.client_id) != partner.client_id:
        raise _refused("iss and client_id are to be the partner's identifier")
    if claims.get("aud") != host.base_url:
        raise _refused(f"aud is to be the issuer, {host.base_url}, as one text")
    now = host.clock.protocol_now()
    begins, ends = moment_of(claims.get("nbf")), moment_of(claims.get("exp"))
    if begins is None or not now - LONGEST_LIFE <= begins <= now + AHEAD:
        raise _refused("nbf is missing, more than an hour old, or more than ten seconds ahead")
    if ends is None or not now < ends <= begins + LONGEST_LIFE:
        raise _refused("exp is missing, has passed, or is more than an hour after nbf")
    if "request" in claims or "request_uri" in claims:
        raise _refused("a request object holds no other one")
    identifier = claims.get("jti")
    if identifier is not None and (
        not isinstance(identifier, str)
        or not 8 <= len(identifier) <= 200
        or not host.replay.first_use(f"request {partner.client_id} {identifier}", ends + AHEAD)
    ):
        raise _refused("jti is no text of 8 to 200 characters, or has been used before")
    return {name: _as_parameter(value) for name, value in claims.items() if name not in _ABOUT_THE_OBJECT}


def _as_parameter(value: Any) -> str:
    """A claim as the parameter it stands for; `authorization_details` is JSON in both."""
    return value if isinstance(value, str) else json.dumps(value)


def signed_answer(host: Host, client_id: str, answer: Mapping[str, str]) -> str:
    """The authorization response as one signed text, for its partner alone (JARM, section 2.1)."""
    expires = host.clock.protocol_now() + ANSWER_LIFETIME
    claims = {"iss": host.base_url, "aud": client_id, "exp": int(expires.timestamp()), **answer}
    return sign_jws(signing_keys.current(host), claims, typ="oauth-authz-resp+jwt")

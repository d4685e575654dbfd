"""An integrator exchanges a partner's word for a token to deliver in that partner's name (RFC 8693).

    subject_token    signed by the principal's own key, type `may-act+jwt`: `iss` and `sub` the principal, `aud` this host, an
                     hour at most, and `may_act` (section 4.4) naming the one client it is meant for
    the client       is the actor: it shows its own key by `private_key_jwt` and DPoP, and needs no actor token
    the answer       a token whose `sub` is the principal and whose `act` is the actor (section 4.1), bound to the actor's key

Two things must hold, and either ends it: the principal's signed word, and the standing leave (pod_server/acting.py). A token that
was got like this is nobody's subject: there is no chain of actors.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pod_server import acting, partner_key_sets, partners
from pod_server.authorization_server import jose
from pod_server.authorization_server.dpop import AHEAD, moment_of
from pod_server.authorization_server.errors import OAuthError
from pod_server.authorization_server.tokens import LIFETIME, bridge_audience, issue_access_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pod_server.host import Host
    from pod_server.partners import Partner

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name from the RFC
JWT = "urn:ietf:params:oauth:token-type:jwt"
WORD_TYPE = "may-act+jwt"
LONGEST_WORD = timedelta(hours=1)
_NOT_GOOD = "the subject token is not good: a may-act+jwt, signed by the partner it names, for this client and host"


@dataclass(frozen=True)
class SignedWord:
    """What a partner signed, read and verified.

    Attributes:
        principal: Who signed.
        claims: What it says.
    """

    principal: Partner
    claims: dict[str, Any]


def exchange_for_actor(host: Host, actor: Partner, form: Mapping[str, str], jkt: str) -> dict[str, Any]:
    """A token to deliver in another partner's name; the answer's JSON members.

    Raises:
        OAuthError: `invalid_request`, `invalid_target`, `invalid_grant` or `unauthorized_client`.
    """
    if "actor_token" in form or "actor_token_type" in form:
        raise OAuthError(
            "invalid_request", "the client's own authentication says who acts; an actor_token is not taken"
        )
    if form.get("subject_token_type") != JWT:
        raise OAuthError("invalid_request", f"subject_token_type is to be {JWT}")
    if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise OAuthError("invalid_request", f"requested_token_type is {ACCESS_TOKEN}, or left out")
    audience = bridge_audience(host)
    if any(form.get(name, audience) != audience for name in ("audience", "resource")):
        raise OAuthError("invalid_target", f"the token is for {audience} alone")
    word = verify_word(host, form.get("subject_token", ""), WORD_TYPE, LONGEST_WORD)
    meant_for = word.claims.get("may_act")
    if "act" in word.claims or meant_for != {"sub": actor.client_id} or word.principal.client_id == actor.client_id:
        raise OAuthError("invalid_grant", _NOT_GOOD)
    with host.storage.read() as tx:
        allowed = acting.may_act(tx, word.principal.client_id, actor.client_id)
    if not allowed or not word.principal.is_admitted:
        raise OAuthError(
            "unauthorized_client", "neither that partner nor the municipality lets this client act for it now", 403
        )
    token = issue_access_token(
        host,
        audience=audience,
        client_id=actor.client_id,
        subject=word.principal.client_id,
        jkt=jkt,
        claims={"act": {"sub": actor.client_id}},
    )
    return {
        "access_token": token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "DPoP",
        "expires_in": int(LIFETIME.total_seconds()),
    }


def verify_word(host: Host, text: str, typ: str, longest: timedelta) -> SignedWord:
    """What a partner signed with one of its registered keys, for this host, now.

    Args:
        host: This host.
        text: A compact JWS.
        typ: What it must say that it is, so that nothing a partner signs for another end is taken for it.
        longest: From its `iat` to its `exp` at most.

    Raises:
        OAuthError: `invalid_grant`, the same for an unknown partner as for a signature that does not hold.
    """
    refused = OAuthError("invalid_grant", _NOT_GOOD)
    try:
        unverified = jose.read(text)
    except jose.JoseInvalid as error:
        raise refused from error
    issuer, kid = unverified.claims.get("iss"), unverified.header.get("kid")
    if unverified.header.get("typ") != typ or not isinstance(issuer, str) or unverified.claims.get("sub") != issuer:
        raise refused
    with host.storage.read() as tx:
        principal = partners.find_partner(tx, issuer)
    if principal is not None:
        principal = partner_key_sets.with_keys_for(host, principal, kid)
    keys = [] if principal is None else [key for key in principal.jwks["keys"] if kid is None or key.get("kid") == kid]
    if principal is None or principal.state == partners.REMOVED or len(keys) != 1:
        raise refused
    try:
        claims = jose.verify(unverified, keys[0])
    except jose.JoseInvalid as error:
        raise refused from error
    now = host.clock.protocol_now()
    issued, expires = moment_of(claims.get("iat")), moment_of(claims.get("exp"))
    if (
        claims.get("aud") != host.base_url
        or issued is None
        or expires is None
        or not issued - AHEAD <= now < expires
        or expires - issued > longest
    ):
        raise refused
    return SignedWord(principal, claims)

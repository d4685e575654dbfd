"""Tokens of other issuers: whose WebID is it, does the WebID name the issuer, did the issuer sign (Solid-OIDC, section 8.1)?

Everything fetched here is at an address that the token's bearer chose: the outbound rules judge it, the answers are kept
for a while, and one citizen's WebID on this host is spoken for by this host alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urlsplit

from pod_server.authorization_server import jose
from pod_server.authorization_server.dpop import AHEAD, moment_of
from pod_server.authorization_server.errors import TokenRefused
from pod_server.outbound import OutboundError, origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pod_server.host import Host

_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_OIDC_ISSUER = "http://www.w3.org/ns/solid/terms#oidcIssuer"
_LONGEST_ADDRESS = 500
_MOST_KEYS = 50
_MOST_ISSUERS = 20
_FORMATS = {"text/turtle": "text/turtle", "application/ld+json": "application/ld+json"}


def stated_claims(host: Host, unverified: jose.Unverified) -> Mapping[str, Any]:
    """What another issuer's token says, once all is in order that can be seen without asking anybody.

    Raises:
        TokenRefused: says what is not.
    """
    claims = unverified.claims
    if str(unverified.header.get("typ", "")).lower() not in _TYPES:
        raise TokenRefused("the access token's typ is not at+jwt")
    audience = claims.get("aud")
    if audience != "solid" and not (isinstance(audience, list) and "solid" in audience):
        raise TokenRefused("the access token is for another door: aud is not solid")
    for name in ("iss", "webid", "client_id"):
        value = claims.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ADDRESS:
            raise TokenRefused(f"the access token has no {name}")
    now = host.clock.protocol_now()
    expires, issued = moment_of(claims.get("exp")), moment_of(claims.get("iat"))
    if expires is None or expires <= now:
        raise TokenRefused("the access token has run out")
    begins = moment_of(claims["nbf"]) if "nbf" in claims else now
    if issued is None or issued > now + AHEAD or begins is None or begins > now + AHEAD:
        raise TokenRefused("the access token is dated ahead of this host's clock")
    if _is_own(host, claims["webid"]):
        raise TokenRefused("a WebID of this host is spoken for by this host alone")
    return claims


def verify_external(host: Host, unverified: jose.Unverified) -> Mapping[str, Any]:
    """The claims, once the WebID names the issuer and the issuer's key made the signature.

    Raises:
        TokenRefused: says which of the two does not hold, or who could not be asked.
        LookupsBusy: too many other hosts are being waited for.
    """
    claims = stated_claims(host, unverified)
    issuer, webid = claims["iss"], claims["webid"]
    now = host.clock.protocol_now()
    issuers = host.lookups.find("webid", webid, now, lambda: _issuers_of(host, webid), TokenRefused)
    if issuer not in issuers:
        raise TokenRefused("the WebID does not name the token's issuer (solid:oidcIssuer, letter by letter)")
    keys = host.lookups.find("issuer", issuer, now, lambda: keys_of(host, issuer), TokenRefused)
    key = key_for(unverified, keys)
    if key is None:
        # Perhaps the issuer has new keys; one look more while these are kept, however many tokens ask for it.
        renewed = host.lookups.find("issuer again", issuer, now, lambda: keys_of(host, issuer), TokenRefused)
        key = key_for(unverified, renewed)
    if key is None:
        raise TokenRefused("the access token is not signed with a key of its issuer's")
    try:
        return jose.verify(unverified, key)
    except jose.JoseInvalid as error:
        raise TokenRefused("the access token is not signed with a key of its issuer's") from error


def _is_own(host: Host, webid: str) -> bool:
    try:
        return origin_of(urlsplit(webid)) == origin_of(urlsplit(host.base_url))
    except ValueError as error:
        raise TokenRefused("the WebID is not an address") from error


def key_for(unverified: jose.Unverified, keys: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The one of an issuer's keys that a token names, or None."""
    wanted = unverified.header.get("kid")
    fitting = [key for key in keys if wanted is None or key.get("kid") == wanted]
    return fitting[0] if len(fitting) == 1 else None


def _get(host: Host, address: str, accept: str, *, elsewhere: bool = False) -> tuple[str, bytes, str]:
    try:
        answer = host.outbound.get(address, {"Accept": accept})
    except OutboundError as error:
        raise TokenRefused(f"the WebID or its issuer cannot be asked: {error}") from error
    if answer.status != 200:
        raise TokenRefused("the WebID or its issuer does not answer")
    if not elsewhere and origin_of(urlsplit(answer.url)) != origin_of(urlsplit(address)):
        # Whoever finds an open redirect on a WebID's host must not come to speak for it.
        raise TokenRefused("the WebID or its issuer answers from another origin")
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower(), answer.body, answer.url


def _issuers_of(host: Host, webid: str) -> frozenset[str]:
    """The issuers that a WebID's document names for it."""
    from pyoxigraph import NamedNode, RdfFormat, parse  # noqa: PLC0415 - the partner door starts without an RDF library

    from pod_server.representation.errors import MalformedRepresentation  # noqa: PLC0415
    from pod_server.representation.nesting import check_nesting  # noqa: PLC0415

    media_type, body, address = _get(host, urldefrag(webid).url, "text/turtle, application/ld+json;q=0.8")
    format_ = RdfFormat.from_media_type(media_type) if media_type in _FORMATS else None
    if format_ is None:
        raise TokenRefused("the WebID's document is neither Turtle nor JSON-LD")
    found: set[str] = set()
    try:
        check_nesting(body, format_)
        for quad in parse(body, format=format_, base_iri=address):
            named = quad.object.value if isinstance(quad.object, NamedNode) else ""
            if named and quad.predicate.value == _OIDC_ISSUER and quad.subject == NamedNode(webid):
                found.add(named)
    except (SyntaxError, ValueError, OSError, MalformedRepresentation) as error:
        raise TokenRefused("the WebID's document cannot be read") from error
    if not 0 < len(found) <= _MOST_ISSUERS:
        raise TokenRefused("the WebID's document names no issuer, or more than twenty")
    return frozenset(found)


def keys_of(host: Host, issuer: str) -> list[dict[str, Any]]:
    """An issuer's public keys, by its OpenID configuration.

    Raises:
        TokenRefused: it cannot be asked, or answers nothing that could be its keys.
    """
    configuration = _json_object(host, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if configuration.get("issuer") != issuer:
        raise TokenRefused("the issuer's configuration is another issuer's")
    address = configuration.get("jwks_uri")
    if not isinstance(address, str) or len(address) > _LONGEST_ADDRESS:
        raise TokenRefused("the issuer's configuration names no keys")
    keys = _json_object(host, address, elsewhere=True).get("keys")
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        raise TokenRefused("the issuer's keys cannot be read")
    return [key for key in keys if isinstance(key, dict)]


def _json_object(host: Host, address: str, *, elsewhere: bool = False) -> dict[str, Any]:
    _, body, _ = _get(host, address, "application/json", elsewhere=elsewhere)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise TokenRefused("the issuer's configuration or keys are not JSON") from error
    if not isinstance(value, dict):
        raise TokenRefused("the issuer's configuration or keys are not a JSON object")
    return value

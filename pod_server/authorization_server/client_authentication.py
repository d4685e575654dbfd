"""Which client is it? Partners sign an assertion (RFC 7523, private_key_jwt); scripts and apps show a secret (Basic).

The rules are the class's own: a partner has no secret to show, a script no key to sign with, and an app that cannot
keep a secret says merely who it is.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from pod_server import partner_key_sets, partner_limits, partners
from pod_server.authorization_server import apps, jose, scripts
from pod_server.authorization_server.dpop import AHEAD, moment_of
from pod_server.authorization_server.errors import OAuthError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Request

    from pod_server.authorization_server.apps import AppClient
    from pod_server.authorization_server.scripts import Script
    from pod_server.host import Host
    from pod_server.partners import Partner

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_LIFE = timedelta(minutes=10)


@dataclass(frozen=True)
class _Assertion:
    client_id: str
    unverified: jose.Unverified


def _refused(description: str) -> OAuthError:
    return OAuthError("invalid_client", description, 401)


def form_of(request: Request) -> dict[str, str]:
    """The request's parameters, each there once (RFC 6749, section 3.1); none from the address.

    Raises:
        OAuthError: `invalid_request`: not a form, or a parameter came twice.
    """
    if request.mimetype != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "the body is to be application/x-www-form-urlencoded")
    if request.args:
        raise OAuthError("invalid_request", "parameters belong in the body, not in the address")
    form: dict[str, str] = {}
    for name, values in request.form.lists():
        if len(values) != 1:
            raise OAuthError("invalid_request", "a parameter came twice")
        if values[0]:
            form[name] = values[0]
    return form


def authenticate_client(
    host: Host, request: Request, form: Mapping[str, str], *, stopped_too: bool = False
) -> Partner | Script | AppClient:
    """The client that made the request, by exactly one method.

    Args:
        host: This host.
        request: The request.
        form: Its parameters.
        stopped_too: Whether a partner that is stopped or turned away may come: to its console, where it reads why.

    Raises:
        OAuthError: `invalid_client` (401) or `invalid_request`.
    """
    header = request.headers.get("Authorization")
    if header is not None and ("client_assertion" in form or "client_secret" in form):
        raise OAuthError("invalid_request", "one way of client authentication, not two")
    if "client_secret" in form:
        raise _refused("secrets do not travel in the body")
    if header is not None:
        return _with_secret(host, header, form)
    if "client_assertion" in form:
        return _partner(host, form, stopped_too=stopped_too)
    app = apps.without_secret(host, form.get("client_id", ""))
    if app is not None:
        return app
    raise _refused("partners sign a client assertion (private_key_jwt); scripts use HTTP Basic")


def authenticate_partner(
    host: Host, request: Request, form: Mapping[str, str], *, stopped_too: bool = False
) -> Partner:
    """As `authenticate_client`, where only a partner may come.

    Raises:
        OAuthError: as above, or `unauthorized_client` for a script.
    """
    client = authenticate_client(host, request, form, stopped_too=stopped_too)
    if not isinstance(client, partners.Partner):
        raise OAuthError("unauthorized_client", "this address is for partners")
    return client


def _with_secret(host: Host, header: str, form: Mapping[str, str]) -> Script | AppClient:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise _refused("scripts and apps use HTTP Basic")
    try:
        name, separator, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError as error:
        raise _refused("the Basic credentials cannot be read") from error
    client_id = unquote_plus(name)
    client: Script | AppClient | None = None
    if separator:
        check = apps.check_secret if client_id.startswith(apps.REGISTERED) else scripts.check_secret
        client = check(host, client_id, unquote_plus(secret))
    if client is None or form.get("client_id", client_id) != client_id:
        raise _refused("no script or app has these credentials")
    return client


def _read_assertion(form: Mapping[str, str]) -> _Assertion:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise OAuthError("invalid_request", f"client_assertion_type is to be {ASSERTION_TYPE}")
    try:
        unverified = jose.read(form["client_assertion"])
    except jose.JoseInvalid as error:
        raise _refused(f"the client assertion: {error}") from error
    if str(unverified.header.get("typ", "JWT")).lower() not in {"jwt", "client-authentication+jwt"}:
        raise _refused("the client assertion: its typ says it is something else")
    issuer = unverified.claims.get("iss")
    if not isinstance(issuer, str) or unverified.claims.get("sub") != issuer:
        raise _refused("the client assertion: iss and sub are both to be the client's identifier")
    if form.get("client_id", issuer) != issuer:
        raise _refused("the client assertion is another client's")
    return _Assertion(issuer, unverified)


def _partner(host: Host, form: Mapping[str, str], *, stopped_too: bool) -> Partner:
    assertion = _read_assertion(form)
    with host.storage.read() as tx:
        partner = partners.find_partner(tx, assertion.client_id)
    if partner is None or partner.state == partners.REMOVED:
        raise _refused("no partner has this identifier and key")
    wanted = assertion.unverified.header.get("kid")
    partner = partner_key_sets.with_keys_for(host, partner, wanted)
    keys = [key for key in partner.jwks["keys"] if wanted is None or key.get("kid") == wanted]
    if len(keys) != 1:
        raise _refused("no partner has this identifier and key")
    try:
        claims = jose.verify(assertion.unverified, keys[0])
    except jose.JoseInvalid as error:
        raise _refused("no partner has this identifier and key") from error
    now = host.clock.protocol_now()
    if claims.get("aud") != host.base_url:
        raise _refused(f"the client assertion: aud is to be the issuer, {host.base_url}, as one text")
    expires = moment_of(claims.get("exp"))
    if expires is None or not now - AHEAD < expires <= now + LONGEST_LIFE:
        raise _refused("the client assertion: exp has passed, or is more than ten minutes ahead")
    for name in ("iat", "nbf"):
        moment = moment_of(claims.get(name))
        if name in claims and (moment is None or moment > now + AHEAD):
            raise _refused(f"the client assertion: {name} is more than ten seconds ahead")
    issued = moment_of(claims.get("iat"))
    if issued is None or issued < now - LONGEST_LIFE or not host.replay.covers(issued):
        raise _refused("the client assertion: iat is missing or too old; sign a new one")
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not 8 <= len(identifier) <= 200:
        raise _refused("the client assertion: jti is a text of 8 to 200 characters")
    if not host.replay.first_use(f"assertion {assertion.client_id} {identifier}", expires + AHEAD):
        raise _refused("the client assertion has been used before")
    # Only to whoever has shown the key: nobody else learns how a partner stands, or uses up what it may do.
    if not stopped_too:
        _require_standing(host, partner)
    return partner


def _require_standing(host: Host, partner: Partner) -> None:
    """Hold the partner against the municipality's word, and its own switch.

    Raises:
        OAuthError: `unauthorized_client` (403) where it is stopped; `slow_down` (429) where its requests are used up.
    """
    try:
        partner.require_active()
        partner_limits.count_request(host, partner)
    except partners.PartnerSuspended as stopped:
        raise OAuthError("unauthorized_client", str(stopped), 403) from stopped
    except partner_limits.PartnerLimited as limited:
        raise OAuthError("slow_down", str(limited), 429, {"Retry-After": str(limited.retry_after)}) from limited

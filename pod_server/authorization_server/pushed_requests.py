"""Authorization requests are pushed by the partner itself, never carried by a browser (RFC 9126; FAPI 2.0, 5.3.2.2)."""

from __future__ import annotations

import json
import re
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pod_server import partner_notices
from pod_server.authentication.session import hashed
from pod_server.authorization.grant_rows import terms_to_json
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.authorization_server import dpop_nonces
from pod_server.authorization_server.authorization_details import terms_asked_for
from pod_server.authorization_server.client_authentication import authenticate_partner, form_of
from pod_server.authorization_server.dpop import check_proof
from pod_server.authorization_server.errors import (
    AuthorizationRequestInvalid,
    NonceNeeded,
    OAuthError,
    ProofInvalid,
)
from pod_server.authorization_server.grant_management import terms_after
from pod_server.authorization_server.request_objects import parameters_of_object
from pod_server.clock import microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Request

    from pod_server.host import Host
    from pod_server.partners import Partner

LIFETIME = timedelta(seconds=300)
TIME_TO_DECIDE = timedelta(minutes=30)
"""How long the citizen may take once the browser has arrived."""

RESPONSE_MODES = ("query", "jwt", "query.jwt")
REQUEST_LABEL = "pushed-request"
"""What a request's parameters are sealed under."""

_PREFIX = "urn:ietf:params:oauth:request_uri:"
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_THUMBPRINT = _CHALLENGE


def push_request(host: Host, request: Request) -> dict[str, Any]:
    """Take a pushed request in; the answer's JSON members.

    Raises:
        OAuthError: the client, or a parameter, is not as it must be.
    """
    form = form_of(request)
    partner = authenticate_partner(host, request, form)
    asked = parameters_of_object(host, partner, form) if "request" in form else form
    parameters = _checked(host, partner, asked)
    thumbprint = _key_named(host, request, asked, nonce_needed=dpop_nonces.needed_by(partner))
    request_uri = _PREFIX + secrets.token_urlsafe(32)
    request_hash = hashed(request_uri)
    now = host.clock.protocol_now()
    with host.storage.write() as tx:
        tx.execute("DELETE FROM pushed_request WHERE expires_at <= ?", (microseconds(now),))
        tx.execute(
            "INSERT INTO pushed_request (request_hash, client_id, parameters, dpop_jkt, expires_at) "
            "VALUES (?, ?, ?, ?, ?)",
            (
                request_hash,
                partner.client_id,
                seal(host.host_key, REQUEST_LABEL, (request_hash,), json.dumps(parameters).encode()),
                thumbprint,
                microseconds(now + LIFETIME),
            ),
        )
    return {"request_uri": request_uri, "expires_in": int(LIFETIME.total_seconds())}


def parameters_of(host: Host, request_hash: str, sealed: str) -> dict[str, Any]:
    """The parameters of a request that was pushed; a partner's `state` may say anything of anybody, so they lie sealed.

    Raises:
        SealBroken: the row was changed, or belongs to another host.
    """
    parameters: dict[str, Any] = json.loads(unseal(host.host_key, REQUEST_LABEL, (request_hash,), sealed))
    return parameters


def _checked(host: Host, partner: Partner, form: Mapping[str, str]) -> dict[str, Any]:
    if "request_uri" in form:
        raise OAuthError("invalid_request", "a request is pushed whole; request_uri is what the answer gives")
    if form.get("client_id", partner.client_id) != partner.client_id:
        raise OAuthError("invalid_request", "client_id is another client's")
    if form.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "response_type is to be code")
    if form.get("response_mode", "query") not in RESPONSE_MODES:
        raise OAuthError("invalid_request", "response_mode is to be query, or jwt for a signed answer")
    if form.get("redirect_uri") not in partner.redirect_uris:
        raise OAuthError("invalid_request", "redirect_uri is not one the partner has registered")
    if form.get("code_challenge_method") != "S256" or not _CHALLENGE.match(form.get("code_challenge", "")):
        raise OAuthError("invalid_request", "a code_challenge with code_challenge_method S256 is needed (RFC 7636)")
    if len(form.get("state", "")) > 500:
        raise OAuthError("invalid_request", "state is longer than 500 characters")
    terms = terms_asked_for(host, partner.client_id, form.get("authorization_details", ""))
    with host.storage.read() as tx:
        barred = partner_notices.why_not(tx, partner, terms.purpose, terms.kinds)
    if barred:
        raise OAuthError("invalid_authorization_details", barred)
    instead_of = form.get("grant_id", "")
    action = form.get("grant_management_action", "create")
    terms = terms_after(host, partner, action, instead_of, terms)
    return {
        "response_mode": form.get("response_mode", "query"),
        "instead_of": instead_of,
        "redirect_uri": form["redirect_uri"],
        "state": form.get("state"),
        "code_challenge": form["code_challenge"],
        "terms": terms_to_json(terms),
    }


def _key_named(host: Host, request: Request, form: Mapping[str, str], *, nonce_needed: bool) -> str:
    """The proof key that the code will be bound to: by parameter, by proof, or both alike (RFC 9449, section 10.1)."""
    named = form.get("dpop_jkt", "")
    if named and not _THUMBPRINT.match(named):
        raise OAuthError("invalid_request", "dpop_jkt is not a thumbprint")
    proofs = request.headers.getlist("DPoP")
    if not proofs:
        return named
    try:
        return check_proof(
            host,
            proofs,
            method="POST",
            address=f"{host.base_url}/-/oauth/par",
            key_thumbprint=named or None,
            nonce_needed=nonce_needed,
        )
    except NonceNeeded as needed:
        raise OAuthError("use_dpop_nonce", str(needed), headers={dpop_nonces.HEADER: needed.nonce}) from needed
    except ProofInvalid as error:
        raise OAuthError("invalid_dpop_proof", str(error)) from error


def begin_interaction(host: Host, parameters: Mapping[str, list[str]]) -> str:
    """The browser has arrived: the identifier of the question to the citizen.

    A page loaded twice asks the same question; once it is answered, the request is used up.

    Raises:
        AuthorizationRequestInvalid: no such request holds, or it is another client's.
    """
    request_uri, client_id = (parameters.get(name, [""]) for name in ("request_uri", "client_id"))
    if len(request_uri) != 1 or len(client_id) != 1 or not request_uri[0].startswith(_PREFIX):
        raise AuthorizationRequestInvalid(
            "A partner's request is pushed first; the browser brings its request_uri alone."
        )
    now = host.clock.protocol_now()
    with host.storage.write() as tx:
        row = tx.one(
            "SELECT client_id, expires_at, interaction_id, answered_at FROM pushed_request WHERE request_hash = ?",
            (hashed(request_uri[0]),),
        )
        if row is None or row[0] != client_id[0] or row[1] <= microseconds(now) or row[3] is not None:
            raise AuthorizationRequestInvalid(
                "The request has run out, was answered, or was never pushed. Start again."
            )
        if row[2] is not None:
            return str(row[2])
        interaction_id = secrets.token_urlsafe(24)
        tx.execute(
            "UPDATE pushed_request SET interaction_id = ?, expires_at = ? WHERE request_hash = ?",
            (interaction_id, microseconds(now + TIME_TO_DECIDE), hashed(request_uri[0])),
        )
    return interaction_id

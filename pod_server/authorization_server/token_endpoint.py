"""Codes, refresh tokens and credentials become access tokens (RFC 6749, sections 4.1.3, 4.4 and 6; RFC 7636)."""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from consent.grant import GrantState
from pod_server import grants
from pod_server.authentication.session import hashed
from pod_server.authorization import grant_rows
from pod_server.authorization_server import app_reads, dpop_nonces, token_exchange
from pod_server.authorization_server.app_tokens import exchange_for_app, proves
from pod_server.authorization_server.apps import AppClient
from pod_server.authorization_server.authorization_details import details_of
from pod_server.authorization_server.client_authentication import authenticate_client, form_of
from pod_server.authorization_server.dpop import check_proof
from pod_server.authorization_server.errors import NonceNeeded, OAuthError, ProofInvalid
from pod_server.authorization_server.interactions import redirect_as_kept
from pod_server.authorization_server.scripts import Script
from pod_server.authorization_server.tokens import (
    LIFETIME,
    SOLID_AUDIENCE,
    bridge_audience,
    end_family,
    is_revoked,
    issue_access_token,
)
from pod_server.clock import microseconds
from pod_server.identifiers import PodId
from pod_server.partners import Partner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Request

    from consent.grant import Grant
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

REFRESH_LIFETIME = timedelta(days=400)


def exchange(host: Host, request: Request) -> dict[str, Any]:
    """One request to the token endpoint; the answer's JSON members.

    Raises:
        OAuthError: says in OAuth's words what is wrong.
    """
    form = form_of(request)
    client = authenticate_client(host, request, form)
    try:
        jkt = check_proof(
            host,
            request.headers.getlist("DPoP"),
            method="POST",
            address=f"{host.base_url}/-/oauth/token",
            nonce_needed=isinstance(client, Partner) and dpop_nonces.needed_by(client),
        )
    except NonceNeeded as needed:
        raise OAuthError("use_dpop_nonce", str(needed), headers={dpop_nonces.HEADER: needed.nonce}) from needed
    except ProofInvalid as error:
        raise OAuthError("invalid_dpop_proof", str(error)) from error
    grant_type = form.get("grant_type")
    if isinstance(client, AppClient) and not app_reads.is_for_reading(host, form):
        return exchange_for_app(host, client, form, jkt)
    if isinstance(client, Script):
        if grant_type != "client_credentials":
            raise OAuthError("unauthorized_client", "scripts use client_credentials")
        return _for_script(host, client, jkt)
    if grant_type == "authorization_code":
        return _for_code(host, client, form, jkt)
    if grant_type == "refresh_token":
        return _for_refresh_token(host, client, form, jkt)
    if grant_type == "client_credentials" and isinstance(client, Partner):
        return _for_partner(host, client, jkt)
    if grant_type == token_exchange.GRANT_TYPE and isinstance(client, Partner):
        return token_exchange.exchange_for_actor(host, client, form, jkt)
    raise OAuthError(
        "unsupported_grant_type",
        "authorization_code, refresh_token, client_credentials and token-exchange are supported",
    )


def _answer(token: str, **members: Any) -> dict[str, Any]:
    return {"access_token": token, "token_type": "DPoP", "expires_in": int(LIFETIME.total_seconds()), **members}


def _for_script(host: Host, script: Script, jkt: str) -> dict[str, Any]:
    return _answer(
        issue_access_token(
            host,
            audience=SOLID_AUDIENCE,
            client_id=script.client_id,
            subject=script.webid,
            jkt=jkt,
            claims={"webid": script.webid},
        ),
        scope="webid",
    )


def _for_partner(host: Host, partner: Partner, jkt: str) -> dict[str, Any]:
    """A token of the partner's own: it signs in as itself, and each record names the grant that is its authority."""
    return _answer(
        issue_access_token(
            host,
            audience=bridge_audience(host),
            client_id=partner.client_id,
            subject=partner.client_id,
            jkt=jkt,
            claims={},
        )
    )


def _holds(host: Host, tx: Transaction, client: Partner | AppClient, party: str) -> bool:
    """Whether a code or a token that names this party of a consent is the client's own."""
    if isinstance(client, AppClient):
        return app_reads.belongs_to(host, tx, client, party)
    return party == client.client_id


def _for_code(host: Host, client: Partner | AppClient, form: Mapping[str, str], jkt: str) -> dict[str, Any]:
    code, verifier = form.get("code", ""), form.get("code_verifier", "")
    now = microseconds(host.clock.protocol_now())
    with host.storage.write() as tx:
        row = tx.one(
            "SELECT client_id, pod_id, grant_id, redirect_uri, code_challenge, dpop_jkt, expires_at, used_at "
            "FROM authorization_code WHERE code_hash = ?",
            (hashed(code),),
        )
        if row is None or not _holds(host, tx, client, row[0]):
            raise OAuthError("invalid_grant", "the code is not good")
        party, pod_id, grant_id, redirect_uri, challenge, bound_to, expires_at, used_at = row
        # Any try by the code's own client uses it up; a second try ends what the first one got (RFC 6749, 4.1.2).
        tx.execute("UPDATE authorization_code SET used_at = ? WHERE code_hash = ?", (now, hashed(code)))
        if used_at is not None:
            tx.execute(
                "UPDATE refresh_token SET revoked_at = ? WHERE pod_id = ? AND grant_id = ? AND revoked_at IS NULL",
                (now, pod_id, grant_id),
            )
            end_family(tx, hashed(code), host.clock.protocol_now())
    good = (
        used_at is None
        and expires_at > now
        and redirect_as_kept(host, PodId(pod_id), form.get("redirect_uri", ""), of_app=isinstance(client, AppClient))
        == redirect_uri
        and proves(verifier, challenge)
        and (not bound_to or hmac.compare_digest(bound_to, jkt))
    )
    if not good:
        raise OAuthError("invalid_grant", "the code is not good")
    members, grant = _for_grant(host, party, PodId(pod_id), grant_id, jkt, family=hashed(code))
    bound_to = jkt if isinstance(client, AppClient) else ""
    return members | {"refresh_token": _new_refresh_token(host, grant, hashed(code), bound_to)}


def _for_refresh_token(host: Host, client: Partner | AppClient, form: Mapping[str, str], jkt: str) -> dict[str, Any]:
    with host.storage.read() as tx:
        row = tx.one(
            "SELECT client_id, pod_id, grant_id, expires_at, revoked_at, family, dpop_jkt FROM refresh_token "
            "WHERE token_hash = ?",
            (hashed(form.get("refresh_token", "")),),
        )
        held = row is not None and _holds(host, tx, client, row[0])
    now = microseconds(host.clock.protocol_now())
    if (
        row is None
        or not held
        or row[3] <= now
        or row[4] is not None
        or (row[6] and not hmac.compare_digest(row[6], jkt))
    ):
        raise OAuthError("invalid_grant", "the refresh token is not good")
    return _for_grant(host, row[0], PodId(row[1]), row[2], jkt, family=row[5])[0]


def _for_grant(
    host: Host, party: str, pod_id: PodId, grant_id: str, jkt: str, *, family: str
) -> tuple[dict[str, Any], Grant]:
    """The token of one consent with what it allows, and the consent."""
    with host.storage.read() as tx:
        grant = grant_rows.grant_in_pod(tx, host.host_key, pod_id, grant_id)
    if grant is None or grant.terms.client_id != party:
        raise OAuthError("invalid_grant", "the consent is not good")
    state = grant.state_at(host.clock.now())
    if state not in {GrantState.ACTIVE, GrantState.PAUSED}:
        raise OAuthError("invalid_grant", f"the consent is {state}")
    subject = grants.subject_of(host, grant)
    token = issue_access_token(
        host,
        audience=bridge_audience(host),
        client_id=party,
        subject=subject,
        jkt=jkt,
        claims={"grant": grant.id, "family": family},
    )
    members: dict[str, Any] = {"grant_id": grant.id, "authorization_details": details_of(host, grant, subject)}
    return _answer(token, **members), grant


def _new_refresh_token(host: Host, grant: Grant, family: str, bound_to: str) -> str:
    token = secrets.token_urlsafe(32)
    expires_at = host.clock.protocol_now() + REFRESH_LIFETIME
    with host.storage.write() as tx:
        if is_revoked(tx, {"family": family}):
            raise OAuthError("invalid_grant", "the code is not good")  # it came a second time just now
        tx.execute(
            "INSERT INTO refresh_token (token_hash, client_id, pod_id, grant_id, expires_at, family, dpop_jkt) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                hashed(token),
                grant.terms.client_id,
                grant.pod_id,
                grant.id,
                microseconds(expires_at),
                family,
                bound_to,
            ),
        )
    return token

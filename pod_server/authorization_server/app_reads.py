"""An app asks to read under a consent: the question, the page and the law are a partner's (interactions.py).

An authorization request with `authorization_details` and without `openid` asks for no sign-in: no WebID, no ID token, no
access rule. What comes of a yes is a token for the bridge, bound to the app's key and to the one consent. The app is
known by its client identifier document alone: whatever registered itself has no address that a citizen could check.

Source: RFC 9396 (authorization details); Solid-OIDC, section 5.1 (client identifier documents).
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from pod_server.authentication.session import hashed
from pod_server.authorization.grant_rows import terms_to_json
from pod_server.authorization.sealed_for_host import seal
from pod_server.authorization_server.apps import AppInvalid, is_document_address
from pod_server.authorization_server.authorization_details import terms_asked_for
from pod_server.authorization_server.client_documents import find_app
from pod_server.authorization_server.connections import find_connection, find_connection_of
from pod_server.authorization_server.errors import InteractionGone, OAuthError
from pod_server.authorization_server.pushed_requests import REQUEST_LABEL, TIME_TO_DECIDE
from pod_server.clock import microseconds
from pod_server.parties import app_as_party

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pod_server.authorization_server.apps import App, AppClient
    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.partners import Partner
    from pod_server.storage.ports import Transaction

ASKED_BY_APP = "app"
"""What stands in the place of a partner's identifier: which app asks is sealed in with what it asks."""


def asks_to_read(parameters: Mapping[str, str]) -> bool:
    """Whether an app's request is for a consent, and not to sign somebody in."""
    return "authorization_details" in parameters


def begin_read_question(host: Host, app: App, single: Mapping[str, str], request: Mapping[str, Any]) -> str:
    """Keep an app's question; the page that puts it to the citizen.

    Args:
        host: This host.
        app: Who asks.
        single: The request's parameters, each of which came once.
        request: Those that were checked as every app's are: where to, state, challenge, key.

    Raises:
        OAuthError: what it asks for cannot be asked for; the app is told.
    """
    if not is_document_address(app.client_id):
        raise OAuthError("unauthorized_client", "to read under a consent, an app needs a client identifier document")
    if single.get("scope", "").strip():
        raise OAuthError("invalid_scope", "to sign in is another question: authorization_details go without a scope")
    if "prompt" in single and single["prompt"] != "consent":
        raise OAuthError("consent_required", "a consent is asked for on a page")
    if "grant_id" in single or "grant_management_action" in single:
        raise OAuthError("invalid_request", "an app asks for a new consent each time")
    terms = terms_asked_for(host, app.client_id, single["authorization_details"])
    if terms.operations != {"read"}:
        raise OAuthError("invalid_authorization_details", "an app may ask to read; only partners deliver")
    parameters = {
        "app": app.client_id,
        "response_mode": "query",
        "instead_of": "",
        **{name: request[name] for name in ("redirect_uri", "state", "code_challenge")},
        "terms": terms_to_json(terms),
    }
    request_hash, interaction_id = hashed(secrets.token_urlsafe(32)), secrets.token_urlsafe(24)
    now = host.clock.protocol_now()
    with host.storage.write() as tx:
        tx.execute("DELETE FROM pushed_request WHERE expires_at <= ?", (microseconds(now),))
        tx.execute(
            "INSERT INTO pushed_request (request_hash, client_id, parameters, dpop_jkt, expires_at, interaction_id) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                request_hash,
                ASKED_BY_APP,
                seal(host.host_key, REQUEST_LABEL, (request_hash,), json.dumps(parameters).encode()),
                request["dpop_jkt"],
                microseconds(now + TIME_TO_DECIDE),
                interaction_id,
            ),
        )
    return f"{host.base_url}/-/consent/{interaction_id}"


def app_asking(host: Host, parameters: Mapping[str, Any]) -> App:
    """The app behind a question, as it describes itself now.

    Raises:
        InteractionGone: it describes itself no longer, or takes no answer where this one was to go.
    """
    try:
        app = find_app(host, str(parameters["app"]))
    except AppInvalid as error:
        raise InteractionGone from error
    if app is None or not app.takes_redirect(str(parameters["redirect_uri"])):
        raise InteractionGone
    return app


def party_in(host: Host, pod_id: PodId, app: App) -> Partner | None:
    """The app as the party of this pod's consents; None where it has none and was never refused one."""
    connection = find_connection_of(host, pod_id, app.client_id)
    return None if connection is None else app_as_party(connection.id, app.client_id, app.name)


def belongs_to(host: Host, tx: Transaction, client: AppClient, party: str) -> bool:
    """Whether a consent's party is this app, and its citizen has not ended it."""
    connection = find_connection(host, tx, party)
    return connection is not None and connection.client_id == client.client_id


def is_for_reading(host: Host, form: Mapping[str, str]) -> bool:
    """Whether the code or the refresh token that an app shows came of a consent, and not of a sign-in."""
    table, name = (
        ("authorization_code", "code_hash")
        if form.get("grant_type") == "authorization_code"
        else ("refresh_token", "token_hash")
    )
    shown = hashed(form.get("code" if table == "authorization_code" else "refresh_token", ""))
    with host.storage.read() as tx:
        return tx.one(f"SELECT 1 FROM {table} WHERE {name} = ?", (shown,)) is not None

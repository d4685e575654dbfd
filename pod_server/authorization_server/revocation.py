"""A client ends one of its tokens (RFC 7009): the answer is the same whether there was such a token or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pod_server.authentication.session import hashed
from pod_server.authorization_server.app_reads import belongs_to
from pod_server.authorization_server.app_tokens import end_refresh_token
from pod_server.authorization_server.apps import AppClient
from pod_server.authorization_server.client_authentication import authenticate_client, form_of
from pod_server.authorization_server.errors import OAuthError, TokenRefused
from pod_server.authorization_server.tokens import read_access_token, revoke_access_token
from pod_server.clock import microseconds

if TYPE_CHECKING:
    from flask import Request

    from pod_server.authorization_server.scripts import Script
    from pod_server.host import Host
    from pod_server.partners import Partner
    from pod_server.storage.ports import Transaction


def revoke(host: Host, request: Request) -> None:
    """End a token of the client's own; another's is left alone, silently.

    Raises:
        OAuthError: the client is not known, or no token came.
    """
    form = form_of(request)
    client = authenticate_client(host, request, form)
    token = form.get("token", "")
    if not token:
        raise OAuthError("invalid_request", "token is missing")
    if isinstance(client, AppClient) and end_refresh_token(host, client, token):
        return
    with host.storage.write() as tx:
        row = tx.one("SELECT client_id FROM refresh_token WHERE token_hash = ?", (hashed(token),))
        ended = (
            row is not None
            and _is_own(host, tx, client, row[0])
            and tx.execute(
                "UPDATE refresh_token SET revoked_at = ? WHERE token_hash = ? AND revoked_at IS NULL",
                (microseconds(host.clock.protocol_now()), hashed(token)),
            )
        )
    if ended:
        return
    try:
        claims = read_access_token(host, token)
    except TokenRefused:
        return
    with host.storage.read() as tx:
        own = _is_own(host, tx, client, str(claims.get("client_id")))
    if own:
        revoke_access_token(host, claims)


def _is_own(host: Host, tx: Transaction, client: Partner | Script | AppClient, client_id: str) -> bool:
    """Whether a token was issued to this client; an app's token of a consent names the app's connection."""
    return client_id == client.client_id or (isinstance(client, AppClient) and belongs_to(host, tx, client, client_id))

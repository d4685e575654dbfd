"""A client ends one of its tokens (RFC 7009): the answer is the same whether there was such a token or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pod_server.authentication.session import hashed
from pod_server.authorization_server.app_tokens import end_refresh_token
from pod_server.authorization_server.apps import AppClient
from pod_server.authorization_server.client_authentication import authenticate_client, form_of
from pod_server.authorization_server.errors import OAuthError, TokenRefused
from pod_server.authorization_server.tokens import read_access_token, revoke_access_token
from pod_server.clock import microseconds

if TYPE_CHECKING:
    from flask import Request

    from pod_server.host import Host


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
        ended = tx.execute(
            "UPDATE refresh_token SET revoked_at = ? WHERE token_hash = ? AND client_id = ? AND revoked_at IS NULL",
            (microseconds(host.clock.protocol_now()), hashed(token), client.client_id),
        )
    if ended:
        return
    try:
        claims = read_access_token(host, token)
    except TokenRefused:
        return
    if claims.get("client_id") == client.client_id:
        revoke_access_token(host, claims)

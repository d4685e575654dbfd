"""Apps register themselves (RFC 7591). Registration is open and yields apps only, never a script.

A partner registers itself only with the statement of a host whose admissions are taken here (software_statements.py).

Nobody is asked, so a registration is worth nothing until a citizen says yes: unused ones are forgotten after a day.
"""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pod_server import signing_keys
from pod_server.authentication.session import hashed
from pod_server.authorization_server import apps, software_statements
from pod_server.authorization_server.apps import AppInvalid
from pod_server.authorization_server.errors import OAuthError
from pod_server.clock import microseconds

if TYPE_CHECKING:
    from flask import Request

    from pod_server.host import Host

MOST_UNUSED = 10_000
UNUSED_KEPT_FOR = timedelta(days=1)
LARGEST_BYTES = 16 * 1024
_METHODS = frozenset({"none", "client_secret_basic"})
_ECHOED = ("client_name", "redirect_uris", "post_logout_redirect_uris", "client_uri", "contacts")


def register(host: Host, request: Request) -> dict[str, Any]:
    """Take an app in; the answer's JSON members, its secret among them where it has one.

    Raises:
        OAuthError: `invalid_client_metadata` or `invalid_redirect_uri`, saying which member.
    """
    body = request.get_data(cache=False) if (request.content_length or 0) <= LARGEST_BYTES else b""
    try:
        metadata: Any = json.loads(body) if len(body) <= LARGEST_BYTES else None
        json.dumps(metadata, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise OAuthError("invalid_client_metadata", "the body is to be a JSON object of at most 16 KiB")
    if "software_statement" in metadata:
        return software_statements.register_partner(host, metadata["software_statement"])
    method = metadata.get("token_endpoint_auth_method", "client_secret_basic")
    if method == "client_secret_post":
        method = "client_secret_basic"  # RFC 7591, section 3.2.1: the server may put another value in its place
    if not isinstance(method, str) or method not in _METHODS:
        raise OAuthError(
            "invalid_client_metadata", "token_endpoint_auth_method is none or client_secret_basic for an app"
        )
    client_id = apps.REGISTERED + secrets.token_hex(12)
    secret = secrets.token_urlsafe(32) if method == "client_secret_basic" else ""
    try:
        app = apps.described(client_id, metadata, has_secret=bool(secret))
    except AppInvalid as error:
        raise OAuthError(error.error, str(error)) from error
    document = {
        "client_name": app.name,
        "redirect_uris": list(app.redirect_uris),
        "post_logout_redirect_uris": list(app.sign_out_uris),
        "id_token_signed_response_alg": app.id_token_algorithm,
    }
    signing_keys.provide(host, app.id_token_algorithm)
    _store(host, client_id, secret, document)
    answer = {name: metadata[name] for name in _ECHOED if name in metadata} | {
        **document,
        "client_id": client_id,
        "client_id_issued_at": int(host.clock.protocol_now().timestamp()),
        "token_endpoint_auth_method": method,
        "response_types": ["code"],
        "grant_types": ["authorization_code", "refresh_token"],
        "dpop_bound_access_tokens": True,
    }
    return answer | ({"client_secret": secret, "client_secret_expires_at": 0} if secret else {})


def _store(host: Host, client_id: str, secret: str, document: dict[str, Any]) -> None:
    now = host.clock.protocol_now()
    with host.storage.write() as tx:
        tx.execute(
            "DELETE FROM app_registration WHERE used_at IS NULL AND created_at < ?",
            (microseconds(now - UNUSED_KEPT_FOR),),
        )
        count = tx.one("SELECT COUNT(*) FROM app_registration WHERE used_at IS NULL")
        if count is not None and count[0] >= MOST_UNUSED:
            # A flood pushes out the oldest of the unused, most of them its own; apps in use are never touched.
            tx.execute(
                "DELETE FROM app_registration WHERE client_id IN (SELECT client_id FROM app_registration "
                "WHERE used_at IS NULL ORDER BY created_at LIMIT ?)",
                (count[0] - MOST_UNUSED + 1,),
            )
        tx.execute(
            "INSERT INTO app_registration (client_id, secret_hash, document, created_at) VALUES (?, ?, ?, ?)",
            (client_id, hashed(secret) if secret else "", json.dumps(document), microseconds(now)),
        )

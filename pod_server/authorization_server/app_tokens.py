"""Codes and refresh tokens of apps become access tokens and ID tokens (Solid-OIDC, sections 6 and 7; RFC 9068; RFC 9449).

An access token is bound to the app's proof key. A refresh token of an app without a secret is bound to it too, since
nothing else would show that it is in the right hands (RFC 9449, section 5).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pod_server import signing_keys
from pod_server.authentication.session import hashed
from pod_server.authorization.sealed_for_host import unseal
from pod_server.authorization_server.connections import app_of_pod, find_connection
from pod_server.authorization_server.errors import OAuthError
from pod_server.authorization_server.tokens import LIFETIME, SOLID_AUDIENCE, end_family, is_revoked, issue_access_token
from pod_server.clock import microseconds
from pod_server.signatures import sign_jws

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pod_server.authorization_server.apps import AppClient
    from pod_server.authorization_server.connections import Connection
    from pod_server.host import Host
    from pod_server.identifiers import PodId

REFRESH_LIFETIME = timedelta(days=180)
ID_TOKEN_LIFETIME = timedelta(hours=1)
CODE_LABEL = "app-code"
ID_TOKEN_TYPE = "JWT"  # noqa: S105 - a media type, no secret
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")


@dataclass(frozen=True)
class _SignedIn:
    """What an ID token says of the citizen's signing in.

    Attributes:
        auth_time: When, in seconds since 1970.
        nonce: The app's own word, in the answer to its code alone.
        algorithm: What the app wants it signed with.
    """

    auth_time: int
    nonce: str | None
    algorithm: str


def exchange_for_app(host: Host, client: AppClient, form: Mapping[str, str], jkt: str) -> dict[str, Any]:
    """One request of an app to the token endpoint; the answer's JSON members.

    Args:
        host: This host.
        client: The app.
        form: The request's parameters.
        jkt: The thumbprint of the key that made the request's proof.

    Raises:
        OAuthError: says in OAuth's words what is wrong.
    """
    grant_type = form.get("grant_type")
    if grant_type == "authorization_code":
        return _for_code(host, client, form, jkt)
    if grant_type == "refresh_token":
        return _for_refresh_token(host, client, form, jkt)
    raise OAuthError("unauthorized_client", "apps use authorization_code and refresh_token")


def proves(verifier: str, challenge: str) -> bool:
    """Whether the verifier's hash is the challenge (RFC 7636, section 4.6)."""
    if not _VERIFIER.match(verifier):
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return hmac.compare_digest(digest, challenge)


def end_refresh_token(host: Host, client: AppClient, token: str) -> bool:
    """End one refresh token of the app's own; True if there was such a one."""
    with host.storage.write() as tx:
        row = tx.one("SELECT pod_id FROM app_refresh_token WHERE token_hash = ?", (hashed(token),))
        if row is None:
            return False
        app = app_of_pod(host, row[0], client.client_id)
        return bool(
            tx.execute(
                "UPDATE app_refresh_token SET ended_at = ? WHERE token_hash = ? AND app = ? AND ended_at IS NULL",
                (microseconds(host.clock.protocol_now()), hashed(token), app),
            )
        )


def _for_code(host: Host, client: AppClient, form: Mapping[str, str], jkt: str) -> dict[str, Any]:
    code_hash = hashed(form.get("code", ""))
    now = microseconds(host.clock.protocol_now())
    with host.storage.write() as tx:
        row = tx.one(
            "SELECT app, pod_id, connection_id, sealed, expires_at, used_at FROM app_code WHERE code_hash = ?",
            (code_hash,),
        )
        if row is None or row[0] != app_of_pod(host, row[1], client.client_id):
            raise OAuthError("invalid_grant", "the code is not good")
        _, pod_id, connection_id, text, expires_at, used_at = row
        # Any try by the code's own client uses it up; a second try ends what the first one got (RFC 6749, 4.1.2).
        tx.execute("UPDATE app_code SET used_at = ? WHERE code_hash = ?", (now, code_hash))
        if used_at is not None:
            tx.execute(
                "UPDATE app_refresh_token SET ended_at = ? WHERE pod_id = ? AND family = ? AND ended_at IS NULL",
                (now, pod_id, code_hash),
            )
            end_family(tx, code_hash, host.clock.protocol_now())
        connection = find_connection(host, tx, connection_id)
    asked = json.loads(unseal(host.host_key, CODE_LABEL, (code_hash,), text))
    good = (
        used_at is None
        and expires_at > now
        and form.get("redirect_uri") == asked["redirect_uri"]
        and proves(form.get("code_verifier", ""), asked["code_challenge"])
        and (not asked["dpop_jkt"] or hmac.compare_digest(asked["dpop_jkt"], jkt))
    )
    if not good or connection is None:
        raise OAuthError("invalid_grant", "the code is not good")
    signed_in = _SignedIn(asked["auth_time"], asked["nonce"], asked.get("id_token_algorithm", signing_keys.ES256))
    members = _answer(host, connection, jkt, signed_in, family=code_hash)
    members["scope"] = " ".join(asked["scope"])
    if "offline_access" in asked["scope"]:
        members["refresh_token"] = _new_refresh_token(host, client, connection, signed_in, family=code_hash, jkt=jkt)
    return members


def _for_refresh_token(host: Host, client: AppClient, form: Mapping[str, str], jkt: str) -> dict[str, Any]:
    with host.storage.read() as tx:
        row = tx.one(
            "SELECT app, connection_id, dpop_jkt, auth_time, expires_at, id_token_algorithm, family, pod_id "
            "FROM app_refresh_token "
            "WHERE token_hash = ? AND ended_at IS NULL",
            (hashed(form.get("refresh_token", "")),),
        )
        connection = None if row is None else find_connection(host, tx, str(row[1]))
    if (
        row is None
        or connection is None
        or row[0] != app_of_pod(host, row[7], client.client_id)
        or row[4] <= microseconds(host.clock.protocol_now())
        or (row[2] and not hmac.compare_digest(row[2], jkt))
    ):
        raise OAuthError("invalid_grant", "the refresh token is not good")
    members = _answer(host, connection, jkt, _SignedIn(int(row[3]), None, str(row[5])), family=str(row[6]))
    return members | {"scope": "offline_access openid webid"}


def _answer(host: Host, connection: Connection, jkt: str, signed_in: _SignedIn, *, family: str) -> dict[str, Any]:
    token = issue_access_token(
        host,
        audience=SOLID_AUDIENCE,
        client_id=connection.client_id,
        subject=connection.webid,
        jkt=jkt,
        claims={"webid": connection.webid, "connection": connection.id, "family": family},
    )
    return {
        "access_token": token,
        "token_type": "DPoP",
        "expires_in": int(LIFETIME.total_seconds()),
        "id_token": _id_token(host, connection, jkt, signed_in),
    }


def _id_token(host: Host, connection: Connection, jkt: str, signed_in: _SignedIn) -> str:
    """Who signed in, for the app alone; at our own doors it opens nothing."""
    now = host.clock.protocol_now()
    payload = {
        "iss": host.base_url,
        "sub": connection.webid,
        "webid": connection.webid,
        "aud": [connection.client_id, SOLID_AUDIENCE],
        "azp": connection.client_id,
        "iat": int(now.timestamp()),
        "exp": int((now + ID_TOKEN_LIFETIME).timestamp()),
        "auth_time": signed_in.auth_time,
        "cnf": {"jkt": jkt},
    }
    if signed_in.nonce is not None:
        payload["nonce"] = signed_in.nonce
    return sign_jws(signing_keys.current(host, signed_in.algorithm), payload, typ=ID_TOKEN_TYPE)


def _new_refresh_token(
    host: Host, client: AppClient, connection: Connection, signed_in: _SignedIn, *, family: str, jkt: str
) -> str:
    token = secrets.token_urlsafe(32)
    now = host.clock.protocol_now()
    pod_id: PodId = connection.pod_id
    with host.storage.write() as tx:
        tx.execute("DELETE FROM app_refresh_token WHERE pod_id = ? AND expires_at <= ?", (pod_id, microseconds(now)))
        if is_revoked(tx, {"family": family}):
            raise OAuthError("invalid_grant", "the code is not good")  # it came a second time just now
        # In one statement with the question whether the app is still in, so that ending it leaves no token behind.
        stored = tx.execute(
            "INSERT INTO app_refresh_token (pod_id, token_hash, connection_id, app, family, dpop_jkt, auth_time, "
            "expires_at, id_token_algorithm) SELECT pod_id, ?, connection_id, app, ?, ?, ?, ?, ? FROM app_connection "
            "WHERE connection_id = ? AND ended_at IS NULL",
            (
                hashed(token),
                family,
                "" if client.has_proved else jkt,
                signed_in.auth_time,
                microseconds(now + REFRESH_LIFETIME),
                signed_in.algorithm,
                connection.id,
            ),
        )
    if not stored:
        raise OAuthError("invalid_grant", "the code is not good")
    return token

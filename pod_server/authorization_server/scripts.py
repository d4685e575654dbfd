"""A citizen's own scripts: an identifier and a secret with which a program acts for its owner at the Solid door."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server.authentication.session import hashed
from pod_server.clock import microseconds, moment
from pod_server.identifiers import Actor, ClientId, PodId, WebId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.authorization.permit import Permit
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction


@dataclass(frozen=True)
class Credentials:
    """What a script signs in with.

    Attributes:
        client_id: `script-…`.
        client_secret: 256 random bits, shown once, kept as a hash.
        token_endpoint: Where to use them.
    """

    client_id: ClientId
    client_secret: str
    token_endpoint: str


@dataclass(frozen=True)
class Script:
    """A script that has proved its secret.

    Attributes:
        client_id: `script-…`.
        pod_id: Whose.
        webid: For whom it speaks.
    """

    client_id: ClientId
    pod_id: PodId
    webid: WebId


def create_credentials(host: Host, permit: Permit, webid: WebId) -> Credentials:
    """Make credentials for the owner's script; the permit shows that the owner asks."""
    assert permit.authority == "owner"
    client_id, secret = ClientId("script-" + secrets.token_hex(10)), secrets.token_urlsafe(32)
    with host.storage.write() as tx:
        tx.execute(
            "INSERT INTO script_credential (client_id, pod_id, webid, secret_hash, created_at) VALUES (?, ?, ?, ?, ?)",
            (client_id, permit.pod_id, webid, hashed(secret), microseconds(host.clock.protocol_now())),
        )
        event = LogEvent(
            at=host.clock.now(), actor=permit.actor, action="script-credentials-made", detail={"client": client_id}
        )
        append_to_log(tx, permit.pod_id, event, random=secrets.token_bytes)
    return Credentials(client_id, secret, f"{host.base_url}/-/oauth/token")


@dataclass(frozen=True)
class ScriptLine:
    """A script as its citizen sees it in a list.

    Attributes:
        client_id: `script-…`.
        made_at: When its credentials were made, real time.
    """

    client_id: ClientId
    made_at: datetime


def list_scripts(host: Host, pod_id: PodId) -> list[ScriptLine]:
    """The citizen's scripts whose credentials are good, the newest first."""
    with host.storage.read() as tx:
        rows = tx.all(
            "SELECT client_id, created_at FROM script_credential WHERE pod_id = ? AND revoked_at IS NULL "
            "ORDER BY created_at DESC, client_id",
            (pod_id,),
        )
    return [ScriptLine(ClientId(client_id), moment(made_at)) for client_id, made_at in rows]


def revoke_credentials(host: Host, permit: Permit, client_id: str) -> bool:
    """End a script's credentials; True if they were the owner's and still good."""
    assert permit.authority == "owner"
    with host.storage.write() as tx:
        changed = tx.execute(
            "UPDATE script_credential SET revoked_at = ? WHERE client_id = ? AND pod_id = ? AND revoked_at IS NULL",
            (microseconds(host.clock.protocol_now()), client_id, permit.pod_id),
        )
        if changed:
            event = LogEvent(
                at=host.clock.now(),
                actor=Actor(permit.actor.kind),
                action="script-credentials-ended",
                detail={"client": client_id},
            )
            append_to_log(tx, permit.pod_id, event, random=secrets.token_bytes)
    host.signal.notify([permit.pod_id])  # its notification channels are closed at the next look, which is now
    return changed == 1


def find_script(tx: Transaction, client_id: str) -> Script | None:
    """A script whose credentials are still good."""
    row = tx.one("SELECT pod_id, webid FROM script_credential WHERE client_id = ? AND revoked_at IS NULL", (client_id,))
    return None if row is None else Script(ClientId(client_id), PodId(row[0]), WebId(row[1]))


def check_secret(host: Host, client_id: str, secret: str) -> Script | None:
    """The script with this identifier and secret, or None."""
    with host.storage.read() as tx:
        row = tx.one(
            "SELECT secret_hash FROM script_credential WHERE client_id = ? AND revoked_at IS NULL", (client_id,)
        )
        script = find_script(tx, client_id)
    if row is None or not hmac.compare_digest(row[0], hashed(secret)):
        return None
    return script

"""What a citizen let an app do: given on a page, looked at on every request, ended on a page.

Which apps somebody uses is theirs to tell: the database knows an app of a pod by a keyed hash, and its name sealed.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.clock import microseconds, moment
from pod_server.identifiers import Actor, ClientId, Handle, PodId, WebId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.authorization_server.apps import App
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction
    from pod_server.vault.host_key import HostKey

MODES = {
    "read": frozenset({"read"}),
    "add": frozenset({"read", "append"}),
    "change": frozenset({"read", "append", "write"}),
    "everything": frozenset({"read", "append", "write", "control"}),
}
"""The four answers a citizen may give an app, each more than the one before."""


@dataclass(frozen=True)
class Connection:
    """An app in a pod.

    Attributes:
        id: Names it in tokens and on the page that ends it.
        pod_id: Whose pod.
        webid: For whom the app speaks.
        client_id: Which app.
        name: What it called itself when the citizen said yes.
        answer: One of MODES.
        given_at: When, city's time.
    """

    id: str
    pod_id: PodId
    webid: WebId
    client_id: ClientId
    name: str
    answer: str
    given_at: datetime

    @property
    def modes(self) -> frozenset[str]:
        """The access modes that the app may use, where its citizen has them."""
        return MODES[self.answer]


_LABEL = "app-connection"
_COLUMNS = (
    "app_connection.connection_id, app_connection.pod_id, pod.handle, app_connection.sealed, app_connection.modes, "
    "app_connection.given_at"
)
_IN_FORCE = "FROM app_connection JOIN pod ON pod.pod_id = app_connection.pod_id WHERE app_connection.ended_at IS NULL"


def webid_of(host: Host, handle: Handle) -> WebId:
    """The WebID of the citizen with this handle."""
    return WebId(f"{host.base_url}/{handle}/profile/card#me")


def _connection(host: Host, row: tuple[object, ...]) -> Connection:
    identifier, pod_id, handle, sealed, answer, given_at = row
    app = json.loads(_unsealed(host, str(identifier), str(sealed)))
    return Connection(
        id=str(identifier),
        pod_id=PodId(int(str(pod_id))),
        webid=webid_of(host, Handle(str(handle))),
        client_id=ClientId(app["client_id"]),
        name=app["name"],
        answer=str(answer),
        given_at=moment(int(str(given_at))),
    )


def app_of_pod(host: Host, pod_id: PodId, client_id: str) -> str:
    """How the database names an app of a pod: a keyed hash, another one in every pod."""
    return hmac.digest(host.host_key.derive("apps of pods"), f"{pod_id} {client_id}".encode(), "sha256").hex()


def _sealed(host: Host, connection_id: str, app: App) -> str:
    text = json.dumps({"client_id": app.client_id, "name": app.name}).encode()
    return seal(host.host_key, _LABEL, (connection_id,), text)


@lru_cache(maxsize=1024)
def _opened(host_key: HostKey, connection_id: str, sealed: str) -> bytes:
    """The same text with every request of an app."""
    return unseal(host_key, _LABEL, (connection_id,), sealed)


def _unsealed(host: Host, connection_id: str, sealed: str) -> bytes:
    return _opened(host.host_key, connection_id, sealed)


def find_connection(host: Host, tx: Transaction, connection_id: str) -> Connection | None:
    """The connection with this id, while it holds."""
    row = tx.one(f"SELECT {_COLUMNS} {_IN_FORCE} AND app_connection.connection_id = ?", (connection_id,))
    return None if row is None else _connection(host, row)


def find_connection_of(host: Host, pod_id: PodId, client_id: str) -> Connection | None:
    """What the citizen lets an app do now, or None."""
    with host.storage.read() as tx:
        row = tx.one(
            f"SELECT {_COLUMNS} {_IN_FORCE} AND app_connection.pod_id = ? AND app_connection.app = ?",
            (pod_id, app_of_pod(host, pod_id, client_id)),
        )
    return None if row is None else _connection(host, row)


def list_connections(host: Host, pod_id: PodId) -> list[Connection]:
    """Every app that the citizen lets in, the newest first."""
    with host.storage.read() as tx:
        rows = tx.all(
            f"SELECT {_COLUMNS} {_IN_FORCE} AND app_connection.pod_id = ? ORDER BY app_connection.given_at DESC",
            (pod_id,),
        )
    return [_connection(host, row) for row in rows]


def connect(host: Host, tx: Transaction, pod_id: PodId, app: App, answer: str) -> str:
    """Let an app in, in the caller's transaction; where it is in already, the new answer takes the old one's place.

    Returns:
        The connection's id.
    """
    now = host.clock.now()
    row = tx.one(
        "SELECT connection_id FROM app_connection WHERE pod_id = ? AND app = ? AND ended_at IS NULL",
        (pod_id, app_of_pod(host, pod_id, app.client_id)),
    )
    if row is not None:
        identifier = str(row[0])
        tx.execute(
            "UPDATE app_connection SET modes = ?, sealed = ?, given_at = ? WHERE connection_id = ?",
            (answer, _sealed(host, identifier, app), microseconds(now), identifier),
        )
    else:
        identifier = "c-" + secrets.token_hex(13)
        tx.execute(
            "INSERT INTO app_connection (pod_id, connection_id, app, sealed, modes, given_at) VALUES (?, ?, ?, ?, ?, ?)",
            (
                pod_id,
                identifier,
                app_of_pod(host, pod_id, app.client_id),
                _sealed(host, identifier, app),
                answer,
                microseconds(now),
            ),
        )
    tx.execute(
        "UPDATE app_registration SET used_at = ? WHERE client_id = ?",
        (microseconds(host.clock.protocol_now()), app.client_id),
    )
    event = LogEvent(
        at=now,
        actor=Actor("citizen"),
        action="let-app-in",
        detail={"client": app.client_id, "name": app.name, "modes": answer},
    )
    append_to_log(tx, pod_id, event, random=secrets.token_bytes)
    return identifier


def disconnect(host: Host, pod_id: PodId, connection_id: str) -> bool:
    """End an app's stay: its tokens are refused from this commit on; True if it was the citizen's and held."""
    with host.storage.write(urgent=True) as tx:
        connection = find_connection(host, tx, connection_id)
        if connection is None or connection.pod_id != pod_id:
            return False
        now = microseconds(host.clock.protocol_now())
        tx.execute("UPDATE app_connection SET ended_at = ? WHERE connection_id = ?", (now, connection_id))
        tx.execute(
            "UPDATE app_refresh_token SET ended_at = ? WHERE pod_id = ? AND connection_id = ? AND ended_at IS NULL",
            (now, pod_id, connection_id),
        )
        event = LogEvent(
            at=host.clock.now(),
            actor=Actor("citizen"),
            action="end-app",
            detail={"client": connection.client_id, "name": connection.name},
        )
        append_to_log(tx, pod_id, event, random=secrets.token_bytes)
    host.signal.notify([pod_id])  # its notification channels are closed at the next look, which is now
    return True

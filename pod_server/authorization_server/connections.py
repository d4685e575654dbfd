"""What a citizen let an app do: given on a page, looked at on every request, ended on a page.

Which apps somebody uses is theirs to tell: the database knows an app of a pod by a keyed hash, and its name sealed.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server import consent_receipts, grants
from pod_server.clock import microseconds, moment
from pod_server.identifiers import Actor, ClientId, Handle, PodId, WebId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.parties import seal_app, unseal_app
from pod_server.partners import APP_PARTY

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.authorization_server.apps import App
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

MODES = {
    "read": frozenset({"read"}),
    "add": frozenset({"read", "append"}),
    "change": frozenset({"read", "append", "write"}),
    "everything": frozenset({"read", "append", "write", "control"}),
}
"""The four answers a citizen may give an app, each more than the one before."""

UNDER_CONSENTS = "none"
"""The answer of an app that was never let in: it may hold consents, and opens none of the pod's own doors."""


@dataclass(frozen=True)
class Connection:
    """An app in a pod.

    Attributes:
        id: Names it in tokens and on the page that ends it.
        pod_id: Whose pod.
        webid: For whom the app speaks.
        client_id: Which app.
        name: What it called itself when the citizen said yes.
        answer: One of MODES, or UNDER_CONSENTS.
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
        return MODES.get(self.answer, frozenset())

    @property
    def is_let_in(self) -> bool:
        """Whether the citizen let the app act for them, beyond what single consents give it."""
        return self.answer in MODES


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
    client_id, name = unseal_app(host, str(identifier), str(sealed))
    return Connection(
        id=str(identifier),
        pod_id=PodId(int(str(pod_id))),
        webid=webid_of(host, Handle(str(handle))),
        client_id=ClientId(client_id),
        name=name,
        answer=str(answer),
        given_at=moment(int(str(given_at))),
    )


def app_of_pod(host: Host, pod_id: PodId, client_id: str) -> str:
    """How the database names an app of a pod: a keyed hash, another one in every pod."""
    return hmac.digest(host.host_key.derive("apps of pods"), f"{pod_id} {client_id}".encode(), "sha256").hex()


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
    """Every app that the citizen lets in, the newest first; one that holds consents alone stands among the consents."""
    with host.storage.read() as tx:
        rows = tx.all(
            f"SELECT {_COLUMNS} {_IN_FORCE} AND app_connection.pod_id = ? ORDER BY app_connection.given_at DESC",
            (pod_id,),
        )
    return [each for each in (_connection(host, row) for row in rows) if each.is_let_in]


def party_of(host: Host, pod_id: PodId, app: App) -> str:
    """The name under which an app holds consents in one pod; made now where it has none.

    It says nothing of the app being let in: whoever has no more than this opens none of the pod's own doors.
    """
    with host.storage.write() as tx:
        named = app_of_pod(host, pod_id, app.client_id)
        row = tx.one(
            "SELECT connection_id FROM app_connection WHERE pod_id = ? AND app = ? AND ended_at IS NULL",
            (pod_id, named),
        )
        return str(row[0]) if row is not None else _insert(host, tx, pod_id, app, UNDER_CONSENTS)


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
            (answer, seal_app(host, identifier, app.client_id, app.name), microseconds(now), identifier),
        )
    else:
        identifier = _insert(host, tx, pod_id, app, answer)
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


def _insert(host: Host, tx: Transaction, pod_id: PodId, app: App, answer: str) -> str:
    identifier = APP_PARTY + secrets.token_hex(13)
    tx.execute(
        "INSERT INTO app_connection (pod_id, connection_id, app, sealed, modes, given_at) VALUES (?, ?, ?, ?, ?, ?)",
        (
            pod_id,
            identifier,
            app_of_pod(host, pod_id, app.client_id),
            seal_app(host, identifier, app.client_id, app.name),
            answer,
            microseconds(host.clock.now()),
        ),
    )
    return identifier


def disconnect(host: Host, pod_id: PodId, connection_id: str) -> bool:
    """End an app's stay: its tokens are refused from this commit on, and the consents that it holds are withdrawn with it.

    Returns:
        True if the connection was the citizen's and held.
    """
    with host.storage.write(urgent=True) as tx:
        connection = find_connection(host, tx, connection_id)
        if connection is None or connection.pod_id != pod_id:
            return False
        # Before the connection ends, or the receipts could not say whose consents they were.
        grants.withdraw_all_of(host, tx, pod_id, connection_id, actor=Actor("citizen"))
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
    consent_receipts.file_if_open(host, pod_id)
    host.signal.notify([pod_id])  # its notification channels are closed at the next look, which is now
    return True

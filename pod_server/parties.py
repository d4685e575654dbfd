"""Who holds a consent: a partner that the municipality admitted, or an app that describes itself at an address of its own.

To the law they are alike. A partner is known by its row, to everybody. Which apps somebody uses is theirs to tell, so a
consent names an app by the connection that it has in this one pod (`c-…`); which app that is lies sealed in the
connection's row, and another pod's connection with the same app has another name.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pod_server import partners
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.identifiers import Actor, ClientId
from pod_server.partners import Partner

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction
    from pod_server.vault.host_key import HostKey

_LABEL = "app-connection"


def seal_app(host: Host, connection_id: str, document: str, name: str) -> str:
    """Which app a connection is of, as it is kept in the connection's row."""
    text = json.dumps({"client_id": document, "name": name}).encode()
    return seal(host.host_key, _LABEL, (connection_id,), text)


def unseal_app(host: Host, connection_id: str, sealed: str) -> tuple[str, str]:
    """The app's identifier and the name it gave itself: the inverse of `seal_app`.

    Raises:
        SealBroken: the row was changed, or is another connection's.
    """
    app = json.loads(_opened(host.host_key, connection_id, sealed))
    return str(app["client_id"]), str(app["name"])


@lru_cache(maxsize=1024)
def _opened(host_key: HostKey, connection_id: str, sealed: str) -> bytes:
    """The same text with every request of an app."""
    return unseal(host_key, _LABEL, (connection_id,), sealed)


def app_as_party(identifier: str, document: str, name: str, *, held: bool = True) -> Partner:
    """An app as the party of a consent: nobody has read what it says of itself, so its address stands beside its name.

    Args:
        identifier: The connection's, or the app's own address before it has one.
        document: The address where it describes itself.
        name: What it calls itself.
        held: False once its citizen has ended the connection.
    """
    return Partner(
        ClientId(identifier),
        f"{name} ({urlsplit(document).netloc})",
        {"keys": []},
        state=partners.ACTIVE if held else partners.REMOVED,
        document=document,
    )


def find_party(host: Host, tx: Transaction, client_id: str) -> Partner | None:
    """Whoever a consent names: a partner, the house's own client, or the app of a connection; ended ones included."""
    if not client_id.startswith(partners.APP_PARTY):
        return partners.find_partner(tx, client_id)
    row = tx.one("SELECT sealed, ended_at FROM app_connection WHERE connection_id = ?", (client_id,))
    if row is None:
        return None
    document, name = unseal_app(host, client_id, str(row[0]))
    return app_as_party(client_id, document, name, held=row[1] is None)


def actor_of(party: Partner) -> Actor:
    """How the citizen's log names the party."""
    if party.document:
        return Actor("app", party.document, party.name)
    return Actor("partner", party.client_id, party.name)

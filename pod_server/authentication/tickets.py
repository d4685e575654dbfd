"""One-use tickets with which a page opens its live stream, which has a port, and so perhaps a site, of its own.

A ticket seals the root key like a session, lives for half a minute and is deleted as it is redeemed. It names the session
it came of, by the hash that opens nothing and sealed in with the key, so that a stream ends with its own session.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from pod_server.authentication.errors import TicketInvalid
from pod_server.authentication.session import hashed, open_root, seal_root, split_secret
from pod_server.clock import microseconds
from pod_server.identifiers import PodId
from pod_server.vault.envelope import Place

if TYPE_CHECKING:
    from pod_server.authentication.session import Session
    from pod_server.host import Host
    from pod_server.vault.vault import Vault

LIFETIME = timedelta(seconds=30)

_BETWEEN = "~"


@dataclass(frozen=True)
class Redeemed:
    """Who a ticket let in; proof of the pod, as a session is.

    Attributes:
        pod_id: Whose stream.
        session_id: The session that asked for the ticket; the stream holds no longer than it.
    """

    pod_id: PodId
    session_id: str
    _vault: Vault = field(repr=False)

    def vault(self) -> Vault:
        """The citizen's vault, open."""
        return self._vault


def issue_ticket(host: Host, session: Session) -> str:
    """A ticket for the session's citizen."""
    identifier, key = f"{secrets.token_urlsafe(18)}{_BETWEEN}{session.id}", secrets.token_bytes(32)
    now = host.clock.protocol_now()
    sealed = seal_root(session.vault(), Place("ticket", identifier.encode()), key)
    with host.storage.write() as tx:
        tx.send("DELETE FROM live_ticket WHERE expires_at <= ?", (microseconds(now),))
        tx.send(
            "INSERT INTO live_ticket (ticket_hash, pod_id, sealed_root, expires_at) VALUES (?, ?, ?, ?)",
            (hashed(identifier), session.pod_id, sealed, microseconds(now + LIFETIME)),
        )
    return f"{identifier}.{key.hex()}"


def redeem_ticket(host: Host, ticket: str | None) -> Redeemed:
    """Use a ticket up.

    Raises:
        TicketInvalid: used, run out, never made, or the pod was locked since.
    """
    parts = split_secret(ticket)
    if parts is None:
        raise TicketInvalid
    identifier, key = parts
    with host.storage.write() as tx:
        row = tx.one(
            "SELECT pod_id, sealed_root, expires_at FROM live_ticket WHERE ticket_hash = ?", (hashed(identifier),)
        )
        used = tx.execute("DELETE FROM live_ticket WHERE ticket_hash = ?", (hashed(identifier),))
    if row is None or not used or row[2] <= microseconds(host.clock.protocol_now()):
        raise TicketInvalid
    vault = open_root(host, PodId(row[0]), Place("ticket", identifier.encode()), key, bytes(row[1]))
    if vault is None:
        raise TicketInvalid
    return Redeemed(PodId(row[0]), identifier.partition(_BETWEEN)[2], vault)

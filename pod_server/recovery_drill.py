"""Trying the recovery code before it is needed: the one copy of it is on the citizen's paper, and papers have typing errors.

A drill opens the recovery slot with the code as a recovery would, changes nothing, and is noted with the pod. A new code has
not been tried. As long as the host holds a slot of its own, a lost passphrase loses nothing; a locked pod has no such slot, so
there no partner is let deliver before the code was tried (dashboard/views/consent_request.py).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from pod_server.clock import microseconds
from pod_server.identifiers import Actor
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.vault.vault import unlock_with_recovery_code

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.identifiers import PodId


def try_code(host: Host, pod_id: PodId, code: str) -> None:
    """Open the recovery slot with the code, and note that it opens.

    Args:
        host: This host.
        pod_id: The signed-in citizen's.
        code: As they typed it from where they keep it.

    Raises:
        RecoveryCodeMistyped: the text is no recovery code: its checksum does not hold.
        WrongRecoveryCode: it is none of this pod's, or no longer.
    """
    unlock_with_recovery_code(host.host_key, host.key_store, pod_id, code)
    with host.storage.write() as tx:
        now = host.clock.protocol_now()
        tx.send("UPDATE pod SET recovery_tried_at = ? WHERE pod_id = ?", (microseconds(now), pod_id))
        event = LogEvent(at=host.clock.now(), actor=Actor("citizen"), action="recovery-drill")
        append_to_log(tx, pod_id, event, random=secrets.token_bytes)


def was_tried(host: Host, pod_id: PodId) -> bool:
    """Whether the code that holds now was tried."""
    with host.storage.read() as tx:
        row = tx.one("SELECT recovery_tried_at FROM pod WHERE pod_id = ?", (pod_id,))
    return row is not None and row[0] is not None


def is_needed_first(host: Host, pod_id: PodId) -> bool:
    """Whether nothing more should come into the pod before the code was tried: nobody but its citizen could open it again."""
    return "custodian" not in host.key_store.slot_kinds(pod_id) and not was_tried(host, pod_id)


def forget(host: Host, pod_id: PodId) -> None:
    """A new code is about to be made, which nobody has tried."""
    with host.storage.write() as tx:
        tx.send("UPDATE pod SET recovery_tried_at = NULL WHERE pod_id = ?", (pod_id,))

"""The citizen turns the twin off and on: its standing mandate ends, or is given again, and the log says so.

From the commit on no figure is written: the agent asks for the mandate again in the transaction that writes (GDPR Art. 7(3),
21, 22). What it worked out stays; what comes in meanwhile waits in the feed and is taken in when the twin is on again.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from pod_server.authorization import mandates
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.identifiers import Actor, PodId


def is_on(host: Host, pod_id: PodId) -> bool:
    """Whether the twin may observe, compute, infer and propose."""
    with host.storage.read() as tx:
        return mandates.has_standing_mandate(tx, pod_id)


def turn(host: Host, pod_id: PodId, *, on: bool, actor: Actor) -> bool:
    """Turn the twin on or off; False where it was so already."""
    with host.storage.write(urgent=not on) as tx:
        if mandates.has_standing_mandate(tx, pod_id) is on:
            return False
        now = host.clock.now()
        if on:
            mandates.give_standing_mandate(tx, pod_id, now)
        else:
            mandates.end_standing_mandate(tx, pod_id)
        append_to_log(
            tx,
            pod_id,
            LogEvent(at=now, actor=actor, action="turn-twin-on" if on else "turn-twin-off", outcome="done", count=1),
            random=secrets.token_bytes,
        )
    host.signal.notify([pod_id])
    return True

"""What the twin may do, and how it asks: each step of the pipeline names its act.

Inside the pod it has a standing mandate, given with the pod and taken back when the citizen turns the twin off. Every
act that leaves the pod needs the citizen's yes to exactly that act: bound to the hash of the plan they saw, used once
(pod_server/authorization/mandates.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pod_server.authorization.enforcement import mandate_in, require_mandate, require_single_mandate

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.authorization.permit import Permit
    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.storage.ports import Transaction

OBSERVE = "observe"
COMPUTE = "compute"
SEND_CLAIM = "send-claim"


def leave_to_observe(host: Host, pod_id: PodId) -> Permit:
    """The twin's Permit to read what is new.

    Raises:
        MandateMissing: the citizen has turned the twin off.
    """
    return require_mandate(host, pod_id, OBSERVE)


def still_on(tx: Transaction, pod_id: PodId) -> None:
    """Ask again in the transaction that writes.

    Raises:
        MandateMissing: the citizen has turned the twin off meanwhile; nothing may be written.
    """
    mandate_in(tx, pod_id, COMPUTE)


def use_approval(tx: Transaction, pod_id: PodId, plan_hash: str, at: datetime) -> Permit:
    """Use up the citizen's yes to one plan, in the transaction that puts the claim into the outbox.

    Raises:
        MandateMissing: there is no such yes, or it was used, or it has run out.
    """
    return require_single_mandate(tx, pod_id, act=SEND_CLAIM, about=plan_hash, at=at)

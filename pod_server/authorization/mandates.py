"""What the twin may do: standing acts from the pod's creation on, single acts that the citizen approved.

A standing mandate lets it observe, compute, infer and propose, all inside the pod. Anything that leaves the pod needs a
single mandate bound to what the citizen saw (a plan's hash), and a single mandate is used once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pod_server.clock import microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.identifiers import PodId
    from pod_server.storage.ports import Transaction

STANDING_ACTS = frozenset({"observe", "compute", "infer", "propose"})
"""What the standing mandate covers; none of it leaves the pod."""

_STANDING = "standing"


def give_standing_mandate(tx: Transaction, pod_id: PodId, at: datetime) -> None:
    """Give the twin its standing mandate, in the transaction that makes the pod (or turns the twin on again)."""
    tx.send(
        "INSERT INTO mandate (pod_id, mandate_id, act, about, given_at, expires_at, used_at) "
        "VALUES (?, 'standing', 'standing', '', ?, NULL, NULL) ON CONFLICT (pod_id, mandate_id) DO NOTHING",
        (pod_id, microseconds(at)),
    )


def end_standing_mandate(tx: Transaction, pod_id: PodId) -> None:
    """Take it back: the citizen turns the twin off."""
    tx.send("DELETE FROM mandate WHERE pod_id = ? AND mandate_id = ?", (pod_id, _STANDING))


def has_standing_mandate(tx: Transaction, pod_id: PodId) -> bool:
    """Whether the twin is on."""
    row = tx.one("SELECT 1 FROM mandate WHERE pod_id = ? AND mandate_id = ?", (pod_id, _STANDING))
    return row is not None


def give_single_mandate(
    tx: Transaction, pod_id: PodId, *, mandate_id: str, act: str, about: str, at: datetime, expires_at: datetime
) -> None:
    """Write down the citizen's yes to one act about one thing (a plan's hash). Saying it twice adds nothing."""
    tx.send(
        "INSERT INTO mandate (pod_id, mandate_id, act, about, given_at, expires_at, used_at) "
        "VALUES (?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (pod_id, mandate_id) DO NOTHING",
        (pod_id, mandate_id, act, about, microseconds(at), microseconds(expires_at)),
    )


def forget_what_about(tx: Transaction, pod_id: PodId) -> None:
    """Let go of what the citizen's answers were about, used or run out; that and when they answered stays."""
    tx.send("UPDATE mandate SET about = '' WHERE pod_id = ? AND mandate_id <> ?", (pod_id, _STANDING))


def use_single_mandate(tx: Transaction, pod_id: PodId, *, act: str, about: str, at: datetime) -> bool:
    """Use up the yes to one act about one thing; False where there is none, or it was used or has run out."""
    now = microseconds(at)
    row = tx.one(
        "SELECT mandate_id FROM mandate WHERE pod_id = ? AND act = ? AND about = ? AND used_at IS NULL "
        "AND mandate_id <> 'standing' AND expires_at > ? ORDER BY given_at",
        (pod_id, act, about, now),
    )
    if row is None:
        return False
    changed = tx.execute(
        "UPDATE mandate SET used_at = ? WHERE pod_id = ? AND mandate_id = ? AND used_at IS NULL", (now, pod_id, row[0])
    )
    return changed == 1

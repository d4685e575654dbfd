"""What stands when a delivery's turn to be written has come: its grant, its pod's log and feed, the grant's last number.

One question instead of six, asked with the pod taken: each costs its parsing, its lock and its place in the pipeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pod_server.authorization.grant_rows import StateRow
from pod_server.log.ledger import Tree, tree_of_row

if TYPE_CHECKING:
    from pod_server.identifiers import GrantId, PodId
    from pod_server.storage.ports import Question, Transaction


class Standing(NamedTuple):
    """What was read.

    Attributes:
        state: The grant's enforcement row; None where there is no such grant in this pod, or no such pod.
        tree: The log's head.
        feed_head: The feed's last number.
        last_ordinal: The greatest ordinal taken in the grant, of a segment or of what waits to become one.
        waits: Whether a delivery waits to become a segment.
    """

    state: StateRow | None
    tree: Tree | None
    feed_head: int
    last_ordinal: int
    waits: bool


_QUESTION = (
    "SELECT c.state, c.state_version, c.epoch, c.expires_at, c.quota_per_day, "
    "t.log_id, t.public_key, t.size, t.frontier, t.epoch, f.head, "
    "(SELECT MAX(s.ordinal) FROM segment s WHERE s.pod_id = c.pod_id AND s.grant_id = c.grant_id), "
    # Of what waits the last number, and whether it can be read, in one: twice the number, and one more.
    "(SELECT MAX(p.number * 2 + p.unreadable) FROM pending_delivery p "
    "WHERE p.pod_id = c.pod_id AND p.grant_id = c.grant_id AND p.form = 'host') "
    "FROM consent c JOIN log_tree t ON t.pod_id = c.pod_id JOIN feed f ON f.pod_id = c.pod_id "
    "WHERE c.pod_id = ? AND c.grant_id = ?"
)


def standing_question(pod_id: PodId, grant: GrantId) -> Question:
    """What `standing_of` asks; for whoever asks ahead."""
    return _QUESTION, (pod_id, grant)


def standing_of(tx: Transaction, pod_id: PodId, grant: GrantId) -> Standing:
    """Read it, in the transaction that goes by it.

    Raises:
        LogBroken: the stored head of the log is damaged.
    """
    row = tx.one(*standing_question(pod_id, grant))
    if row is None:
        return Standing(None, None, 0, 0, waits=False)
    of_segments, of_waiting = int(row[11] or 0), row[12]
    waiting, unreadable = (0, 1) if of_waiting is None else divmod(int(of_waiting), 2)
    return Standing(
        state=(row[0], row[1], row[2], row[3], row[4]),
        tree=tree_of_row(row[5:10]),
        feed_head=int(row[10]),
        last_ordinal=max(of_segments, waiting),
        waits=not unreadable,
    )

"""The feed: the durable list of what changed in each pod, and who is taking it in.

A pod's sequence grows by one with each segment and each other change. The agent claims whole pods for a while and
commits its sums together with the cursor; `advance` compares the cursor it started from, so that two workers that
somehow hold the same pod cannot both count the same change. A claim is only a courtesy that saves work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from pod_server.clock import microseconds
from pod_server.errors import FeedMoved
from pod_server.identifiers import GrantId, PodId

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.storage.ports import Question, Transaction

LEASE_MICROSECONDS = 30_000_000
"""After this long a silent worker's pods are free again."""

Subject = Literal["grant", "household", "erasure", "rules", "document", "proposal", "rectification"]

_QUIET: frozenset[str] = frozenset({"document", "proposal"})
"""Changes that take a number but give the agent no work."""


class Claim(NamedTuple):
    """One pod that a worker has: everything after `cursor` up to `head` is new."""

    pod_id: PodId
    cursor: int
    head: int


class Change(NamedTuple):
    """A change other than a segment."""

    seq: int
    subject: str
    grant: GrantId | Literal[""]


def open_feed(tx: Transaction, pod_id: PodId) -> None:
    """Begin a new pod's feed, empty."""
    tx.send(
        "INSERT INTO feed (pod_id, head, cursor, waiting_since, claimed_by, claimed_until) VALUES (?, 0, 0, 0, '', 0)",
        (pod_id,),
    )


def go_to(tx: Transaction, pod_id: PodId, seq: int) -> None:
    """Take the numbers up to `seq` for what gives the agent no work, in the transaction that opens the feed."""
    tx.send("UPDATE feed SET head = ? WHERE pod_id = ?", (seq, pod_id))


def next_seq(tx: Transaction, pod_id: PodId, at: datetime, *, head: int | None = None) -> int:
    """Take the pod's next sequence number for a change that the agent shall see.

    Whoever has read the head in this transaction, with the pod taken, gives it, once.
    """
    if head is None:
        row = tx.one(*head_question(pod_id))
        assert row is not None, "every pod has a feed from its creation on"
        head = int(row[0])
    tx.send(
        "UPDATE feed SET head = head + 1, waiting_since = CASE WHEN head = cursor THEN ? ELSE waiting_since END "
        "WHERE pod_id = ?",
        (microseconds(at), pod_id),
    )
    return head + 1


def head_question(pod_id: PodId) -> Question:
    """What `next_seq` asks; for whoever asks ahead."""
    return "SELECT head FROM feed WHERE pod_id = ?", (pod_id,)


def note_change(
    tx: Transaction,
    pod_id: PodId,
    subject: Subject,
    grant: GrantId | Literal[""] = "",
    *,
    at: datetime,
    head: int | None = None,
) -> int:
    """Note a change other than a segment in the caller's transaction; returns its sequence number.

    Whoever knows the head gives it, as to `next_seq`.

    `document` and `proposal` take a number, for versions, without waking the agent if it has nothing else to do.
    """
    if subject in _QUIET:
        row = tx.one(*head_question(pod_id))
        assert row is not None, "every pod has a feed from its creation on"
        tx.send(
            "UPDATE feed SET head = head + 1, cursor = CASE WHEN head = cursor THEN cursor + 1 ELSE cursor END "
            "WHERE pod_id = ?",
            (pod_id,),
        )
        return int(row[0]) + 1
    seq = next_seq(tx, pod_id, at, head=head)
    tx.send(
        "INSERT INTO feed_change (pod_id, seq, subject, grant_id) VALUES (?, ?, ?, ?)", (pod_id, seq, subject, grant)
    )
    return seq


def tell_change(
    tx: Transaction, pod_id: PodId, subject: Subject, grant: GrantId | Literal[""], *, at: datetime
) -> None:
    """Note a change that the agent shall see, in the caller's transaction; for whoever needs not know its number."""
    waiting = "CASE WHEN head = cursor THEN ? ELSE waiting_since END"
    tx.send(f"UPDATE feed SET head = head + 1, waiting_since = {waiting} WHERE pod_id = ?", (microseconds(at), pod_id))
    # The pod is taken: the head is still the number that was just given.
    tx.send(
        "INSERT INTO feed_change (pod_id, seq, subject, grant_id) "
        "SELECT pod_id, head, CAST(? AS TEXT), CAST(? AS TEXT) FROM feed WHERE pod_id = ?",
        (subject, grant, pod_id),
    )


def changes_after(tx: Transaction, pod_id: PodId, seq: int) -> list[Change]:
    """The changes other than segments with a greater sequence number, in order."""
    return [
        Change(row[0], row[1], row[2])
        for row in tx.all(
            "SELECT seq, subject, grant_id FROM feed_change WHERE pod_id = ? AND seq > ? ORDER BY seq", (pod_id, seq)
        )
    ]


def claim(host: Host, worker: str, limit: int) -> list[Claim]:
    """Take up to `limit` pods that have waited longest and that nobody else has; empty when there is no work."""
    now = microseconds(host.clock.protocol_now())
    # A lease that ends later than any lease given now was given before the clock jumped back: it holds nobody off.
    find = (
        "SELECT pod_id FROM feed WHERE head > cursor AND (claimed_until <= ? OR claimed_until > ? OR claimed_by = ?) "
        "ORDER BY waiting_since LIMIT ?"
    )
    free = (now, now + LEASE_MICROSECONDS, worker)
    with host.storage.look() as tx:  # looking costs no turn at the turnstile
        if tx.one(find, (*free, 1)) is None:
            return []
    with host.storage.write() as tx:
        rows = tx.all(
            f"WITH free AS MATERIALIZED ({find}{tx.skip_locked}) UPDATE feed SET claimed_by = ?, claimed_until = ? "
            "WHERE pod_id IN (SELECT pod_id FROM free) RETURNING pod_id, cursor, head",
            (*free, limit, worker, now + LEASE_MICROSECONDS),
        )
    return [Claim(PodId(pod_id), cursor, head) for pod_id, cursor, head in rows]


def advance(tx: Transaction, pod_id: PodId, seq: int, *, after: int, at_once: bool = False) -> None:
    """Commit, with the caller's sums, that everything up to `seq` is in them; ends the claim.

    Args:
        tx: The transaction in which the sums are written.
        pod_id: The pod.
        seq: The last sequence number taken in.
        after: The cursor from which the caller started.
        at_once: For whoever goes on in the same transaction after a `FeedMoved`: it is raised here.

    Raises:
        FeedMoved: the cursor is no longer there, or a partner was erased since: the sums may hold what must be
            forgotten. The caller must let its transaction roll back. It may come with a later statement, or with the
            end of the block; only with `at_once` it comes here.
    """
    statement = (
        (
            "UPDATE feed SET cursor = ?, claimed_by = '', claimed_until = 0 WHERE pod_id = ? AND cursor = ? AND head >= ? "
            "AND NOT EXISTS (SELECT 1 FROM feed_change WHERE pod_id = ? AND seq > ? AND subject = 'erasure')"
        ),
        (seq, pod_id, after, seq, pod_id, seq),
    )
    if not at_once:
        tx.must_change(*statement, FeedMoved())
    elif tx.execute(*statement) != 1:
        raise FeedMoved


def release(host: Host, pod_id: PodId, worker: str) -> None:
    """Give a claimed pod back undone."""
    with host.storage.write() as tx:
        tx.send(
            "UPDATE feed SET claimed_by = '', claimed_until = 0 WHERE pod_id = ? AND claimed_by = ?", (pod_id, worker)
        )


def position(tx: Transaction, pod_id: PodId) -> tuple[int, int]:
    """A pod's cursor and head."""
    row = tx.one("SELECT cursor, head FROM feed WHERE pod_id = ?", (pod_id,))
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def pending(tx: Transaction) -> tuple[int, int]:
    """How many pods have work, and how many changes wait in all of them."""
    row = tx.one("SELECT COUNT(*), COALESCE(SUM(head - cursor), 0) FROM feed WHERE head > cursor")
    return (0, 0) if row is None else (int(row[0]), int(row[1]))

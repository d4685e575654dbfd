"""Merging: what waited for a locked pod becomes part of it when its citizen opens it.

    outside    the foremost deliveries are opened with their inbox keys and sealed as segments, under the ordinals that
               were theirs from the beginning
    inside     each is taken out of its inbox (if another session was first, or an erasure: left alone), one leaf in the
               log a grant and block of 32 segments, the feed's next numbers, the segments with their marks

In the order in which they came, each once: a delivery leaves its inbox in the transaction in which it becomes a segment.
A crash loses nothing; two sessions that merge at once do each delivery once. Grants withdrawn since do not matter: what
was acknowledged under a consent that held is merged; what was erased is gone from the inbox.

Deliveries that partners sealed themselves need to be checked first: partner_bridge/merging.py does that, and calls this
for those in between.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Literal, NamedTuple

from pod_server import feed, inboxes, key_epochs
from pod_server.activities import SegmentRow, insert_segment, seal_segment
from pod_server.authorization import grant_rows
from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.vault.errors import KeyErased, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.inboxes import Waiting
    from pod_server.storage.ports import Transaction
    from pod_server.vault.envelope import Scope
    from pod_server.vault.vault import Vault

HOST = Actor("host")
Step = Literal["opened", "begun", "written", "committed"]

AT_ONCE = 24
"""Deliveries a transaction: it stays well under 20 ms, so that nobody's withdrawal waits for it."""


class Merged(NamedTuple):
    """What a merge did so far.

    Attributes:
        deliveries: Taken out of inboxes and into the pod.
        records: In them.
        unreadable: Set aside because they did not open: sealed to another key, or changed at rest.
    """

    deliveries: int = 0
    records: int = 0
    unreadable: int = 0

    def plus(self, other: Merged) -> Merged:
        """Both together."""
        return Merged(*(one + another for one, another in zip(self, other, strict=True)))


class _Opened(NamedTuple):
    waiting: Waiting
    scope: Scope
    sealed: bytes


def merge_run(
    host: Host, vault: Vault, run: Sequence[Waiting], *, at_step: Callable[[Step], None] | None = None
) -> Merged:
    """Merge deliveries that this host sealed, the foremost of a pod, in their order.

    Args:
        host: The host.
        vault: The pod's, open.
        run: At most `AT_ONCE`, all of the form `host`.
        at_step: Called at each step; for tests of crashes.

    Raises:
        PodLocked: the vault's root key is not the pod's any more.
        StorageFull, StorageBusy: nothing of the run was merged; it waits on.
    """
    tell = at_step or _ignore
    pod_id = vault.pod_id
    with host.storage.read() as tx:
        scopes = {each.grant: key_epochs.grant_scope(tx, pod_id, each.grant) for each in run}
    opened: list[_Opened] = []
    closed: list[Waiting] = []
    for each in run:
        scope = scopes[each.grant]
        try:
            body = inboxes.open_body(vault, each)
            sealed = seal_segment(vault, scope, each.number, body, records=each.records)
        except KeyErased:
            continue  # erased meanwhile: the erasure takes the delivery away
        except Tampered:
            closed.append(each)
            continue
        opened.append(_Opened(each, scope, sealed))
    tell("opened")
    with host.storage.write() as tx:
        tell("begun")
        taken = [
            each
            for each in opened
            if key_epochs.grant_scope(tx, pod_id, each.waiting.grant) == each.scope
            and not _is_erased(tx, pod_id, each.waiting)
            and inboxes.take(tx, pod_id, each.waiting)
        ]
        leaves = _log_runs(host, tx, pod_id, taken)
        for one in taken:
            waiting = one.waiting
            row = SegmentRow(
                pod_id=pod_id,
                grant=waiting.grant,
                epoch=one.scope.epoch,
                ordinal=waiting.number,
                received=waiting.received,
                first_day=waiting.first_day,
                last_day=waiting.last_day,
                records=waiting.records,
                corrections=waiting.corrections,
                log_index=leaves[waiting.grant, ledger.block_of(waiting.number)],
                marks=waiting.marks,
                sealed=one.sealed,
            )
            insert_segment(tx, row, seq=feed.next_seq(tx, pod_id, host.clock.protocol_now()))
        aside = sum(set_aside(host, tx, pod_id, each) for each in closed)
        tell("written")
    tell("committed")
    if taken:
        host.signal.notify([pod_id])
    return Merged(len(taken), sum(each.waiting.records for each in taken), aside)


def set_aside(host: Host, tx: Transaction, pod_id: PodId, closed: Waiting) -> bool:
    """Keep a delivery that does not open out of the others' way; the log says so."""
    if not inboxes.set_aside(tx, pod_id, closed):
        return False
    log_unreadable(host, tx, pod_id, closed)
    return True


def log_unreadable(host: Host, tx: Transaction, pod_id: PodId, closed: Waiting) -> None:
    """Write down that a delivery that waited did not open, or was not the one that the log tells of."""
    event = LogEvent(
        at=host.clock.now(),
        actor=HOST,
        action="merge",
        grant=closed.grant,
        outcome="unreadable-data",
        count=closed.records,
    )
    ledger.append(tx, pod_id, event, random=secrets.token_bytes)


def _log_runs(host: Host, tx: Transaction, pod_id: PodId, taken: Sequence[_Opened]) -> dict[tuple[str, int], int]:
    """One leaf a grant and block; the leaves' indices."""
    runs: dict[tuple[str, int], list[_Opened]] = {}
    for each in taken:
        runs.setdefault((each.waiting.grant, ledger.block_of(each.waiting.number)), []).append(each)
    at = host.clock.now()
    return {
        place: ledger.append(
            tx,
            pod_id,
            LogEvent(
                at=at,
                actor=HOST,
                action="merge",
                grant=place[0],
                count=sum(each.waiting.records for each in run),
                detail=run_detail([(each.waiting.number, each.sealed) for each in run]),
            ),
            random=secrets.token_bytes,
        )
        for place, run in runs.items()
    }


def run_detail(run: Sequence[tuple[int, bytes]]) -> dict[str, str | int]:
    """What the log's entry says of a run of segments, given as (ordinal, sealed bytes)."""
    ordinals = [ordinal for ordinal, _ in run]
    hashed = [(ordinal, hashlib.sha256(sealed).digest()) for ordinal, sealed in run]
    return {"first": min(ordinals), "last": max(ordinals), "sha256": ledger.run_commitment(hashed)}


def _is_erased(tx: Transaction, pod_id: PodId, waiting: Waiting) -> bool:
    state = grant_rows.state_now(tx, pod_id, waiting.grant)
    return state is None or state[0] == "erased"


def _ignore(_: Step) -> None:
    """Nobody asked to be told."""

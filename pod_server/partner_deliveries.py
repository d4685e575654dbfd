"""What became of a partner's latest deliveries, for its console: counts, and where refused items stood and why.

No activity is kept, nor an activity's id, nor a word of a partner's own: the position, the problem's type, the member of
the item that was wrong, and the grant where it is one of the partner's by form. Rows are kept for thirty days.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pod_server.clock import microseconds, moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

KEPT_FOR = timedelta(days=30)
NAMED_ARE_KEPT_FOR = timedelta(days=7)
"""What a partner named by an Idempotency-Key (partner_bridge/bulk.py)."""
MOST_PROBLEMS = 200
"""Refused items that are listed one by one; the counts are always whole."""

_GRANT = re.compile(r"g-[a-z2-7]{26}\Z")
_PLACE = re.compile(r"\$[A-Za-z0-9_.@\[\]]{0,80}\Z")
_COLUMNS = "receipt_id, at, channel, items, accepted, duplicates, pending, refused, problems"


@dataclass(frozen=True)
class ItemProblem:
    """Why one item was refused.

    Attributes:
        position: Its place in the delivery, from 0.
        problem: The problem type's slug.
        grant: The grant it named; empty where it named none.
        place: The member that was wrong, as `$.quantity`; empty where the problem is none of a member's.
    """

    position: int
    problem: str
    grant: str
    place: str


@dataclass(frozen=True)
class DeliveryNote:
    """One delivery.

    Attributes:
        receipt_id: Its receipt's, by which it is named.
        at: When it came, real time.
        channel: The door, as `activities` or `connectors/atb`.
        problems: The first refused items, at most `MOST_PROBLEMS`.
    """

    receipt_id: str
    at: datetime
    channel: str
    items: int
    accepted: int
    duplicates: int
    pending: int
    refused: int
    problems: tuple[ItemProblem, ...]


def keep(
    host: Host,
    tx: Transaction,
    *,
    receipt_id: str,
    client_id: str,
    channel: str,
    counts: dict[str, int],
    problems: Sequence[ItemProblem],
) -> None:
    """Keep a delivery's note, in the transaction that keeps its receipt; the partner's oldest notes go.

    Args:
        host: Whose clock dates it.
        tx: The transaction.
        receipt_id: The receipt's.
        client_id: Whose delivery.
        channel: The door.
        counts: `accepted`, `duplicate`, `pending` and `refused`.
        problems: The refused items, in order.
    """
    now = host.clock.protocol_now()
    tx.execute("DELETE FROM partner_delivery WHERE client_id = ? AND at < ?", (client_id, microseconds(now - KEPT_FOR)))
    tx.execute(
        f"INSERT INTO partner_delivery (client_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            client_id,
            receipt_id,
            microseconds(now),
            channel,
            sum(counts.values()),
            *(counts.get(status, 0) for status in ("accepted", "duplicate", "pending", "refused")),
            json.dumps([_listed(each) for each in problems[:MOST_PROBLEMS]]),
        ),
    )


def _listed(each: ItemProblem) -> list[Any]:
    """What a partner wrote in a grant's or a member's place is not kept: only what has their form."""
    grant = each.grant if _GRANT.match(each.grant) else ""
    return [each.position, each.problem, grant, each.place if _PLACE.match(each.place) else ""]


def forget_old(host: Host) -> None:
    """Let go of every note older than thirty days, whoever's, and of named deliveries after a week; part of the upkeep."""
    now = host.clock.protocol_now()
    with host.storage.write() as tx:
        tx.execute("DELETE FROM partner_delivery WHERE at < ?", (microseconds(now - KEPT_FOR),))
        for table in ("bulk_piece", "bulk_delivery"):
            tx.execute(f"DELETE FROM {table} WHERE at < ?", (microseconds(now - NAMED_ARE_KEPT_FOR),))


def latest(host: Host, client_id: str, *, limit: int = 50) -> list[DeliveryNote]:
    """A partner's latest deliveries, newest first."""
    with host.storage.read() as tx:
        rows = tx.all(
            f"SELECT {_COLUMNS} FROM partner_delivery WHERE client_id = ? ORDER BY at DESC, receipt_id LIMIT ?",
            (client_id, limit),
        )
    return [_note(row) for row in rows]


def find(host: Host, client_id: str, receipt_id: str) -> DeliveryNote | None:
    """One of a partner's deliveries; None where it has no such one, whoever else may."""
    with host.storage.read() as tx:
        row = tx.one(
            f"SELECT {_COLUMNS} FROM partner_delivery WHERE client_id = ? AND receipt_id = ?",
            (client_id, receipt_id[:64]),
        )
    return None if row is None else _note(row)


def totals(host: Host, client_id: str) -> dict[str, int]:
    """What was delivered in the last thirty days: `deliveries`, `accepted`, `duplicates`, `pending`, `refused`."""
    with host.storage.read() as tx:
        row = tx.one(
            "SELECT COUNT(*), SUM(accepted), SUM(duplicates), SUM(pending), SUM(refused) FROM partner_delivery "
            "WHERE client_id = ?",
            (client_id,),
        )
    names = ("deliveries", "accepted", "duplicates", "pending", "refused")
    return {name: int(value or 0) for name, value in zip(names, row or (0,) * 5, strict=True)}


def _note(row: Sequence[Any]) -> DeliveryNote:
    return DeliveryNote(
        receipt_id=row[0],
        at=moment(row[1]),
        channel=row[2],
        items=row[3],
        accepted=row[4],
        duplicates=row[5],
        pending=row[6],
        refused=row[7],
        problems=tuple(ItemProblem(*each) for each in json.loads(row[8])),
    )

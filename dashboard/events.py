"""The twin's recent events as the pages list them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboard.figures import Interval, moment_of
from pod_server import figures as stored_figures

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.opening import OpenPod


@dataclass(frozen=True)
class Event:
    """One thing that the twin noticed and counted.

    Attributes:
        seq: Its number in the pod.
        at: When it happened, or was noticed.
        category: Which figure it moved.
        kind: The kind of activity, or the twin's own word for a summary.
        title: In the languages the twin writes.
        partner: Who delivered it.
        grant: Under which consent.
        record_id: The activity's id, or "" for a summary of many.
        mass: Kilograms of CO2e, or None where nothing was counted.
        inferred: True where the twin worked a part out.
        raw: The whole document, for scripts.
    """

    seq: int
    at: datetime
    category: str
    kind: str
    title: dict[str, str]
    partner: str
    grant: str
    record_id: str
    mass: Interval | None
    inferred: bool
    raw: dict[str, Any]

    @property
    def has_why(self) -> bool:
        """Whether there is a single activity to explain."""
        return bool(self.record_id) and self.mass is not None


def read_event(seq: int, content: bytes) -> Event:
    """One stored event."""
    document: dict[str, Any] = json.loads(content)
    document["seq"] = seq
    kilograms = document.get("kg")
    title = document.get("title", "")
    return Event(
        seq=seq,
        at=moment_of(document["at"]),
        category=document.get("category", ""),
        kind=document.get("kind", ""),
        title=title if isinstance(title, dict) else {"nb": str(title)},
        partner=document.get("partner") or "",
        grant=document.get("grant") or "",
        record_id=document.get("record_id") or "",
        mass=Interval(*kilograms[:3]) if kilograms else None,
        inferred=bool(document.get("inferred")),
        raw=document,
    )


def gathered(events: list[Event], limit: int) -> list[Event]:
    """The newest events for a short list: of a run of readings of one meter only the latest, since power has its card."""
    listed: list[Event] = []
    for event in events:
        last_of_kind = next((each for each in listed if (each.kind, each.grant) == (event.kind, event.grant)), None)
        if event.category == "electricity" and last_of_kind is not None:
            continue
        listed.append(event)
        if len(listed) == limit:
            break
    return listed


def latest_events(host: Host, own: OpenPod, limit: int) -> list[Event]:
    """The newest events, newest first."""
    with host.storage.read() as tx:
        rows = stored_figures.events_after(tx, own, 0, limit, newest_first=True)
    return [read_event(seq, content) for seq, content in rows]


def find_event(host: Host, own: OpenPod, seq: int) -> Event | None:
    """One event by its number, or None where it has left the ring."""
    with host.storage.read() as tx:
        rows = stored_figures.events_after(tx, own, seq - 1, 1)
    return read_event(*rows[0]) if rows and rows[0][0] == seq else None

"""What has happened to a grant: separate events, and the state that follows from them (ISO/IEC TS 27560, event log).

Given, refused, withdrawn and expired stay distinguishable for ever: a state is a fold over events, never a word that
is written over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from consent.errors import EventOutOfOrder
from consent.grant import GrantState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class EventKind(StrEnum):
    """What can happen to a grant."""

    REQUESTED = "requested"
    GIVEN = "given"
    REFUSED = "refused"
    PAUSED = "paused"
    RESUMED = "resumed"
    RENEWED = "renewed"
    NARROWED = "narrowed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    ERASED = "erased"


@dataclass(frozen=True)
class GrantEvent:
    """One event.

    Attributes:
        kind: What happened.
        at: When, in the city's time.
        expires_at: For `given`, `renewed` and `narrowed`, when the consent ends from now on.
        by: Who made it happen: `citizen`, `assistant` (the operator, asked by the citizen), `guardian` or
            `attorney` (for the citizen, under an authority), `partner` or `host`.
    """

    kind: EventKind
    at: datetime
    expires_at: datetime | None = None
    by: str = "citizen"


@dataclass(frozen=True)
class Standing:
    """What the events so far add up to: the fold's accumulator.

    Attributes:
        state: Where the grant stands.
        version: How many events have been folded.
        expires_at: When the consent ends, once given.
        given_at: When it was given, once given.
        changed_at: The latest event's time.
    """

    state: GrantState | None = None
    version: int = 0
    expires_at: datetime | None = None
    given_at: datetime | None = None
    changed_at: datetime | None = None


NOTHING_YET = Standing()

_FOLLOWS: dict[EventKind, tuple[frozenset[GrantState | None], GrantState | None]] = {
    EventKind.REQUESTED: (frozenset({None}), GrantState.REQUESTED),
    EventKind.GIVEN: (frozenset({None, GrantState.REQUESTED}), GrantState.ACTIVE),
    EventKind.REFUSED: (frozenset({None, GrantState.REQUESTED}), GrantState.REFUSED),
    EventKind.PAUSED: (frozenset({GrantState.ACTIVE}), GrantState.PAUSED),
    EventKind.RESUMED: (frozenset({GrantState.PAUSED}), GrantState.ACTIVE),
    EventKind.RENEWED: (frozenset({GrantState.ACTIVE, GrantState.PAUSED, GrantState.EXPIRED}), GrantState.ACTIVE),
    EventKind.NARROWED: (frozenset({GrantState.ACTIVE, GrantState.PAUSED}), None),
    EventKind.WITHDRAWN: (
        frozenset({GrantState.ACTIVE, GrantState.PAUSED, GrantState.EXPIRED}),
        GrantState.WITHDRAWN,
    ),
    EventKind.EXPIRED: (frozenset({GrantState.ACTIVE, GrantState.PAUSED}), GrantState.EXPIRED),
    EventKind.ERASED: (
        frozenset({GrantState.ACTIVE, GrantState.PAUSED, GrantState.EXPIRED, GrantState.WITHDRAWN}),
        GrantState.ERASED,
    ),
}
"""From which states an event may come, and which state it leads to (None: it stays). Withdrawal leads only to erasure: a citizen who
changes their mind gives a new consent."""


def follow(standing: Standing, event: GrantEvent) -> Standing:
    """One event more.

    Raises:
        EventOutOfOrder: the event cannot follow the state.
    """
    allowed, state = _FOLLOWS[event.kind]
    if standing.state not in allowed:
        raise EventOutOfOrder(f"a grant that is {standing.state or 'new'} cannot be {event.kind}")
    return replace(
        standing,
        state=state or standing.state,
        version=standing.version + 1,
        expires_at=event.expires_at or standing.expires_at,
        given_at=event.at if event.kind is EventKind.GIVEN else standing.given_at,
        changed_at=event.at,
    )


def fold(events: Iterable[GrantEvent], start: Standing = NOTHING_YET) -> Standing:
    """What the events add up to, on top of what came before.

    Raises:
        EventOutOfOrder: the events do not follow each other.
    """
    standing = start
    for event in events:
        standing = follow(standing, event)
    return standing

"""Time as an argument: the city's time for what people do, the protocol's time for tokens and proofs.

In production both are the same. In the demo the city's time runs faster, while tokens, proofs and sessions, whose
lifetimes other programs count in real seconds, keep real time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pod_server.storage.errors import StorageDamaged


class Clock(Protocol):
    """What every function that needs the time is given."""

    @property
    def speed(self) -> float:
        """How many times faster the city's time runs than real time."""
        ...

    def now(self) -> datetime:
        """The city's time (UTC): activities, consents, the log, figures and pages live in it."""
        ...

    def protocol_now(self) -> datetime:
        """Real time (UTC): tokens, proofs, sessions and retries live in it."""
        ...


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(at: datetime) -> int:
    """A time as the database keeps it: whole microseconds since 1970 in UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(microseconds_since_1970: int) -> datetime:
    """A database's time as a datetime in UTC.

    Raises:
        StorageDamaged: the house never wrote such a time.
    """
    try:
        return _EPOCH + timedelta(microseconds=microseconds_since_1970)
    except (OverflowError, TypeError) as error:
        raise StorageDamaged from error


def _wall() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


@dataclass(frozen=True)
class SystemClock:
    """Both times are the machine's."""

    speed: float = 1.0

    def now(self) -> datetime:
        """The city's time."""
        return _wall()

    def protocol_now(self) -> datetime:
        """Real time."""
        return _wall()


@dataclass(frozen=True)
class ScaledClock:
    """The demo's clock: from `real_anchor` on, the city's time runs `speed` times as fast from `city_anchor`."""

    city_anchor: datetime
    real_anchor: datetime
    speed: float

    def now(self) -> datetime:
        """The city's time."""
        return self.city_anchor + (_wall() - self.real_anchor) * self.speed

    def protocol_now(self) -> datetime:
        """Real time."""
        return _wall()


@dataclass
class SetClock:
    """A clock that tests set by hand."""

    at: datetime
    speed: float = 1.0

    def now(self) -> datetime:
        """The city's time."""
        return self.at

    def protocol_now(self) -> datetime:
        """Real time."""
        return self.at

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.at += by

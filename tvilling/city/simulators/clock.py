"""The strangers' own clock: they were told when the city's time began and how fast it runs, and look at the wall."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


def wall_clock() -> datetime:
    """Real time, UTC."""
    return datetime.now(UTC)  # noqa: TID251 - a process of its own, which shares no clock object with the house


@dataclass(frozen=True)
class CityClock:
    """The demonstration's time."""

    city_anchor: datetime
    real_anchor: datetime
    speed: float

    def now(self) -> datetime:
        """The city's time, UTC."""
        return self.city_anchor + (wall_clock() - self.real_anchor) * self.speed

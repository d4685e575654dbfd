"""Trondheim's days and months: to which local day a UTC hour belongs.

Every offset of the zone is a whole number of hours in the years that activities come from, so an hour of UTC lies in
one local day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Oslo")
HOUR_SECONDS = 3600


def hour_of(at: datetime) -> int:
    """The number of whole hours from 1970 to an aware time."""
    return int(at.timestamp()) // HOUR_SECONDS


@lru_cache(maxsize=200_000)
def day_of_hour(hour: int) -> str:
    """The local day (`YYYY-MM-DD`) in which a UTC hour lies; the first seven characters are its month."""
    return datetime.fromtimestamp(hour * HOUR_SECONDS, ZONE).date().isoformat()


def local_date(at: datetime) -> date:
    """The local date of an aware time."""
    return at.astimezone(ZONE).date()


def month_of(at: datetime) -> str:
    """The local month (`YYYY-MM`) of an aware time."""
    return local_date(at).isoformat()[:7]


def next_month(month: str) -> str:
    """The month after `YYYY-MM`."""
    return (first_day(month) + timedelta(days=31)).isoformat()[:7]


def month_before(month: str) -> str:
    """The month before `YYYY-MM`."""
    return (first_day(month) - timedelta(days=1)).isoformat()[:7]


def first_day(month: str) -> date:
    """The first day of `YYYY-MM`."""
    return date(int(month[:4]), int(month[5:7]), 1)


def start_of(day: date) -> datetime:
    """The instant at which a local day begins, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=ZONE).astimezone(UTC)

"""What a household uses of electricity: by the hour, and by the minute so that the minutes add up to the hour.

The level is the household's own; the year follows the weather that all of them share (weather.py); the shape of the day is a
guess of docs/partners.md (peaks at 07–09 and 17–21).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tvilling.city.weather import use_of_day

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tvilling.city.households import Household

LOCAL = ZoneInfo("Europe/Oslo")
HOURS = (
    0.72, 0.66, 0.64, 0.63, 0.66, 0.78, 1.02, 1.34, 1.30, 1.08, 0.98, 0.94,
    0.94, 0.92, 0.94, 1.00, 1.12, 1.34, 1.42, 1.40, 1.32, 1.18, 0.98, 0.82,
)  # fmt: skip
_HOUR_MEAN = sum(HOURS) / 24

NOK_A_KWH = 0.6378
"""The mean spot price of one November in the area NO3 (docs/partners.md)."""

KETTLE_WATTS = 2000.0
KETTLE_MINUTES = 3


def local_midnight(day: date) -> datetime:
    """When a local day begins, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=LOCAL).astimezone(UTC)


@lru_cache(maxsize=1024)
def hours_of(day: date) -> tuple[datetime, ...]:
    """The beginnings of a local day's 23, 24 or 25 hours, UTC."""
    start, end = local_midnight(day), local_midnight(day + timedelta(days=1))
    return tuple(start + timedelta(hours=number) for number in range(int((end - start) / timedelta(hours=1))))


@lru_cache(maxsize=4096)
def kwh_of_day(household: Household, day: date, seed: int) -> tuple[float, ...]:
    """What each hour of a local day uses by habit, in kWh, rounded to a watt-hour."""
    random = Random(f"{seed}/{household.handle}/electricity/{day}")  # noqa: S311 - a city for show
    mean = household.kwh_a_year / 8760 * use_of_day(day, seed) * random.lognormvariate(-0.005, 0.10)
    return tuple(
        round(mean * HOURS[hour.astimezone(LOCAL).hour] / _HOUR_MEAN * random.lognormvariate(-0.02, 0.2), 3)
        for hour in hours_of(day)
    )


@lru_cache(maxsize=256)
def watts_of_hour(household: Household, hour: datetime, seed: int) -> tuple[float, ...]:
    """The mean power of each of an hour's sixty minutes by habit, in W; they add up to the hour's kWh."""
    day = hour.astimezone(LOCAL).date()
    kwh = kwh_of_day(household, day, seed)[hours_of(day).index(hour)]
    random = Random(f"{seed}/{household.handle}/minutes/{hour}")  # noqa: S311 - a city for show
    level = 1.0
    weights = []
    for minute in range(60):
        if random.random() < 0.06:  # something is switched on or off
            level = random.lognormvariate(0, 0.35)
        compressor = 0.12 if (minute // 12) % 2 else -0.12
        weights.append(max(0.2, level + compressor + random.gauss(0, 0.02)))
    scale = kwh * 1000 * 60 / sum(weights)
    return tuple(round(weight * scale, 1) for weight in weights)


def watts_at(household: Household, minute: datetime, seed: int, extra: Mapping[datetime, float]) -> float:
    """The mean power of one minute, a kettle included."""
    hour = minute.replace(minute=0, second=0, microsecond=0)
    return watts_of_hour(household, hour, seed)[minute.minute] + extra.get(minute, 0.0)


def kwh_of_hours(
    household: Household, day: date, seed: int, extra: Mapping[datetime, float]
) -> list[tuple[datetime, float]]:
    """Each hour of a local day and what it uses in kWh, a kettle included."""
    boiled: dict[datetime, float] = {}
    for minute, watts in list(extra.items()):
        hour = minute.replace(minute=0)
        boiled[hour] = boiled.get(hour, 0.0) + watts / 60_000
    habits = zip(hours_of(day), kwh_of_day(household, day, seed), strict=True)
    return [(hour, round(kwh + boiled.get(hour, 0.0), 3)) for hour, kwh in habits]


def kwh_of_quiet_day(household: Household, day: date, seed: int) -> float:
    """What a quiet neighbour's whole day uses: one draw a day, since nobody looks at their hours."""
    random = Random(f"{seed}/{household.handle}/electricity/{day}")  # noqa: S311 - a city for show
    mean = household.kwh_a_year / 365 * use_of_day(day, seed)
    return round(mean * random.lognormvariate(-(0.12**2) / 2, 0.12), 3)


@lru_cache(maxsize=512)
def kwh_of_month(household: Household, year: int, month: int, seed: int) -> float:
    """What a month of local days uses by habit: what its bill is for."""
    day, total = date(year, month, 1), 0.0
    while day.month == month:
        total += (
            kwh_of_quiet_day(household, day, seed) if household.simulated else sum(kwh_of_day(household, day, seed))
        )
        day += timedelta(days=1)
    return round(total, 3)

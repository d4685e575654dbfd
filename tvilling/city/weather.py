"""The city's outdoor temperature, day by day, the same for the same seed: what moves everybody's electricity at once.

Month by month it follows Trondheim's normals, rounded (M of docs/partners.md: from memory, not looked up); around them runs
the weather, which remembers: a cold day follows a cold day.
"""

from __future__ import annotations

import math
from datetime import date, timedelta
from functools import cache, lru_cache
from random import Random

NORMALS = (-1.5, -1.5, 0.5, 4.5, 8.5, 12.0, 14.5, 14.0, 10.5, 5.5, 2.0, -1.0)
"""Mean temperature of each month, °C."""

SPREAD = 4.0
"""Standard deviation of a day around its normal, °C (G)."""

MEMORY = 0.75
"""How much of a day's deviation is left on the next (G)."""

REMEMBERED_DAYS = 16
HEATED_BELOW = 15.0
"""°C outdoors; above it nobody heats (G)."""

HEATING_SHARE = 0.62
"""Of a home's electricity over a normal year (G); with it the months come near the shape guessed in docs/partners.md."""

_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SCALE = SPREAD * math.sqrt((1 - MEMORY**2) / (1 - MEMORY ** (2 * REMEMBERED_DAYS)))


@lru_cache(maxsize=16384)
def temperature_of_day(day: date, seed: int) -> float:
    """The mean temperature of a local day, °C."""
    ordinal = day.toordinal()
    weather = sum(MEMORY**back * _shock(ordinal - back, seed) for back in range(REMEMBERED_DAYS))
    return round(normal_of_day(day) + _SCALE * weather, 1)


def normal_of_day(day: date) -> float:
    """What the temperature of a day is in a normal year, °C: straight from the middle of one month to that of the next."""
    middle = day.replace(day=15)
    other = (middle - timedelta(days=31) if day < middle else middle + timedelta(days=31)).replace(day=15)
    share = abs((day - middle).days) / abs((other - middle).days)
    return NORMALS[middle.month - 1] * (1 - share) + NORMALS[other.month - 1] * share


def use_of_day(day: date, seed: int) -> float:
    """How much electricity a home uses on a day against the mean of all days of normal years."""
    cold = max(0.0, HEATED_BELOW - temperature_of_day(day, seed))
    return 1 - HEATING_SHARE + HEATING_SHARE * cold / _mean_cold()


@cache
def _mean_cold() -> float:
    """Degrees below `HEATED_BELOW`, averaged over the days of a normal year and their weather (a normal distribution's tail)."""
    total = 0.0
    for number in range(365):
        depth = (HEATED_BELOW - normal_of_day(date(2025, 1, 1) + timedelta(days=number))) / SPREAD
        density = math.exp(-(depth**2) / 2) / math.sqrt(2 * math.pi)
        total += SPREAD * (density + depth * (1 + math.erf(depth / math.sqrt(2))) / 2)
    return total / sum(_DAYS)


@lru_cache(maxsize=16384)
def _shock(ordinal: int, seed: int) -> float:
    return Random(f"{seed}/weather/{ordinal}").gauss(0, 1)  # noqa: S311 - a city for show, no secret

"""A person's steps by the quarter of an hour: those of the day's walks and ways to the stop, and those about the house.

Level (docs/partners.md): about 5,500 a day, with a standard deviation of 2,800 (G).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from tvilling.city.electricity import LOCAL, local_midnight
from tvilling.city.travel import (
    METRES,
    METRES_A_MINUTE,
    METRES_A_STEP,
    SHARES,
    TRIPS_A_DAY,
    WALKED_TO_A_STOP,
    Trip,
    trips_of_day,
)

if TYPE_CHECKING:
    from tvilling.city.households import Household

QUARTER = timedelta(minutes=15)
STEPS_A_DAY = 5500.0
_ON_TRIPS = TRIPS_A_DAY * (SHARES["walk"] * METRES["walk"] + SHARES["transit"] * WALKED_TO_A_STOP) / METRES_A_STEP
ABOUT_THE_HOUSE = STEPS_A_DAY - _ON_TRIPS
"""Mean steps a day that belong to no trip."""

_SPREAD = 0.49
"""Of the days; with the trips' own it gives the published standard deviation."""

_AWAKE = range(7 * 4, 22 * 4)


def steps_of_quarter(household: Household, at: datetime, seed: int) -> int:
    """The steps of the quarter of an hour that begins at a time."""
    return _quarters(household, at.astimezone(LOCAL).date(), seed).get(at.astimezone(UTC), 0)


def steps_of_day(household: Household, day: date, seed: int) -> int:
    """The steps of a local day."""
    return sum(_quarters(household, day, seed).values())


def walks_in_quarter(household: Household, at: datetime, seed: int) -> bool:
    """Whether a walk from door to door falls into the quarter of an hour that begins at a time."""
    trips = trips_of_day(household, at.astimezone(LOCAL).date(), seed)
    return any(trip.mode == "walk" and trip.start < at + QUARTER and at < trip.end for trip in trips)


@lru_cache(maxsize=2048)
def _quarters(household: Household, day: date, seed: int) -> dict[datetime, int]:
    random = Random(f"{seed}/{household.handle}/steps/{day}")  # noqa: S311 - a city for show
    midnight, end = local_midnight(day), local_midnight(day + timedelta(days=1))
    level = random.lognormvariate(-(_SPREAD**2) / 2, _SPREAD) * ABOUT_THE_HOUSE
    weights = [random.random() if random.random() < 0.5 else 0.0 for _ in _AWAKE]
    found: dict[datetime, float] = {}
    for number, weight in zip(_AWAKE, weights, strict=True):
        if weight:
            found[midnight + QUARTER * number] = level * weight / sum(weights)
    for trip in trips_of_day(household, day, seed):
        for quarter, steps in _of_trip(trip):
            if quarter < end:
                found[quarter] = found.get(quarter, 0.0) + steps
    return {quarter: round(steps) for quarter, steps in found.items() if round(steps)}


def _of_trip(trip: Trip) -> list[tuple[datetime, float]]:
    """What each quarter of an hour has of a trip's steps; the way to a stop is walked before the bus leaves."""
    if trip.mode == "walk":
        start, metres = trip.start.astimezone(UTC), trip.metres
    elif trip.mode == "transit":
        start, metres = trip.start.astimezone(UTC), WALKED_TO_A_STOP
    else:
        return []
    end = start + timedelta(minutes=metres / METRES_A_MINUTE["walk"])
    quarter = start.replace(minute=start.minute // 15 * 15, second=0, microsecond=0)
    found = []
    while quarter < end:
        share = (min(end, quarter + QUARTER) - max(start, quarter)) / (end - start)
        found.append((quarter, metres / METRES_A_STEP * share))
        quarter += QUARTER
    return found

"""How a person gets about: every trip of a day, by whatever means. Tickets, steps, fuel and kilometres follow from these.

Level (docs/partners.md): 2.5 trips a day, of which 25 % on foot and 48 % at the wheel (2021), 10.7 % by public transport (2014
counts); 6,160 km by car an adult a year (Trondheim, 2022), from which follows how long a drive is. What is marked (G) is a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Literal

from tvilling.city.electricity import LOCAL

if TYPE_CHECKING:
    from tvilling.city.households import Household

Mode = Literal["walk", "car", "passenger", "cycle", "transit"]

TRIPS_A_DAY = 2.5
TRANSIT_SHARE = 0.107
SHARES: dict[Mode, float] = {"walk": 0.25, "car": 0.48, "passenger": 0.083, "cycle": 0.08, "transit": TRANSIT_SHARE}
"""Of all trips; passengers and cyclists share what is left (G)."""

CAR_KILOMETRES_A_YEAR = 6160.0
METRES: dict[Mode, float] = {
    "walk": 1600.0,  # (G)
    "car": CAR_KILOMETRES_A_YEAR * 1000 / (365 * TRIPS_A_DAY * SHARES["car"]),
    "passenger": 12_000.0,  # (G)
    "cycle": 3500.0,  # (G)
    "transit": 6000.0,  # (G); the stops of the ticket say more
}
"""A trip's mean length."""

METRES_A_MINUTE: dict[Mode, float] = {"walk": 80, "car": 500, "passenger": 500, "cycle": 250, "transit": 350}
"""(G)"""
METRES_A_STEP = 0.74
WALKED_TO_A_STOP = 700.0
"""Metres on foot that belong to a trip by public transport, both ends together (G)."""

_SPREAD = 0.55
_DEPARTURES = ((7, 30), (8, 10), (15, 45), (16, 20), (18, 5))
_SLOTS = tuple(range(7, 22))
_TRANSIT_WEEK = (1.2, 1.2, 1.2, 1.2, 1.2, 0.5, 0.5)
_OTHER_WEEK = (1.05, 1.05, 1.05, 1.05, 1.05, 0.875, 0.875)
_MOST_TRANSIT, _MOST_OTHER = 3, 8


@dataclass(frozen=True)
class Trip:
    """One trip.

    Attributes:
        mode: By what; `car` is at the wheel.
        start: When, on the wall's clock with its zone.
        metres: How far.
        outward: Away from home; else back.
    """

    mode: Mode
    start: datetime
    metres: float
    outward: bool

    @property
    def end(self) -> datetime:
        """When it is over."""
        return self.start + timedelta(minutes=self.metres / METRES_A_MINUTE[self.mode])


@lru_cache(maxsize=4096)
def trips_of_day(household: Household, day: date, seed: int) -> tuple[Trip, ...]:
    """A person's trips on a local day, in their order."""
    random = Random(f"{seed}/{household.handle}/trips/{day}")  # noqa: S311 - a city for show
    weekday = day.weekday()
    transit = household.trips_a_week / 7
    rides = sum(random.random() < transit * _TRANSIT_WEEK[weekday] / _MOST_TRANSIT for _ in range(_MOST_TRANSIT))
    trips = []
    for hour, minute in sorted(random.sample(_DEPARTURES, rides)):
        at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=LOCAL)
        trips.append(_trip("transit", at + timedelta(minutes=random.randrange(15)), random, outward=hour < 12))
    others: list[Mode] = [mode for mode in SHARES if mode != "transit"]
    weights = [SHARES[mode] for mode in others]
    # Who rides more often does the rest less often: it stays at so many trips a day.
    mean = max(0.0, TRIPS_A_DAY - transit) * _OTHER_WEEK[weekday]
    count = sum(random.random() < mean / _MOST_OTHER for _ in range(_MOST_OTHER))
    scaled = sum(weights)
    for hour in sorted(random.sample(_SLOTS, count)):
        mode = random.choices(others, [weight / scaled for weight in weights])[0]
        at = datetime(day.year, day.month, day.day, hour, random.randrange(60), tzinfo=LOCAL)
        trips.append(_trip(mode, at, random, outward=hour < 14))
    return tuple(sorted(trips, key=lambda trip: trip.start))


def _trip(mode: Mode, at: datetime, random: Random, *, outward: bool) -> Trip:
    metres = METRES[mode] * random.lognormvariate(-(_SPREAD**2) / 2, _SPREAD)
    return Trip(mode, at, float(math.ceil(metres)), outward)


def car_kilometres_of_day(household: Household, day: date, seed: int) -> float:
    """What a person drove on a local day, km: a driving log's, and what fuel goes by."""
    return sum(trip.metres for trip in trips_of_day(household, day, seed) if trip.mode == "car") / 1000

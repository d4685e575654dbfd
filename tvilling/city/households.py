"""Who lives in the simulated city: four citizens with live pages, and quiet neighbours, all of them invented.

Levels follow published averages (docs/partners.md): electricity by dwelling 8,953 (flat), 14,975 (terraced) and 20,211
kWh a year (detached; Statistics Norway); waste 375 kg a person a year; 2.5 trips a day of which 10.7 % by public
transport. What is marked (G) is a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

KWH_A_YEAR = {"flat": 8953.0, "terraced": 14975.0, "detached": 20211.0}
"""Mean consumption by dwelling (Statistics Norway)."""

TRANSIT_TRIPS_A_WEEK = 2.5 * 7 * 0.107
"""A person's mean trips by public transport a week."""


def around(mean: float, spread: float, random: Random) -> float:
    """A draw around a mean that keeps the mean: log-normal, whose own mean lies above its middle."""
    return mean * random.lognormvariate(-(spread**2) / 2, spread)


AREAS = ("500101", "500102", "500103", "500104")
AREA_POPULATIONS = (51965, 57473, 54899, 42773)


@dataclass(frozen=True)
class Household:
    """One household, seen through the one person whose pod it is.

    Attributes:
        handle: The pod's.
        name: The person's.
        household_size: Persons.
        area: District code.
        dwelling: `flat`, `terraced` or `detached`.
        kwh_a_year: What the household uses.
        trips_a_week: The person's own trips by public transport.
        food_share: Of what such a household eats, bought at the one grocer (1.0 = all of the average).
        meat_share: How much meat, against the average.
        waste_change: This year's waste against the year before: -0.07 is 7 % less.
        home_stop, away_stop: The stops between which the person mostly travels.
        simulated: One of the quiet neighbours.
    """

    handle: str
    name: str
    household_size: int
    area: str
    dwelling: str
    kwh_a_year: float
    trips_a_week: float
    food_share: float = 0.8
    meat_share: float = 1.0
    waste_change: float = 0.0
    home_stop: str = "NSR:StopPlace:41613"
    away_stop: str = "NSR:StopPlace:42660"
    simulated: bool = False


def citizens() -> tuple[Household, ...]:
    """The four with live pages."""
    return (
        Household(
            handle="kari",
            name="Kari Nordmann",
            household_size=3,
            area="500101",
            dwelling="flat",
            kwh_a_year=KWH_A_YEAR["flat"],
            trips_a_week=5.0,
            waste_change=-0.07,
            home_stop="NSR:StopPlace:41613",
            away_stop="NSR:StopPlace:42660",
        ),
        Household(
            handle="ola",
            name="Ola Heimdal",
            household_size=4,
            area="500104",
            dwelling="detached",
            kwh_a_year=KWH_A_YEAR["detached"],
            trips_a_week=1.0,
            meat_share=1.3,
            waste_change=0.02,
            home_stop="NSR:StopPlace:43984",
            away_stop="NSR:StopPlace:41613",
        ),
        Household(
            handle="ingrid",
            name="Ingrid Lund",
            household_size=2,
            area="500103",
            dwelling="flat",
            kwh_a_year=5200.0,  # (G) a small student flat
            trips_a_week=9.0,
            food_share=0.7,
            meat_share=0.4,
            waste_change=-0.02,
            home_stop="NSR:StopPlace:42660",
            away_stop="NSR:StopPlace:42625",
        ),
        Household(
            handle="amir",
            name="Amir Hansen",
            household_size=5,
            area="500102",
            dwelling="terraced",
            kwh_a_year=KWH_A_YEAR["terraced"],
            trips_a_week=4.0,
            waste_change=0.01,
            home_stop="NSR:StopPlace:42625",
            away_stop="NSR:StopPlace:41613",
        ),
    )


def neighbours(count: int, seed: int) -> tuple[Household, ...]:
    """Quiet neighbours, the same for the same seed; asking for more adds to the same ones.

    Args:
        count: How many.
        seed: The city's.
    """
    return tuple(_neighbour(number, seed) for number in range(1, count + 1))


def _neighbour(number: int, seed: int) -> Household:
    random = Random(f"{seed}/neighbour/{number}")  # noqa: S311 - a city for show, no secret
    dwelling = random.choices(("flat", "terraced", "detached"), (55, 20, 25))[0]  # (G) a city's mix
    size = max(1, min(6, round(random.gauss({"flat": 1.7, "terraced": 2.6, "detached": 2.9}[dwelling], 0.9))))
    return Household(
        handle=f"simulated-{number:04d}",
        name=f"Simulated neighbour {number}",
        household_size=size,
        area=random.choices(AREAS, AREA_POPULATIONS)[0],
        dwelling=dwelling,
        kwh_a_year=around(KWH_A_YEAR[dwelling], 0.25, random),
        trips_a_week=around(TRANSIT_TRIPS_A_WEEK, 0.6, random),
        food_share=random.uniform(0.4, 1.0),
        meat_share=around(1.0, 0.3, random),
        waste_change=random.gauss(0, 0.04),
        simulated=True,
    )

"""What a household's car is driven: a day's kilometres and what the insurer's plug counted on it, never a journey.

The kilometres are those of the day's own drives (travel.py), and so meet what is published of them. How often something is counted
is a guess (G): about one hard braking a fifty kilometres. Members as in docs/partners.md, each a guess too.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from tvilling.city.travel import car_kilometres_of_day

if TYPE_CHECKING:
    from datetime import date

    from tvilling.city.households import Household

FUELS = ("PETROL", "DIESEL", "HYBRID", "PLUGIN_HYBRID", "ELECTRIC", "ELECTRIC")
KILOMETRES_AN_HOUR = 34.0
_COUNTS_A_KILOMETRE = {
    "speeding": 0.05,
    "harshBraking": 0.02,
    "harshAcceleration": 0.015,
    "harshCornering": 0.02,
    "phoneUse": 0.01,
}


def day_driven(household: Household, day: date, seed: int) -> dict[str, Any] | None:
    """One day as the insurer has it, the same for the same seed; None where the car stood still.

    Args:
        household: Whose car.
        day: A local day.
        seed: The city's.
    """
    random = Random(f"{seed}/{household.handle}/car/{day}")  # noqa: S311 - a city for show
    kilometres = round(car_kilometres_of_day(household, day, seed), 1)
    if not kilometres:
        return None
    counts = {name: _times(kilometres * rate, random) for name, rate in _COUNTS_A_KILOMETRE.items()}
    told: dict[str, Any] = {"date": day.isoformat(), "drivingMinutes": round(kilometres / KILOMETRES_AN_HOUR * 60)}
    if random.random() > 0.03:  # now and then the plug saw the events and lost the distance
        told |= {"distanceKm": kilometres, "fuel": FUELS[sum(household.handle.encode()) % len(FUELS)]}
    return told | {"events": counts}


def _times(mean: float, random: Random) -> int:
    whole, rest = divmod(mean * random.uniform(0, 2), 1)
    return int(whole) + (random.random() < rest)

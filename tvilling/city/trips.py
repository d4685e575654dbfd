"""When a person takes the bus: single tickets, activated as they board (46 NOK, docs/partners.md)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from tvilling.city.electricity import LOCAL

if TYPE_CHECKING:
    from tvilling.city.households import Household

SINGLE_TICKET_NOK = "46.00"
VALIDITY = timedelta(minutes=90)
SINGLE_TICKET = "ATB:PreassignedFareProduct:d45f6232"
"""AtB's single ticket, as its published fare products name it."""

_DEPARTURES = ((7, 30), (8, 10), (15, 45), (16, 20), (18, 5))


def contracts_of_day(household: Household, day: date, seed: int) -> list[dict[str, Any]]:
    """A day's fare contracts, in AtB's own format."""
    random = Random(f"{seed}/{household.handle}/trips/{day}")  # noqa: S311 - a city for show
    mean = household.trips_a_week / 7 * (1.2 if day.weekday() < 5 else 0.5)
    count = sum(random.random() < mean / 3 for _ in range(3))
    contracts = []
    for number, (hour, minute) in enumerate(sorted(random.sample(_DEPARTURES, count))):
        at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=LOCAL) + timedelta(
            minutes=random.randrange(15)
        )
        outward = hour < 12
        contracts.append(contract(household, at, f"{day:%Y%m%d}{number}", outward=outward))
    return contracts


def contract(household: Household, at: datetime, number: str, *, outward: bool = True) -> dict[str, Any]:
    """One used single ticket."""
    ends = (household.home_stop, household.away_stop) if outward else (household.away_stop, household.home_stop)
    return {
        "id": f"ATB:FareContract:{household.handle}-{number}",
        "totalAmount": SINGLE_TICKET_NOK,
        "travelRights": [
            {
                "fareProductRef": SINGLE_TICKET,
                "fareZoneRefs": ["ATB:TariffZone:1"],
                "startPointRef": ends[0],
                "endPointRef": ends[1],
                "usedAccesses": [
                    {
                        "startDateTime": at.astimezone(UTC).isoformat(),
                        "endDateTime": (at + VALIDITY).astimezone(UTC).isoformat(),
                    }
                ],
            }
        ],
    }

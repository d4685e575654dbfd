"""What a person's trips by public transport are at AtB: single tickets, activated as they board (46 NOK, docs/partners.md)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tvilling.city.travel import trips_of_day

if TYPE_CHECKING:
    from tvilling.city.households import Household

SINGLE_TICKET_NOK = "46.00"
VALIDITY = timedelta(minutes=90)
SINGLE_TICKET = "ATB:PreassignedFareProduct:d45f6232"
"""AtB's single ticket, as its published fare products name it."""


def contracts_of_day(household: Household, day: date, seed: int) -> list[dict[str, Any]]:
    """A day's fare contracts, in AtB's own format: one a trip by public transport, and each pays single tickets."""
    rides = [trip for trip in trips_of_day(household, day, seed) if trip.mode == "transit"]
    return [
        contract(household, ride.start, f"{day:%Y%m%d}{number}", outward=ride.outward)
        for number, ride in enumerate(rides)
    ]


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

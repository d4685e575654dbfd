"""A credit card's own account: what is paid with it and not from the everyday account, as a bank tells by the Berlin Group's interface.

All of it is guessed (G): parking, a stream of films, a book now and then. Members as in docs/partners.md.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from datetime import date

    from tvilling.city.households import Household

_HABITS = (
    (0.35, 25, 90, "TRONDHEIM PARKERING", "7523"),
    (0.05, 129, 130, "FILMSTRØMMEN", "4899"),
    (0.06, 149, 420, "ARK LADE", "5942"),
    (0.05, 300, 1100, "DRESSMANN TORG", "5651"),
)


def report_of_day(household: Household, day: date, seed: int) -> dict[str, Any] | None:
    """What was booked on a day, the same for the same seed but for the ids, which banks change; None where nothing was."""
    random = Random(f"{seed}/{household.handle}/card/{day}")  # noqa: S311 - a city for show
    booked = [
        {
            "bookingDate": day.isoformat(),
            "transactionAmount": {"currency": "NOK", "amount": f"-{random.randrange(least, most)}.00"},
            "creditorName": text,
            "merchantCategoryCode": merchant,
        }
        for chance, least, most, text, merchant in _HABITS
        if random.random() < chance
    ]
    if not booked:
        return None
    return {
        "consentId": f"kort-{household.handle}",
        "xRequestId": str(UUID(int=random.getrandbits(128), version=4)),
        "account": {"resourceId": f"kort-{household.handle}"},
        "transactions": {"booked": booked, "pending": []},
    }

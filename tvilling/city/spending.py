"""What goes in and out of a household's account: the grocer's receipts as debits, and a city's other small expenses.

The grocer's debits equal the receipts to the øre. The rest is guessed (G): a few visits to a café, a cinema, a clothes shop.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from random import Random
from typing import TYPE_CHECKING

from tvilling.city.electricity import LOCAL
from tvilling.city.groceries import receipts_of_day

if TYPE_CHECKING:
    from datetime import date

    from tvilling.city.households import Household


@dataclass(frozen=True)
class Movement:
    """Money in (positive) or out (negative), on a day.

    Attributes:
        at: Local midnight of the booking day, as banks date.
        amount: NOK.
        text: What the statement says.
        mcc: The merchant's category code; empty between people.
        category: The bank's own word.
        other: Whom it came from or went to, where that is a person.
    """

    at: datetime
    amount: float
    text: str
    mcc: str
    category: str
    other: str = ""


_HABITS = (
    (0.30, 39, 190, "ESPRESSO HOUSE TRONDHEIM", "5814", "Kafé og restaurant"),
    (0.06, 250, 900, "RESTAURANT BAKKLANDET", "5812", "Kafé og restaurant"),
    (0.04, 199, 1200, "CUBUS TRONDHEIM TORG", "5651", "Klær og sko"),
    (0.03, 130, 340, "NORDISK FILM KINO", "7832", "Underholdning"),
    (0.02, 149, 450, "ARK TRONDHEIM", "5942", "Bøker og aviser"),
    (0.01, 990, 6990, "POWER LADE", "5732", "Elektronikk"),
)


def movements_of_day(household: Household, day: date, seed: int) -> list[Movement]:
    """A day's movements, the same for the same seed."""
    random = Random(f"{seed}/{household.handle}/account/{day}")  # noqa: S311 - a city for show
    at = datetime.combine(day, time(), LOCAL)
    found = [
        Movement(at, -float(receipt["heads"]["amount"]), "REMA 1000 MIDTBYEN", "5411", "Dagligvarer")
        for receipt in receipts_of_day(household, day, seed)
    ]
    for chance, least, most, text, mcc, category in _HABITS:
        if random.random() < chance:
            found.append(Movement(at, -float(random.randrange(least, most)), text, mcc, category))
    if random.random() < 0.05:
        found.append(Movement(at, -200.0, "Vipps Per Hansen", "", "Overføringer", "Per Hansen"))
    if day.day == 12:
        found.append(Movement(at, 31250.0, "LØNN", "", "Inntekt"))
    return found

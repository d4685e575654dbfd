"""What goes in and out of a household's account: the grocer's receipts as debits, and a city's other small expenses.

The grocer's debits equal the receipts to the øre, and carry the shop's name and day; each ticket is a debit of its price; fuel
follows the kilometres driven, and the power bill last month's kWh. The rest is guessed (G): cafés, a cinema, a clothes shop.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from tvilling.city.electricity import LOCAL, NOK_A_KWH, kwh_of_month
from tvilling.city.groceries import FOOD_NOK_A_YEAR, PERSONS_IN_THE_SURVEY, nok_a_year, receipts_of_day
from tvilling.city.travel import car_kilometres_of_day
from tvilling.city.trips import SINGLE_TICKET_NOK, contracts_of_day

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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


GROCERS = "5411"
OTHER_GROCERS = ("KIWI TRONDHEIM", "COOP EXTRA", "BUNNPRIS", "MENY")
ELSEWHERE_A_WEEK = 2.5
"""Purchases a week at other grocers (G)."""

BILL_DAY = 20
TANK_KILOMETRES = 600.0
LITRES_A_KILOMETRE = 0.065
NOK_A_LITRE = 21.0
"""(G), as are the tank and what the car uses."""

_HABITS = (
    (0.30, 39, 190, "ESPRESSO HOUSE TRONDHEIM", "5814", "Kafé og restaurant"),
    (0.06, 250, 900, "RESTAURANT BAKKLANDET", "5812", "Kafé og restaurant"),
    (0.04, 199, 1200, "CUBUS TRONDHEIM TORG", "5651", "Klær og sko"),
    (0.03, 130, 340, "NORDISK FILM KINO", "7832", "Underholdning"),
    (0.02, 149, 450, "ARK TRONDHEIM", "5942", "Bøker og aviser"),
    (0.01, 990, 6990, "POWER LADE", "5732", "Elektronikk"),
)


def movements_of_day(
    household: Household, day: date, seed: int, bought: Sequence[Mapping[str, Any]] = (), rides: int = 0
) -> list[Movement]:
    """A day's movements, the same for the same seed.

    Args:
        household: Whose account.
        day: A local day.
        seed: The city's.
        bought: Receipts of the day that came by no habit: somebody pressed a button.
        rides: Tickets of the day that came so.
    """
    at = datetime.combine(day, time(), LOCAL)
    found = [_groceries(at, receipt) for receipt in (*receipts_of_day(household, day, seed), *bought)]
    tickets = len(contracts_of_day(household, day, seed)) + rides
    found += [Movement(at, -float(SINGLE_TICKET_NOK), "ATB MOBILLETT", "4111", "Transport")] * tickets
    found += _elsewhere(household, day, at, seed)
    found += _fuel(household, day, at, seed)
    if day.day == BILL_DAY:
        month = (at.replace(day=1) - timedelta(days=1)).date()
        bill = kwh_of_month(household, month.year, month.month, seed) * NOK_A_KWH
        found.append(Movement(at, -round(bill, 2), "TRØNDERENERGI STRØM", "4900", "Strøm"))
    random = Random(f"{seed}/{household.handle}/account/{day}")  # noqa: S311 - a city for show
    for chance, least, most, text, mcc, category in _HABITS:
        if random.random() < chance:
            found.append(Movement(at, -float(random.randrange(least, most)), text, mcc, category))
    if random.random() < 0.05:
        found.append(Movement(at, -200.0, "Vipps Per Hansen", "", "Overføringer", "Per Hansen"))
    if day.day == 12:
        found.append(Movement(at, 31250.0, "LØNN", "", "Inntekt"))
    return found


def _groceries(at: datetime, receipt: Mapping[str, Any]) -> Movement:
    head = receipt["heads"]
    return Movement(at, -float(head["amount"]), head["storeName"], GROCERS, "Dagligvarer")


def _elsewhere(household: Household, day: date, at: datetime, seed: int) -> list[Movement]:
    """What a household spends on food beside the one grocer: with it, the year comes to what such households spend."""
    random = Random(f"{seed}/{household.handle}/other-grocers/{day}")  # noqa: S311 - a city for show
    if random.random() >= ELSEWHERE_A_WEEK / 7:
        return []
    a_year = FOOD_NOK_A_YEAR * household.household_size / PERSONS_IN_THE_SURVEY - nok_a_year(household)
    amount = a_year / 365.25 * 7 / ELSEWHERE_A_WEEK * random.lognormvariate(-0.08, 0.4)
    return [Movement(at, -round(amount, 2), random.choice(OTHER_GROCERS), GROCERS, "Dagligvarer")]


def _fuel(household: Household, day: date, at: datetime, seed: int) -> list[Movement]:
    """A tank's worth, on so many of the days on which somebody drove that it lasts for the kilometres."""
    kilometres = car_kilometres_of_day(household, day, seed)
    random = Random(f"{seed}/{household.handle}/fuel/{day}")  # noqa: S311 - a city for show
    if random.random() >= kilometres / TANK_KILOMETRES:
        return []
    amount = TANK_KILOMETRES * LITRES_A_KILOMETRE * NOK_A_LITRE * random.uniform(0.8, 1.2)
    return [Movement(at, -round(amount, 2), "CIRCLE K TRONDHEIM", "5541", "Bil")]

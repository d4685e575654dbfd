"""What a household throws away: a weekly collection, weighed.

Level: 375 kg a person a year, of which residual 41 %, food 10.5 %, paper 9 % (Statistics Norway, docs/partners.md);
plastic 3.5 % and glass and metal 4 % are guesses (G), the rest goes to the recycling stations and is nobody's weight.

What is thrown away of food was bought before: it follows the receipts of the two weeks before the collection.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from tvilling.city.groceries import KILOGRAMS_A_YEAR, PERSONS_IN_THE_SURVEY, kilograms_of_day

if TYPE_CHECKING:
    from tvilling.city.households import Household

KILOGRAMS_A_PERSON_A_YEAR = 375.0
SHARES = {9999: 0.41, 3000: 0.105, 2400: 0.09, 3200: 0.035, 2612: 0.04}
WEEKS_BETWEEN = {9999: 1, 3000: 1, 2400: 2, 3200: 2, 2612: 4}
WORDS = {9999: "Restavfall", 3000: "Matavfall", 2400: "Papp og papir", 3200: "Plastemballasje", 2612: "Glass og metall"}
_MONDAY = date(2020, 1, 6)

FOOD = 3000
FOOD_WASTED = KILOGRAMS_A_PERSON_A_YEAR * SHARES[FOOD] * PERSONS_IN_THE_SURVEY / sum(KILOGRAMS_A_YEAR.values())
"""Of the food that is bought, how much is thrown away, peel and bones included: what makes the two surveys agree."""

_BOUGHT_WITHIN = timedelta(days=14)


def collections_of_day(household: Household, day: date, change_from: date, seed: int) -> list[dict[str, Any]]:
    """The calendar's entries of one day, weighed; six days of seven have none.

    Args:
        household: Whose containers.
        day: A local day.
        change_from: From when on the household throws away its `waste_change` more or less.
        seed: The city's.
    """
    collected_on = sum(household.handle.encode()) % 5
    if day.weekday() != collected_on:
        return []
    week = (day - _MONDAY) // timedelta(days=7)
    change = 1 + household.waste_change if day >= change_from else 1.0
    entries = []
    for fraction, share in SHARES.items():
        every = WEEKS_BETWEEN[fraction]
        if week % every:
            continue
        # The same week a year earlier was as full: what differs between the years is the habit, not the dice.
        random = Random(f"{seed}/{household.handle}/waste/{fraction}/{week % 52}")  # noqa: S311 - a city for show
        mean = KILOGRAMS_A_PERSON_A_YEAR / 52.18 * share * every * household.household_size
        weight = mean * change * random.uniform(0.8, 1.2)
        if fraction == FOOD:
            weight = _food_bought(household, day, seed) * every / 2 * FOOD_WASTED * change * random.uniform(0.8, 1.2)
        entries.append(
            {
                "dato": day.isoformat(),
                "fraksjon": WORDS[fraction],
                "fraksjonId": fraction,
                "vektKg": f"{weight:.2f}".replace(".", ","),
            }
        )
    return entries


def _food_bought(household: Household, day: date, seed: int) -> float:
    """What was bought in the two weeks before a day, at this grocer and, unseen, at others, kg."""
    days = range(1, _BOUGHT_WITHIN.days + 1)
    seen = sum(kilograms_of_day(household, day - timedelta(days=back), seed) for back in days)
    return seen / household.food_share

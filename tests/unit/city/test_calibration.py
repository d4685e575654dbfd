"""The city lives by the published averages: each is met within what chance explains.

A sample's mean strays from the true one by its standard error; a sound generator strays by more than four of them once in some
sixteen thousand times, and with a fixed seed always or never. Households, years and the weather are drawn anew for each sample, so
that no one cold year decides. The figures and their sources stand in docs/partners.md; what is marked (G) there is not tested
against anything but itself.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import pytest

from tvilling.city import groceries, trips, waste, weather
from tvilling.city.electricity import kwh_of_quiet_day
from tvilling.city.households import Household, neighbours
from tvilling.city.spending import GROCERS, movements_of_day
from tvilling.city.steps import steps_of_day
from tvilling.city.travel import trips_of_day

SEED = 20261123
ERRORS = 4.0


@cache
def people(count: int = 300) -> tuple[Household, ...]:
    """Neighbours who do everything that citizens with pages do."""
    return tuple(replace(each, simulated=False) for each in neighbours(count, SEED))


def some_days(number: int, count: int) -> list[date]:
    """Days spread over a year of the sample's own, on all days of the week."""
    first = date(1990 + number % 60, 1, 1) + timedelta(days=number % 7)
    return [first + timedelta(days=day * 364 // count) for day in range(count)]


def assert_mean(found: list[float], published: float, *, scale: float = 1.0) -> None:
    """The sample's mean, times `scale`, is the published one, within so many standard errors."""
    mean = math.fsum(found) / len(found)
    error = math.sqrt(math.fsum((each - mean) ** 2 for each in found) / (len(found) - 1) / len(found))
    assert error * scale < 0.1 * published, "the sample is large enough to say something"
    assert abs(mean * scale - published) <= ERRORS * error * scale, (mean * scale, published, error * scale)


@pytest.mark.parametrize(("dwelling", "kwh"), [("detached", 20211), ("terraced", 14975), ("flat", 8953)])
def test_electricity_a_year_by_dwelling(dwelling, kwh):
    """Statistics Norway, 2023."""
    homes = [each for each in neighbours(600, SEED) if each.dwelling == dwelling][:140]
    days = range(0, 364, 7)
    totals = []
    for number, home in enumerate(homes):
        first = date(1960 + number % 90, 1, 1) + timedelta(days=number % 7)
        used = math.fsum(kwh_of_quiet_day(home, first + timedelta(days=day), SEED + number) for day in days)
        totals.append(used / len(days) * 365)
    assert_mean(totals, kwh)


def test_the_weather_moves_everybodys_electricity_and_the_months_keep_their_shape():
    home = people()[0]
    year = [date(2025, 1, 1) + timedelta(days=number) for number in range(365)]
    cold = [weather.HEATED_BELOW - weather.temperature_of_day(day, SEED) for day in year]
    used = [kwh_of_quiet_day(home, day, SEED) for day in year]
    middle = lambda values: math.fsum(values) / len(values)  # noqa: E731
    together = middle([(c - middle(cold)) * (u - middle(used)) for c, u in zip(cold, used, strict=True)])
    spread = math.sqrt(
        middle([(c - middle(cold)) ** 2 for c in cold]) * middle([(u - middle(used)) ** 2 for u in used])
    )
    assert together / spread > 0.8
    guessed = (1.55, 1.45, 1.30, 1.05, 0.80, 0.62, 0.55, 0.60, 0.75, 1.00, 1.22, 1.45)  # (G)
    for month, share in enumerate(guessed, 1):
        days = [date(year, month, day) for year in range(1980, 2040, 3) for day in (3, 10, 17, 24)]
        assert middle([weather.use_of_day(day, SEED) for day in days]) == pytest.approx(share, abs=0.25), month


def test_the_weather_remembers_and_keeps_to_its_normals():
    off = [
        weather.temperature_of_day(day, SEED) - weather.normal_of_day(day)
        for day in (date(2000, 1, 1) + timedelta(days=number) for number in range(3000))
    ]
    kept = math.fsum(one * other for one, other in itertools.pairwise(off)) / math.fsum(one * one for one in off)
    assert kept == pytest.approx(weather.MEMORY, abs=0.06)
    assert math.sqrt(math.fsum(one * one for one in off) / len(off)) == pytest.approx(weather.SPREAD, rel=0.1)
    assert abs(math.fsum(off) / len(off)) < 0.8


def test_trips_a_day_and_how_they_are_made():
    """2.5 a day; on foot 25 %, at the wheel 48 % (2021), by public transport 10.7 % (2014 counts)."""
    a_day: list[float] = []
    shares: dict[str, list[float]] = {"walk": [], "car": [], "transit": []}
    for number, person in enumerate(people()):
        days = some_days(number, 35)
        made = [trip.mode for day in days for trip in trips_of_day(person, day, SEED)]
        a_day.append(len(made) / len(days))
        for mode, found in shares.items():
            found.append(made.count(mode) / len(days))
    assert_mean(a_day, 2.5)
    assert_mean(shares["walk"], 0.25 * 2.5)
    assert_mean(shares["car"], 0.48 * 2.5)
    assert_mean(shares["transit"], 0.107 * 2.5)


def test_kilometres_at_the_wheel_a_year():
    """6,160 km an adult (Trondheim, 2022)."""
    driven = []
    for number, person in enumerate(people()):
        days = some_days(number, 35)
        metres = sum(trip.metres for day in days for trip in trips_of_day(person, day, SEED) if trip.mode == "car")
        driven.append(metres / 1000 / len(days) * 365)
    assert_mean(driven, 6160)


def test_a_single_ticket_costs_what_it_costs():
    for contract in trips.contracts_of_day(people()[3], date(2026, 3, 2), SEED):
        assert contract["totalAmount"] == "46.00"
    assert -float(trips.SINGLE_TICKET_NOK) in {
        each.amount
        for person in people(20)
        for each in movements_of_day(person, date(2026, 3, 2), SEED)
        if each.mcc == "4111"
    }


def test_money_for_food_meat_and_fish_a_year():
    """65,751, about 12,000 and 3,600 NOK a household (Statistics Norway, 2022), of 2.15 persons (G)."""
    spent: dict[str, list[float]] = {"all": [], "meat": [], "fish": []}
    groups = {article.code: article.group for article in groceries.ARTICLES}
    for number, household in enumerate(people(150)):
        days = [some_days(number, 1)[0] + timedelta(days=day) for day in range(98)]
        per_head = groceries.PERSONS_IN_THE_SURVEY / household.household_size * 365.25 / len(days)
        paid = -sum(
            each.amount for day in days for each in movements_of_day(household, day, SEED) if each.mcc == GROCERS
        )
        spent["all"].append(paid * per_head)
        rows = [
            row
            for day in days
            for receipt in groceries.receipts_of_day(household, day, SEED)
            for row in receipt["rows"]
        ]
        for group in ("meat", "fish"):
            amount = sum(row["amount"] for row in rows if groups.get(row["prodtxt3"]) == group)
            spent[group].append(amount * per_head / household.food_share)
    assert_mean(spent["all"], 65_751)
    assert_mean(spent["meat"], 12_000)
    assert_mean(spent["fish"], 3_600)


@pytest.mark.parametrize(("group", "kilograms"), sorted(groceries.KILOGRAMS_A_YEAR.items()))
def test_kilograms_of_food_a_year(group, kilograms):
    """The older consumption survey."""
    codes = {article.code: article.kilograms for article in groceries.ARTICLES if article.group == group}
    found = []
    for number, household in enumerate(people(100)):
        days = [some_days(number, 1)[0] + timedelta(days=day) for day in range(70)]
        bought = sum(
            codes.get(row["prodtxt3"], 0.0) * row["quantity"]
            for day in days
            for receipt in groceries.receipts_of_day(household, day, SEED)
            for row in receipt["rows"]
        )
        per_head = groceries.PERSONS_IN_THE_SURVEY / household.household_size / household.food_share
        found.append(bought * per_head / len(days) * 365.25)
    assert_mean(found, kilograms)


def test_waste_a_person_and_its_fractions():
    """375 kg a person (2023); residual 41 %, food 10.5 %, paper 9 % (Statistics Norway)."""
    found: dict[int, list[float]] = {fraction: [] for fraction in waste.SHARES}
    for number, household in enumerate(people(150)):
        first = some_days(number, 1)[0]
        weights = dict.fromkeys(found, 0.0)
        for day in range(84):  # each fraction's rhythm divides twelve weeks
            for entry in waste.collections_of_day(household, first + timedelta(days=day), date(2200, 1, 1), SEED):
                weights[entry["fraksjonId"]] += float(entry["vektKg"].replace(",", "."))
        for fraction, kilograms in weights.items():
            found[fraction].append(kilograms / household.household_size / 84 * 365.25)
    assert_mean(found[9999], 375 * 0.41)
    assert_mean(found[3000], 375 * 0.105)
    assert_mean(found[2400], 375 * 0.09)


def test_steps_a_day():
    """About 5,500, with a standard deviation of 2,800 (G)."""
    by_person, all_days = [], []
    for number, person in enumerate(people()):
        days = [steps_of_day(person, day, SEED) for day in some_days(number, 14)]
        by_person.append(sum(days) / len(days))
        all_days += days
    assert_mean(by_person, 5500)
    mean = sum(all_days) / len(all_days)
    assert math.sqrt(sum((each - mean) ** 2 for each in all_days) / len(all_days)) == pytest.approx(2800, rel=0.12)

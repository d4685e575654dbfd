"""The city is the same for the same seed, and lives by the published averages."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest

from tvilling.city import groceries, trips, waste
from tvilling.city.electricity import (
    hours_of,
    kwh_of_day,
    kwh_of_hours,
    local_midnight,
    watts_at,
    watts_of_hour,
)
from tvilling.city.households import KWH_A_YEAR, citizens, neighbours
from tvilling.city.simulators.sources import SOURCES, City
from vocab.areas import load_areas
from vocab.products import product_class

SEED = 20261123
BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
YEAR = [date(2025, 11, 24) + timedelta(days=number) for number in range(364)]
KARI, OLA, INGRID, AMIR = citizens()


def test_the_four_live_in_four_districts_and_homes():
    assert [(each.handle, each.household_size, each.dwelling) for each in citizens()] == [
        ("kari", 3, "flat"), ("ola", 4, "detached"), ("ingrid", 2, "flat"), ("amir", 5, "terraced"),
    ]  # fmt: skip
    assert {each.area for each in citizens()} == set(load_areas())


def test_neighbours_are_named_as_simulated_and_the_same_again():
    some, more = neighbours(20, SEED), neighbours(40, SEED)
    assert more[:20] == some
    assert all("simulated" in each.handle and "Simulated" in each.name for each in more)
    assert neighbours(20, SEED + 1) != some


def test_neighbours_use_what_their_kind_of_home_uses():
    many = neighbours(600, SEED)
    for dwelling, kwh in KWH_A_YEAR.items():
        homes = [each.kwh_a_year for each in many if each.dwelling == dwelling]
        assert sum(homes) / len(homes) == pytest.approx(kwh, rel=0.1)
    assert {each.area for each in many} == set(load_areas())


@pytest.mark.parametrize("household", [KARI, OLA, AMIR], ids=lambda each: each.handle)
def test_a_years_electricity_is_the_published_mean_of_the_dwelling(household):
    total = sum(sum(kwh_of_day(household, day, SEED)) for day in YEAR)
    assert total == pytest.approx(KWH_A_YEAR[household.dwelling], rel=0.06)


def test_winter_uses_more_than_summer():
    winter = sum(kwh_of_day(KARI, date(2026, 1, 15), SEED))
    assert winter > 1.5 * sum(kwh_of_day(KARI, date(2026, 7, 15), SEED))


def test_the_minutes_of_an_hour_add_up_to_the_hour():
    hour = datetime(2026, 11, 22, 17, tzinfo=UTC)
    minutes = watts_of_hour(KARI, hour, SEED)
    assert len(minutes) == 60
    kwh = dict(kwh_of_hours(KARI, date(2026, 11, 22), SEED, {}))[hour]
    assert sum(minutes) / 60_000 == pytest.approx(kwh, abs=0.002)


def test_a_kettle_is_two_kilowatts_for_its_minutes_and_a_tenth_of_a_kilowatt_hour_in_the_hour():
    start = datetime(2026, 11, 22, 17, 10, tzinfo=UTC)
    extra = {start + timedelta(minutes=number): 2000.0 for number in range(3)}
    assert watts_at(KARI, start, SEED, extra) - watts_at(KARI, start, SEED, {}) == pytest.approx(2000.0)
    hour = start.replace(minute=0)
    with_it = dict(kwh_of_hours(KARI, date(2026, 11, 22), SEED, extra))[hour]
    assert with_it - dict(kwh_of_hours(KARI, date(2026, 11, 22), SEED, {}))[hour] == pytest.approx(0.1)


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 11, 1), 24)])
def test_days_on_which_clocks_change_have_their_own_length(day, hours):
    assert len(hours_of(date(*day))) == len(kwh_of_day(KARI, date(*day), SEED)) == hours


def weighed(household, days):
    change = BEGAN.date() - timedelta(days=365)
    total = 0.0
    for day in days:
        for entry in waste.collections_of_day(household, day, change, SEED):
            total += float(entry["vektKg"].replace(",", "."))
    return total


def test_kari_throws_away_about_seven_per_cent_less_than_the_year_before_and_nobody_else_five():
    now = [BEGAN.date() - timedelta(days=number) for number in range(1, 365)]
    before = [day - timedelta(days=364) for day in now]
    changes = {each.handle: weighed(each, now) / weighed(each, before) - 1 for each in citizens()}
    assert changes["kari"] == pytest.approx(-0.07, abs=0.01)
    assert min(change for handle, change in changes.items() if handle != "kari") > -0.05


def test_waste_is_the_published_weight_a_person():
    share = sum(waste.SHARES.values())
    days = [BEGAN.date() - timedelta(days=number) for number in range(1, 365)]
    assert weighed(OLA, days) / 4 == pytest.approx(375 * share * 1.02, rel=0.05)


def test_waste_has_a_collection_in_each_week_of_two_years():
    change = BEGAN.date() - timedelta(days=365)
    days = [BEGAN.date() - timedelta(days=number) for number in range(730)]
    assert sum(bool(waste.collections_of_day(KARI, day, change, SEED)) for day in days) in {104, 105}


def test_groceries_weigh_what_such_a_household_eats():
    kilograms = 0.0
    for day in YEAR:
        for receipt in groceries.receipts_of_day(KARI, day, SEED):
            for row in receipt["rows"]:
                piece = product_class(row["productDescription"], row["prodtxt3"])[1]
                loose = "LØSVEKT" in row["productDescription"]
                kilograms += row["quantity"] * (1.0 if loose else piece or 0.0)
    eaten = sum(groceries.KILOGRAMS_A_YEAR.values()) * 3 / groceries.PERSONS_IN_THE_SURVEY * KARI.food_share
    assert kilograms == pytest.approx(eaten, rel=0.08)


def test_every_article_weighs_something_and_most_have_a_food_class():
    classes = [product_class(each.name, each.code) for each in groceries.ARTICLES]
    assert all(each.weighed or kilograms for each, (_, kilograms) in zip(groceries.ARTICLES, classes, strict=True))
    assert [each.name for each, (food, _) in zip(groceries.ARTICLES, classes, strict=True) if food is None] == []
    assert product_class(groceries.MINCED_BEEF.name, groceries.MINCED_BEEF.code) == ("beef-mince", 0.4)


def test_barcodes_have_their_check_digit():
    assert groceries.barcode(1) == "2900000000018"
    assert len({each.code for each in groceries.ARTICLES}) == len(groceries.ARTICLES)


def test_a_person_takes_the_bus_as_often_as_they_do():
    count = sum(len(trips.contracts_of_day(INGRID, day, SEED)) for day in YEAR)
    assert count / 52 == pytest.approx(INGRID.trips_a_week, rel=0.12)


@pytest.mark.parametrize("slug", [slug for slug, source in SOURCES.items() if source.connector and not source.agent])
def test_what_falls_due_does_not_depend_on_how_often_one_looks(slug):
    """History and live are one: no payload is lost between two looks, and none comes twice."""
    city = City(SEED, BEGAN, {})
    begin, end = BEGAN - timedelta(days=9), BEGAN
    if slug == "oss":
        begin = BEGAN - timedelta(minutes=150)

    def due(steps):
        edges = [begin + (end - begin) * number / steps for number in range(steps + 1)]
        found = []
        for after, until in itertools.pairwise(edges):
            for payload in SOURCES[slug].payloads(city, KARI, after, until):
                found += payload.content.get("telemetry", [payload.content])
        return found

    assert due(1)
    assert due(1) == due(37)


def test_each_payload_is_due_in_its_time_and_speaks_of_the_past():
    city = City(SEED, BEGAN, {})
    for source in SOURCES.values():
        for payload in source.payloads(city, KARI, BEGAN - timedelta(days=8), BEGAN):
            assert BEGAN - timedelta(days=8) < payload.due <= BEGAN


def test_midnight_is_trondheims():
    assert local_midnight(date(2026, 11, 23)) == datetime(2026, 11, 22, 23, tzinfo=UTC)

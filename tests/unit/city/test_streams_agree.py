"""What two strangers tell of one event agrees, since both draw from one household: to the øre, the watt-hour and the day."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from partner_bridge.channels.han_agent import HanReader
from tvilling.city import groceries, spending, steps, travel, trips, waste
from tvilling.city.electricity import LOCAL, NOK_A_KWH, hours_of, kwh_of_hours, kwh_of_month, local_midnight
from tvilling.city.households import citizens
from tvilling.city.simulators.bank import Bank
from tvilling.city.simulators.faults import Faults
from tvilling.city.simulators.files import elhub_csv
from tvilling.city.simulators.han_port import frames_between
from tvilling.city.simulators.partner import Partner
from tvilling.city.simulators.sign_in_server import SignInServer
from tvilling.city.simulators.sources import SOURCES, City, minute_power
from tvilling.city.simulators.watches import epochs_between

SEED = 20261123
BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
KARI, OLA, INGRID, AMIR = citizens()
DAYS = [date(2026, 8, 3) + timedelta(days=number) for number in range(84)]


def test_each_receipt_is_a_debit_of_its_amount_shop_and_day():
    for household in citizens():
        for day in DAYS:
            printed = Counter(
                (head["storeName"], round(head["amount"], 2))
                for head in (receipt["heads"] for receipt in groceries.receipts_of_day(household, day, SEED))
            )
            booked = Counter(
                (each.text, round(-each.amount, 2))
                for each in spending.movements_of_day(household, day, SEED)
                if each.text.startswith("REMA")
            )
            assert printed == booked
            for receipt in groceries.receipts_of_day(household, day, SEED):
                at = datetime.fromtimestamp(receipt["heads"]["purchaseDate"] / 1000, UTC)
                assert at.astimezone(LOCAL).date() == day
                assert receipt["heads"]["amount"] == pytest.approx(
                    sum(row["amount"] for row in receipt["rows"]), abs=0.01
                )


def test_what_a_button_buys_is_a_debit_too():
    city = City(SEED, BEGAN, {})
    households = {each.handle: each for each in citizens()}
    grocer = Partner("Rema 1000", SOURCES["rema1000"], None, city, households)  # type: ignore[arg-type] - it sends nothing here
    bus = Partner("AtB", SOURCES["atb"], None, city, households)  # type: ignore[arg-type]
    bought, ride = grocer.purchase("kari", BEGAN), bus.ride("kari", BEGAN)
    sign_in = SignInServer("i", "b", "c", "s", "r", ("kari",), lambda: BEGAN)
    bank = Bank(now=lambda: BEGAN + timedelta(days=2), sign_in=sign_in, households=households, city=city)
    told = json.loads(_ask(bank, {"accountKey": "key-kari", "fromDate": "2026-11-23", "toDate": "2026-11-23"}).body)[
        "transactions"
    ]
    debits = [(each["transaction"]["cleanedDescription"], -each["transaction"]["amount"]) for each in told]
    assert (bought.content["heads"]["storeName"], bought.content["heads"]["amount"]) in debits
    assert ("ATB MOBILLETT", float(ride.content["totalAmount"])) in debits


def _ask(bank, query):
    bank.person_of = lambda _: "kari"
    return bank.tell("GET", "/personal/banking/transactions/classified", query, {}, {})


def test_each_ticket_is_a_trip_and_a_debit():
    for household in citizens():
        for day in DAYS:
            contracts = trips.contracts_of_day(household, day, SEED)
            rides = [trip for trip in travel.trips_of_day(household, day, SEED) if trip.mode == "transit"]
            debits = [each for each in spending.movements_of_day(household, day, SEED) if each.mcc == "4111"]
            assert len(contracts) == len(rides) == len(debits)
            for contract, ride, debit in zip(contracts, rides, debits, strict=True):
                (right,) = contract["travelRights"]
                assert datetime.fromisoformat(right["usedAccesses"][0]["startDateTime"]) == ride.start
                assert float(contract["totalAmount"]) == -debit.amount


def test_the_steps_of_a_walk_lie_in_its_quarters_and_a_watch_calls_them_walking():
    walks = 0
    for day in DAYS[:28]:
        first, last = local_midnight(day), local_midnight(day + timedelta(days=1))
        epochs = {each["startTimeInSeconds"]: each for each in epochs_between(INGRID, first, last, SEED)}
        assert sum(each["steps"] for each in epochs.values()) == steps.steps_of_day(INGRID, day, SEED)
        for trip in travel.trips_of_day(INGRID, day, SEED):
            if trip.mode != "walk" or trip.end > last:
                continue
            walks += 1
            begin = int(trip.start.timestamp()) // 900 * 900
            during = [epochs[at] for at in range(begin, int(trip.end.timestamp()) + 1, 900) if at in epochs]
            assert sum(each["steps"] for each in during) >= trip.metres / travel.METRES_A_STEP - len(during)
            assert all(each["activityType"] == "WALKING" for each in during if each["steps"] > 900)
    assert walks > 5


@pytest.mark.parametrize("day", [date(2026, 11, 22), date(2026, 10, 25), date(2026, 3, 29)], ids=str)
def test_minutes_hours_and_elhub_tell_the_same_energy(day):
    extra = {local_midnight(day) + timedelta(hours=7, minutes=number): 2000.0 for number in range(3)}
    city = City(SEED, BEGAN, {"kari": extra})
    first, last = local_midnight(day), local_midnight(day + timedelta(days=1))
    minutes = [each for one in minute_power(city, KARI, first, last) for each in one.content["telemetry"]]
    assert len(minutes) == 60 * len(hours_of(day))
    for hour, kwh in kwh_of_hours(KARI, day, SEED, extra):
        mine = [each for each in minutes if each["timestamp"][:13] == hour.isoformat()[:13]]
        assert sum(each["activePower"]["input"]["avg"] for each in mine) / 60_000 == pytest.approx(kwh, abs=0.002)


def test_a_file_of_elhub_holds_the_hours_of_the_days_it_tells_of():
    rows = elhub_csv(City(SEED, BEGAN, {}), KARI).decode("utf-8-sig").splitlines()[1:]
    days = [date(2024, 10, 20) + timedelta(days=number) for number in range(12)]
    assert len(rows) == sum(len(hours_of(day)) for day in days) == 12 * 24 + 1
    assert sum(row.startswith("27.10.2024 02:00") for row in rows) == 2, "the hour that comes twice"


def test_the_meters_own_frames_tell_the_same_minutes():
    city = City(SEED, BEGAN, {})
    begin = datetime(2026, 11, 22, 17, tzinfo=UTC)
    reader, read = HanReader(), []
    for each in range(8):
        minute = begin + timedelta(minutes=each)
        for one in frames_between(KARI, city, minute, minute + timedelta(seconds=59), Faults()):
            read += reader.line(one, minute + timedelta(seconds=30))
    read += reader.close(begin + timedelta(minutes=8))
    assert reader.broken == 0
    told = [
        each
        for one in minute_power(city, KARI, begin, begin + timedelta(minutes=8))
        for each in one.content["telemetry"]
    ]
    assert [each.watts for each in read] == [round(each["activePower"]["input"]["avg"]) for each in told]


def test_the_power_bill_is_for_last_months_hours():
    (bill,) = [each for each in spending.movements_of_day(OLA, date(2026, 10, 20), SEED) if each.mcc == "4900"]
    hours = [kwh for day in DAYS if day.month == 9 for _, kwh in kwh_of_hours(OLA, day, SEED, {})]
    assert -bill.amount == pytest.approx(sum(hours) * NOK_A_KWH, abs=0.01)
    assert kwh_of_month(OLA, 2026, 9, SEED) == pytest.approx(sum(hours), abs=0.01)


def test_more_food_bought_is_more_food_thrown_away():
    change = date(2200, 1, 1)
    weighed, bought = [], []
    for number in range(700):
        day = date(2025, 1, 1) + timedelta(days=number)
        for entry in waste.collections_of_day(AMIR, day, change, SEED):
            if entry["fraksjonId"] == waste.FOOD:
                weighed.append(float(entry["vektKg"].replace(",", ".")))
                back = (groceries.kilograms_of_day(AMIR, day - timedelta(days=back), SEED) for back in range(1, 15))
                bought.append(sum(back) / AMIR.food_share * waste.FOOD_WASTED / 2)
    assert len(weighed) == 100
    for kilograms, mean in zip(weighed, bought, strict=True):
        assert 0.79 * mean <= kilograms <= 1.21 * mean


def test_fuel_follows_the_kilometres():
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(730)]
    driven = sum(travel.car_kilometres_of_day(OLA, day, SEED) for day in days)
    tanks = sum(each.mcc == "5541" for day in days for each in spending.movements_of_day(OLA, day, SEED))
    assert tanks == pytest.approx(driven / spending.TANK_KILOMETRES, abs=4 * (driven / spending.TANK_KILOMETRES) ** 0.5)

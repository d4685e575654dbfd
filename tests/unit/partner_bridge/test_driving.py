"""A car's days: the insurer's counts (docs/partners.md: every name a guess), and the logs of OBD apps as a citizen has them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from partner_bridge.channels.file_drop import read_content
from partner_bridge.connectors import find_connector
from partner_bridge.connectors.driving import GUESSES, Driving
from partner_bridge.connectors.normalising import Context, Normalised, normalise
from twin_agent.compute import factors, hour_of
from vocab.kinds import load_kinds

SAMPLES = Path(__file__).parents[2] / "samples"
CONTEXT = Context(datetime(2026, 11, 23, 12, tzinfo=UTC))


def read(connector: str, content: bytes | str):
    payload = content.encode() if isinstance(content, str) else content
    made = list(normalise(find_connector(connector), payload, CONTEXT))
    activities = [
        load_kinds().decode(msgspec.json.encode(each.activity)) for each in made if isinstance(each, Normalised)
    ]
    return activities, [str(each) for each in made if not isinstance(each, Normalised)]


def day(**members):
    return json.dumps({"vehicle": "TESTBIL-1", "days": [{"date": "2026-11-20", **members}]})


# The insurer's counts


def test_a_day_is_counts_of_a_whole_local_day():
    (first, second), problems = read("sparebank1-driving", (SAMPLES / "sparebank1-driving.json").read_bytes())
    assert problems == []
    assert (first.start, first.end) == (datetime(2026, 11, 19, 23, tzinfo=UTC), datetime(2026, 11, 20, 23, tzinfo=UTC))
    assert (first.quantity, first.engine, first.speeding, first.phone_use) == (18.2, "petrol", 2, 0)
    assert second.distance_missing
    assert (second.quantity, second.engine, second.speeding, second.harsh_braking) == (0, None, None, 0)


def test_a_distance_that_nobody_told_has_no_footprint_which_is_not_zero():
    (known, unknown), _ = read("sparebank1-driving", (SAMPLES / "sparebank1-driving.json").read_bytes())
    kind = load_kinds().by_slug["driving-day"]
    find = factors().find
    assert find(known, kind.discriminator(known), hour_of(known.start)).mean == 0.16391
    assert find(unknown, kind.discriminator(unknown), hour_of(unknown.start)) is None


def test_the_day_when_clocks_change_has_its_own_length():
    (autumn,), _ = read("sparebank1-driving", day(date="2026-10-25", distanceKm=1))
    (spring,), _ = read("sparebank1-driving", day(date="2026-03-29", distanceKm=1))
    assert (autumn.end - autumn.start, spring.end - spring.start) == (timedelta(hours=25), timedelta(hours=23))


def test_no_vehicle_and_no_plate_reaches_the_record():
    payload = day(distanceKm=3, plate="VJ 12345", driver="Ola Nordmann").replace("TESTBIL-1", "VJ12345")
    (made,) = normalise(find_connector("sparebank1-driving"), payload.encode(), CONTEXT)
    assert "VJ" not in json.dumps(made.activity)
    assert "Ola" not in json.dumps(made.activity)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"trips": [{"from": "Lade"}]}, "single trips"),
        ({"trips": []}, "single trips"),
        ({"date": "2026-11-23"}, "not over"),
        ({"date": "2025-08-22"}, "fifteen months"),
        ({"events": {"speeding": -1}}, "speeding"),
        ({"events": {"speeding": 1.5}}, "speeding"),
        ({"distanceKm": -4}, "distanceKm"),
        ({"distanceKm": "4,5"}, "distanceKm"),
    ],
)
def test_a_day_that_is_none_is_told_and_spoils_nothing_but_itself(members, why):
    payload = json.loads(day(**members))
    payload["days"].append({"date": "2026-11-19", "distanceKm": 2})
    activities, (problem,) = read("sparebank1-driving", json.dumps(payload))
    assert len(activities) == 1
    assert problem.startswith("day 1: ")
    assert why in problem


def test_a_day_that_came_late_and_fuller_stands_for_the_earlier():
    once, again = (
        next(normalise(find_connector("sparebank1-driving"), day(distanceKm=km).encode(), CONTEXT)) for km in (4, 9)
    )
    assert once.activity["@id"] == again.activity["@id"]
    assert again.may_replace


def test_every_name_of_the_insurers_format_is_declared_a_guess():
    """The connector's own declaration, and its page for partners, say the same."""
    page = (Path(__file__).parents[3] / "docs" / "partners.md").read_text("utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| SpareBank 1 Forsikring")]
    assert "(G)" in row
    (declared,) = Driving.declaration.guesses
    for name in GUESSES:
        assert name in row
        assert all(name in words for words in declared)


# Logs of OBD apps


def test_torques_log_becomes_a_day():
    (activity,), problems = read("obd-csv", (SAMPLES / "obd-torque.csv").read_bytes())
    assert problems == []
    # 0 → 18 → 36 km/h in two seconds, two at 36, down to 18 in one; then ten seconds at 72, and half an hour's pause between.
    metres = (0 + 5) / 2 + (5 + 10) / 2 + 20 + (10 + 5) / 2 + 200
    assert activity.quantity == round(metres / 1000, 1) == 0.2
    assert (activity.harsh_acceleration, activity.harsh_braking) == (1, 1)
    assert (activity.speeding, activity.harsh_cornering, activity.phone_use) == (None, None, None)
    assert activity.engine == "unknown"


def test_nothing_of_where_the_car_was_is_read():
    (made,) = normalise(find_connector("obd-csv"), (SAMPLES / "obd-torque.csv").read_bytes(), CONTEXT)
    assert "63.43" not in json.dumps(made.activity)
    assert "08:00" not in json.dumps(made.activity)


FUSION = "# StartTime = 11/22/2026 08:11:57.0 AM\nTime (sec), Vehicle speed (MPH)\n0,30\n5,30\n10,30\n"


def test_obd_fusions_log_counts_seconds_from_its_start_and_miles():
    (activity,), problems = read("obd-csv", FUSION)
    assert problems == []
    assert activity.quantity == round(30 * 1.609344 * 10 / 3600, 1)
    assert activity.start == datetime(2026, 11, 21, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    "head", ["Device Time;Speed (OBD)(km/h)", "timestamp;VEHICLE_SPEED ()", "date;Vehicle speed(km/h);x"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_semicolons_and_decimal_commas_are_read(head, encoding):
    rows = "".join(f"2026-11-22T08:00:{second:02d};{second * 4},5\n" for second in range(0, 20, 2))
    text = f"{head}\n{rows}".replace("x", "Kjølevæske(°C)")
    (payload,) = read_content("log.csv", text.encode(encoding), find_connector("obd-csv"))
    (activity,), problems = read("obd-csv", payload)
    assert problems == []
    assert activity.quantity == 0.2
    assert activity.driving_minutes == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ENGINE_RPM (),VEHICLE_SPEED ()\n900,20\n", "no column tells the time"),
        ("Device Time,RPM\n22-Nov-2026 08:00:00,900\n", "no line names a column with the speed"),
        ("Time (sec),Vehicle speed (km/h)\n0,30\n", "StartTime"),
        ("Device Time,Speed (OBD)(furlongs)\n22-Nov-2026 08:00:00,9\n", "unit"),
        ("", "no line names"),
    ],
)
def test_a_log_that_tells_no_day_is_refused_with_what_it_lacks(text, why):
    activities, problems = read("obd-csv", text)
    assert activities == []
    assert len(problems) == 1
    assert why in problems[0]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("22-Nov-2026 08:00:01.000,20,5", "decimal commas"),
        ("22-Foo-2026 08:00:01.000,20", "a time like"),
        ("22-Nov-2026 08:00:01.000,fast", "a number like"),
        ("22-Nov-2026 08:00:01.000,999", "no car"),
    ],
)
def test_a_row_that_is_none_is_told_with_its_line(row, why):
    text = f"Device Time,Speed (OBD)(km/h)\n22-Nov-2026 08:00:00,20\n{row}\n22-nov-2026 08:00:05,20\n"
    (activity,), (problem,) = read("obd-csv", text)
    assert activity.driving_minutes == 0
    assert problem.startswith("line 3: ")
    assert why in problem


def test_many_broken_rows_are_told_as_a_number():
    _, problems = read("obd-csv", "Device Time,Speed (OBD)(km/h)\n" + "x,1\n" * 500)
    assert len(problems) == 21
    assert "480" in problems[-1]


def test_norwegian_months_and_a_drive_past_midnight_are_two_days():
    rows = "".join(
        f"{at},36\n" for at in ("31-des.-2025 23:59:55.000", "31-des.-2025 23:59:59.000", "01-jan.-2026 00:00:04.000")
    )
    activities, problems = read("obd-csv", "Device Time,Speed (OBD)(km/h)\n" + rows)
    assert problems == []
    assert [each.start.date().isoformat() for each in activities] == ["2025-12-30", "2025-12-31"]


def test_a_speed_in_tenths_of_a_second_is_no_emergency_stop():
    rows = "".join(f"22-Nov-2026 08:00:0{n // 10}.{n % 10}00,{50 - n // 2 % 2}\n" for n in range(40))
    (activity,), _ = read("obd-csv", "Device Time,Speed (OBD)(km/h)\n" + rows)
    assert (activity.harsh_braking, activity.harsh_acceleration) == (0, 0)

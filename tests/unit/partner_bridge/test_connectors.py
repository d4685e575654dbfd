"""Each source's traps, on small files of our own (tests/samples/README.md)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from partner_bridge.connectors import CONNECTORS, find_connector
from partner_bridge.connectors.elhub_csv import interval
from partner_bridge.connectors.normalising import Context, Normalised, normalise
from partner_bridge.errors import UnknownConnector
from vocab.kinds import load_kinds

SAMPLES = Path(__file__).parents[2] / "samples"
CONTEXT = Context(datetime(2026, 11, 23, 12, tzinfo=UTC))


def read(connector: str, content: bytes | str):
    """The activities and problems in a payload; every activity is held against its kind's shape."""
    payload = content.encode() if isinstance(content, str) else content
    activities, problems = [], []
    for made in normalise(find_connector(connector), payload, CONTEXT):
        if isinstance(made, Normalised):
            activities.append(load_kinds().decode(msgspec.json.encode(made.activity)))
        else:
            problems.append(str(made))
    return activities, problems


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def times(activities):
    return [f"{each.start:%H:%M}-{each.end:%H:%M}" for each in activities]


# Elhub


def test_elhubs_repeated_hour_in_autumn_is_two_hours_and_a_gap_stays_a_gap():
    activities, problems = read("elhub-csv", sample("elhub-autumn.csv"))
    assert problems == []
    assert times(activities) == [
        "20:00-21:00", "21:00-22:00", "22:00-23:00", "23:00-00:00", "00:00-01:00", "01:00-02:00",
        "03:00-04:00", "04:00-05:00", "05:00-06:00",
    ]  # fmt: skip
    assert len({each.id for each in activities}) == 9


def test_elhubs_decimal_comma_and_quality_are_read():
    activities, _ = read("elhub-csv", sample("elhub-autumn.csv"))
    assert (activities[0].quantity, activities[0].quality) == (0.523, "measured")
    assert (activities[6].quantity, activities[6].quality) == (0.322, "estimated")


def test_elhubs_skipped_hour_in_spring_and_a_value_that_is_no_number_are_problems_with_their_lines():
    activities, problems = read("elhub-csv", sample("elhub-spring.csv"))
    assert times(activities) == ["23:00-00:00", "00:00-01:00", "01:00-02:00", "02:00-03:00"]
    assert [each.split(":")[0] for each in problems] == ["line 6", "line 7"]
    assert "summer time" in problems[0]


def test_the_repeated_hour_may_also_be_written_as_two_to_three_both_times():
    rows = ["01:00,25.10.2026 02:00", "02:00,25.10.2026 03:00", "02:00,25.10.2026 03:00", "03:00,25.10.2026 04:00"]
    text = "Fra,Til,KWH 60 Forbruk,Kvalitet\n" + "".join(f'25.10.2026 {row},"1,0",Målt\n' for row in rows)
    activities, problems = read("elhub-csv", text)
    assert problems == []
    assert times(activities) == ["23:00-00:00", "00:00-01:00", "01:00-02:00", "02:00-03:00"]


def test_a_row_longer_than_an_hour_is_refused():
    with pytest.raises(ValueError, match="does not span an hour"):
        interval("01.11.2026 00:00", "02.11.2026 00:00", None)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\x00\x01", "Fra,Til\n", "fra;til;sum\n"])
def test_a_file_that_is_not_elhubs_is_one_problem(text):
    activities, problems = read("elhub-csv", text)
    assert (activities, len(problems)) == ([], 1)


def test_a_later_measured_value_may_replace_an_estimate():
    made = list(normalise(find_connector("elhub-csv"), sample("elhub-autumn.csv"), CONTEXT))
    assert [each.may_replace for each in made] == [True] * 6 + [False] + [True] * 2


# start,value


def test_hourly_csv_reads_utc_and_leaves_gaps_out():
    activities, problems = read("hourly-csv", sample("hourly-utc.csv"))
    assert (len(activities), problems) == (47, [])
    assert activities[0].start == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", ["inf", "-1", "1e400", "many", "0x10"])
def test_hourly_csv_refuses_what_is_no_amount(value):
    activities, problems = read("hourly-csv", f"start,value\n2026-11-01T00:00:00Z,{value}\n")
    assert (activities, len(problems)) == ([], 1)
    assert problems[0].startswith("line 2")


@pytest.mark.parametrize("value", ["", "nan", "NaN", "null"])
def test_hourly_csv_takes_a_missing_value_as_unknown_not_as_zero(value):
    assert read("hourly-csv", f"start,value\n2026-11-01T00:00:00Z,{value}\n") == ([], [])


def test_hourly_csv_honours_offsets():
    activities, _ = read("hourly-csv", "start,value\n2015-11-22T00:00:00-06:00,0.29\n")
    assert activities[0].start == datetime(2015, 11, 22, 6, tzinfo=UTC)


# Oss.no


def test_oss_turns_watts_over_a_minute_into_energy_and_drops_what_was_missed():
    activities, problems = read("oss", sample("oss-telemetry.json"))
    assert [(f"{each.start:%H:%M:%S}", each.quantity) for each in activities] == [("10:00:00", 0.02), ("10:01:00", 0.0)]
    assert problems == ["a negative input power; what the house sends out is `output`", "a time without its zone"]


def test_oss_at_hourly_resolution_is_an_hours_energy():
    reading = '{"timestamp": "2026-11-23T10:00:00Z", "activePower": {"input": {"avg": 1500}}}'
    activities, _ = read("oss", f'{{"meterNumber": "1", "resolution": 2, "telemetry": [{reading}]}}')
    assert (activities[0].quantity, times(activities)) == (1.5, ["10:00-11:00"])


# TrønderEnergi


def test_tronderenergi_takes_consumption_alone_and_converts_units():
    activities, problems = read("tronderenergi", sample("tronderenergi-hours.json"))
    assert [(each.quantity, each.quality) for each in activities] == [(1.2, "measured"), (0.95, "estimated")]
    assert problems == ["a value in a unit that is no energy (kWh, Wh or MWh)"]


# Rema 1000


def test_a_receipt_becomes_lines_with_kilograms():
    activities, problems = read("rema1000", sample("rema1000-receipt.json"))
    assert [(each.name, each.quantity, each.food_class) for each in activities] == [
        ("KJØTTDEIG STORFE 400G", 0.8, "beef-mince"),
        ("BANANER LØSVEKT", 0.834, "bananas"),
        ("LETTMELK 1L", 2.0, "milk"),
        ("KNEIPPBRØD 750G", 0.75, "bread"),
        ("KNEIPPBRØD 750G", 0.75, "bread"),
        ("OSTESTYKKE", 0.345, None),
    ]
    assert problems == ["row 8: neither name nor code tells what this article weighs"]


def test_two_like_lines_are_two_purchases_and_a_discount_is_taken_off():
    activities, _ = read("rema1000", sample("rema1000-receipt.json"))
    assert len({each.id for each in activities}) == len(activities)
    assert activities[0].amount_nok == pytest.approx(129.8)


def test_a_returned_article_that_was_not_sold_is_a_problem():
    row = '{"productDescription": "LETTMELK 1L", "quantity": -1, "amount": -20}'
    activities, problems = read("rema1000", f'{{"heads": {{"purchaseDate": 1795276200000}}, "rows": [{row}]}}')
    assert (activities, len(problems)) == ([], 1)


# AtB


def test_a_ticket_bought_is_not_a_trip_made():
    contracts = msgspec.json.decode(sample("atb-fare-contracts.json"))
    read_each = [read("atb", msgspec.json.encode(contract)) for contract in contracts]
    assert [len(activities) for activities, _ in read_each] == [1, 0, 0, 2]
    assert "bought is not travelled" in read_each[1][1][0]
    assert "says when one may travel" in read_each[2][1][0]


def test_a_trips_length_is_between_known_stops_or_the_mean_and_always_inferred():
    contracts = msgspec.json.decode(sample("atb-fare-contracts.json"))
    (known,), _ = read("atb", msgspec.json.encode(contracts[0]))
    unknown, _ = read("atb", msgspec.json.encode(contracts[3]))
    assert 1.0 < known.quantity < 1.5
    assert [each.quantity for each in unknown] == [6.0, 6.0]
    assert all(each.inferred for each in (known, *unknown))
    assert [each.amount_nok for each in unknown] == [46.0, 46.0]


# Waste


def test_waste_is_read_by_the_fractions_number_and_a_local_day_has_its_own_length():
    activities, problems = read("waste-weights", sample("waste-weights.json"))
    assert [(each.fraction, each.quantity) for each in activities] == [("residual", 8.42), ("food", 2.1)]
    assert (activities[0].end - activities[0].start).total_seconds() == 25 * 3600
    assert len(problems) == 2


# All


@pytest.mark.parametrize("name", sorted(CONNECTORS))
@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"null", b"\xff\xfe\x00", b"[" * 100_000, b'{"id": 1e999}'])
def test_no_connector_fails_on_what_is_not_its_format(name, payload):
    activities, problems = read(name, payload)
    nothing_happened = (name, payload) == ("garmin", b"[]")  # what Garmin answers for a day without steps
    assert (activities, len(problems)) == ([], 0 if nothing_happened else 1)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("elhub-csv", "elhub-autumn.csv"),
        ("hourly-csv", "hourly-utc.csv"),
        ("oss", "oss-telemetry.json"),
        ("tronderenergi", "tronderenergi-hours.json"),
        ("rema1000", "rema1000-receipt.json"),
        ("waste-weights", "waste-weights.json"),
    ],
)
def test_the_same_payload_twice_is_the_same_records(name, file):
    first, second = (
        [
            each.activity
            for each in normalise(find_connector(name), sample(file), CONTEXT)
            if isinstance(each, Normalised)
        ]
        for _ in range(2)
    )
    assert first
    assert first == second


def test_a_connector_that_is_not_there_says_which_are():
    with pytest.raises(UnknownConnector, match="apple-health, atb"):
        find_connector("nobody")

"""Account reports by the Berlin Group: unstable ids, pending, other people, the customer's own network address."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from partner_bridge.connectors import find_connector
from partner_bridge.connectors.normalising import Context, Normalised, normalise
from vocab.kinds import load_kinds

SAMPLE = json.loads((Path(__file__).parents[2] / "samples" / "berlin-group.json").read_text("utf-8"))
CONTEXT = Context(datetime(2026, 11, 23, 12, tzinfo=UTC))


def read(payload):
    made = list(normalise(find_connector("berlin-group"), json.dumps(payload).encode(), CONTEXT))
    return [each.activity for each in made if isinstance(each, Normalised)], [
        str(each) for each in made if not isinstance(each, Normalised)
    ]


def test_booked_money_out_becomes_payments_and_nothing_else():
    activities, problems = read(SAMPLE)
    assert problems == []
    assert [each["quantity"] for each in activities] == [412.9, 49.0, 49.0, 200.0]
    for each in activities:
        assert load_kinds().decode(msgspec.json.encode(each)).kind == "payment"


def test_two_alike_on_one_day_are_two_and_stay_so_whatever_their_ids():
    first, _ = read(SAMPLE)
    other = json.loads(json.dumps(SAMPLE).replace("a1", "b7").replace("a2", "b8"))
    other["account"]["iban"] = "no9386011117947"
    again, _ = read(other)
    assert len({each["@id"] for each in first}) == 4
    assert [each["@id"] for each in first] == [each["@id"] for each in again]


def test_nobody_elses_name_or_message_and_no_network_address_comes_in():
    activities, _ = read({**SAMPLE, "psuIpAddress": "203.0.113.7"})
    said = json.dumps(activities)
    for hidden in ("Per Hansen", "takk", "Arbeidsgiver", "203.0.113", "NO93"):
        assert hidden not in said
    assert "CUBUS" in said


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"transactionAmount": {"currency": "NOK", "amount": "-1.00"}}, "bookingDate"),
        ({"bookingDate": "2026-11-20", "transactionAmount": {"currency": "EUR", "amount": "-1.00"}}, "currency"),
        ({"bookingDate": "2026-11-20", "transactionAmount": {"currency": "NOK", "amount": "-1,00"}}, "amount"),
        ({"bookingDate": "2026-11-20", "transactionAmount": {"currency": "NOK", "amount": -1}}, "amount"),
        ({"bookingDate": "20.11.2026", "transactionAmount": {"currency": "NOK", "amount": "-1"}}, "bookingDate"),
    ],
)
def test_an_entry_that_is_none_is_told_by_its_number(entry, why):
    payload = json.loads(json.dumps(SAMPLE))
    payload["transactions"]["booked"].insert(1, entry)
    activities, (problem,) = read(payload)
    assert len(activities) == 4
    assert problem.startswith("booked entry 2: ")
    assert why in problem


def test_an_account_without_a_lasting_name_is_refused_whole():
    assert read({**SAMPLE, "account": {}})[0] == []

"""One event that several partners tell of is counted once, says why, and counts again when the other one goes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from deliveries import CITIZEN
from twin_activities import KINDS, MIDNIGHT, driving, groceries, payment, steps, trip

from pod_server import activities, grants
from twin_agent.recompute import differences
from twin_agent.why import explain
from vocab.counting_rules import load_counting_rules

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SHOPPED = MIDNIGHT + 15 * HOUR
REMA = {"receipt": "rema:17", "store": "REMA 1000 Ilsvika", "receiptTotalNok": 268.35}
DEBIT = {"name": "Rema 1000 Ilsvika", "merchantCategory": "5411"}


def month(citizen, category: str, key: str = "2026-11") -> list[float] | None:
    return citizen.figures()["months"].get(key, {}).get(category)


def agrees(citizen) -> bool:
    return differences(citizen.figures()["months"], citizen.recomputed()) == []


def why_of(citizen, record: str):
    event = next(each for each in citizen.events() if each["record_id"] == record)
    return explain(citizen.host, citizen.own(), event["seq"])


def test_a_debit_that_is_a_receipt_is_spending_and_the_goods_are_food(kari) -> None:
    kari.deliver("SpareBank 1", payment("d", SHOPPED + DAY, 268.35, **DEBIT, spendClass="culture"))
    kari.think()
    assert month(kari, "consumption")[3] == pytest.approx(268.35)
    kari.deliver("Rema 1000", groceries("l1", SHOPPED, 0.4, "beef-mince", amountNok=69.9, **REMA))
    kari.think()
    assert month(kari, "consumption") is None
    assert month(kari, "food")[1] > 0
    assert agrees(kari)
    debit, line = why_of(kari, "d"), why_of(kari, "l1")
    assert (debit.counted, debit.rule) == (False, "receipt-and-debit")
    assert all("Rema 1000" in debit.not_counted_reason[language] for language in ("nb", "nn", "en"))
    assert line.counted
    assert [name for name, _ in line.also_told_by] == ["SpareBank 1"]


def test_a_debit_explained_by_a_receipt_is_not_called_unknown(kari) -> None:
    kari.deliver("SpareBank 1", payment("d", SHOPPED, 268.35, **DEBIT), payment("other", SHOPPED, 12.0, **DEBIT))
    kari.deliver("Rema 1000", groceries("l1", SHOPPED, 0.4, "beef-mince", **REMA))
    kari.think()
    assert kari.figures()["unknown"]["2026-11"]["consumption"] == 1


@pytest.mark.parametrize(
    ("late", "amount", "name"),
    [
        (6 * DAY, 268.35, "Rema 1000"),
        (-DAY, 268.35, "Rema 1000"),
        (DAY, 268.34, "Rema 1000"),
        (DAY, 268.35, "Remarkable"),
    ],
)
def test_what_is_too_late_too_early_another_amount_or_another_shop_is_another_event(kari, late, amount, name) -> None:
    kari.deliver("Rema 1000", groceries("l1", SHOPPED, 0.4, "beef-mince", **REMA))
    kari.deliver("SpareBank 1", payment("d", SHOPPED + late, amount, name=name, spendClass="culture"))
    kari.think()
    assert month(kari, "consumption")[3] == pytest.approx(amount)
    assert agrees(kari)


def test_a_receipt_that_was_paid_in_its_month_pays_for_no_other_debit_in_the_next(kari) -> None:
    last = MIDNIGHT.replace(month=10, day=30)
    kari.deliver("AtB", trip("t", last, 6.0, ticket="8812", amountNok=46, inferred=True))
    fare = {"merchantCategory": "4111", "spendClass": "culture"}
    kari.deliver("SpareBank 1", payment("d1", last, 46, **fare), payment("d2", last + 3 * DAY, 46, **fare))
    kari.think()
    assert month(kari, "consumption", "2026-10") is None
    assert month(kari, "consumption")[3] == pytest.approx(46)
    assert agrees(kari)
    assert why_of(kari, "d1").rule == "ticket-and-debit"


def test_a_debit_in_the_next_month_is_found_though_the_receipt_comes_last(kari) -> None:
    last = MIDNIGHT.replace(month=10, day=31)
    kari.deliver("SpareBank 1", payment("d", last + 2 * DAY, 268.35, **DEBIT, spendClass="culture"))
    kari.think()
    kari.deliver("Rema 1000", groceries("l1", last, 0.4, "beef-mince", **REMA))
    kari.think()
    assert month(kari, "consumption") is None
    assert agrees(kari)


def test_the_same_receipt_from_two_partners_is_eaten_once(kari) -> None:
    line = groceries("l1", SHOPPED, 0.4, "beef-mince", **REMA)
    kari.deliver("Rema 1000", line)
    kari.deliver("Kari's own file", line)
    kari.think()
    assert month(kari, "food")[3] == pytest.approx(0.2)
    assert agrees(kari)
    rules = [explain(kari.host, kari.own(), each["seq"]).rule for each in kari.events()]
    assert sorted(rules) == ["", "receipt-told-twice"]


def test_a_measured_trip_comes_before_the_one_concluded_from_a_ticket(kari) -> None:
    kari.deliver("AtB", trip("t", MIDNIGHT + 7 * HOUR, 6.0, inferred=True))
    kari.deliver("Phone", trip("p", MIDNIGHT + 7 * HOUR + timedelta(minutes=9), 4.2))
    kari.think()
    assert month(kari, "travel")[3] == pytest.approx(4.2)
    assert agrees(kari)
    assert (why_of(kari, "t").rule, why_of(kari, "p").counted) == ("trip-told-twice", True)


def test_one_walk_that_three_devices_counted_is_counted_once(kari) -> None:
    at = MIDNIGHT + 8 * HOUR
    kari.deliver(
        "Garmin", *(steps(f"g{n}", at + n * timedelta(minutes=15), 15, 500, source="Garmin") for n in range(2))
    )
    kari.deliver("Apple", steps("a", at + timedelta(minutes=2), 25, 980, source="iPhone"),
                 steps("w", at + timedelta(minutes=1), 26, 1040, source="Watch"))  # fmt: skip
    kari.deliver("Google", *(steps(f"m{n}", at + n * timedelta(minutes=1), 1, 33, source="Pixel") for n in range(18)))
    kari.think()
    assert month(kari, "steps")[3] == 1040
    assert agrees(kari)
    assert why_of(kari, "w").counted
    lost = why_of(kari, "g0")
    assert (lost.rule, lost.counted) == ("walk-once", False)
    assert "Apple (Watch)" in lost.not_counted_reason["en"]


def test_a_day_total_takes_the_place_of_hours_only_where_it_is_larger(kari) -> None:
    kari.deliver("Garmin", steps("h", MIDNIGHT + 8 * HOUR, 15, 4000, source="Garmin"))
    kari.deliver("Phone", steps("all", MIDNIGHT, 1380, 3500, source="Pixel"))
    kari.think()
    assert month(kari, "steps")[3] == 4000
    kari.deliver("Phone", steps("all", MIDNIGHT, 1380, 6500, source="Pixel", correction=True))
    kari.think()
    assert month(kari, "steps")[3] == 6500
    assert agrees(kari)


def test_when_one_of_the_two_is_erased_the_other_counts_again(kari) -> None:
    kari.deliver("SpareBank 1", payment("d", SHOPPED, 268.35, **DEBIT, spendClass="culture"))
    kari.deliver("Rema 1000", groceries("l1", SHOPPED, 0.4, "beef-mince", **REMA))
    kari.think()
    grants.withdraw(kari.host, kari.pod_id, kari.grants["Rema 1000"].grant, actor=CITIZEN)
    kari.think()
    assert month(kari, "consumption") is None  # what was delivered before a withdrawal stays, and stays one event
    grants.erase(kari.host, kari.pod_id, kari.grants["Rema 1000"].grant, actor=CITIZEN)
    kari.think()
    assert month(kari, "consumption")[3] == pytest.approx(268.35)
    assert month(kari, "food") is None
    assert why_of(kari, "d").counted
    assert agrees(kari)


def test_a_car_that_insurer_and_log_tell_of_is_driven_once(kari) -> None:
    kari.deliver("Insurer", driving("d", MIDNIGHT, 31.0, engine="petrol", source="SpareBank 1 Forsikring"))
    kari.deliver(
        "Log",
        driving("l1", MIDNIGHT, 12.0, engine="petrol", source="OBD"),
        driving("l2", MIDNIGHT, 9.0, engine="petrol", source="OBD"),
    )
    kari.think()
    assert month(kari, "travel")[3] == pytest.approx(31.0)
    assert agrees(kari)
    assert (why_of(kari, "l1").rule, why_of(kari, "d").counted) == ("drive-once", True)


def test_a_correction_of_the_amount_parts_what_was_one(kari) -> None:
    kari.deliver("Rema 1000", groceries("l1", SHOPPED, 0.4, "beef-mince", **REMA))
    kari.deliver("SpareBank 1", payment("d", SHOPPED, 268.35, **DEBIT, spendClass="culture"))
    kari.think()
    assert month(kari, "consumption") is None
    corrected = REMA | {"receiptTotalNok": 199.0}
    kari.deliver("Rema 1000", groceries("l1", SHOPPED, 0.4, "beef-mince", correction=True, **corrected))
    kari.think()
    assert month(kari, "consumption")[3] == pytest.approx(268.35)
    assert agrees(kari)


def test_every_rule_says_in_three_languages_why_and_where_its_limit_comes_from() -> None:
    rules = load_counting_rules()
    assert set(rules) == {
        "electricity-hour-once", "receipt-told-twice", "receipt-and-debit", "ticket-and-debit", "trip-told-twice", "walk-once", "drive-once",
    }  # fmt: skip
    for rule in rules.values():
        assert rule.threshold
        assert rule.threshold_source
        assert all("{partner}" in rule.reasons[language] for language in ("nb", "nn", "en"))


@pytest.mark.parametrize("slug", sorted(KINDS.by_slug))
def test_of_every_kind_a_correction_replaces_the_record_and_the_figures_follow(kari, slug) -> None:
    """Derived from the kinds there are: a new one is corrected here too, and keeps what it replaced under its grant."""
    kind = KINDS.by_slug[slug]
    raw = next(
        raw for name, raw in kind.examples("valid").items() if KINDS.decode(raw).quantity and name != "correction"
    )
    record = {key: value for key, value in json.loads(raw).items() if key not in {"@context", "correction"}}
    kari.deliver("Partner", record)
    kari.think()
    before = kari.figures()["months"]
    kari.deliver("Partner", record | {"quantity": record["quantity"] * 2, "correction": True})
    kari.think()
    after = kari.figures()["months"]
    assert agrees(kari)
    ((month_key, of_month),) = before.items()
    assert after[month_key][kind.category][3] == pytest.approx(2 * of_month[kind.category][3])
    (stands,) = activities.read_activities(kari.host, kari.own())
    assert stands.grant == kari.grants["Partner"].grant
    with kari.host.storage.read() as tx:
        (first, second) = activities.segments_after(tx, kari.own())
    replaced, correction = first.records[0], second.records[0]
    assert (replaced.id, first.grant) == (correction.id, second.grant)
    assert (replaced.correction, correction.correction) == (False, True)
    assert first.received <= second.received

"""From the feed to the figures: counted once, explained by events, equal to a recompute."""

from __future__ import annotations

from datetime import timedelta

import pytest
from twin_activities import MIDNIGHT, electricity, groceries, trip, waste

from twin_agent.recompute import differences

HOUR = timedelta(hours=1)


def agrees(citizen) -> bool:
    return differences(citizen.figures()["months"], citizen.recomputed()) == []


def test_a_delivery_moves_the_figures_and_makes_an_event(kari) -> None:
    assert kari.deliver("Rema 1000", groceries("line-1", MIDNIGHT + 9 * HOUR, 0.4, "beef-mince")) == ["accepted"]
    assert kari.think() == 1
    low, mean, high, quantity = kari.figures()["months"]["2026-11"]["food"]
    assert 0 < low < mean < high
    assert quantity == pytest.approx(0.2)  # the household of two shares its groceries
    (event,) = kari.events()
    assert event["title"]["nb"] == "KJØTTDEIG STORFE 400G"
    assert event["partner"] == "Rema 1000"
    assert event["kg"] == pytest.approx([low, mean, high])
    assert agrees(kari)


def test_nothing_new_means_nothing_done(kari) -> None:
    kari.deliver("AtB", trip("t1", MIDNIGHT, 5.0))
    assert kari.think() == 1
    assert kari.think() == 0


def test_the_household_shares_electricity_and_waste_but_not_a_bus_trip(kari) -> None:
    kari.deliver("All", electricity("e", MIDNIGHT, 60, 3.0), waste("w", MIDNIGHT, 8.0), trip("t", MIDNIGHT, 5.0))
    kari.think()
    month = kari.figures()["months"]["2026-11"]
    assert month["electricity"][3] == pytest.approx(1.5)
    assert month["waste"][3] == pytest.approx(4.0)
    assert month["travel"][3] == pytest.approx(5.0)
    assert agrees(kari)


def test_an_hour_that_reader_and_grid_company_both_tell_of_counts_once(kari) -> None:
    kari.deliver("Oss.no", *(electricity(f"m{n}", MIDNIGHT + n * timedelta(minutes=1), 1, 0.05) for n in range(90)))
    kari.think()
    assert kari.figures()["months"]["2026-11"]["electricity"][3] == pytest.approx(4.5 / 2)
    kari.deliver("Grid", electricity("h0", MIDNIGHT, 60, 2.8))
    kari.think()
    assert kari.figures()["months"]["2026-11"]["electricity"][3] == pytest.approx((2.8 + 30 * 0.05) / 2)
    assert agrees(kari)


def test_a_correction_replaces_what_it_corrects(kari) -> None:
    kari.deliver("Grid", electricity("h0", MIDNIGHT, 60, 2.0), electricity("h1", MIDNIGHT + HOUR, 60, 1.0))
    kari.think()
    kari.deliver("Grid", electricity("h0", MIDNIGHT, 60, 5.0, correction=True))
    kari.think()
    assert kari.figures()["months"]["2026-11"]["electricity"][3] == pytest.approx(6.0 / 2)
    assert agrees(kari)


def test_a_correction_can_move_a_record_to_another_month(kari) -> None:
    kari.deliver("AtB", trip("t", MIDNIGHT, 5.0))
    kari.think()
    kari.deliver("AtB", trip("t", MIDNIGHT - timedelta(days=40), 5.0, correction=True))
    kari.think()
    assert list(kari.figures()["months"]) == ["2026-10"]
    assert agrees(kari)


def test_months_and_days_are_those_of_trondheim(kari) -> None:
    kari.deliver("AtB", trip("late", MIDNIGHT.replace(month=10, day=31, hour=23, minute=30), 5.0))
    kari.think()
    figures = kari.figures()
    assert list(figures["months"]) == ["2026-11"]
    assert list(figures["days"]) == ["2026-11-01"]
    assert agrees(kari)


def test_what_has_no_factor_is_unknown_and_not_zero(kari) -> None:
    kari.deliver("Rema 1000", groceries("x", MIDNIGHT, 1.0, None))
    kari.think()
    figures = kari.figures()
    assert figures["months"] == {}
    assert figures["unknown"] == {"2026-11": {"food": 1}}
    assert kari.events()[0]["kg"] is None


def test_a_large_delivery_is_told_in_one_event(kari) -> None:
    kari.deliver("Grid", *(electricity(f"h{n}", MIDNIGHT - n * HOUR, 60, 1.0) for n in range(200)))
    kari.think()
    (event,) = kari.events()
    assert event["count"] == 200
    assert event["record_id"] == ""


def test_minute_readings_become_events_now_and_then_and_move_the_power_each_time(kari) -> None:
    minute = timedelta(minutes=1)
    for number in range(6):
        kari.deliver("Oss.no", electricity(f"m{number}", MIDNIGHT + number * minute, 1, 0.01 + number / 10_000))
        kari.think()
    assert len(kari.events()) == 2  # the first, and the one five minutes later
    assert kari.figures()["now"]["power_w"] == pytest.approx(630.0)
    assert len(kari.figures()["power"]) == 6
    kari.deliver("Oss.no", electricity("kettle", MIDNIGHT + 6 * minute, 1, 0.04))
    kari.think()
    assert len(kari.events()) == 3


def test_a_changed_household_divides_the_past_anew_without_reading_it_again(kari) -> None:
    from pod_server import household

    kari.deliver("Grid", electricity("h0", MIDNIGHT, 60, 3.0))
    kari.think()
    own = kari.own()
    with kari.host.storage.write() as tx:
        was = household.load(tx, own)
        household.save(tx, own, household.Household(was.name, was.language, 3, was.area, was.dwelling), at=MIDNIGHT)
    assert kari.think() == 1
    assert kari.figures()["months"]["2026-11"]["electricity"][3] == pytest.approx(1.0)
    assert agrees(kari)


def test_erasing_a_partner_takes_its_share_out_of_every_figure(kari) -> None:
    from deliveries import CITIZEN

    from pod_server import grants

    kari.deliver("Oss.no", electricity("m", MIDNIGHT, 1, 0.5))
    kari.deliver("Grid", electricity("h0", MIDNIGHT, 60, 3.0))
    kari.deliver("AtB", trip("t", MIDNIGHT, 5.0))
    kari.think()
    grants.erase(kari.host, kari.pod_id, kari.grants["Grid"].grant, actor=CITIZEN)
    kari.think()
    month = kari.figures()["months"]["2026-11"]
    assert month["electricity"][3] == pytest.approx(0.25)  # the reader counts again
    assert month["travel"][3] == pytest.approx(5.0)
    assert {event["partner"] for event in kari.events()} == {"Oss.no", "AtB"}
    assert agrees(kari)


def test_a_withdrawal_stops_what_comes_and_keeps_what_came(kari) -> None:
    from deliveries import CITIZEN

    from pod_server import grants

    kari.deliver("AtB", trip("t", MIDNIGHT, 5.0))
    grants.withdraw(kari.host, kari.pod_id, kari.grants["AtB"].grant, actor=CITIZEN)
    assert kari.deliver("AtB", trip("t2", MIDNIGHT, 5.0)) == ["refused"]
    kari.think()
    assert kari.figures()["months"]["2026-11"]["travel"][3] == pytest.approx(5.0)


def test_the_twin_counts_nothing_once_it_is_turned_off(kari) -> None:
    from pod_server.authorization.mandates import end_standing_mandate

    with kari.host.storage.write() as tx:
        end_standing_mandate(tx, kari.pod_id)
    kari.deliver("AtB", trip("t", MIDNIGHT, 5.0))
    kari.think()
    with kari.host.storage.read() as tx:
        from pod_server import figures

        assert figures.load_figures(tx, kari.own()) is None


def test_other_rules_make_the_sums_anew_from_the_activities(kari, monkeypatch) -> None:
    from twin_agent import compute

    kari.deliver("AtB", trip("t", MIDNIGHT, 5.0))
    kari.think()
    compute.rules_fingerprint.cache_clear()
    monkeypatch.setattr(compute, "RULE_VERSION", 999)
    kari.deliver("AtB", trip("t2", MIDNIGHT + HOUR, 5.0))
    kari.think()
    assert kari.figures()["twin"]["rules"] == compute.rules_fingerprint()
    assert kari.figures()["months"]["2026-11"]["travel"][3] == pytest.approx(10.0)
    assert agrees(kari)
    compute.rules_fingerprint.cache_clear()


def test_the_target_is_five_per_cent_less_than_ones_own_past(kari) -> None:
    for months_back in range(1, 4):
        kari.deliver("AtB", trip(f"t{months_back}", MIDNIGHT - timedelta(days=30 * months_back), 10.0 * months_back))
    kari.think()
    figures = kari.figures()
    october, september = figures["months"]["2026-10"]["travel"][1], figures["months"]["2026-09"]["travel"][1]
    assert figures["target"]["travel"] == pytest.approx(0.95 * (october + september) / 2)
    assert figures["target_basis"]["travel"] == "mean-of-months"


def test_a_locked_pod_waits_and_is_taken_in_once_it_is_open_again(kari, clock) -> None:
    from pod_server import pods
    from pod_server.vault.key_derivation import Argon2Cost, Passphrase

    kari.deliver("Grid", electricity("a", MIDNIGHT, 60, 2.0))
    kari.think()
    kari.deliver("Grid", electricity("b", MIDNIGHT + HOUR, 60, 4.0))
    kari.made = pods.lock_pod(kari.host, kari.made.vault, Passphrase("a long passphrase"), cost=Argon2Cost(64, 1, 1))
    kari.think()
    assert kari.figures()["months"]["2026-11"]["electricity"][3] == pytest.approx(1.0)
    pods.leave_pod_open(kari.host, kari.made.vault)
    clock.advance(timedelta(seconds=31))
    assert kari.think() == 1
    assert kari.figures()["months"]["2026-11"]["electricity"][3] == pytest.approx(3.0)
    assert agrees(kari)


def test_pods_are_looked_at_again_when_the_rules_are_new_and_not_otherwise(kari, monkeypatch) -> None:
    from twin_agent import worker

    kari.deliver("AtB", trip("t", MIDNIGHT, 5.0))
    assert worker.wake_pods_of_other_rules(kari.host) == 1  # the first run ever
    kari.think()
    assert worker.wake_pods_of_other_rules(kari.host) == 0
    monkeypatch.setattr(worker, "rules_fingerprint", lambda: "others")
    assert worker.wake_pods_of_other_rules(kari.host) == 1
    assert kari.think() == 1

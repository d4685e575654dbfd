"""Every number answers why, and the answer's parts make the number."""

from __future__ import annotations

from datetime import timedelta

import pytest
from twin_activities import MIDNIGHT, electricity, groceries, waste

from twin_agent.why import explain, explain_month


def test_quantity_times_factor_divided_by_the_household_is_the_result(kari) -> None:
    kari.deliver("Rema 1000", groceries("r", MIDNIGHT, 0.4, "beef-mince", amountNok=59.9, store="Solsiden"))
    kari.think()
    why = explain(kari.host, kari.own(), kari.events()[-1]["seq"])
    assert why.divided_by == why.household_size == 2
    assert [why.quantity * each / why.divided_by for each in why.factor] == pytest.approx(list(why.kg))
    assert why.source.citation
    assert why.source.url.startswith("http")
    assert {"nb", "nn", "en"} <= why.spread_reason.keys()
    assert set(why.bound_labels) == {"low", "mean", "high"}
    assert "÷ 2" in why.arithmetic["nb"]
    assert "KJØTTDEIG" in why.quantity_note["nb"]
    assert (why.amount_nok, why.store, why.counted) == (59.9, "Solsiden", True)


def test_an_hour_that_another_source_is_counted_for_says_so(kari) -> None:
    kari.deliver("Oss.no", electricity("m", MIDNIGHT, 1, 0.05))
    kari.think()
    event = kari.events()[-1]
    assert explain(kari.host, kari.own(), event["seq"]).counted
    kari.deliver("Grid", electricity("h", MIDNIGHT, 60, 0.05))
    kari.think()
    reader, grid = (explain(kari.host, kari.own(), each["seq"]) for each in kari.events())
    assert not reader.counted
    assert "to ganger" in reader.not_counted_reason["nb"]
    assert grid.counted


def test_the_unknown_is_called_unknown(kari) -> None:
    kari.deliver("Rema 1000", groceries("r", MIDNIGHT, 1.0, None))
    kari.think()
    why = explain(kari.host, kari.own(), kari.events()[-1]["seq"])
    assert (why.kg, why.factor, why.counted) == (None, None, False)
    assert why.source is None


def test_an_event_that_is_not_there_has_no_why(kari) -> None:
    assert explain(kari.host, kari.own(), 7) is None


def test_the_parts_of_a_month_add_up_to_its_figure(kari) -> None:
    kari.deliver(
        "TRV", *(waste(f"w{n}", MIDNIGHT - timedelta(days=n), 1.0 + n, ["residual", "paper"][n % 2]) for n in range(6))
    )
    kari.think()
    lines = explain_month(kari.host, kari.own(), "2026-11", "waste")
    assert len(lines) == 2
    figure = kari.figures()["months"]["2026-11"]["waste"]
    assert [sum(line.kg[end] for line in lines) for end in range(3)] == pytest.approx(figure[:3])
    assert sum(line.records for line in lines) == 6
    assert sum(line.quantity for line in lines) == pytest.approx(figure[3])

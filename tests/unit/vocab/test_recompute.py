"""The full recompute by SPARQL: each hour of electricity once, households divided, the unknown left out."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyoxigraph as ox
import pytest

from vocab.kinds import load_kinds
from vocab.queries import local_clock, query, recompute_vocabulary, rule
from vocab.terms import TVILLING

KINDS = load_kinds()


def reading(name: str, start: str, end: str, quantity: float, **more: object) -> dict[str, object]:
    return {
        "@id": name, "@type": "ElectricityReading", "start": f"2026-11-23T{start}:00Z", "end": f"2026-11-23T{end}:00Z",
        "quantity": quantity, "unit": "KiloW-HR", **more,
    }  # fmt: skip


def recompute(members: int, grants: dict[str, list[dict[str, object]]]) -> dict[str, tuple[float, float, float, float]]:
    store = ox.Store()
    store.extend(recompute_vocabulary())
    store.extend(local_clock(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)))
    store.add(ox.Quad(ox.BlankNode(), ox.NamedNode(f"{TVILLING}members"), ox.Literal(members)))
    for grant, records in grants.items():
        graph = ox.NamedNode(f"urn:tvilling:grant:{grant}")
        for record in records:
            raw = KINDS.encode(KINDS.decode(json.dumps(record).encode()))
            for quad in KINDS.quads(raw, f"urn:tvilling:grant:{grant}/"):
                store.add(ox.Quad(quad.subject, quad.predicate, quad.object, graph))
    store.update(rule("electricity-hour-once"))
    return {
        row["category"].value: tuple(float(row[name].value) for name in ("low", "mean", "high", "amount"))
        for row in store.query(query("recompute"))
    }


def test_an_hour_told_by_two_sources_is_counted_once_by_the_hourly_one() -> None:
    sums = recompute(1, {
        "oss": [reading("a", "10:00", "10:01", 0.5), reading("b", "10:59", "11:00", 0.5), reading("c", "11:00", "11:01", 0.2)],
        "grid": [reading("h", "10:00", "11:00", 2.0)],
    })  # fmt: skip
    assert sums["electricity"] == pytest.approx((2.2 * 0.008, 2.2 * 0.015, 2.2 * 0.019, 2.2))


def test_of_two_hourly_sources_measured_comes_first_and_ties_end_in_one() -> None:
    estimated = reading("e", "10:00", "11:00", 9.0, quality="estimated")
    assert recompute(1, {"a": [estimated], "b": [reading("m", "10:00", "11:00", 2.0)]})["electricity"][3] == 2.0
    tie = recompute(1, {"b": [reading("m", "10:00", "11:00", 3.0)], "a": [reading("m", "10:00", "11:00", 2.0)]})
    assert tie["electricity"][3] == 2.0


def test_a_household_kind_is_divided_and_a_personal_one_is_not() -> None:
    bus = json.loads(KINDS.by_slug["transit-trip"].examples("valid")["bus"])
    sums = recompute(4, {"grid": [reading("h", "10:00", "11:00", 2.0)], "atb": [bus]})
    assert sums["electricity"][1] == pytest.approx(2.0 * 0.015 / 4)
    assert sums["travel"][1] == pytest.approx(6.3 * 0.059)


def test_an_item_without_a_factor_counts_as_unknown_and_not_as_zero() -> None:
    line = json.loads(KINDS.by_slug["grocery-line"].examples("valid")["unclassified"])
    assert recompute(1, {"rema": [line]}) == {}

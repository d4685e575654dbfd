"""Terms that can be agreed to, and narrowing them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from test_decision import NOW, TERMS

from consent.errors import TermsInvalid
from consent.grant import duration_of, narrowed, shortest_interval


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"client_id": ""}, "client_id"),
        ({"purpose": ""}, "purpose"),
        ({"kinds": frozenset()}, "kinds"),
        ({"operations": frozenset()}, "operations"),
        ({"operations": frozenset({"delete"})}, "operations"),
        ({"granularity": "often"}, "granularity"),
        ({"granularity": "P"}, "granularity"),
        ({"granularity": "PT0S"}, "granularity"),
        ({"granularity": {"electricity-reading": "PT1H"}}, "granularity"),
        ({"history_from": datetime(2026, 1, 1)}, "history_from"),
        ({"expires_at": NOW - timedelta(days=300)}, "expires_at"),
        ({"valid_to": NOW - timedelta(days=300)}, "valid_to"),
        ({"quota_per_day": 0}, "quota_per_day"),
        ({"retention": "for ever"}, "retention"),
    ],
)
def test_terms_nobody_could_agree_to_name_the_field(change, field):
    with pytest.raises(TermsInvalid) as refused:
        replace(TERMS, **change)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("PT1M", timedelta(minutes=1)),
        ("P1DT12H", timedelta(hours=36)),
        ("P1M", timedelta(days=28)),
        ("P1Y", timedelta(days=365)),
        ("P2W", timedelta(days=14)),
    ],
)
def test_durations_are_the_shortest_they_can_mean(text, length):
    assert duration_of(text) == length


def test_narrowing_keeps_within_what_was_asked():
    end = NOW + timedelta(days=400)
    result = narrowed(TERMS, kinds=frozenset({"grocery-line"}), expires_at=end, history_from=NOW - timedelta(days=400))
    assert result.kinds == {"grocery-line"}
    assert result.expires_at == TERMS.expires_at
    assert result.history_from == TERMS.history_from
    sooner, later = TERMS.expires_at - timedelta(days=1), TERMS.history_from + timedelta(days=1)
    result = narrowed(TERMS, expires_at=sooner, history_from=later)
    assert (result.expires_at, result.history_from, result.kinds) == (sooner, later, TERMS.kinds)


@pytest.mark.parametrize(
    "choice",
    [
        {"kinds": frozenset({"transit-trip"})},
        {"kinds": frozenset()},
        {"granularity": "PT1M"},
        {"granularity": {"electricity-reading": "PT30M", "grocery-line": "event"}},
        {"granularity": {"grocery-line": "event"}},
    ],
)
def test_nothing_wider_than_what_was_asked_can_be_given(choice):
    with pytest.raises(TermsInvalid):
        narrowed(TERMS, **choice)


def test_days_let_the_day_through_on_which_clocks_go_forward():
    assert shortest_interval("P1D") == timedelta(hours=23)
    assert shortest_interval("PT23H") == timedelta(hours=23)
    assert shortest_interval("PT1H") == timedelta(hours=1)
    assert shortest_interval("event") == timedelta(0)

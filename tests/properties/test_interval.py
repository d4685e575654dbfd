"""The algebra of intervals."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin_agent.interval import ZERO, Interval, total

AMOUNT = st.floats(min_value=0, max_value=1e9, allow_nan=False)
INTERVALS = st.lists(AMOUNT, min_size=3, max_size=3).map(sorted).map(lambda ends: Interval(*ends))


def close(one: Interval, other: Interval) -> bool:
    return all(math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-9) for a, b in zip(one, other, strict=True))


@given(INTERVALS, INTERVALS, INTERVALS)
def test_adding_is_commutative_and_associative_with_zero_as_its_nothing(a, b, c) -> None:
    assert a.plus(b) == b.plus(a)
    assert close(a.plus(b).plus(c), a.plus(b.plus(c)))
    assert a.plus(ZERO) == a


@given(INTERVALS, INTERVALS, AMOUNT)
def test_an_amount_of_a_sum_is_the_sum_of_the_amounts(a, b, amount) -> None:
    assert close(a.plus(b).times(amount), a.times(amount).plus(b.times(amount)))


@given(st.lists(INTERVALS, max_size=8), AMOUNT, st.integers(1, 30))
def test_low_mean_and_high_stay_in_order(intervals, amount, parts) -> None:
    result = total(intervals).times(amount).divided_by(parts)
    assert 0 <= result.low <= result.mean <= result.high


@given(INTERVALS, INTERVALS)
def test_adding_never_narrows(a, b) -> None:
    summed = a.plus(b)
    assert summed.high - summed.low >= max(a.high - a.low, b.high - b.low) * (1 - 1e-12) - 1e-6


@given(INTERVALS, st.integers(1, 30))
def test_the_shares_add_up_to_the_whole(whole, parts) -> None:
    assert close(total([whole.divided_by(parts)] * parts), whole)


def test_negative_amounts_and_no_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        ZERO.times(-1)
    with pytest.raises(ValueError, match="part"):
        ZERO.divided_by(0)

"""When a consent asks to be looked at again (GDPR Art. 5(1)(c, e); EDPB Guidelines 05/2020, 110)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from consent.attention import UNUSED_AFTER, Attention, attention, reminded_from
from consent.grant import Grant, GrantState, GrantTerms

GIVEN = datetime(2026, 1, 1, tzinfo=UTC)


def grant(days: int = 365, state: GrantState = GrantState.ACTIVE) -> Grant:
    terms = GrantTerms(
        client_id="p-1",
        purpose="personal-footprint",
        kinds=frozenset({"electricity-reading"}),
        operations=frozenset({"append"}),
        granularity="event",
        history_from=GIVEN - timedelta(days=30),
        expires_at=GIVEN + timedelta(days=days),
    )
    return Grant("g-1", 1, terms, state, 1, 1, GIVEN, GIVEN)


def test_a_year_long_consent_in_use_asks_thirty_days_before_its_end():
    year = grant()
    month_before = year.terms.expires_at - timedelta(days=30)
    in_use = month_before - timedelta(days=1)
    assert attention(year, in_use, month_before - timedelta(seconds=1)) is None
    assert attention(year, in_use, month_before) is Attention.ENDS_SOON


def test_a_short_consent_asks_in_its_last_quarter_and_not_from_the_first_day():
    month = grant(days=28)
    assert reminded_from(month) == GIVEN + timedelta(days=21)
    assert attention(month, None, GIVEN + timedelta(days=20)) is None


def test_half_a_year_without_a_delivery_is_unused_and_a_delivery_ends_that():
    year = grant()
    then = GIVEN + UNUSED_AFTER
    assert attention(year, None, then - timedelta(seconds=1)) is None
    assert attention(year, None, then) is Attention.UNUSED
    assert attention(year, then - timedelta(days=1), then) is None


def test_what_the_citizen_has_just_renewed_or_narrowed_is_not_unused():
    then = GIVEN + UNUSED_AFTER
    assert attention(replace(grant(), changed_at=then - timedelta(days=1)), None, then) is None


@pytest.mark.parametrize("state", [each for each in GrantState if each is not GrantState.ACTIVE])
def test_a_consent_that_takes_nothing_in_asks_for_nothing(state):
    assert attention(grant(state=state), None, GIVEN + timedelta(days=360)) is None

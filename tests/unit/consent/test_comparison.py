"""What changes when other terms take a consent's place: every difference is named, and what widens comes first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hosts import NOON

from consent.comparison import Difference, changes
from consent.errors import TermsInvalid
from consent.grant import GrantTerms
from consent.new_terms import require_new_terms

TERMS = GrantTerms(
    client_id="c",
    purpose="food-footprint",
    kinds=frozenset({"grocery-line", "transit-trip"}),
    operations=frozenset({"append"}),
    granularity={"grocery-line": "PT1H", "transit-trip": "PT1H"},
    history_from=NOON - timedelta(days=30),
    expires_at=NOON + timedelta(days=100),
    valid_to=NOON + timedelta(days=50),
    quota_per_day=100,
)


@pytest.mark.parametrize(
    ("changed", "differences"),
    [
        ({}, []),
        ({"kinds": frozenset({"grocery-line"})}, [Difference.KIND_REMOVED]),
        ({"operations": frozenset({"append", "read"}), "retention": "P2Y"}, [Difference.OPERATION_ADDED, Difference.KEPT_LONGER]),
        ({"granularity": {"grocery-line": "PT1M", "transit-trip": "P1D"}}, [Difference.FINER, Difference.COARSER]),
        ({"expires_at": NOON + timedelta(days=101)}, [Difference.LONGER]),
        ({"expires_at": NOON + timedelta(days=99)}, [Difference.SHORTER]),
        ({"history_from": NOON - timedelta(days=31)}, [Difference.FURTHER_BACK]),
        ({"history_from": NOON - timedelta(days=29)}, [Difference.LESS_FAR_BACK]),
        ({"valid_to": None}, [Difference.LATER_ACTIVITIES]),
        ({"valid_to": NOON + timedelta(days=40)}, [Difference.EARLIER_ACTIVITIES]),
        ({"quota_per_day": None}, [Difference.QUOTA_RAISED]),
        ({"quota_per_day": 10}, [Difference.QUOTA_LOWERED]),
    ],
)  # fmt: skip
def test_every_difference_is_named(changed, differences):
    found = changes(TERMS, replace(TERMS, **changed))
    assert [change.what for change in found] == differences
    assert [change.what.more for change in found] == sorted((each.more for each in differences), reverse=True)


def test_figures_that_may_be_read_are_compared_too():
    reads = replace(TERMS, kinds=frozenset(), operations=frozenset({"read"}), granularity="event", quota_per_day=None,
                    figures=frozenset({"footprint-month"}))  # fmt: skip
    more = replace(reads, figures=frozenset({"footprint-month", "footprint-day"}))
    assert [change.what for change in changes(reads, more)] == [Difference.FIGURE_ADDED]
    assert [change.what for change in changes(more, reads)] == [Difference.FIGURE_REMOVED]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"purpose": "whatever we like"}, "purpose"),
        ({"expires_at": NOON}, "expires_at"),
        ({"expires_at": NOON + timedelta(days=5 * 366, seconds=1)}, "expires_at"),
        ({"kinds": frozenset({"soul"}), "granularity": "event"}, "kinds"),
    ],
)
def test_no_new_consent_has_a_purpose_in_free_text_an_unknown_kind_or_more_than_five_years(changed, field):
    require_new_terms(TERMS, NOON)
    with pytest.raises(TermsInvalid) as refused:
        require_new_terms(replace(TERMS, **changed), NOON)
    assert refused.value.field == field

"""Who may answer for whom: authorities with dates, acts and evidence, and ages at which they end by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hosts import NOON

from consent.delegation import (
    ALL_BUT_ERASING,
    OPENING,
    Act,
    AgeRules,
    Authority,
    NotEntitled,
    Representation,
    birthday,
    is_of_age,
    stands_on_a_guardians_word,
    too_young,
    why_not,
)
from consent.errors import TermsInvalid
from consent.ledger import EventKind, GrantEvent

BORN = date(2014, 3, 1)
RULES = AgeRules()
TWELVE = datetime(2026, 11, 23, tzinfo=UTC)
FOOD = "food-footprint"


def guardian(**changes):
    terms = Representation(
        id="r-1",
        authority=Authority.GUARDIAN_OF_CHILD,
        acts=ALL_BUT_ERASING,
        begins=NOON - timedelta(days=1),
        evidence="birth certificate seen",
        born=BORN,
    )
    return replace(terms, **changes)


def attorney(**changes):
    return guardian(authority=Authority.POWER_OF_ATTORNEY, born=None, ends=NOON + timedelta(days=300), **changes)


def test_a_guardian_acts_for_a_child_in_all_but_erasing():
    assert all(why_not(guardian(), act, FOOD, NOON, RULES) == () for act in ALL_BUT_ERASING)
    assert why_not(guardian(), Act.ERASE, FOOD, NOON, RULES) == (NotEntitled.ACT_NOT_COVERED,)
    assert why_not(guardian(acts=frozenset(Act)), Act.ERASE, FOOD, NOON, RULES) == ()


def test_the_power_ends_at_midnight_of_the_birthday_in_norway():
    thirteen = datetime(2027, 2, 28, 23, 0, tzinfo=UTC)  # midnight in Trondheim
    assert why_not(guardian(), Act.GIVE, FOOD, thirteen - timedelta(seconds=1), RULES) == ()
    assert why_not(guardian(), Act.GIVE, FOOD, thirteen, RULES) == (NotEntitled.OLD_ENOUGH,)
    assert not too_young([BORN], FOOD, Act.GIVE, thirteen, RULES)


def test_a_purpose_may_have_an_age_of_its_own():
    fourteen = datetime(2028, 6, 1, tzinfo=UTC)
    assert why_not(guardian(), Act.GIVE, "research-statistics", fourteen, RULES) == ()
    assert why_not(guardian(), Act.GIVE, FOOD, fourteen, RULES) == (NotEntitled.OLD_ENOUGH,)
    assert too_young([BORN], "research-statistics", Act.GIVE, fourteen, RULES)
    assert guardian().stands_at(fourteen, RULES)
    assert not guardian().stands_at(datetime(2029, 6, 1, tzinfo=UTC), RULES)


def test_a_child_always_says_no_and_takes_back():
    for act in Act:
        assert too_young([BORN], FOOD, act, TWELVE, RULES) == (act in OPENING)
    assert not too_young([], FOOD, Act.GIVE, TWELVE, RULES)


@pytest.mark.parametrize(
    ("changes", "at", "reason"),
    [
        ({}, NOON - timedelta(days=2), NotEntitled.NOT_YET),
        ({}, NOON + timedelta(days=300), NotEntitled.RAN_OUT),
        ({"ended_at": NOON}, NOON, NotEntitled.ENDED),
        ({"purposes": frozenset({"travel-footprint"})}, NOON, NotEntitled.PURPOSE_NOT_COVERED),
        ({"acts": frozenset({Act.WITHDRAW})}, NOON, NotEntitled.ACT_NOT_COVERED),
    ],
)
def test_a_power_of_attorney_covers_what_was_allowed_and_no_more(changes, at, reason):
    assert why_not(attorney(), Act.GIVE, FOOD, NOON, RULES) == ()
    assert why_not(attorney(**changes), Act.GIVE, FOOD, at, RULES) == (reason,)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: guardian(born=None), "born"),
        (lambda: guardian(born=date(2031, 1, 1)), "born"),
        (lambda: guardian(born=date(1801, 1, 1)), "born"),
        (lambda: guardian(authority=Authority.GUARDIAN_OF_ADULT), "born"),
        (lambda: guardian(acts=frozenset()), "acts"),
        (lambda: guardian(evidence=" "), "evidence"),
        (lambda: guardian(evidence="seen \u202eyltnecer"), "evidence"),
        (lambda: guardian(ends=NOON - timedelta(days=9)), "ends"),
        (lambda: replace(attorney(), ends=None), "ends"),
        (lambda: replace(attorney(), ends=NOON + timedelta(days=366 * 6)), "ends"),
        (lambda: guardian(begins=datetime(2026, 1, 1)), "begins"),
        (lambda: guardian(purposes=frozenset()), "purposes"),
    ],
)
def test_an_authority_that_no_law_knows_is_not_recorded(make, field):
    with pytest.raises(TermsInvalid) as refused:
        make()
    assert refused.value.field == field


@pytest.mark.parametrize(
    "rules", [{"consent": 12}, {"consent": 17}, {"of_purposes": {FOOD: 12}}, {"of_purposes": {FOOD: 19}}]
)
def test_ages_that_the_law_does_not_allow_are_refused(rules):
    with pytest.raises(TermsInvalid):
        AgeRules(**rules)


def test_a_leap_day_is_reached_on_the_first_of_march():
    born = date(2016, 2, 29)
    assert birthday(born, 13) == date(2029, 3, 1)
    assert birthday(born, 12) == date(2028, 2, 29)
    assert not is_of_age(born, 13, datetime(2029, 2, 28, 12, tzinfo=UTC))


def test_the_latest_yes_says_on_whose_word_a_consent_stands():
    given = GrantEvent(EventKind.GIVEN, NOON, by="guardian")
    assert stands_on_a_guardians_word([given])
    assert stands_on_a_guardians_word([given, GrantEvent(EventKind.PAUSED, NOON, by="citizen")])
    for kind in (EventKind.RENEWED, EventKind.RESUMED):
        assert not stands_on_a_guardians_word([given, GrantEvent(kind, NOON, by="citizen")])
    assert stands_on_a_guardians_word(
        [GrantEvent(EventKind.GIVEN, NOON), GrantEvent(EventKind.RENEWED, NOON, by="guardian")]
    )

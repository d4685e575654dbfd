"""The decision, reason by reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from consent.decision import (
    CLOCK_LEEWAY,
    Permitted,
    Refused,
    Request,
    decide,
    decide_grant,
    decide_record,
)
from consent.grant import Grant, GrantState, GrantTerms
from consent.reasons import EXPLANATIONS, Reason

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TERMS = GrantTerms(
    client_id="p-1",
    purpose="live-electricity",
    kinds=frozenset({"electricity-reading", "grocery-line"}),
    operations=frozenset({"append"}),
    granularity={"electricity-reading": "PT1H", "grocery-line": "event"},
    history_from=NOW - timedelta(days=30),
    expires_at=NOW + timedelta(days=90),
    quota_per_day=100,
)
GRANT = Grant("g-1", 7, TERMS, GrantState.ACTIVE, 1, 1, NOW - timedelta(days=30), NOW - timedelta(days=30))
HOUR = Request("p-1", "append", "electricity-reading", NOW - timedelta(hours=1), NOW)


def test_a_request_within_the_terms_is_permitted():
    assert decide(HOUR, GRANT, NOW) == Permitted("g-1", 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"operation": "read"}, Reason.OPERATION_NOT_GRANTED),
        ({"kind": "transit-trip"}, Reason.KIND_NOT_GRANTED),
        ({"start": NOW - timedelta(minutes=59)}, Reason.TOO_FINE_GRANULARITY),
        ({"start": NOW - timedelta(days=31)}, Reason.OUTSIDE_WINDOW),
        ({"end": NOW + CLOCK_LEEWAY + timedelta(seconds=1)}, Reason.IN_THE_FUTURE),
        ({"count": 101}, Reason.QUOTA_EXCEEDED),
        ({"client_id": "p-2"}, Reason.NOT_YOUR_GRANT),
    ],
)
def test_one_wrong_thing_is_one_reason(change, reason):
    assert decide(replace(HOUR, **change), GRANT, NOW) == Refused((reason,))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (GrantState.PAUSED, Reason.CONSENT_PAUSED),
        (GrantState.WITHDRAWN, Reason.CONSENT_WITHDRAWN),
        (GrantState.ERASED, Reason.CONSENT_ERASED),
        (GrantState.EXPIRED, Reason.CONSENT_EXPIRED),
        (GrantState.REFUSED, Reason.NO_SUCH_GRANT),
        (GrantState.REQUESTED, Reason.NO_SUCH_GRANT),
    ],
)
def test_a_grant_that_is_not_active_refuses_by_its_state(state, reason):
    assert decide(HOUR, replace(GRANT, state=state), NOW) == Refused((reason,))


def test_a_grant_expires_by_itself_at_the_very_moment():
    expiry = TERMS.expires_at
    assert isinstance(decide_grant(GRANT, "p-1", "append", expiry - timedelta(microseconds=1)), Permitted)
    assert decide_grant(GRANT, "p-1", "append", expiry) == Refused((Reason.CONSENT_EXPIRED,))


def test_a_withdrawn_grant_stays_withdrawn_when_its_time_runs_out():
    withdrawn = replace(GRANT, state=GrantState.WITHDRAWN)
    assert decide_grant(withdrawn, "p-1", "append", TERMS.expires_at) == Refused((Reason.CONSENT_WITHDRAWN,))


def test_a_stranger_learns_nothing_of_a_grants_state():
    for state in GrantState:
        request = replace(HOUR, client_id="p-2", kind="transit-trip", count=1000)
        assert decide(request, replace(GRANT, state=state), NOW) == Refused((Reason.NOT_YOUR_GRANT,))
    assert decide_grant(GRANT, "p-1", "append", NOW, pod_id=8) == Refused((Reason.NOT_YOUR_GRANT,))


def test_no_grant_is_no_permission():
    assert decide(HOUR, None, NOW) == Refused((Reason.NO_SUCH_GRANT,))


def test_every_reason_that_applies_is_told():
    request = replace(HOUR, operation="read", start=NOW - timedelta(days=40), end=NOW + timedelta(days=1), count=500)
    refused = decide(request, replace(GRANT, state=GrantState.PAUSED), NOW)
    assert refused == Refused(
        (
            Reason.CONSENT_PAUSED,
            Reason.OPERATION_NOT_GRANTED,
            Reason.IN_THE_FUTURE,
            Reason.OUTSIDE_WINDOW,
            Reason.QUOTA_EXCEEDED,
        )
    )


def test_events_without_a_length_pass_where_events_were_agreed():
    assert decide_record(TERMS, "grocery-line", NOW, NOW, NOW) is None
    assert decide_record(TERMS, "electricity-reading", NOW, NOW, NOW).reason is Reason.TOO_FINE_GRANULARITY


def test_the_quota_counts_what_came_before():
    assert isinstance(decide(HOUR, GRANT, NOW, used_today=99), Permitted)
    assert decide(HOUR, GRANT, NOW, used_today=100) == Refused((Reason.QUOTA_EXCEEDED,))


def test_every_reason_has_its_words():
    assert set(EXPLANATIONS) == set(Reason)

"""The law's laws: more refusal never means more access, and a ledger may be folded in any two parts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from consent.decision import Permitted, Refused, Request, decide, decide_grant, decide_quota, decide_record
from consent.errors import EventOutOfOrder
from consent.grant import Grant, GrantState, GrantTerms
from consent.ledger import EventKind, GrantEvent, fold

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KINDS = ["electricity-reading", "grocery-line", "transit-trip"]
GRANULARITIES = ["event", "PT1M", "PT1H", "P1D", "P1M"]
minutes = st.integers(-60 * 24 * 60, 60 * 24 * 60).map(lambda count: timedelta(minutes=count))


@st.composite
def grants(draw):
    begins = draw(minutes)
    terms = GrantTerms(
        client_id=draw(st.sampled_from(["p-1", "p-2"])),
        purpose="live-electricity",
        kinds=draw(st.frozensets(st.sampled_from(KINDS), min_size=1)),
        operations=draw(st.frozensets(st.sampled_from(["append", "read"]), min_size=1)),
        granularity=draw(st.sampled_from(GRANULARITIES)),
        history_from=NOW + begins,
        expires_at=NOW + begins + draw(st.integers(1, 10**5).map(lambda count: timedelta(minutes=count))),
        quota_per_day=draw(st.none() | st.integers(1, 50)),
    )
    state = draw(st.sampled_from([GrantState.ACTIVE, GrantState.ACTIVE, GrantState.ACTIVE, *GrantState]))
    return Grant("g-1", 7, terms, state, 1, 1, NOW, NOW)


@st.composite
def requests(draw):
    start = NOW + draw(minutes)
    return Request(
        client_id=draw(st.sampled_from(["p-1", "p-2"])),
        operation=draw(st.sampled_from(["append", "read"])),
        kind=draw(st.sampled_from(KINDS)),
        start=start,
        end=start + draw(st.integers(0, 50_000).map(lambda count: timedelta(minutes=count))),
        count=draw(st.integers(1, 60)),
    )


def narrower(grant, draw):
    """The same grant after one more no: a kind, an operation, time, fineness, quota or the whole less."""
    terms = grant.terms
    choice = draw(st.integers(0, 6))
    if choice == 0 and len(terms.kinds) > 1:
        terms = replace(terms, kinds=terms.kinds - {draw(st.sampled_from(sorted(terms.kinds)))})
    elif choice == 1 and len(terms.operations) > 1:
        terms = replace(terms, operations=terms.operations - {draw(st.sampled_from(sorted(terms.operations)))})
    elif choice == 2:
        terms = replace(terms, quota_per_day=min(terms.quota_per_day or 10**9, draw(st.integers(1, 50))))
    elif choice == 3:
        position = GRANULARITIES.index(terms.granularity)
        terms = replace(terms, granularity=draw(st.sampled_from(GRANULARITIES[position:])))
    elif choice == 4:
        terms = replace(terms, history_from=terms.history_from + (terms.expires_at - terms.history_from) / 2)
    elif choice == 5:
        terms = replace(terms, expires_at=terms.history_from + (terms.expires_at - terms.history_from) / 2)
    else:
        ended = st.sampled_from([GrantState.PAUSED, GrantState.WITHDRAWN, GrantState.ERASED])
        return replace(grant, state=draw(ended))
    return replace(grant, terms=terms)


@given(grants(), requests(), st.integers(0, 60), st.data())
def test_adding_a_refusal_never_widens_access(grant, request_made, used, data):
    less = narrower(grant, data.draw)
    if isinstance(decide(request_made, grant, NOW, used_today=used), Refused):
        assert isinstance(decide(request_made, less, NOW, used_today=used), Refused)


@given(grants(), requests(), st.integers(0, 60))
def test_the_bulk_doors_three_questions_are_the_one_decision(grant, request_made, used):
    in_parts = (
        isinstance(decide_grant(grant, request_made.client_id, request_made.operation, NOW), Permitted)
        and decide_record(grant.terms, request_made.kind, request_made.start, request_made.end, NOW) is None
        and decide_quota(grant.terms, used, request_made.count) is None
    )
    assert in_parts == isinstance(decide(request_made, grant, NOW, used_today=used), Permitted)


possible_events = st.lists(
    st.tuples(st.sampled_from(list(EventKind)), st.integers(0, 1000)).map(
        lambda pair: GrantEvent(pair[0], NOW + timedelta(minutes=pair[1]))
    ),
    max_size=8,
)


def folded(events, *start):
    try:
        return fold(events, *start)
    except EventOutOfOrder:
        return None


@given(possible_events, st.integers(0, 8))
def test_folding_the_ledger_in_two_halves_is_folding_it_whole(events, cut):
    first = folded(events[:cut])
    assert folded(events) == (None if first is None else folded(events[cut:], first))


@given(possible_events)
def test_once_withdrawn_never_active_again(events):
    standings = [folded(events[: count + 1]) for count in range(len(events))]
    states = [standing.state for standing in standings if standing is not None]
    if GrantState.WITHDRAWN in states:
        assert GrantState.ACTIVE not in states[states.index(GrantState.WITHDRAWN) :]

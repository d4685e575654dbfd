"""Log events write back the same bytes, and their detail cannot carry measured values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pod_server.identifiers import Actor
from pod_server.log.errors import EventRefused
from pod_server.log.event import LogEvent

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
slugs = st.from_regex(r"\A[a-z][a-z0-9-]{0,20}\Z")
events = st.builds(
    LogEvent,
    at=st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    actor=st.builds(Actor, slugs, texts, texts),
    action=slugs,
    purpose=st.one_of(st.just(""), slugs),
    grant=st.one_of(st.just(""), slugs),
    outcome=slugs,
    count=st.integers(0, 10**9),
    detail=st.dictionaries(slugs, st.one_of(st.integers(-(10**9), 10**9), texts), max_size=4),
)


@given(events)
def test_an_event_reads_back_and_writes_the_same_bytes(event):
    encoded = event.encoded()
    assert LogEvent.decode(encoded) == event
    assert LogEvent.decode(encoded).encoded() == encoded
    assert len(encoded) % 128 == 0


@given(slugs, st.one_of(st.floats(), st.none(), st.lists(st.integers()), st.dictionaries(slugs, texts), st.binary()))
def test_a_value_that_is_no_short_text_or_whole_number_is_refused(name, value):
    event = LogEvent(datetime(2026, 1, 1, tzinfo=UTC), Actor("citizen"), "read", detail={name: value})
    with pytest.raises(EventRefused):
        event.encoded()

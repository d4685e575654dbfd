"""Log events write back the same bytes, and their detail cannot carry measured values."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pod_server.clock import microseconds
from pod_server.identifiers import Actor
from pod_server.log.errors import EventRefused, LogBroken
from pod_server.log.event import LogEvent, canonical
from pod_server.log.stored_event import WORDS, members_of, stored

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


hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
grants = st.binary(min_size=17, max_size=17).map(lambda raw: "g-" + base64.b32encode(raw).decode().lower()[:26])


@given(
    events, st.sampled_from(WORDS), st.one_of(hashes, hashes.map(str.upper)), st.one_of(grants, st.sampled_from(WORDS))
)
def test_a_compact_event_gives_the_canonical_bytes_again(event, word, digest, grant):
    """What is stored in an open pod's log is another form of exactly what its leaf commits to."""
    for each in (event, replace(event, purpose=word, grant=grant, detail={**event.detail, "sha256": digest, "n": 3})):
        compact = stored(each, microseconds(each.at))
        assert canonical(members_of(compact)) == each.encoded()
        assert len(compact) >= 128
        assert len(compact) % 64 == 0


def test_what_is_no_compact_event_is_told_as_a_broken_log():
    good = stored(LogEvent(datetime(2026, 1, 1, tzinfo=UTC), Actor("citizen"), "read"), 0)
    for broken in (b"", good[:3], good[:9], b"\x01\x00\x01\xc0", b"\x01\x00\x02\x91\x01"):
        with pytest.raises(LogBroken):
            members_of(broken)


@given(slugs, st.one_of(st.floats(), st.none(), st.lists(st.integers()), st.dictionaries(slugs, texts), st.binary()))
def test_a_value_that_is_no_short_text_or_whole_number_is_refused(name, value):
    event = LogEvent(datetime(2026, 1, 1, tzinfo=UTC), Actor("citizen"), "read", detail={name: value})
    with pytest.raises(EventRefused):
        event.encoded()

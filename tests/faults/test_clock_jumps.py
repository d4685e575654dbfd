"""The clock jumps: forward over a day, back over a week. Order, identity and the log do not hang on it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from deliveries import deliver, granted, owner_permit, reading, readings

from pod_server import feed
from pod_server.activities import read_activities, read_segments
from pod_server.errors import FeedMoved
from pod_server.log.verification import verify_stored
from pod_server.opening import open_pod


def test_after_a_jump_back_the_order_of_the_feed_still_holds(city, host):
    kari = city.citizen("kari")
    partner = granted(host, kari.pod_id)
    deliver(host, partner.permit, [reading(0, 1.0)])
    city.clock.advance(timedelta(days=-7))
    deliver(host, partner.permit, [reading(0, 2.0, correction=True)])
    opened = open_pod(host, owner_permit(kari.vault))
    segments = read_segments(host, opened)
    assert segments[1].received < segments[0].received
    assert segments[1].seq > segments[0].seq
    assert [activity.raw for activity in read_activities(host, opened)] == [reading(0, 2.0, correction=True).raw]
    with host.storage.read() as tx:
        verify_stored(tx, kari.pod_id)


def test_what_came_before_a_jump_is_a_duplicate_after_it(city, host):
    kari = city.citizen("kari")
    partner = granted(host, kari.pod_id)
    deliver(host, partner.permit, readings(0, 10))
    for days in (1, -30, 60):
        city.clock.advance(timedelta(days=days))
        assert deliver(host, partner.permit, readings(0, 10)) == ["duplicate"] * 10


def test_a_claim_made_before_a_jump_back_does_not_hold_a_pod_for_ever_nor_count_it_twice(city, host):
    """The lease runs by the clock; that nothing is counted twice does not."""
    kari = city.citizen("kari")
    (first,) = feed.claim(host, "worker-1", 10)
    city.clock.advance(timedelta(days=1))
    (second,) = feed.claim(host, "worker-2", 10)
    assert second == first
    with host.storage.write() as tx:
        feed.advance(tx, kari.pod_id, second.head, after=second.cursor)
    with pytest.raises(FeedMoved), host.storage.write() as tx:
        feed.advance(tx, kari.pod_id, first.head, after=first.cursor)


def test_a_lease_from_before_a_jump_back_holds_nobody_off(city, host):
    city.clock.advance(timedelta(days=1))
    kari = city.citizen("kari")
    assert [claim.pod_id for claim in feed.claim(host, "worker-that-died", 10)] == [kari.pod_id]
    assert feed.claim(host, "worker-2", 10) == []
    city.clock.advance(timedelta(days=-1))
    assert [claim.pod_id for claim in feed.claim(host, "worker-2", 10)] == [kari.pod_id]


def test_a_quota_counts_the_day_that_the_clock_shows(city, host):
    kari = city.citizen("kari")
    partner = granted(host, kari.pod_id, quota_per_day=3)
    assert deliver(host, partner.permit, readings(0, 3)) == ["accepted"] * 3
    city.clock.advance(timedelta(days=1))
    assert deliver(host, partner.permit, readings(3, 3)) == ["accepted"] * 3
    city.clock.advance(timedelta(days=-1))
    assert deliver(host, partner.permit, [reading(6)]) == ["refused"]

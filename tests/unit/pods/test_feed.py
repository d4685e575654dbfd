"""The feed: numbers in order, claims that save work, cursors that let nothing be counted twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from deliveries import deliver, granted, reading

from pod_server import feed
from pod_server.errors import FeedMoved


@pytest.fixture
def kari(city):
    return city.citizen("kari")


def take_in(host, claim: feed.Claim) -> None:
    with host.storage.write() as tx:
        feed.advance(tx, claim.pod_id, claim.head, after=claim.cursor)


def test_a_pod_with_work_is_claimed_by_one_worker_and_free_when_done(host, kari):
    (claim,) = feed.claim(host, "worker-1", 10)
    assert claim.pod_id == kari.pod_id
    assert feed.claim(host, "worker-2", 10) == []
    take_in(host, claim)
    assert feed.claim(host, "worker-2", 10) == []
    with host.storage.read() as tx:
        assert feed.pending(tx) == (0, 0)


def test_what_comes_during_the_work_is_the_next_claim(host, kari):
    partner = granted(host, kari.pod_id)
    (claim,) = feed.claim(host, "worker-1", 10)
    deliver(host, partner.permit, [reading(0)])
    take_in(host, claim)
    (next_claim,) = feed.claim(host, "worker-2", 10)
    assert next_claim.cursor == claim.head
    assert next_claim.head > claim.head


def test_a_dead_workers_pods_are_free_after_the_lease(host, city, kari):
    feed.claim(host, "worker-that-died", 10)
    city.clock.advance(timedelta(microseconds=feed.LEASE_MICROSECONDS))
    assert len(feed.claim(host, "worker-2", 10)) == 1


def test_a_released_pod_is_free_at_once(host, kari):
    feed.claim(host, "worker-1", 10)
    feed.release(host, kari.pod_id, "worker-2")  # not its pod: nothing happens
    assert feed.claim(host, "worker-2", 10) == []
    feed.release(host, kari.pod_id, "worker-1")
    assert len(feed.claim(host, "worker-2", 10)) == 1


def test_the_second_of_two_workers_with_one_pod_keeps_nothing(host, kari):
    (claim,) = feed.claim(host, "worker-1", 10)
    take_in(host, claim)
    with pytest.raises(FeedMoved), host.storage.write() as tx:  # noqa: PT012 - the whole block is one attempt
        tx.execute("UPDATE pod SET area = 'counted twice'")
        feed.advance(tx, claim.pod_id, claim.head, after=claim.cursor)
    with host.storage.read() as tx:
        assert tx.one("SELECT area FROM pod") == ("",)


def test_sums_made_before_an_erasure_are_not_kept_after_it(host, kari, clock):
    """The agent read a partner's sums, the citizen erased the partner, and only then the agent came to write."""
    (claim,) = feed.claim(host, "worker-1", 10)
    with host.storage.write() as tx:
        feed.note_change(tx, kari.pod_id, "erasure", "g-1", at=clock.now())
    with pytest.raises(FeedMoved):
        take_in(host, claim)
    (again,) = feed.claim(host, "worker-1", 10)
    take_in(host, again)


def test_a_cursor_never_passes_the_head(host, kari):
    (claim,) = feed.claim(host, "worker-1", 10)
    with pytest.raises(FeedMoved), host.storage.write() as tx:
        feed.advance(tx, claim.pod_id, claim.head + 1, after=claim.cursor)


def test_who_waited_longest_is_first_and_the_limit_holds(host, city):
    for handle in ("first", "second", "third"):
        city.citizen(handle)
        city.clock.advance(timedelta(seconds=1))
    claims = feed.claim(host, "worker-1", 2)
    with host.storage.read() as tx:
        handles = {row[0]: row[1] for row in tx.all("SELECT pod_id, handle FROM pod")}
    assert {handles[claim.pod_id] for claim in claims} == {"first", "second"}


def test_quiet_changes_take_numbers_without_making_work(host, kari, clock):
    (claim,) = feed.claim(host, "worker-1", 10)
    take_in(host, claim)
    with host.storage.write() as tx:
        first = feed.note_change(tx, kari.pod_id, "document", at=clock.now())
        second = feed.note_change(tx, kari.pod_id, "proposal", at=clock.now())
    assert (first, second) == (claim.head + 1, claim.head + 2)
    assert feed.claim(host, "worker-1", 10) == []


def test_changes_are_told_in_order_with_their_grant(host, kari, clock):
    with host.storage.write() as tx:
        _, head = feed.position(tx, kari.pod_id)
        feed.note_change(tx, kari.pod_id, "grant", "g-1", at=clock.now())
        feed.note_change(tx, kari.pod_id, "household", at=clock.now())
    with host.storage.read() as tx:
        changes = feed.changes_after(tx, kari.pod_id, head)
    assert [(change.subject, change.grant) for change in changes] == [("grant", "g-1"), ("household", "")]
    assert [change.seq for change in changes] == [head + 1, head + 2]

"""The desk: one thread at a time, in the order they came; whoever waits for something else leaves it to the others."""

from __future__ import annotations

import threading
import time

import pytest

from pod_server import desk


def in_a_thread(work) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def queued(number: int) -> None:
    until = time.monotonic() + 60
    while len(desk._pods._queue) < number:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_one_sits_at_a_time_and_the_others_in_the_order_they_came():
    order: list[int] = []
    at_once: list[int] = []

    def work(number: int) -> None:
        with desk.seated():
            at_once.append(number)
            assert len(at_once) == 1
            order.append(number)
            at_once.remove(number)

    with desk.seated():
        threads = []
        for number in range(8):
            threads.append(in_a_thread(lambda number=number: work(number)))
            queued(number + 1)
    for thread in threads:
        thread.join(30)
    assert order == list(range(8))


def test_whoever_waits_leaves_the_desk_and_comes_back_to_it():
    seen: list[str] = []

    def other() -> None:
        with desk.seated():
            seen.append("other")

    with desk.seated():
        with desk.away():
            in_a_thread(other).join(30)
            assert seen == ["other"]
        thread = in_a_thread(other)
        queued(1)
        assert seen == ["other"]
    thread.join(30)
    assert seen == ["other", "other"]


def test_an_error_while_away_or_seated_leaves_nothing_taken():
    with pytest.raises(LookupError), desk.seated(), desk.away():
        raise LookupError
    with pytest.raises(LookupError), desk.seated():
        raise LookupError
    thread = in_a_thread(lambda: desk.seated().__enter__())
    thread.join(30)
    assert desk._pods._taken  # by a thread that has ended: nobody else may be taken for it
    desk._pods.rise()
    assert not desk._pods._taken


def test_sitting_twice_is_sitting_and_away_from_elsewhere_does_nothing():
    with desk.away():
        assert not desk._pods._taken
    with desk.seated():
        with desk.seated():
            pass
        assert desk._pods._taken
    assert not desk._pods._taken


def test_a_bulk_delivery_holds_up_no_request_for_a_pod_and_waits_behind_the_bulk_before_it():
    begun, may_end, second = threading.Event(), threading.Event(), threading.Event()

    def first_bulk():
        with desk.seated_for_bulk():
            begun.set()
            may_end.wait(10)

    def second_bulk():
        with desk.seated_for_bulk(), desk.away():
            second.set()

    threads = [threading.Thread(target=each, daemon=True) for each in (first_bulk, second_bulk)]
    threads[0].start()
    begun.wait(10)
    threads[1].start()
    while not desk._bulk._queue:
        threading.Event().wait(0.001)
    with desk.seated():
        assert not second.is_set()
    may_end.set()
    for each in threads:
        each.join(10)
    assert second.is_set()
    assert not desk._bulk._taken

"""The agent dies at each of its steps, and starts again: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from typing import get_args

import pytest
from ending import forked, outcome_of
from twin_activities import MIDNIGHT, electricity, trip
from twin_citizen import Citizen

from pod_server import feed
from twin_agent.pipeline import Step, process_pod
from twin_agent.recompute import differences
from twin_agent.worker import run_agent


@pytest.fixture
def kari(city):
    citizen = Citizen(city, city.citizen("kari", household_size=2))
    citizen.deliver("Grid", *(electricity(f"h{n}", MIDNIGHT - n * timedelta(hours=1), 60, 1.0) for n in range(1, 49)))
    citizen.think()
    citizen.deliver("Grid", *(electricity(f"k{n}", MIDNIGHT + n * timedelta(hours=1), 60, 2.0) for n in range(5)))
    citizen.deliver("AtB", trip("t", MIDNIGHT, 5.0))
    return citizen


class Died(BaseException):
    """As if the process ended here."""


@pytest.mark.parametrize("step", get_args(Step))
def test_after_a_stop_at_any_step_the_sums_are_right_and_events_come_once(kari, step) -> None:
    def die(at: str) -> None:
        if at == step:
            raise Died

    with pytest.raises(Died):
        process_pod(kari.host, kari.pod_id, at_step=die)
    process_pod(kari.host, kari.pod_id)
    month = kari.figures()["months"]["2026-11"]
    assert month["electricity"][3] == pytest.approx((48 + 10) / 2)
    assert month["travel"][3] == pytest.approx(5.0)
    assert differences(kari.figures()["months"], kari.recomputed()) == []
    assert len(kari.events()) == 1 + 5 + 1


@pytest.mark.parametrize("step", ["begun", "written", "committed"])
def test_kill_nine_in_the_writing_transaction(kari, step) -> None:
    """A real process, killed by the kernel in the middle of it."""

    def child() -> None:
        def die(at: str) -> None:
            if at == step:
                os.kill(os.getpid(), signal.SIGKILL)

        process_pod(kari.host, kari.pod_id, at_step=die)

    kari.host.storage.close()  # connections are not carried over a fork
    with forked(child) as agent:
        assert outcome_of(agent) == -signal.SIGKILL
    process_pod(kari.host, kari.pod_id)
    assert kari.figures()["months"]["2026-11"]["electricity"][3] == pytest.approx((48 + 10) / 2)
    assert len(kari.events()) == 1 + 5 + 1


def test_two_agents_on_one_pod_count_once(kari) -> None:
    import contextlib

    from pod_server.errors import FeedMoved

    barrier = threading.Barrier(2)

    def think() -> None:
        barrier.wait()
        with contextlib.suppress(FeedMoved):
            process_pod(kari.host, kari.pod_id)

    threads = [threading.Thread(target=think) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert kari.figures()["months"]["2026-11"]["electricity"][3] == pytest.approx((48 + 10) / 2)
    assert len(kari.events()) == 1 + 5 + 1


def test_an_erasure_in_mid_sum_is_not_summed_back_in(kari) -> None:
    from deliveries import CITIZEN

    from pod_server import grants
    from pod_server.errors import FeedMoved

    def erase(at: str) -> None:
        if at == "inferred":
            grants.erase(kari.host, kari.pod_id, kari.grants["Grid"].grant, actor=CITIZEN)

    with pytest.raises(FeedMoved):
        process_pod(kari.host, kari.pod_id, at_step=erase)
    kari.think()
    assert "electricity" not in kari.figures()["months"]["2026-11"]
    assert {event["partner"] for event in kari.events()} == {"AtB"}


def test_a_running_agent_takes_a_delivery_in_at_once_and_stops_when_told(kari) -> None:
    import time

    stop = threading.Event()
    agent = threading.Thread(target=run_agent, args=(kari.host, stop))
    agent.start()
    try:
        for number in range(3):
            kari.deliver("AtB", trip(f"live{number}", MIDNIGHT, 1.0))
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with kari.host.storage.read() as tx:
                    cursor, head = feed.position(tx, kari.pod_id)
                if cursor == head:
                    break
                time.sleep(0.005)
            assert cursor == head
    finally:
        stop.set()
        agent.join(30)
    assert not agent.is_alive()
    assert kari.figures()["months"]["2026-11"]["travel"][3] == pytest.approx(8.0)


def test_one_broken_pod_does_not_stop_the_others(city, kari) -> None:
    ola = Citizen(city, city.citizen("ola"))
    ola.deliver("AtB", trip("t", MIDNIGHT, 2.0))
    with city.host.storage.write() as tx:
        tx.execute("UPDATE household SET sealed = ? WHERE pod_id = ?", (b"broken", kari.pod_id))
    kari.think()
    assert ola.figures()["months"]["2026-11"]["travel"][3] == pytest.approx(2.0)

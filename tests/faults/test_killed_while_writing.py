"""A process killed (SIGKILL) in the middle of a write: nothing acknowledged is lost, nothing is counted twice.

The writer is a forked child that tells each acknowledged delivery over a pipe and dies at a named step, or whenever
the parent's signal meets it. Afterwards the parent, with fresh connections, looks at what stands.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import get_args

import pytest
from deliveries import deliver, granted, owner_permit, permit_again, reading, readings
from ending import forked, outcome_of
from hosts import make_host

from pod_server import activities, feed
from pod_server.activities import Delivery, Step, append, count_records, read_activities, read_segments
from pod_server.log.verification import verify_stored
from pod_server.opening import custodian_vault, open_pod
from pod_server.pods import create_pod

STEPS = get_args(Step)
AFTER_THE_COMMIT = {"committed", "told"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def setting(folder, clock):
    """A host with one pod and one grant, closed again: the child and the parent each open their own."""
    host = make_host(folder, clock)
    pod = create_pod(host, "kari")
    partner = granted(host, pod.pod_id)
    host.storage.close()
    host.key_store.close()
    return pod.pod_id, partner


def in_a_child(work) -> tuple[int, list[int]]:
    """Run `work(tell)` in a forked child until it dies; (signal it died of, what it told)."""
    listening, telling = os.pipe()
    with forked(lambda: work(lambda number: os.write(telling, number.to_bytes(4, "big")))) as child:
        os.close(telling)
        with os.fdopen(listening, "rb") as pipe:
            told = pipe.read()
        numbers = [int.from_bytes(told[start : start + 4], "big") for start in range(0, len(told), 4)]
        return max(0, -outcome_of(child)), numbers


def what_stands(host, pod_id) -> list[str]:
    """The ids of all stored activities; also checks that log, feed and counts agree with them."""
    opened = open_pod(host, owner_permit(custodian_vault(host, pod_id)))
    segments = read_segments(host, opened, limit=10_000)
    stored = [record.id for segment in segments for record in segment.records]
    assert len(set(stored)) == len(stored), "something is counted twice"
    assert len(list(read_activities(host, opened))) == len(stored)
    with host.storage.read() as tx:
        verify_stored(tx, pod_id)
        assert count_records(tx, pod_id) == len(stored)
        assert tx.one("SELECT COALESCE(SUM(accepted), 0) FROM consent_use WHERE pod_id = ?", (pod_id,)) == (
            len(stored),
        )
        leaves = [row[0] for row in tx.all("SELECT log_index FROM segment WHERE pod_id = ? ORDER BY seq", (pod_id,))]
        assert len(set(leaves)) == len(segments)
        assert max(leaves, default=0) < tx.one("SELECT COUNT(*) FROM log_leaf WHERE pod_id = ?", (pod_id,))[0]
        assert feed.position(tx, pod_id)[1] >= max((segment.seq for segment in segments), default=0)
    return stored


@pytest.mark.parametrize("step", STEPS)
def test_death_at_each_step_leaves_the_whole_delivery_or_nothing(folder, setting, clock, step):
    pod_id, partner = setting

    def die(at: str) -> None:
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def work(tell) -> None:
        host = make_host(folder, clock)
        permit = permit_again(host, partner.partner, partner.grant)
        assert deliver(host, permit, readings(0, 5)) == ["accepted"] * 5
        tell(5)
        deliver(host, permit, readings(5, 5), at_step=die)
        tell(10)

    died_of, told = in_a_child(work)
    assert (died_of, told) == (signal.SIGKILL, [5])
    host = make_host(folder, clock)
    assert len(what_stands(host, pod_id)) == (10 if step in AFTER_THE_COMMIT else 5)

    permit = permit_again(host, partner.partner, partner.grant)
    again = deliver(host, permit, readings(0, 10))
    assert again == ["duplicate"] * 5 + (["duplicate"] if step in AFTER_THE_COMMIT else ["accepted"]) * 5
    assert len(what_stands(host, pod_id)) == 10


def test_death_between_two_pods_of_one_transaction_leaves_neither(folder, setting, clock):
    pod_id, partner = setting
    host = make_host(folder, clock)
    other = create_pod(host, "ola")
    others = granted(host, other.pod_id, partner=partner.partner)
    written: list[str] = []

    def die_at_the_second(at: str) -> None:
        written.append(at)
        if written.count("written") == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def work(_tell) -> None:
        # On a machine that is busy a transaction would end between the two.
        activities._TRANSACTION_SECONDS = activities._TRANSACTION_SECONDS_AMONG_MANY = 60.0
        fresh = make_host(folder, clock)
        permits = [permit_again(fresh, partner.partner, grant) for grant in (partner.grant, others.grant)]
        append(fresh, [Delivery(permit, [reading(0)]) for permit in permits], at_step=die_at_the_second)

    assert in_a_child(work)[0] == signal.SIGKILL
    assert what_stands(host, pod_id) == []
    assert what_stands(host, other.pod_id) == []


@pytest.mark.parametrize("seed", range(4))
def test_death_at_any_moment_loses_nothing_acknowledged(folder, setting, clock, seed):
    """Not at a step but whenever the signal comes: inside SQLite's commit, its checkpoint, a file lock."""
    pod_id, partner = setting
    listening, telling = os.pipe()

    def work() -> None:
        host = make_host(folder, clock)
        permit = permit_again(host, partner.partner, partner.grant)
        for number in range(1_000_000):
            deliver(host, permit, [reading(number)])
            os.write(telling, number.to_bytes(4, "big"))

    with forked(work) as child:
        os.close(telling)
        with os.fdopen(listening, "rb") as pipe:
            pipe.read(4)  # it has begun
            time.sleep(0.05 + random.Random(seed).random() * 0.3)
            os.kill(child, signal.SIGKILL)
            acknowledged = 1 + len(pipe.read()) // 4

    host = make_host(folder, clock)
    stored = what_stands(host, pod_id)
    assert acknowledged > 1
    assert acknowledged <= len(stored) <= acknowledged + 1
    permit = permit_again(host, partner.partner, partner.grant)
    assert set(deliver(host, permit, readings(0, len(stored)))) == {"duplicate"}
    assert deliver(host, permit, [reading(len(stored))]) == ["accepted"]
    assert what_stands(host, pod_id) == [reading(number).id for number in range(len(stored) + 1)]

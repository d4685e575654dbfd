"""The worker that asks sources dies by kill -9 at each step of a pull: nothing is lost, nothing comes twice, nobody signs in again
but where the source itself cannot know better."""

from __future__ import annotations

import json
import os
import signal
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from bank_house import bank_house
from ending import forked, outcome_of

from partner_bridge import pulling
from partner_bridge.channels import oauth_pull
from pod_server import activities
from pod_server.authorization.enforcement import require_owner
from pod_server.opening import open_pod

if TYPE_CHECKING:
    from collections.abc import Callable


def payments(opened) -> list[str]:
    own = open_pod(opened.host, require_owner(opened.kari.vault), vault=opened.kari.vault)
    return sorted(json.loads(each.raw)["@id"] for each in activities.read_activities(opened.host, own))


def dying(after: int, work: Callable) -> Callable:
    """The same work, whose process dies instead of coming back from the so-manieth time."""
    times = 0

    def deadly(*given, **named):
        nonlocal times
        done = work(*given, **named)
        times += 1
        if times == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    return deadly


STEPS = {
    "before anything is read": lambda: (oauth_pull, "get", 1),
    "when a month is read and not in": lambda: (oauth_pull, "get", 3),
    "when a month is in": lambda: (pulling, "_take_in", 1),
    "when half a year is in": lambda: (pulling, "_take_in", 6),
    "when all is in and nothing is said of it": lambda: (pulling, "_read", 1),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_pull_survives_the_death_of_its_worker(city, step):
    with bank_house(city) as opened:
        opened.connect()
        opened.host.storage.close()  # connections are not carried over a fork

        def child() -> None:
            where, name, times = STEPS[step]()
            setattr(where, name, dying(times, getattr(where, name)))
            pulling.pull_due(opened.host)

        with forked(child) as worker:
            assert outcome_of(worker) == -signal.SIGKILL
        assert pulling.pull_due(opened.host) == [], "what a dead worker took is its own until its lease runs out"
        before = payments(opened)
        opened.pass_time(seconds=(pulling.LEASE + timedelta(seconds=1)).total_seconds())
        (done,) = pulling.pull_due(opened.host)
        assert not done.problem
        after = payments(opened)
        assert set(before) <= set(after)
        assert len(after) == len(set(after)) == opened.bank.served()["kari"]
        assert done.accepted == len(after) - len(before)

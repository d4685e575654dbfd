"""A pull whose process is killed in its middle, with a signal that nothing can catch, goes on where it stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import hosts
import pytest
from bank_house import bank_house
from ending import end
from hosts import NOON, City, make_host

from partner_bridge import pulling
from pod_server import activities
from pod_server.authorization.enforcement import require_owner
from pod_server.clock import SetClock
from pod_server.opening import open_pod

TESTS = Path(__file__).parents[1]
PULLER = """
import json, sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
told = json.loads(sys.argv[1])
sys.path.insert(0, told["tests"])
import hosts
from partner_bridge import pulling
from pod_server.clock import SetClock
from pod_server.outbound import Outbound
hosts.database_url_for = lambda folder: told["database"]
host = hosts.make_host(Path(told["folder"]), SetClock(datetime.fromisoformat(told["now"])))
pulling.pull_due(replace(host, outbound=Outbound(frozenset({told["bank"]}))))
"""


@pytest.fixture
def opened(tmp_path):
    clock = SetClock(NOON)
    with bank_house(City(make_host(tmp_path / "killed", clock), clock)) as house:
        yield house


@pytest.fixture
def undisturbed(tmp_path):
    clock = SetClock(NOON)
    with bank_house(City(make_host(tmp_path / "undisturbed", clock), clock)) as house:
        yield house


def names(house):
    own = open_pod(house.host, require_owner(house.kari.vault), vault=house.kari.vault)
    found = [json.loads(each.raw)["@id"] for each in activities.read_activities(house.host, own)]
    assert len(found) == len(set(found)), "a payment came in twice"
    return set(found)


def test_a_pull_that_is_killed_goes_on_where_it_stopped_and_brings_nothing_twice(opened, undisturbed):
    undisturbed.connect()
    pulling.pull_due(undisturbed.host)
    whole = names(undisturbed)
    opened.connect()
    asked, reached, answer = [], threading.Event(), opened.bank.answer

    def stops_in_the_middle(method, path, query, *more):
        if path.endswith("/transactions/classified"):
            asked.append(query["fromDate"])
            if len(asked) == 6:
                reached.set()
                threading.Event().wait(30)
        return answer(method, path, query, *more)

    opened.bank.answer = stops_in_the_middle
    told = {
        "tests": str(TESTS),
        "folder": str(opened.host.data_folder),
        "now": opened.house.city.clock.now().isoformat(),
        "bank": opened.source.issuer,
        "database": hosts.database_url_for(opened.host.data_folder),
    }
    puller = subprocess.Popen([sys.executable, "-c", PULLER, json.dumps(told)])
    try:
        assert reached.wait(60), "the pull never came so far"
        puller.send_signal(signal.SIGKILL)
        assert puller.wait(20) == -signal.SIGKILL
    finally:
        end(puller)
    opened.bank.answer = answer
    before, first_time = names(opened), list(asked)
    assert before
    assert before < whole
    assert pulling.pull_due(opened.host) == [], "the lease of the dead is kept until it ends"
    asked.clear()
    opened.pass_time(minutes=3)
    opened.bank.answer = lambda method, path, query, *more: (
        asked.append(query.get("fromDate")) if "fromDate" in query else None,
        answer(method, path, query, *more),
    )[1]
    (done,) = pulling.pull_due(opened.host)
    assert not done.problem
    assert names(opened) == whole
    assert len(first_time) + len(asked) <= 12 + 2, "what was read whole is not asked for again"
    assert min(asked) > min(first_time)

"""K5: a withdrawal is felt by the very next write in every process, whatever the writers were doing when it came.

One consent after another is withdrawn while three processes deliver under it and its neighbours without pause; no two
withdrawals meet them in the same phase. `make test` takes a few dozen, `make faults` thousands.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time

import pytest
from deliveries import CITIZEN, add_partner, granted, readings
from hosts import make_host

from consent.grant import GrantState
from pod_server import grants
from pod_server.activities import Delivery, append
from pod_server.log import ledger
from pod_server.log.verification import verify_stored
from pod_server.pods import create_pod

ROUNDS = 10 * int(os.environ.get("TVILLING_FAULT_RUNS", "4"))
WRITERS = 3
PODS = 4
AHEAD = 3
"""Consents under which a writer delivers at a time: the one to be withdrawn next, and those after it."""


def write(folder, clock, permits, number, withdrawn, told, stop) -> None:
    """Deliver under the consents that are next to go; count what was asked after a withdrawal, and what got through."""
    host = make_host(folder, clock)
    first, asked, wrong, accepted = (number + 1) * 10_000_000, 0, 0, 0
    told.put("ready")
    while not stop.is_set():
        # Whatever the parent has said is withdrawn before this call begins must be refused by it.
        gone = withdrawn.value
        chosen = [index for index in range(gone - 1, gone + AHEAD) if 0 <= index < len(permits)]
        outcomes = append(host, [Delivery(permits[index], readings(first, 3)) for index in chosen])
        first += 3
        for index, outcome in zip(chosen, outcomes, strict=True):
            if index < gone:
                asked += 1
                wrong += outcome.refusal is None
            else:
                accepted += outcome.refusal is None
    told.put((asked, wrong, accepted))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.timeout(900)
def test_each_withdrawal_is_felt_by_the_next_write_of_every_process(tmp_path, clock):
    folder = tmp_path / "data"
    host = make_host(folder, clock)
    partner = add_partner(host)
    pods = [create_pod(host, f"citizen-{number}") for number in range(PODS)]
    permits = [granted(host, pods[number % PODS].pod_id, partner=partner).permit for number in range(ROUNDS + AHEAD)]
    host.storage.close()
    host.key_store.close()
    fork = multiprocessing.get_context("fork")
    withdrawn, told, stop = fork.Value("q", 0), fork.Queue(), fork.Event()
    writers = [
        fork.Process(target=write, args=(folder, clock, permits, number, withdrawn, told, stop))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    try:
        for _ in writers:
            assert told.get(timeout=60) == "ready"
        pause = random.Random(ROUNDS)
        for index in range(ROUNDS):
            time.sleep(pause.random() * 0.01)
            permit = permits[index]
            changed = grants.withdraw(host, permit.pod_id, permit.grant, actor=CITIZEN)
            assert changed.state is GrantState.WITHDRAWN
            withdrawn.value = index + 1
        time.sleep(0.1)
    finally:
        stop.set()
        try:
            results = [told.get(timeout=60) for _ in writers]
        finally:
            for writer in writers:
                writer.join(30)
                writer.kill()

    asked, wrong, accepted = (sum(column) for column in zip(*results, strict=True))
    assert asked > ROUNDS / 2, "hardly anybody tried after a withdrawal, so the test has shown nothing"
    assert accepted > ROUNDS / 2, "hardly anything was delivered before one, so the test has shown nothing"
    assert wrong == 0
    for pod in pods:
        _no_delivery_stands_after_its_point(host, pod)
    host.storage.close()
    host.key_store.close()


def _no_delivery_stands_after_its_point(host, pod) -> None:
    """Read from the log, whose order is the order of the commits."""
    with host.storage.read() as tx:
        verify_stored(tx, pod.pod_id)
        ended: set[str] = set()
        for one in reversed(list(ledger.all_events(tx, pod.vault, pod.pod_id))):
            if one.event.action == "consent-withdrawn":
                ended.add(one.event.grant)
            elif one.event.action == "append" and one.event.outcome == "done":
                assert one.event.grant not in ended, f"leaf {one.index} stands after its consent's withdrawal"
        assert len(ended) >= ROUNDS // PODS - 1

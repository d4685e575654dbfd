"""Bulk writers in processes of their own beside a citizen who withdraws: after the point, no write succeeds.

The point is the commit of the withdrawal. Writers deliver as fast as they can under a Permit they got long before; the
parent withdraws, and then compares the log: no leaf of a delivery may stand behind the withdrawal's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import time

import pytest
from deliveries import CITIZEN, granted, permit_again, readings
from hosts import make_host

from pod_server import grants
from pod_server.activities import Delivery, append
from pod_server.log import ledger
from pod_server.log.verification import verify_stored
from pod_server.pods import create_pod

WRITERS = 3
PODS = 12


@pytest.fixture
def setting(tmp_path, clock):
    host = make_host(tmp_path / "data", clock)
    pods = [create_pod(host, f"citizen-{number}") for number in range(PODS)]
    first = granted(host, pods[0].pod_id)
    partners = [first, *(granted(host, pod.pod_id, partner=first.partner) for pod in pods[1:])]
    return tmp_path / "data", host, pods, partners


def start_writer(folder, clock, partners, number: int) -> tuple[int, int]:
    """A child that delivers to every pod again and again; it tells one byte when under way and one a refusal."""
    listening, telling = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(listening)
        try:
            host = make_host(folder, clock)
            permits = [permit_again(host, one.partner, one.grant) for one in partners]
            first = number * 1_000_000
            while True:
                records = readings(first, 24)
                outcomes = append(host, [Delivery(permit, records) for permit in permits])
                os.write(telling, b"." if all(outcome.refusal is None for outcome in outcomes) else b"x")
                first += 24
        except BaseException:  # noqa: BLE001 - a child must never come back
            os._exit(1)
    os.close(telling)
    return child, listening


def test_no_write_stands_after_the_withdrawal_in_any_process(setting, clock):
    folder, host, pods, partners = setting
    writers = [start_writer(folder, clock, partners, number) for number in range(WRITERS)]
    waited: list[float] = []
    try:
        for _, pipe in writers:
            assert os.read(pipe, 1) == b"."  # every writer is in full swing
        for pod, partner in zip(pods, partners, strict=True):
            start = time.monotonic()
            grants.withdraw(host, pod.pod_id, partner.grant, actor=CITIZEN)
            waited.append(time.monotonic() - start)
            time.sleep(0.01)
        for _, pipe in writers:  # one round more that began after the last withdrawal, so each pod was tried again
            os.set_blocking(pipe, False)
            with contextlib.suppress(BlockingIOError):
                while os.read(pipe, 4096):
                    pass
            os.set_blocking(pipe, True)
            assert os.read(pipe, 1) == os.read(pipe, 1) == b"x"
    finally:
        for child, pipe in writers:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(pipe)

    delivered = 0
    with host.storage.read() as tx:
        for pod in pods:
            verify_stored(tx, pod.pod_id)
            events = ledger.read_events(tx, pod.vault, pod.pod_id, limit=1000)
            point = next(logged.index for logged in events if logged.event.action == "consent-withdrawn")
            done = [logged for logged in events if logged.event.action == "append" and logged.event.outcome == "done"]
            assert all(logged.index < point for logged in done)
            (after_point,) = tx.one(
                "SELECT COUNT(*) FROM segment WHERE pod_id = ? AND log_index > ?", (pod.pod_id, point)
            )
            assert after_point == 0
            assert any(
                logged.index > point and logged.event.outcome == "consent-withdrawn"
                for logged in events
                if logged.event.action == "append"
            ), "nobody tried to write after the point, so the test has shown nothing"
            delivered += len(done)
    assert delivered > 0
    # The turnstile: a withdrawal waits for one transaction of a bulk writer, not for its turn among them. The bound is
    # wide, for slow machines; without the turnstile SQLite lets it wait for seconds.
    assert statistics.median(waited) < 1.0
    assert max(waited) < 8.0

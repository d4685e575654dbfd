"""How soon a citizen who looks sees what was delivered, while a whole city delivers beside it.

    .venv/bin/python benchmarks/stream_latency.py [--rate 5000] [--seconds 30] [--watching 8] [--each 24]

`tvilling serve` with all its roles. A partner delivers `--rate` activities a second for other citizens, `--each` records of a
citizen, at times that are fixed beforehand (an open loop: a slow answer makes the next delivery no later), from a process of
its own. Beside it another partner delivers one record at a time to citizens who have their page open; measured from its
answer (accepted: durable) to the `figures` event on that citizen's stream. Issue 6 asks for p50 ≤ 20 ms, p99 ≤ 100 ms beside
5,000 a second. The same is measured before the load begins.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

import psutil
from bulk import records
from city_day import Enrolled, enrol, processor_seconds, wait_for_the_agent
from deliveries import granted
from joserfc.jwk import ECKey
from machine import describe, percentile
from running_host import running_host

from partner_bridge.client import Bridge
from pod_server import partners
from pod_server.opening import find_pod

TICK_SECONDS = 0.1
"""The city's deliveries begin so often."""

GAP_SECONDS = 0.25
"""Between two deliveries to one citizen: a stream sends at most five bursts a second, and the pause is not what is measured."""


def deliver_a_city(told: dict[str, Any], stop: Any, report: Any) -> None:
    """The load, in a process of its own: a delivery at each tick, whether or not the one before it was answered."""
    client = Bridge(told["base_url"], client_id=told["client_id"], key=told["key"])
    client._access_token()  # noqa: SLF001 - before the threads share it
    grants, each = told["grants"], told["each"]
    citizens = max(1, round(told["rate"] * TICK_SECONDS / each))
    answered: list[tuple[float, int]] = []
    began = time.monotonic()

    def send(number: int) -> None:
        turn = number * citizens
        share = [grants[(turn + at) % len(grants)] for at in range(citizens)]
        body = b"".join(
            json.dumps(item).encode() + b"\n" for item in records(share, each, f"load-{number}", turn // len(grants))
        )
        due = began + number * TICK_SECONDS
        answer = client._ask("POST", "/bridge/activities", f"load-{number}", body)  # noqa: SLF001 - bytes, not items
        answered.append((time.monotonic() - due, answer.content.count(b'"status":"accepted"')))

    with ThreadPoolExecutor(8) as senders:
        number = 0
        while not stop.is_set():
            senders.submit(send, number)
            number += 1
            time.sleep(max(0.0, began + number * TICK_SECONDS - time.monotonic()))
    took = time.monotonic() - began
    report.put((sum(count for _, count in answered) / took, [1e3 * late for late, _ in answered]))


class Watched:
    """Citizens with their pages open, and a partner who delivers to them one record at a time."""

    def __init__(self, running: Any, count: int, exit_stack: contextlib.ExitStack) -> None:
        key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
        partner = partners.add_partner(running.host, name="Butikken AS", jwks={"keys": [key.as_dict(private=False)]})
        self._client = Bridge(running.base_url, client_id=partner.client_id, key=key.as_dict(private=True))
        self._open = []
        for number in range(count):
            citizen = running.citizen(f"watching-{number}")
            with running.host.storage.read() as tx:
                pod_id = find_pod(tx, citizen.handle).pod_id
            grant = granted(running.host, pod_id, partner=partner).grant
            browser = exit_stack.enter_context(running.browser(citizen))
            self._open.append((grant, exit_stack.enter_context(contextlib.closing(browser.listen()))))
        self._number = 0

    def measure(self, seconds: float) -> tuple[list[float], list[float], int]:
        """Milliseconds from the answer to the figures, from the request to the figures; how many never came."""
        after_answer: list[float] = []
        after_request: list[float] = []
        lost = 0
        until = time.monotonic() + seconds
        free = dict.fromkeys(range(len(self._open)), 0.0)
        while time.monotonic() < until:
            who = min(free, key=lambda each: free[each])
            # At no fixed distance, so that nothing keeps step with the load's ticks.
            time.sleep(max(0.0, free[who] - time.monotonic()) + random.uniform(0.0, 0.02))
            grant, stream = self._open[who]
            before = stream.count("figures")
            self._number += 1
            asked = time.monotonic()
            (answer,) = self._client.deliver([self._line(grant)], name=f"line-{self._number}")
            answered = time.monotonic()
            assert answer["status"] == "accepted", answer
            if stream.wait_for("figures", before, 10):
                came = next(at for at, name, _ in reversed(stream.events) if name == "figures")
                after_answer.append(1e3 * max(0.0, came - answered))
                after_request.append(1e3 * (came - asked))
            else:
                lost += 1
            free[who] = time.monotonic() + GAP_SECONDS
        return after_answer, after_request, lost

    def _line(self, grant: str) -> dict[str, Any]:
        at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        return {
            "grant": grant,
            "activity": {
                "@id": f"line:{self._number}", "@type": "GroceryLine", "start": at, "end": at, "quantity": 0.4,
                "unit": "KiloGM", "name": "KJØTTDEIG STORFE 400G",
            },
        }  # fmt: skip


def say(when: str, measured: tuple[list[float], list[float], int]) -> None:
    after_answer, after_request, lost = measured
    print(
        f"{when}: accepted → figures on the stream p50 {percentile(after_answer, 0.5):.1f} ms, "
        f"p99 {percentile(after_answer, 0.99):.1f} ms, worst {max(after_answer):.0f} ms ({len(after_answer)} deliveries, "
        f"{lost} lost); from the request p50 {percentile(after_request, 0.5):.1f}, p99 {percentile(after_request, 0.99):.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=5000)
    parser.add_argument("--each", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--watching", type=int, default=8)
    parser.add_argument("--citizens", type=int, default=1000)
    options = parser.parse_args()
    print(f"{describe()}; load {os.getloadavg()[0]:.1f}", flush=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_host(Path(folder) / "data", workers=2) as running,
        contextlib.ExitStack() as exit_stack,
    ):
        enrolled: Enrolled = enrol(running.host, options.citizens, say=lambda _: None)
        watched = Watched(running, options.watching, exit_stack)
        wait_for_the_agent(running.host)
        children = psutil.Process().children()
        watched.measure(3)
        say("idle", watched.measure(10))
        # Its own interpreter: the load's work must not keep this process from seeing an event come.
        context = multiprocessing.get_context("spawn")
        stop, report = context.Event(), context.Queue()
        told = {
            "base_url": running.base_url, "client_id": enrolled.partner.client_id, "key": enrolled.key,
            "grants": enrolled.grants, "each": options.each, "rate": options.rate,
        }  # fmt: skip
        load = context.Process(target=deliver_a_city, args=(told, stop, report))
        load.start()
        try:
            time.sleep(3)
            spent, began = {each.pid: processor_seconds([each]) for each in children}, time.monotonic()
            measured = watched.measure(options.seconds)
            took = time.monotonic() - began
        finally:
            stop.set()
        spent = {each.pid: processor_seconds([each]) - spent[each.pid] for each in children}
        rate, late = report.get(timeout=60)
        load.join()
        ended = time.monotonic()
        wait_for_the_agent(running.host)
        names = {process.pid: role for role, process in running.processes.running.items()}
        say(f"beside {rate:,.0f} activities/s, {options.each} a citizen", measured)
        print(
            f"    the load's own answers, from when they were due: p50 {percentile(late, 0.5):.0f}, "
            f"p99 {percentile(late, 0.99):.0f} ms; the agent was done {time.monotonic() - ended:.2f} s after it; processor time a "
            f"second: {', '.join(f'{names.get(pid, pid)} {seconds / took:.2f} s' for pid, seconds in spent.items())}; "
            f"load {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()

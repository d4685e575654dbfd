"""A city's day: so many citizens with 24 readings each, accepted, sealed and footprinted; seconds, memory, disk.

    .venv/bin/python benchmarks/city_day.py [--citizens 2000] [--agents 2] [--folder DIR]

Over sockets into `tvilling serve` with all roles; two streams of lines, and the clock runs until the agent has taken in the
last pod. Issue 6 asks for 212,000 citizens in five minutes with a gigabyte: give that number to measure it, not to reckon it.
The citizens are made before the clock starts, in `--makers` processes; what that takes is said, and how far it has come. The
folder lies in `--folder` (or where temporary files go) and is removed at the end, however the run ends; what the run will need
is asked of the disk first. The readings are made as they are sent, a thousand citizens at a time: the sender is a part of
the machine's work, and its share is said.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

import psutil
from bulk import memory, records
from deliveries import granted
from joserfc.jwk import ECKey
from machine import describe, folder_megabytes
from running_host import running_host

from partner_bridge.client import Bridge
from pod_server import feed, partners
from pod_server.household import Household
from pod_server.identifiers import Handle
from pod_server.pods import NewCitizen, create_pods

CITIZENS_A_DELIVERY = 1000
"""So that no side holds more than a few megabytes of it; a delivery may hold a million items."""

BYTES_A_CITIZEN = 40_000
"""What the disk must have free for each: pod, keys, consent, a day's readings, and the logs of both databases."""

_A_COMMIT = 50


@dataclass(frozen=True)
class Enrolled:
    """A partner, its private key, and the consent that each citizen gave it."""

    partner: partners.Partner
    key: dict[str, Any]
    grants: list[str]


def enrol(host: Any, citizens: int, *, say: Callable[[str], None]) -> Enrolled:
    """A new partner, and so many new citizens with a consent for it, made in this process."""
    key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
    partner = partners.add_partner(host, name="Strømmen AS", jwks={"keys": [key.as_dict(private=False)]})
    grants: list[str] = []
    for first in range(0, citizens, _A_COMMIT):
        grants += _make(host, partner, range(first, min(first + _A_COMMIT, citizens)))
        say(f"{len(grants):,} of {citizens:,} citizens made")
    return Enrolled(partner, key.as_dict(private=True), grants)


def _make(host: Any, partner: partners.Partner, numbers: range) -> list[str]:
    made = create_pods(
        host, [NewCitizen(Handle(f"citizen-{n}"), Household(f"C {n}", "nb", 2, "", "flat")) for n in numbers]
    )
    return [granted(host, each.pod.pod_id, partner=partner).grant for each in made]


def processor_seconds(children: list[psutil.Process]) -> float:
    """User and system time of some processes and all below them."""
    found = [one.cpu_times() for each in children for one in [each, *each.children(recursive=True)]]
    return float(sum(each.user + each.system for each in found))


class Progress:
    """A line now and then."""

    def __init__(self, every_seconds: float = 10.0) -> None:
        self._every = every_seconds
        self._next = self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every
            print(f"  {now - self._began:6.0f} s  {text}", flush=True)


def make_part(settings: Any, client_id: str, first: int, last: int, made: Any) -> None:
    """One of the processes that make citizens."""
    from tvilling.app import create_host

    host = create_host(settings)
    with host.storage.read() as tx:
        partner = partners.find_partner(tx, client_id)
    for start in range(first, last, _A_COMMIT):
        made.put(_make(host, partner, range(start, min(start + _A_COMMIT, last))))


def enrol_in_parallel(running: Any, citizens: int, makers: int) -> Enrolled:
    """As `enrol`, in processes of their own."""
    progress = Progress()
    none = enrol(running.host, 0, say=progress)
    context = multiprocessing.get_context("spawn")
    made = context.Queue()
    edges = [citizens * number // makers for number in range(makers + 1)]
    processes = [
        context.Process(
            target=make_part, args=(running.processes.settings, none.partner.client_id, first, last, made), daemon=True
        )
        for first, last in itertools.pairwise(edges)
    ]
    for process in processes:
        process.start()
    while len(none.grants) < citizens:
        none.grants.extend(made.get(timeout=120))
        progress(f"{len(none.grants):,} of {citizens:,} citizens made")
    for process in processes:
        process.join()
    return none


class Lines:
    """A day's delivery for some citizens, its readings written out once: what differs is whose they are."""

    def __init__(self) -> None:
        self._activities = [json.dumps(item["activity"]).encode() for item in records([""], 24, "day")]

    def of(self, grants: list[str]) -> bytes:
        return b"".join(
            b'{"grant": "%s", "activity": %s}\n' % (grant.encode(), activity)
            for grant in grants
            for activity in self._activities
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--citizens", type=int, default=2000)
    parser.add_argument("--agents", type=int, default=2)
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--makers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    # Ended from outside, it still takes its processes and its folder with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    needed, free = options.citizens * BYTES_A_CITIZEN, shutil.disk_usage(options.folder).free
    if free < needed:
        sys.exit(
            f"{options.folder} has {free / 2**30:.1f} GiB free, and this needs {needed / 2**30:.1f}: give --folder"
        )
    print(f"{describe()}; load {os.getloadavg()[0]:.1f}", flush=True)
    with (
        tempfile.TemporaryDirectory(dir=options.folder, prefix="city-day-") as folder,
        running_host(Path(folder) / "data", workers=2, agents=options.agents) as running,
    ):
        run(running, Path(folder), options)


def run(running: Any, folder: Path, options: argparse.Namespace) -> None:
    host, count = running.host, options.citizens
    began = time.perf_counter()
    enrolled = enrol_in_parallel(running, count, options.makers)
    wait_for_the_agent(host)
    prepared = time.perf_counter() - began
    size = folder_megabytes(folder)
    print(
        f"{count:,} citizens with a consent made in {prepared:.1f} s ({1e3 * prepared / count:.1f} ms each, "
        f"{options.makers} processes); {size:.0f} MB on disk",
        flush=True,
    )
    roles = psutil.Process()
    children = [psutil.Process(process.pid) for process in running.processes.running.values()]
    names = dict(zip(running.processes.running, children, strict=True))
    highest, stop = [memory(children)], threading.Event()
    before, progress = highest[0], Progress()
    sent = [0] * options.senders
    lines = Lines()

    def watch() -> None:
        while not stop.wait(0.5):
            highest[0] = max(highest[0], memory(children))
            with host.storage.read() as tx:
                waiting = feed.pending(tx)[0]
            progress(
                f"{sum(sent):,} of {count:,} accepted, {waiting:,} wait for the agent, memory {highest[0]:.0f} MB at most"
            )

    def send(number: int) -> None:
        client, share = (
            Bridge(running.base_url, client_id=enrolled.partner.client_id, key=enrolled.key),
            enrolled.grants[number :: options.senders],
        )
        for first in range(0, len(share), CITIZENS_A_DELIVERY):
            part = share[first : first + CITIZENS_A_DELIVERY]
            answer = client._ask("POST", "/bridge/activities", f"day-{part[0]}", lines.of(part))  # noqa: SLF001 - as in bulk.py
            accepted = answer.content.count(b'"status":"accepted"')
            if accepted != 24 * len(part):
                failed.append(answer.content[:500])
                return
            sent[number] += len(part)

    failed: list[bytes] = []
    watcher = threading.Thread(target=watch)
    watcher.start()
    spent, own, began = (
        {role: processor_seconds([each]) for role, each in names.items()},
        roles.cpu_times(),
        time.perf_counter(),
    )
    senders = [threading.Thread(target=send, args=(number,)) for number in range(options.senders)]
    try:
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        accepted = time.perf_counter() - began
        if failed:
            sys.exit(f"a delivery was not accepted: {failed[0]!r}")
        wait_for_the_agent(host)
    finally:
        took = time.perf_counter() - began
        stop.set()
        watcher.join()
    spent = {role: processor_seconds([each]) - spent[role] for role, each in names.items()}
    now = roles.cpu_times()
    sender_seconds = now.user + now.system - own.user - own.system
    print(
        f"{count:,} citizens × 24: accepted after {accepted:.1f} s, footprinted after {took:.1f} s "
        f"({24 * count / took:,.0f} activities/s); memory (PSS) of all roles {before:.0f} → {highest[0]:.0f} MB; "
        f"{(folder_megabytes(folder) - size) * 2**20 / count / 24:.0f} bytes on disk an activity, figures and what waits for a "
        f"checkpoint included; load {os.getloadavg()[0]:.1f}\n"
        f"processor time a citizen: {', '.join(f'{role} {1e3 * each / count:.2f} ms' for role, each in spent.items())}, "
        f"the sender {1e3 * sender_seconds / count:.2f} ms; 212,000 citizens at the roles' cost are "
        f"{212_000 * sum(spent.values()) / count / 2:.0f} s of two undivided cores"
    )


def wait_for_the_agent(host: Any) -> None:
    """Until no pod has anything new."""
    while True:
        with host.storage.read() as tx:
            if feed.pending(tx)[0] == 0:
                return
        time.sleep(0.05)


if __name__ == "__main__":
    main()

"""A city's day: so many citizens with 24 readings each, accepted, sealed and footprinted; seconds and memory.

    .venv/bin/python benchmarks/city_day.py [--citizens 2000]

Over sockets into `tvilling serve` with all roles; two streams of lines, and the clock runs until the agent has taken in the
last pod. Issue 6 asks for 212,000 citizens in five minutes with a gigabyte: give that number to measure it, not to reckon it.
The citizens are made before the clock starts (about 7 ms each).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

import psutil
from bulk import memory, records
from deliveries import granted
from joserfc.jwk import ECKey
from machine import describe
from running_host import running_host

from partner_bridge.client import Bridge
from pod_server import feed, partners
from pod_server.household import Household
from pod_server.identifiers import Handle
from pod_server.pods import NewCitizen, create_pods

CITIZENS_A_DELIVERY = 1000
"""So that no side holds more than a few megabytes of it; a delivery may hold a million items."""


def processor_seconds(children: list[psutil.Process]) -> float:
    found = [one.cpu_times() for each in children for one in [each, *each.children(recursive=True)]]
    return float(sum(each.user + each.system for each in found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--citizens", type=int, default=2000)
    parser.add_argument("--senders", type=int, default=2)
    options = parser.parse_args()
    print(f"{describe()}; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder, running_host(Path(folder) / "data", workers=2) as running:
        host = running.host
        key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
        partner = partners.add_partner(host, name="Strømmen AS", jwks={"keys": [key.as_dict(private=False)]})
        grants: list[str] = []
        for first in range(0, options.citizens, 50):
            numbers = range(first, min(first + 50, options.citizens))
            made = create_pods(
                host, [NewCitizen(Handle(f"citizen-{n}"), Household(f"C {n}", "nb", 2, "", "flat")) for n in numbers]
            )
            grants += [granted(host, each.pod.pod_id, partner=partner).grant for each in made]
        wait_for_the_agent(host)
        children = psutil.Process().children()
        highest, stop = [memory(children)], threading.Event()
        before = highest[0]

        def watch() -> None:
            while not stop.wait(0.5):
                highest[0] = max(highest[0], memory(children))

        def send(share: list[str]) -> None:
            client = Bridge(running.base_url, client_id=partner.client_id, key=key.as_dict(private=True))
            for first in range(0, len(share), CITIZENS_A_DELIVERY):
                part = share[first : first + CITIZENS_A_DELIVERY]
                body = b"".join(json.dumps(item).encode() + b"\n" for item in records(part, 24, "day"))
                answer = client._ask("POST", "/bridge/activities", f"day-{part[0]}", body)  # noqa: SLF001 - as in bulk.py
                accepted = answer.content.count(b'"status":"accepted"')
                assert accepted == 24 * len(part), answer.content[:500]

        watcher = threading.Thread(target=watch)
        watcher.start()
        spent, began = processor_seconds(children), time.perf_counter()
        senders = [
            threading.Thread(target=send, args=(grants[number :: options.senders],))
            for number in range(options.senders)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        accepted = time.perf_counter() - began
        wait_for_the_agent(host)
        took, spent = time.perf_counter() - began, processor_seconds(children) - spent
        stop.set()
        watcher.join()
        count = options.citizens
        print(
            f"{count:,} citizens × 24: accepted after {accepted:.1f} s, footprinted after {took:.1f} s "
            f"({24 * count / took:,.0f} activities/s, {1e3 * spent / count:.2f} ms of the roles' processor time a citizen); "
            f"memory (PSS) of all roles {before:.0f} → {highest[0]:.0f} MB; load {os.getloadavg()[0]:.1f}"
        )


def wait_for_the_agent(host) -> None:
    """Until no pod has anything new."""
    while True:
        with host.storage.read() as tx:
            if feed.pending(tx)[0] == 0:
                return
        time.sleep(0.05)


if __name__ == "__main__":
    main()

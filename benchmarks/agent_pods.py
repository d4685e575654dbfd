"""What a city's day costs the twin agent: so many pods with 24 new readings each; processor time a pod, in process.

    .venv/bin/python benchmarks/agent_pods.py [--pods 500] [--days 2] [--profile]

The first day meets pods of which no figures were made, every later one pods with yesterday's. Processor time is that of the
whole process, user and system, so that it says the same beside other work; by the clock it stands next to it.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from bulk import records
from deliveries import add_partner, granted
from hosts import NOON, make_host
from machine import describe

from partner_bridge.channels.push import item_of_line
from partner_bridge.delivery import deliver
from pod_server import feed
from pod_server.authorization_server.tokens import AuthenticatedPartner
from pod_server.clock import SetClock
from pod_server.household import Household
from pod_server.identifiers import Handle
from pod_server.pods import NewCitizen, create_pods
from twin_agent.worker import run_until_idle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=500)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    print(f"{describe()}; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        clock = SetClock(NOON)
        host = make_host(Path(folder) / "data", clock)
        partner = add_partner(host)
        grants: list[str] = []
        for first in range(0, options.pods, 50):
            numbers = range(first, min(first + 50, options.pods))
            made = create_pods(
                host, [NewCitizen(Handle(f"citizen-{n}"), Household(f"C {n}", "nb", 2, "", "flat")) for n in numbers]
            )
            grants += [granted(host, each.pod.pod_id, partner=partner).grant for each in made]
        run_until_idle(host)
        who = AuthenticatedPartner(partner.client_id, partner.name, None, "")
        for day in range(options.days):
            items = [item_of_line(json.dumps(each).encode()) for each in records(grants, 24, f"day-{day}", day)]
            for first in range(0, len(items), 2400):
                answers = deliver(host, who, items[first : first + 2400])
                assert all(each.status == "accepted" for each in answers), answers[0]
            clock.advance(timedelta(days=1))
            profile = cProfile.Profile() if options.profile else None
            spent, began = time.process_time(), time.perf_counter()
            if profile:
                profile.enable()
            done = run_until_idle(host)
            if profile:
                profile.disable()
            spent, took = time.process_time() - spent, time.perf_counter() - began
            with host.storage.read() as tx:
                assert feed.pending(tx)[0] == 0
            print(
                f"day {day + 1}: {done} pods, {1e3 * spent / options.pods:.2f} ms of processor time a pod, "
                f"{1e3 * took / options.pods:.2f} ms by the clock; load {os.getloadavg()[0]:.1f}"
            )
            if profile:
                pstats.Stats(profile).sort_stats("tottime").print_stats(45)
                pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()

"""What the twin agent costs: a year's backlog, one live delivery, a full recompute.

    python benchmarks/agent.py [--days 365] [--minutes-days 3] [--json]

One citizen with a grid company (hourly), a reader in the fuse box (by the minute, for the last days), a grocer, buses
and waste: the agent takes the whole backlog in, then live deliveries one by one, each from the feed to the commit.
Opening segments, adding, rules, figures, sealing and SQLite's synced write are all in it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from hosts import NOON, City, make_host
from machine import describe
from twin_activities import electricity, groceries, trip, waste
from twin_citizen import Citizen

from pod_server.clock import SetClock
from twin_agent.compute import PodSums
from twin_agent.observe import standing_records
from twin_agent.pipeline import process_pod
from twin_agent.recompute import differences, recompute
from vocab.kinds import load_kinds


def history(days: int, minute_days: int) -> dict[str, list[dict[str, object]]]:
    """Deliveries by partner."""
    start = NOON.replace(hour=0) - timedelta(days=days)
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    return {
        "Grid": [electricity(f"h{n}", start + n * hour, 60, 1.0 + n % 7 / 10) for n in range(24 * days)],
        "Reader": [
            electricity(f"m{n}", NOON - (minute_days * 1440 - n) * minute, 1, 0.02) for n in range(1440 * minute_days)
        ],
        "Grocer": [
            groceries(f"r{n}", start + n * timedelta(hours=7), 0.5, ["beef-mince", "potatoes", None][n % 3])
            for n in range(24 * days // 7)
        ],
        "Buses": [trip(f"t{n}", start + n * timedelta(hours=13), 6.0) for n in range(24 * days // 13)],
        "Waste": [waste(f"w{n}", start + n * timedelta(days=7), 8.0) for n in range(days // 7)],
    }


def milliseconds(seconds: list[float], share: float) -> float:
    return round(sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1000, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--minutes-days", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clock = SetClock(NOON)
        city = City(make_host(Path(folder) / "data", clock), clock)
        kari = Citizen(city, city.citizen("kari", household_size=2))
        for partner, members in history(options.days, options.minutes_days).items():
            for first in range(0, len(members), 1000):
                kari.deliver(partner, *members[first : first + 1000])
        began = time.perf_counter()
        processed = process_pod(kari.host, kari.pod_id)
        backlog = time.perf_counter() - began

        kinds = load_kinds()
        with kari.host.storage.read() as tx:
            records = list(standing_records(tx, kari.as_twin(), kinds, 1 << 60))
        sums = PodSums()
        began = time.perf_counter()
        for grant, activity in records:
            sums.add(grant, activity)
        adding = time.perf_counter() - began

        live: dict[str, list[float]] = {"minute reading": [], "grocery line": []}
        for number in range(options.rounds):
            minute = NOON + number * timedelta(minutes=1)
            for name, partner, members in (
                ("minute reading", "Reader", electricity(f"live-m{number}", minute, 1, 0.02)),
                ("grocery line", "Grocer", groceries(f"live-r{number}", minute, 0.4, "beef-mince")),
            ):
                kari.deliver(partner, members)
                began = time.perf_counter()
                process_pod(kari.host, kari.pod_id)
                live[name].append(time.perf_counter() - began)

        began = time.perf_counter()
        recomputed = recompute(kari.host, kari.own())
        recomputing = time.perf_counter() - began
        disagreements = differences(kari.figures()["months"], recomputed)
    report = {
        "activities": processed.activities,
        "backlog_seconds": round(backlog, 2),
        "microseconds_an_activity_whole_path": round(backlog / processed.activities * 1e6, 1),
        "microseconds_an_activity_adding_alone": round(adding / len(records) * 1e6, 2),
        "live_p50_ms": {name: milliseconds(times, 0.5) for name, times in live.items()},
        "live_p99_ms": {name: milliseconds(times, 0.99) for name, times in live.items()},
        "recompute_seconds": round(recomputing, 2),
        "recompute_agrees": disagreements == [],
    }
    if options.json:
        print(json.dumps(report))
        return
    print(describe())
    for name, value in report.items():
        print(f"  {name}: {value}")


if __name__ == "__main__":
    main()

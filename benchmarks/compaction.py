"""What small deliveries take on disk before and after they are packed, and how fast they are packed.

    python benchmarks/compaction.py [--pods 4] [--json]

SQLite's file is measured without its free pages (a copy by VACUUM INTO), and so that rows, indexes, marks, the log's leaves
and the feed are in it, less what the pods took before their first delivery.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from deliveries import add_partner, granted, readings
from hosts import NOON, make_host
from machine import describe

from pod_server import feed
from pod_server.activities import Delivery, append
from pod_server.clock import SetClock
from pod_server.compaction import compact
from pod_server.pods import create_pod

DELIVERIES = 1024


def size_bytes(folder: Path) -> int:
    copy = folder / "measured.sqlite"
    copy.unlink(missing_ok=True)
    connection = sqlite3.connect(folder / "tvilling.sqlite")
    connection.execute("VACUUM INTO ?", (str(copy),))
    connection.close()
    return copy.stat().st_size


def table_bytes(folder: Path, name: str) -> int:
    """What a table or an index takes in the copy that was measured last; 0 where SQLite was built without dbstat."""
    with sqlite3.connect(folder / "measured.sqlite") as connection:
        try:
            row = connection.execute("SELECT SUM(pgsize) FROM dbstat WHERE name LIKE ?", (f"{name}%",)).fetchone()
        except sqlite3.OperationalError:
            return 0
    return int(row[0] or 0)


def run(pods: int, batch: int, deliveries: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        host = make_host(folder, SetClock(NOON))
        partner = add_partner(host)
        made = [create_pod(host, f"citizen-{number}") for number in range(pods)]
        permits = [granted(host, pod.pod_id, partner=partner).permit for pod in made]
        empty = size_bytes(folder)
        for number in range(deliveries):
            append(host, [Delivery(permit, readings(number * batch, batch)) for permit in permits])
        for pod in made:
            with host.storage.write() as tx:
                cursor, head = feed.position(tx, pod.pod_id)
                feed.advance(tx, pod.pod_id, head, after=cursor)
        records = pods * deliveries * batch
        before = size_bytes(folder) - empty
        log = table_bytes(folder, "log_leaf")
        began = time.perf_counter()
        done = compact(host, rest=lambda _: None)
        spent = time.perf_counter() - began
        after = size_bytes(folder) - empty
        host.storage.close()
        return {
            "batch": batch,
            "deliveries": deliveries * pods,
            "packs": done.packs,
            "bytes_an_activity_before": round(before / records, 1),
            "of_these_the_log": round(log / records, 1),
            "bytes_an_activity_after": round(after / records, 1),
            "deliveries_packed_a_second": round(done.rows / spent),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    print(describe(), flush=True)
    results = [run(options.pods, batch, DELIVERIES // max(1, batch // 4)) for batch in (1, 24)]
    for each in results:
        print(each)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()

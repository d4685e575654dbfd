"""Activities a second through `pod_server.activities.append`, one process, in batches of 1, 24 and 1000 a pod.

    python benchmarks/append.py [--pods 200] [--seconds 3] [--json]

Everything is real but the network and the decoding: marks, zstd, sealing, the log's leaf, SQLite with a synced
write-ahead log. Each call of `append` carries up to 64 deliveries, as the bridge's bulk door does; the last row sends
one delivery a call, as a partner that pushes each reading does.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from conftest import NOON, make_host
from deliveries import add_partner, granted, readings

from pod_server.activities import Delivery, append
from pod_server.clock import SetClock
from pod_server.pods import create_pod


def run(host, permits, batch: int, deliveries_a_call: int, seconds: float, first: int) -> dict[str, float]:
    """Deliver round after round to every pod in turn until the time is up."""
    size_before = host.storage.path.stat().st_size
    delivered = spent = calls = number = 0
    offset = first
    while spent < seconds:
        chosen = [permits[(number + step) % len(permits)] for step in range(deliveries_a_call)]
        number += deliveries_a_call
        deliveries = [Delivery(permit, readings(offset, batch)) for permit in chosen]
        offset += batch
        start = time.perf_counter()
        outcomes = append(host, deliveries)
        spent += time.perf_counter() - start
        calls += 1
        assert all(outcome.count("accepted") == batch for outcome in outcomes)
        delivered += batch * deliveries_a_call
    with host.storage.write() as tx:
        tx.all("SELECT 1")
    size = host.storage.path.stat().st_size - size_before
    return {
        "batch": batch,
        "deliveries_a_call": deliveries_a_call,
        "activities_a_second": round(delivered / spent),
        "deliveries_a_second": round(calls * deliveries_a_call / spent),
        "bytes_an_activity": round(size / delivered, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        host = make_host(Path(folder), SetClock(NOON))
        partner = add_partner(host)
        pods = [create_pod(host, f"citizen-{number}") for number in range(options.pods)]
        permits = [granted(host, pod.pod_id, partner=partner).permit for pod in pods]
        results = []
        for round_number, (batch, at_once) in enumerate(((1, 64), (24, 64), (1000, 16), (1, 1))):
            results.append(run(host, permits, batch, at_once, options.seconds, 1_000_000 * round_number))
        host.storage.close()
        host.key_store.close()
    if options.json:
        print(json.dumps(results))
        return
    for result in results:
        print(
            f"{result['batch']:>5} a batch, {result['deliveries_a_call']:>2} a call: "
            f"{result['activities_a_second']:>8} activities/s, {result['deliveries_a_second']:>6} deliveries/s, "
            f"{result['bytes_an_activity']:>7} bytes each"
        )


if __name__ == "__main__":
    main()

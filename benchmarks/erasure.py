"""Figures of erasing and of the log, for docs/performance.md: `python benchmarks/erasure.py`.

How long it takes to the point of no return when a partner's 100,000 activities are erased; how many pods a second are
put under a new epoch; how many leaves a second a log is verified with, in the database and from an export.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from deliveries import CITIZEN, deliver, granted, readings
from hosts import make_host

from pod_server import grants
from pod_server.clock import SetClock
from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.log.verification import verify_log, verify_stored
from pod_server.pods import create_pod
from pod_server.vault import host_key_rotation

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def measure(folder: Path, *, activities: int, pods: int, leaves: int) -> dict[str, float | int]:
    """All figures, on a host in `folder`."""
    clock = SetClock(NOON)
    host = make_host(folder, clock)
    figures: dict[str, float | int] = {}

    kari = create_pod(host, "kari")
    for name in ("Butikken AS", "Banken AS", "Bussen AS"):
        deliver(host, granted(host, kari.pod_id, name=name).permit, readings(0, 100))
    power = granted(host, kari.pod_id)
    for first in range(0, activities, 5000):
        deliver(host, power.permit, readings(first - activities, 5000))
    destroyed: list[float] = []
    real = host.key_store.destroy_grant

    def timed(*arguments: object) -> int:
        count = real(*arguments)  # type: ignore[arg-type]
        destroyed.append(time.perf_counter())
        return count

    host.key_store.destroy_grant = timed  # type: ignore[method-assign]
    began = time.perf_counter()
    done = grants.erase(host, kari.pod_id, power.grant, actor=CITIZEN)
    ended = time.perf_counter()
    figures[f"erase {activities} activities: to the point of no return, ms"] = round((destroyed[0] - began) * 1e3, 1)
    figures["the same, with the rows deleted, ms"] = round((ended - began) * 1e3, 1)
    figures["rows deleted"] = done.rows_deleted

    for number in range(pods):
        create_pod(host, f"n{number}", simulated=True)
    clock.advance(timedelta(days=1))
    began = time.perf_counter()
    renewal = host.key_store.renew_epoch()
    seconds = time.perf_counter() - began
    figures["pods put under a new epoch, a second"] = round(renewal.covered_anew / seconds)
    began = time.perf_counter()
    host_key_rotation.rotate(folder / "keys" / "host.key", host.key_store, host.key_store.epoch_keys)
    figures["exchange of the host key's file, ms"] = round((time.perf_counter() - began) * 1e3, 1)

    event = LogEvent(NOON, Actor("partner", "c-1", "Oss"), "append", "live-electricity", "g-1")
    for first in range(0, leaves, 1000):
        with host.storage.write() as tx:
            ledger.append_many(tx, kari.pod_id, [event] * min(1000, leaves - first))
    with host.storage.read() as tx:
        began = time.perf_counter()
        verified = verify_stored(tx, kari.pod_id)
        figures["log verified in the database, leaves a second"] = round(verified.size / (time.perf_counter() - began))
        document = json.loads(json.dumps(ledger.export(tx, host, kari.vault, kari.pod_id)))
    began = time.perf_counter()
    checked = verify_log(document)
    figures["log verified from its export, leaves a second"] = round(checked.size / (time.perf_counter() - began))
    host.storage.close()
    host.key_store.close()
    return figures


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--activities", type=int, default=100_000)
    arguments.add_argument("--pods", type=int, default=500)
    arguments.add_argument("--leaves", type=int, default=50_000)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), activities=options.activities, pods=options.pods, leaves=options.leaves)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"  {name:60} {value}")


if __name__ == "__main__":
    main()

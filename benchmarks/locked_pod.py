"""What locking, sealing anew, waiting and merging cost: `.venv/bin/python benchmarks/locked_pod.py [--json] [--segments N]`.

A year of data is what a household's partners deliver: 365 days of hourly readings in daily deliveries (8,760 records), and a
grocer's, a bus company's and a waste company's 1,200 records in 260 deliveries, with the twin's sums, 200 documents and
the log that comes with all of it. While the pod is locked and its history sealed anew in the background, another thread
reads its pages' figures and documents and delivers to it, every 10 ms: their latency is what its citizen feels.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from deliveries import deliver, granted, owner_permit, permit_again, reading
from hosts import NOON, make_host

from dashboard.unlocking import begin
from partner_bridge.merging import merge_waiting
from pod_server import documents, pods, resealing
from pod_server.activities import read_activities
from pod_server.authentication.accounts import sign_in
from pod_server.clock import SetClock
from pod_server.opening import open_pod
from pod_server.vault.key_derivation import SHARED, Argon2Cost, Passphrase
from pod_server.vault.vault import Vault

WORDS = "fire ord om katten"


def milliseconds(work: Callable[[], object], count: int = 5) -> float:
    """The median time of one call."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(times), 1)


def measure(folder: Path, days: int) -> dict[str, float | int]:
    host = make_host(folder, SetClock(NOON))
    made = pods.create_pod(host, "kari", passphrase=Passphrase(WORDS))
    power, others = granted(host, made.pod_id), [granted(host, made.pod_id, name=f"P{n}") for n in range(3)]
    for day in range(days):
        deliver(host, power.permit, [reading(24 * (day - days) + hour) for hour in range(24)])
    for number in range(260):
        records = [reading(-number * 30 - hour, meter=f"p{number % 3}") for hour in range(5)]
        deliver(host, others[number % 3].permit, records)
    own = open_pod(host, owner_permit(made.vault), vault=made.vault)
    for number in range(200):
        with host.storage.write() as tx:
            documents.put(tx, own, f"notes/{number}", "text/turtle", b"<#a> a <#b> . " * 40, public=False, at=NOON)
    figures: dict[str, float | int] = {"records": days * 24 + 1300}

    figures["sign-in (unlock, log, session), ms"] = milliseconds(lambda: sign_in(host, "kari", WORDS))
    figures["of which Argon2id, ms"] = milliseconds(lambda: SHARED.derive(Passphrase(WORDS), bytes(16), Argon2Cost()))

    latencies: list[float] = []
    stop = threading.Event()
    vault: list[Vault] = [made.vault]

    def look() -> None:
        number = 0
        while not stop.wait(0.01):
            number += 1
            began = time.perf_counter()
            looking = open_pod(host, owner_permit(vault[0]), vault=vault[0])
            with host.storage.read() as tx:
                documents.get(tx, looking, f"notes/{number % 200}")
            if number % 3 == 0:
                permit = permit_again(host, power.partner, power.grant)
                deliver(host, permit, [reading(number, meter="live")])
            latencies.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    locked = pods.lock_pod(host, made.vault, Passphrase(WORDS))
    figures["locking, to the point from which old keys open nothing new, ms"] = round(
        (time.perf_counter() - began) * 1000, 1
    )
    vault[0] = locked.vault
    looker = threading.Thread(target=look)
    looker.start()
    began = time.perf_counter()
    with host.storage.read() as tx:
        asked = resealing.progress(tx, made.pod_id)
    figures["rows to seal anew"] = asked.total if asked else 0
    begin(host, locked.vault).join()
    figures["sealing a year anew in the background, s"] = round(time.perf_counter() - began, 2)
    stop.set()
    looker.join()
    latencies.sort()
    figures["meanwhile: reads and deliveries"] = len(latencies)
    figures["meanwhile: p50, ms"] = round(statistics.median(latencies), 1)
    figures["meanwhile: p99, ms"] = round(latencies[int(len(latencies) * 0.99)], 1)
    merge_waiting(host, locked.vault)

    began = time.perf_counter()
    for number in range(500):
        permit = permit_again(host, power.partner, power.grant)
        deliver(host, permit, [reading(2000 + number * 24 + hour, meter="away") for hour in range(24)])
    figures["deliveries of 24 records to the locked pod, a second"] = round(500 / (time.perf_counter() - began))
    began = time.perf_counter()
    merged = merge_waiting(host, locked.vault)
    spent = time.perf_counter() - began
    figures["merged at unlock: deliveries"] = merged.deliveries
    figures["merged at unlock: records a second"] = round(merged.records / spent)
    own = open_pod(host, owner_permit(locked.vault), vault=locked.vault)
    figures["activities read afterwards"] = sum(
        1 for _ in read_activities(host, own, start=NOON - timedelta(days=3650))
    )
    host.storage.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--days", type=int, default=365)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder) / "data", chosen.days)
    if chosen.json:
        print(json.dumps(figures, indent=1))
        return
    for name, value in figures.items():
        print(f"{name:70} {value}")


if __name__ == "__main__":
    main()

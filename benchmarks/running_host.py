"""A running host over real sockets: cold start, delivery to stream, activities a second, memory.

    .venv/bin/python benchmarks/running_host.py [--seconds 5]

Starts a city of its own with one live citizen and 60 neighbours in a temporary folder.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
from machine import describe, percentile, pss_megabytes

from tvilling.city.simulators.oauth_client import OAuthClient, load_key
from tvilling.city.visitor import Visitor
from tvilling.demo import City, running_city
from tvilling.ports import free_port
from tvilling.settings import Listen


def partner_client(city: City, slug: str) -> OAuthClient:
    """One of the city's partners, as a client of this process."""
    import json

    return OAuthClient(
        city.settings.base_url,
        city.state.client_ids[slug],
        load_key(json.loads((city.data / "simulators" / f"{slug}.jwk").read_text())),
        f"http://127.0.0.1:{city.state.control_port}/partners/{slug}/callback",
        lambda: datetime.now(UTC),
    )


class Readings:
    """Fresh electricity readings that no other run has sent, hour by hour back from a day long past."""

    def __init__(self) -> None:
        self._number = 0
        self._guard = threading.Lock()
        self._run = f"{time.time_ns():x}"

    def take(self, grant: str, count: int) -> list[dict]:
        items = []
        with self._guard:
            first, self._number = self._number, self._number + count
        for number in range(first, first + count):
            start = datetime(2026, 10, 1, tzinfo=UTC) + timedelta(seconds=number % 80_000 * 30)
            items.append(
                {
                    "grant": grant,
                    "activity": {
                        "@id": f"bench:{self._run}:{number}",
                        "@type": "ElectricityReading",
                        "start": start.isoformat(),
                        "end": (start + timedelta(hours=1)).isoformat(),
                        "quantity": 0.5,
                        "unit": "KiloW-HR",
                    },
                }
            )
        return items


def delivery_to_stream(city: City, rounds: int) -> list[float]:
    """From the delivery's answer to the event on the citizen's stream, in milliseconds."""
    handle = "kari"
    with Visitor(city.settings.base_url, handle) as visitor:
        visitor.sign_in(city.state.passphrases[handle])
        stream = visitor.listen()
        client = partner_client(city, "rema1000")
        grant = city.get("/control/grants")[handle]["rema1000"]
        times = []
        for number in range(rounds):
            before = stream.count("twin")
            start = city.settings.clock().now() - timedelta(minutes=5)
            item = {
                "grant": grant,
                "activity": {
                    "@id": f"bench:stream:{time.time_ns()}:{number}",
                    "@type": "GroceryLine",
                    "start": start.isoformat(),
                    "end": start.isoformat(),
                    "quantity": 0.4,
                    "unit": "KiloGM",
                    "name": "KJØTTDEIG STORFE 400G",
                },
            }
            answer = client.deliver("/bridge/activities", [item])
            answered = time.monotonic()
            if answer.count("accepted") != 1:
                raise SystemExit(f"the delivery was not accepted: {answer.problem}")
            if stream.wait_for("twin", before, 10):
                times.append((stream.events[-1][0] - answered) * 1000)
            # A stream sends at most five bursts a second; deliveries closer than that would measure the pause.
            time.sleep(0.3)
        stream.close()
    return times


def activities_per_second(city: City, batch: int, seconds: float, threads: int = 3) -> tuple[float, list[float]]:
    """Accepted activities a second through the whole path, and each answer's milliseconds."""
    grants = [held["tronderenergi"] for held in city.state.neighbour_grants.values()]
    readings, done, waits, guard = Readings(), 0, [], threading.Lock()
    until = time.monotonic() + seconds

    def work(number: int) -> None:
        nonlocal done
        client = partner_client(city, "tronderenergi")
        turn = number
        while time.monotonic() < until:
            items = []
            per_grant = min(batch, 24)
            while len(items) < batch:
                items += readings.take(grants[turn % len(grants)], min(per_grant, batch - len(items)))
                turn += threads
            answer = client.deliver("/bridge/activities", items)
            with guard:
                done += answer.count("accepted")
                waits.append(answer.ms)

    began = time.monotonic()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return done / (time.monotonic() - began), waits


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        listen, live = Listen("127.0.0.1", free_port()), Listen("127.0.0.1", free_port())
        with running_city(
            Path(folder) / "data", listen=listen, live_listen=live, citizens=1, neighbours=60, say=lambda _: None
        ) as city:
            city.post("/control/live", {"on": False})
            print("memory, PSS in MB:")
            total = 0.0
            for role, process in city.processes.running.items():
                tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                sizes = [pss_megabytes(each) for each in tree]
                total += sum(sizes)
                print(f"  {role}: {sum(sizes):.0f} in {len(sizes)} process(es)")
            print(f"  all: {total:.0f}")
            times = delivery_to_stream(city, options.rounds)
            print(
                f"delivery's answer to the event on the stream, idle: p50 {percentile(times, 0.5):.0f} ms, "
                f"p99 {percentile(times, 0.99):.0f} ms ({len(times)} of {options.rounds} arrived)"
            )
            stop = threading.Event()

            def load() -> None:
                while not stop.is_set():
                    activities_per_second(city, 24, 1.0, threads=1)

            loader = threading.Thread(target=load)
            loader.start()
            times = delivery_to_stream(city, options.rounds)
            stop.set()
            loader.join()
            print(
                f"the same beside a partner that delivers batches of 24 without pause: p50 {percentile(times, 0.5):.0f} "
                f"ms, p99 {percentile(times, 0.99):.0f} ms ({len(times)} of {options.rounds} arrived)"
            )
            for batch in (1, 24, 1000):
                rate, waits = activities_per_second(city, batch, options.seconds)
                print(
                    f"batches of {batch}: {rate:,.0f} activities/s, answer p50 {percentile(waits, 0.5):.1f} ms, "
                    f"p99 {percentile(waits, 0.99):.1f} ms"
                )
            base_url = city.settings.base_url
            city.processes.stop()
            began = time.monotonic()
            city.processes.start()
            while True:
                try:
                    if httpx.get(f"{base_url}/-/sign-in", timeout=1).status_code == 200:
                        break
                except httpx.HTTPError:
                    pass
                time.sleep(0.02)
            print(f"cold start to the first page: {time.monotonic() - began:.2f} s")


if __name__ == "__main__":
    main()

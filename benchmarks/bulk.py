"""The bulk door, end to end over a socket: HTTP, token, a consent a citizen, validation, sealing, synced commits.

    .venv/bin/python benchmarks/bulk.py [--pods 1000] [--workers 2] [--senders 2]

Each sender streams one delivery as lines (partner_bridge/client.py, whose own time is in the figure); beside it the floor:
as many records decoded and appended by one process without HTTP. Each size is sent twice: to citizens whom no process of
the host has met yet (cold: keys, grants and marks are read for the first time), and the same citizens' next day (warm).
Nothing else runs on the host but its three roles; before each run the agent has thought what it had to think, and while
one runs it thinks beside it, as it does in a city.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

import psutil
from deliveries import granted
from joserfc.jwk import ECKey
from machine import describe, folder_megabytes, pss_megabytes
from running_host import running_host

from partner_bridge.bulk import PieceReader
from partner_bridge.channels.push import item_of_line
from partner_bridge.client import Bridge
from partner_bridge.delivery import deliver
from pod_server import partners
from pod_server.authorization_server.tokens import AuthenticatedPartner
from pod_server.household import Household
from pod_server.identifiers import Handle
from pod_server.pods import NewCitizen, create_pods


def records(grants: list[str], each: int, run: str, day: int = 0):
    """`each` readings of every citizen, citizen by citizen, in hours that no other run has, from a day on."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=300 - day)
    for grant in grants:
        for number in range(each):
            at = start + timedelta(hours=number)
            yield {
                "grant": grant,
                "activity": {
                    "@id": f"m:{run}:{number}", "@type": "ElectricityReading", "start": at.isoformat(),
                    "end": (at + timedelta(hours=1)).isoformat(), "quantity": 0.5 + number / 100, "unit": "KiloW-HR",
                },
            }  # fmt: skip


class Text:
    """Lines in memory, as a body."""

    def __init__(self, data: bytes) -> None:
        self._left = memoryview(data)

    def read(self, size: int = -1) -> bytes:
        data, self._left = self._left[:size], self._left[size:]
        return bytes(data)


def memory(children: list[psutil.Process]) -> float:
    return sum(pss_megabytes(one) for each in children for one in [each, *each.children(recursive=True)])


def processor_seconds(children: list[psutil.Process]) -> dict[str, float]:
    """By role."""
    used: dict[str, float] = {}
    for each in children:
        role = next(word for word in each.cmdline() if word in {"web", "live", "agent", "twin"})
        times = [one.cpu_times() for one in [each, *each.children(recursive=True)]]
        used[role] = used.get(role, 0) + sum(time.user + time.system for time in times)
    return used


def wait_until_idle(children: list[psutil.Process]) -> None:
    """Until all roles together used less than a twentieth of a core for a second."""
    before = sum(processor_seconds(children).values())
    while True:
        time.sleep(1)
        now = sum(processor_seconds(children).values())
        if now - before < 0.05:
            return
        before = now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--each", type=int, nargs="+", default=[24, 1], help="records a citizen")
    options = parser.parse_args()
    print(describe())
    # As in the host's own processes.
    gc.set_threshold(20_000, 20, 50)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_host(Path(folder) / "data", workers=options.workers) as running,
    ):
        key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
        partner = partners.add_partner(running.host, name="Strømmen AS", jwks={"keys": [key.as_dict(private=False)]})
        grants: list[str] = []
        for first in range(0, len(options.each) * options.pods + options.senders, 50):
            made = create_pods(
                running.host,
                [
                    NewCitizen(Handle(f"citizen-{number}"), Household(f"C {number}", "nb", 2, "", "flat"))
                    for number in range(first, min(first + 50, len(options.each) * options.pods + options.senders))
                ],
            )
            grants += [granted(running.host, each.pod.pod_id, partner=partner).grant for each in made]
        children = psutil.Process().children()
        first_ones, grants = grants[: options.senders], grants[options.senders :]
        clients = [
            Bridge(running.base_url, client_id=partner.client_id, key=key.as_dict(private=True)) for _ in first_ones
        ]

        def send(client: Bridge, count: int, run: str, body: bytes) -> None:
            answer = client._ask("POST", "/bridge/activities", run, body)  # noqa: SLF001 - bytes made before the clock starts
            statuses = answer.content.count(b'"status":"accepted"')
            assert statuses == count, answer.content[:500]

        def sent(grants: list[str], each: int, run: str, day: int) -> None:
            shares = [grants[number :: options.senders] for number in range(options.senders)]
            bodies = [
                b"".join(json.dumps(item).encode() + b"\n" for item in records(share, each, run, day))
                for share in shares
            ]
            wait_until_idle(children)
            size, before, used = folder_megabytes(Path(folder)), memory(children), processor_seconds(children)
            highest, stop = [before], threading.Event()

            def watch() -> None:
                while not stop.wait(0.5):
                    highest[0] = max(highest[0], memory(children))

            watcher = threading.Thread(target=watch)
            watcher.start()
            began = time.perf_counter()
            senders = [
                threading.Thread(target=send, args=(client, len(share) * each, f"{each}-{run}-{number}", body))
                for number, (client, share, body) in enumerate(zip(clients, shares, bodies, strict=True))
            ]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            took = time.perf_counter() - began
            spent = " + ".join(f"{now - used[role]:.1f} {role}" for role, now in processor_seconds(children).items())
            stop.set()
            watcher.join()
            count = len(grants) * each
            print(
                f"{each} records a citizen, {run}, {options.senders} streams: {count / took:,.0f} activities/s "
                f"({count:,} in {took:.1f} s, processor seconds: {spent}); memory (PSS) of all roles "
                f"{before:.0f} → {highest[0]:.0f} MB; "
                f"{(folder_megabytes(Path(folder)) - size) * 2**20 / count:.0f} bytes on disk an activity",
                flush=True,
            )

        def floor(grants: list[str], each: int, run: str, day: int) -> None:
            who = AuthenticatedPartner(partner.client_id, partner.name, None, "")
            body = b"".join(json.dumps(item).encode() + b"\n" for item in records(grants, each, f"floor-{run}", day))
            wait_until_idle(children)
            began = time.perf_counter()
            reader, done = PieceReader(Text(body)), 0
            while (piece := reader.next()) is not None:
                answers = deliver(running.host, who, [item_of_line(line) for line in piece.lines])
                done += sum(answer.status == "accepted" for answer in answers)
            took = time.perf_counter() - began
            assert done == len(grants) * each
            print(f"    the floor, {run}, one process without HTTP: {done / took:,.0f} activities/s", flush=True)

        # Tokens, connections and what a process loads when it is first asked.
        for number, client in enumerate(clients):
            (body,) = (json.dumps(item).encode() for item in records([first_ones[number]], 1, "first"))
            send(client, 1, f"first-{number}", body)
        for number, each in enumerate(options.each):
            met = grants[number * options.pods :][: options.pods]
            for day, run in ((0, "cold"), (2, "warm")):
                sent(met, each, run, day)
                floor(met, each, run, day + 1)


if __name__ == "__main__":
    main()

"""The bulk door, end to end over a socket: HTTP, token, a consent a citizen, validation, sealing, synced commits.

    .venv/bin/python benchmarks/bulk.py [--pods 1000] [--workers 2] [--senders 2]

Each sender streams one delivery as lines (partner_bridge/client.py, whose own time is in the figure); beside it the floor:
the same records decoded and appended by one process without HTTP. Nothing else runs on the host but its three roles.
"""

from __future__ import annotations

import argparse
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


def records(grants: list[str], each: int, run: str):
    """`each` readings of every citizen, citizen by citizen, in hours that no other run has."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=300)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--senders", type=int, default=2)
    options = parser.parse_args()
    print(describe())
    with (
        tempfile.TemporaryDirectory() as folder,
        running_host(Path(folder) / "data", workers=options.workers) as running,
    ):
        key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
        partner = partners.add_partner(running.host, name="Strømmen AS", jwks={"keys": [key.as_dict(private=False)]})
        grants: list[str] = []
        for first in range(0, options.pods, 50):
            made = create_pods(
                running.host,
                [
                    NewCitizen(Handle(f"citizen-{number}"), Household(f"C {number}", "nb", 2, "", "flat"))
                    for number in range(first, min(first + 50, options.pods))
                ],
            )
            grants += [granted(running.host, each.pod.pod_id, partner=partner).grant for each in made]
        children = psutil.Process().children()
        shares = [grants[number :: options.senders] for number in range(options.senders)]

        def send(share: list[str], each: int, run: str, body: list[bytes]) -> None:
            client = Bridge(running.base_url, client_id=partner.client_id, key=key.as_dict(private=True))
            answer = client._ask("POST", "/bridge/activities", run, body[0])  # noqa: SLF001 - bytes made before the clock starts
            statuses = answer.content.count(b'"status":"accepted"')
            assert statuses == len(share) * each, answer.content[:500]

        for each in (24, 1):
            bodies = [
                [b"".join(json.dumps(item).encode() + b"\n" for item in records(share, each, f"{each}"))]
                for share in shares
            ]
            size, before = folder_megabytes(Path(folder)), memory(children)
            highest, stop = [before], threading.Event()

            def watch(highest: list[float] = highest, stop: threading.Event = stop) -> None:
                while not stop.wait(0.2):
                    highest[0] = max(highest[0], memory(children))

            watcher = threading.Thread(target=watch)
            watcher.start()
            began = time.perf_counter()
            senders = [
                threading.Thread(target=send, args=(share, each, f"{each}-{number}", body))
                for number, (share, body) in enumerate(zip(shares, bodies, strict=True))
            ]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            took = time.perf_counter() - began
            stop.set()
            watcher.join()
            count = len(grants) * each
            print(
                f"{each} records a citizen, {options.senders} streams: {count / took:,.0f} activities/s "
                f"({count:,} in {took:.1f} s); memory (PSS) of all roles {before:.0f} → {highest[0]:.0f} MB; "
                f"{(folder_megabytes(Path(folder)) - size) * 2**20 / count:.0f} bytes on disk an activity"
            )
            who = AuthenticatedPartner(partner.client_id, partner.name, None, "")
            floor = b"".join(json.dumps(item).encode() + b"\n" for item in records(grants, each, f"floor-{each}"))
            began = time.perf_counter()
            reader, done = PieceReader(Text(floor)), 0
            while (piece := reader.next()) is not None:
                answers = deliver(running.host, who, [item_of_line(line) for line in piece.lines])
                done += sum(answer.status == "accepted" for answer in answers)
            took = time.perf_counter() - began
            assert done == count
            print(f"    the floor, one process without HTTP: {count / took:,.0f} activities/s")


if __name__ == "__main__":
    main()

"""A thousand subscribers on one machine: WebSockets and streams, half and half, and each hears of a change once.

    .venv/bin/python benchmarks/notifications.py [--listeners 1000] [--changes 3]

Starts a host of its own (web and live roles) in a temporary folder; everything goes over real sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import resource
import secrets
import statistics
import struct
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from machine import describe, percentile, pss_megabytes

from pod_server import documents
from pod_server.authorization.enforcement import require_owner
from pod_server.opening import OpenPod
from pod_server.pods import create_pod
from tvilling.app import create_host
from tvilling.data_folder import migrate_data_folder
from tvilling.ports import free_port
from tvilling.serve import Processes
from tvilling.settings import Listen, Settings

CONTEXT = "https://www.w3.org/ns/solid/notification/v1"
TYPES = ("WebSocketChannel2023", "StreamingHTTPChannel2023")
EVERYBODY = """\
@prefix acl: <http://www.w3.org/ns/auth/acl#> . @prefix foaf: <http://xmlns.com/foaf/0.1/> .
[] a acl:Authorization ; acl:agentClass foaf:Agent ; acl:accessTo <public/> ; acl:default <public/> ; acl:mode acl:Read, acl:Write .
"""


@dataclass
class Listener:
    """One subscriber, and when it heard what."""

    address: str
    heard: list[tuple[float, str]] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self) -> None:
        """Open the channel and note what comes, until cancelled."""
        parts = urlsplit(self.address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        is_websocket = parts.scheme == "ws"
        more = ""
        if is_websocket:
            key = base64.b64encode(os.urandom(16)).decode()
            more = (
                "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            )
        writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{more}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if head.split()[1] not in {b"101", b"200"}:
            raise SystemExit(f"a channel was refused: {head[:200]!r}")
        self.ready.set()
        while True:
            message = await (self._frame(reader) if is_websocket else self._line(reader))
            if message:
                self.heard.append((time.perf_counter(), json.loads(message)["state"]))
                async with self.told:
                    self.told.notify_all()

    async def has_heard(self, count: int) -> None:
        """Wait for so many notifications."""
        async with self.told:
            await self.told.wait_for(lambda: len(self.heard) >= count)

    @staticmethod
    async def _frame(reader: asyncio.StreamReader) -> bytes:
        first, size = await reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await reader.readexactly(2))
        payload = await reader.readexactly(size)
        return payload if first == 0x81 else b""

    @staticmethod
    async def _line(reader: asyncio.StreamReader) -> bytes:
        size = int(await reader.readline(), 16)
        return (await reader.readexactly(size + 2)).strip()


async def measure(base_url: str, live: psutil.Process, count: int, changes: int) -> None:
    """Open the channels, change the document, and print who heard when."""
    root, began = f"{base_url}/kari/", time.perf_counter()
    before = pss_megabytes(live)
    async with httpx.AsyncClient(timeout=60) as client:
        addresses = []
        for name in TYPES:
            body = json.dumps({"@context": [CONTEXT], "type": name, "topic": f"{root}public/doc"})
            answer = await client.post(
                f"{root}.notifications/{name}", content=body, headers={"Content-Type": "application/ld+json"}
            )
            answer.raise_for_status()
            addresses.append(answer.json()["receiveFrom"])
        listeners = [Listener(addresses[number % len(TYPES)]) for number in range(count)]
        tasks = [asyncio.create_task(one.listen()) for one in listeners]
        for one in listeners:
            await asyncio.wait_for(one.ready.wait(), 120)
        opened, memory = time.perf_counter() - began, pss_megabytes(live)
        print(
            f"{count:,} channels open after {opened:.1f} s; live role {before:.0f} MB before, {memory:.0f} MB now: "
            f"{(memory - before) * 1024 / count:.1f} KB each"
        )
        for number in range(1, changes + 1):
            changed = time.perf_counter()
            answer = await client.put(
                f"{root}public/doc", content=f"<> <urn:p> {number} .", headers={"Content-Type": "text/turtle"}
            )
            answer.raise_for_status()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*(one.has_heard(number) for one in listeners)), 60)
            times = [(one.heard[number - 1][0] - changed) * 1000 for one in listeners if len(one.heard) >= number]
            print(
                f"change {number}: heard by {len(times):,}; first {min(times):.0f} ms, median "
                f"{statistics.median(times):.0f} ms, p99 {percentile(times, 0.99):.0f} ms, last {max(times):.0f} ms"
            )
        await asyncio.sleep(2)
        told = [len(one.heard) for one in listeners]
        each_once = all(len({state for _, state in one.heard}) == len(one.heard) == changes for one in listeners)
        print(f"each heard each change exactly once: {each_once} (between {min(told)} and {max(told)})")
        print(f"live role afterwards: {pss_megabytes(live):.0f} MB")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=3)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        listen, live = Listen("127.0.0.1", free_port()), Listen("127.0.0.1", free_port())
        settings = Settings(
            data_folder=str(Path(folder) / "data"),
            base_url=listen.origin,
            live_url=live.origin,
            listen=listen,
            live_listen=live,
        )
        migrate_data_folder(settings)
        host = create_host(settings)
        new = create_pod(host, "kari")
        opened = OpenPod(new.pod, require_owner(new.vault), new.vault)
        with host.storage.write() as tx:
            now = host.clock.now()
            documents.put(tx, opened, "public/.acl", "text/turtle", EVERYBODY.encode(), public=False, at=now)
            documents.put(
                tx,
                opened,
                "public/doc",
                "text/turtle",
                f"<> <urn:p> '{secrets.token_hex(4)}' .".encode(),
                public=True,
                at=now,
            )
        processes = Processes(settings)
        processes.start(("web", "live"))
        try:
            processes.wait_until_ready()
            role = psutil.Process(processes.running["live"].pid)
            asyncio.run(measure(settings.base_url, role, options.listeners, options.changes))
        finally:
            processes.stop()


if __name__ == "__main__":
    main()

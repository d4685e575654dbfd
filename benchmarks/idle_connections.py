"""Thousands of connections that say nothing: whether a newcomer is still answered, how fast, and what they cost.

    .venv/bin/python benchmarks/idle_connections.py [--connections 10000]

Three kinds, one after the other, to the web role and to the live role: connections that send nothing, that stop in the
middle of a request's headers, and that stay open after an answer (keep-alive). The process's limit of open files bounds
how many are tried.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import tempfile
import time
from pathlib import Path

import httpx
import psutil
from machine import describe, percentile, pss_megabytes

from tvilling.data_folder import migrate_data_folder
from tvilling.ports import free_port
from tvilling.serve import Processes
from tvilling.settings import Listen, Settings

KINDS = {
    "silent": b"",
    "half a request": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    "kept alive": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


def open_many(port: int, count: int, first_bytes: bytes) -> list[socket.socket]:
    """So many connections, or as many as are taken within half a minute."""
    opened: list[socket.socket] = []
    until = time.monotonic() + 30
    while len(opened) < count and time.monotonic() < until:
        one = socket.socket()
        one.settimeout(2)
        try:
            one.connect(("127.0.0.1", port))
            if first_bytes:
                one.sendall(first_bytes)
        except OSError:
            one.close()
            continue
        opened.append(one)
    return opened


def newcomers(url: str, count: int = 20) -> list[float]:
    """Each a connection of its own: the answer's milliseconds; a failure counts as the whole time-out."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(url, timeout=10).raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
    return times


def memory(process: psutil.Process) -> float:
    """PSS of a role with its children, in MB."""
    return sum(pss_megabytes(one) for one in [process, *process.children(recursive=True)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=10_000)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = min(options.connections, most - 500)
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
        processes = Processes(settings)
        processes.start(("web", "live"))
        try:
            processes.wait_until_ready()
            for role, address in (("web", listen), ("live", live)):
                process = psutil.Process(processes.running[role].pid)  # type: ignore[index]
                url = f"{address.origin}/healthz"
                alone, before = newcomers(url), memory(process)
                print(f"{role}: alone p50 {percentile(alone, 0.5):.0f} ms, {before:.0f} MB")
                for kind, first_bytes in KINDS.items():
                    held = open_many(address.port, count, first_bytes)
                    times = newcomers(url)
                    print(
                        f"  beside {len(held):,} {kind}: newcomer p50 {percentile(times, 0.5):.0f} ms, "
                        f"worst {max(times):.0f} ms, {memory(process):.0f} MB"
                    )
                    for one in held:
                        one.close()
                    time.sleep(1)
        finally:
            processes.stop()


if __name__ == "__main__":
    main()

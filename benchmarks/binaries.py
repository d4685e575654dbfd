"""Large binaries through a running host over a socket: megabytes a second up and down, and the memory it takes.

    .venv/bin/python benchmarks/binaries.py [--megabytes 256]

Yardsticks from the same run: a copy with fsync (what any store must do), the same bytes through AES-256-GCM by OpenSSL
in memory, and through a bare socket. One web worker, so that its memory is one process's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import httpx
import psutil
from machine import describe, percentile, pss_megabytes

from tvilling.city.solid_script import SolidScript
from tvilling.ports import free_port

PIECE = 1 << 20
MEDIA = "application/octet-stream"


@contextlib.contextmanager
def running_host(folder: Path, *, workers: int = 1):
    """A host of its own with one citizen: its base URL, its web processes, the citizen's signed-in script."""
    data, base = folder / "data", f"http://localhost:{free_port()}"
    command = [sys.executable, "-m", "tvilling"]
    common = ["--data", str(data), "--base-url", base, "--json"]
    subprocess.run([*command, "citizen", "add", "kari", *common], check=True, capture_output=True)
    made = subprocess.run([*command, "citizen", "credentials", "kari", *common], check=True, capture_output=True)
    listen = base.removeprefix("http://").replace("localhost", "127.0.0.1")
    server = subprocess.Popen(
        [*command, "serve", "--role", "web", "--workers", str(workers), "--listen", listen, *common],
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{base}/healthz").status_code == 200:
                    break
            time.sleep(0.05)
        yield base, psutil.Process(server.pid), SolidScript(json.loads(made.stdout))
    finally:
        server.terminate()
        server.wait(15)


class Watch:
    """The greatest memory of a tree of processes while something runs."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._stop, self.most = process, threading.Event(), 0.0
        self._thread = threading.Thread(target=self._look)

    def now(self) -> float:
        tree = [self._process, *self._process.children(recursive=True)]
        return sum(pss_megabytes(each) for each in tree)

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            with contextlib.suppress(psutil.Error):
                self.most = max(self.most, self.now())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()


def pieces(count: int):
    block = os.urandom(PIECE)
    for _ in range(count):
        yield block


def yardsticks(folder: Path, megabytes: int) -> dict[str, float]:
    """Megabytes a second of a copy with fsync, of AES-256-GCM in memory, and of a bare socket."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    source, target = folder / "source", folder / "target"
    with source.open("wb") as file:
        for piece in pieces(megabytes):
            file.write(piece)
    began = time.perf_counter()
    with source.open("rb") as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, 256 * 1024)
        writing.flush()
        os.fsync(writing.fileno())
    copied = megabytes / (time.perf_counter() - began)
    source.unlink()
    target.unlink()
    key, block = AESGCM(os.urandom(32)), os.urandom(256 * 1024)
    began = time.perf_counter()
    for number in range(megabytes * 4):
        key.encrypt(number.to_bytes(12, "big"), block, b"")
    sealed = megabytes / (time.perf_counter() - began)
    one, other = socket.socketpair()

    def send() -> None:
        for piece in pieces(megabytes):
            one.sendall(piece)
        one.close()

    sender = threading.Thread(target=send)
    began = time.perf_counter()
    sender.start()
    buffer = bytearray(256 * 1024)
    while other.recv_into(buffer):
        pass
    sender.join()
    return {"copy and fsync": copied, "AES-256-GCM": sealed, "socket": megabytes / (time.perf_counter() - began)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=256)
    options = parser.parse_args()
    size = options.megabytes
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rates = yardsticks(folder, size)
        print("yardsticks, MB/s: " + ", ".join(f"{what} {rate:,.0f}" for what, rate in rates.items()))
        with running_host(folder) as (base, process, script):
            url = f"{base}/kari/private/large.bin"
            small = f"{base}/kari/private/small.bin"
            watch = Watch(process)
            for _ in range(3):
                script.send("PUT", small, content=b"x" * 1000, headers={"Content-Type": MEDIA}).raise_for_status()
            before = watch.now()
            with Watch(process) as watch:
                began = time.perf_counter()
                headers = {"Content-Type": MEDIA, "Content-Length": str(size * PIECE)}
                script.send("PUT", url, content=pieces(size), headers=headers).raise_for_status()
                up = size / (time.perf_counter() - began)
            print(
                f"up:   {size} MB at {up:,.0f} MB/s; memory (PSS) {before:.0f} MB before, {watch.most:.0f} MB at most"
            )
            with Watch(process) as watch:
                began, taken = time.perf_counter(), 0
                with script.stream("GET", url) as answer:
                    for piece in answer.iter_raw():
                        taken += len(piece)
                down = size / (time.perf_counter() - began)
            assert taken == size * PIECE
            print(f"down: {size} MB at {down:,.0f} MB/s; memory (PSS) {watch.most:.0f} MB at most")
            waits = []
            for number in range(100):
                start = number * (size * PIECE - 1000) // 100
                began = time.perf_counter()
                answer = script.send("GET", url, headers={"Range": f"bytes={start}-{start + 999}"})
                waits.append((time.perf_counter() - began) * 1000)
                assert (answer.status_code, len(answer.content)) == (206, 1000)
            print(
                f"a range of 1000 bytes anywhere: p50 {percentile(waits, 0.5):.1f} ms, p99 {percentile(waits, 0.99):.1f} ms"
            )
            began = time.perf_counter()
            script.send("DELETE", url).raise_for_status()
            print(f"delete: {(time.perf_counter() - began) * 1000:.0f} ms")


if __name__ == "__main__":
    main()

"""Large documents through the web role as it runs: real sockets, real tokens, real callers who misbehave."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from ports import free_port
from running_host import serving

from pod_server import bodies, quota
from pod_server.storage.sqlite import SqliteStorage
from tvilling.city.solid_script import SolidScript

pytestmark = pytest.mark.xdist_group("large documents")  # one host for all of them

MEDIA = "application/octet-stream"
MEGABYTE = bytes(range(256)) * 4096
MEGABYTES = 96


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A host of one web worker, and Kari's script."""
    data, base = tmp_path_factory.mktemp("large") / "data", f"http://localhost:{free_port()}"
    command = [sys.executable, "-m", "tvilling"]
    common = ["--data", str(data), "--base-url", base, "--json"]
    subprocess.run([*command, "citizen", "add", "kari", *common], check=True, capture_output=True)
    made = subprocess.run([*command, "citizen", "credentials", "kari", *common], check=True, capture_output=True)
    port = int(base.rpartition(":")[2])
    options = ["--role", "web", "--workers", "1", "--listen", f"127.0.0.1:{port}", "--data", str(data)]
    with serving(base, *options) as process:
        script = SolidScript(json.loads(made.stdout))
        yield SimpleNamespace(base=base, port=port, data=data, script=script, process=process)
        script.close()


def memory(running) -> float:
    """Megabytes of all the web role's processes."""
    tree = [running.process, *running.process.children(recursive=True)]
    return sum(one.memory_full_info().pss for one in tree) / 2**20


def lying(running) -> list[Path]:
    return [path for path in (running.data / "binaries").glob("*/*") if len(path.name) == 32]


def reserved(running) -> int:
    storage = SqliteStorage(running.data / "tvilling.sqlite")
    with closing(storage), storage.read() as tx:
        (pod_id,) = tx.one("SELECT pod_id FROM pod")
        return quota.use_of(tx, pod_id, 0).reserved_bytes


def until(condition, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def put(running, path: str, content, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return running.script.send(
        "PUT", f"{running.base}/kari/{path}", content=content, headers={"Content-Type": MEDIA} | named
    )


def request_head(running, method: str, path: str, *lines: str) -> bytes:
    """A request as it goes over the wire, with a token and proof of Kari's."""
    signed = running.script._signed(method, f"{running.base}/kari/{path}", {})["headers"]
    head = [f"{method} /kari/{path} HTTP/1.1", f"Host: localhost:{running.port}", *lines]
    head += [f"{name}: {value}" for name, value in signed.items()]
    return "\r\n".join([*head, "", ""]).encode()


@pytest.mark.parametrize("how", ["with its length", "in chunks"])
def test_memory_stays_flat_however_much_goes_up_and_down(running, how):
    put(running, "private/warm", b"x" * 300_000)
    before, most, digest = memory(running), 0.0, hashlib.sha256()

    def body():
        nonlocal most
        for number in range(MEGABYTES):
            if number % 16 == 15:
                most = max(most, memory(running))
            yield MEGABYTE
            digest.update(MEGABYTE)

    length = {"Content_Length": str(MEGABYTES << 20)} if how == "with its length" else {}
    assert put(running, "private/large", body(), **length).status_code in {201, 204}
    got, taken = hashlib.sha256(), 0
    with running.script.stream("GET", f"{running.base}/kari/private/large") as answer:
        assert answer.headers["Content-Length"] == str(MEGABYTES << 20)
        for piece in answer.iter_raw():
            got.update(piece)
            taken += len(piece)
            if taken % (16 << 20) < len(piece):
                most = max(most, memory(running))
    assert got.digest() == digest.digest()
    assert most - before < 24, "the body is held in memory"


def test_an_upload_cut_in_the_middle_frees_its_disk_and_its_room_at_once(running):
    before = len(lying(running))
    with socket.create_connection(("127.0.0.1", running.port)) as caller:
        caller.sendall(
            request_head(running, "PUT", "private/cut", f"Content-Type: {MEDIA}", "Content-Length: 1000000000")
        )
        for _ in range(20):
            caller.sendall(MEGABYTE)
        assert until(lambda: len(lying(running)) == before + 1)
        assert reserved(running) > 1_000_000_000
    assert until(lambda: len(lying(running)) == before), "what had come lies on the disk"
    assert until(lambda: reserved(running) == 0)
    assert running.script.send("GET", f"{running.base}/kari/private/cut").status_code == 404


def test_a_stranger_and_a_full_pod_are_refused_without_waiting_for_the_body(running):
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as caller:
        head = ["PUT /kari/private/x HTTP/1.1", f"Host: localhost:{running.port}", f"Content-Type: {MEDIA}"]
        caller.sendall("\r\n".join([*head, "Content-Length: 1000000000", "", ""]).encode())
        assert caller.recv(100).startswith(b"HTTP/1.1 401")
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as caller:
        lines = (f"Content-Type: {MEDIA}", f"Content-Length: {9 << 30}", "Expect: 100-continue")
        caller.sendall(request_head(running, "PUT", "private/x", *lines))
        answer = caller.recv(65536)
        assert answer.startswith(b"HTTP/1.1 413"), "100 Continue would ask for the body"
    assert reserved(running) == 0


def test_a_body_longer_than_announced_is_not_taken_for_the_next_request(running):
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as caller:
        head = request_head(
            running, "PUT", "private/lie", f"Content-Type: {MEDIA}", "Content-Length: 300000", "Connection: close"
        )
        caller.sendall(head + b"x" * 300_000 + b"DELETE /kari/private/lie HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while piece := caller.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 201")
    assert answer.count(b"HTTP/1.1") == 1
    assert running.script.send("HEAD", f"{running.base}/kari/private/lie").headers["Content-Length"] == "300000"


def test_two_lengths_or_both_framings_are_refused(running):
    for lines in (("Content-Length: 5", "Content-Length: 6"), ("Content-Length: 5", "Transfer-Encoding: chunked, x")):
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as caller:
            caller.sendall(request_head(running, "PUT", "private/two", f"Content-Type: {MEDIA}", *lines) + b"x" * 6)
            assert caller.recv(100)[9:12] in {b"400", b"501", b"401"}


def test_many_slow_bodies_and_readers_stop_nobody_else(running):
    put(running, "public/film", MEGABYTE * 8)
    address = ("127.0.0.1", running.port)
    slow = []
    try:
        for _ in range(bodies.UPLOADS_AT_ONCE):
            caller = socket.create_connection(address)
            caller.sendall(
                b"POST /-/oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
                b"Content-Type: application/x-www-form-urlencoded\r\n\r\nx"
            )
            slow.append(caller)
        for _ in range(2 * bodies.TRANSFERS_A_POD):
            caller = socket.socket()
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.connect(address)
            caller.sendall(b"GET /kari/public/film HTTP/1.1\r\nHost: localhost\r\n\r\n")
            slow.append(caller)
        uploading = socket.create_connection(address)
        uploading.sendall(
            request_head(running, "PUT", "private/slow", f"Content-Type: {MEDIA}", "Content-Length: 1000000")
            + b"x" * 300_000
        )
        slow.append(uploading)
        assert until(lambda: reserved(running) > 0)
        for _ in range(3):
            began = time.monotonic()
            assert httpx.get(f"{running.base}/kari/profile/card").status_code == 200
            assert put(running, "private/note", b"a note").status_code in {201, 204}
            assert put(running, "private/photo", b"x" * 2_000_000).status_code in {201, 204}
            url = f"{running.base}/kari/public/film"
            part = running.script.send("GET", url, headers={"Range": "bytes=0-1000"})
            assert part.status_code == 206
            assert time.monotonic() - began < 18, "somebody waited for the slow ones"
        refused = running.script.send("GET", f"{running.base}/kari/public/film")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        assert refused.json()["type"].endswith("/problems/too-many-transfers")
    finally:
        for caller in slow:
            caller.close()
    assert until(lambda: running.script.send("GET", f"{running.base}/kari/public/film").status_code == 200)
    assert until(lambda: reserved(running) == 0)


def test_a_reader_who_goes_leaves_no_file_open(running):
    put(running, "public/film", MEGABYTE * 8)
    worker = max(running.process.children(recursive=True), key=lambda one: one.memory_info().rss)

    def open_binaries() -> int:
        return sum("/binaries/" in one.path for one in worker.open_files())

    for _ in range(5):
        with socket.create_connection(("127.0.0.1", running.port)) as caller:
            caller.sendall(b"GET /kari/public/film HTTP/1.1\r\nHost: localhost\r\n\r\n")
            caller.recv(1000)
    assert until(lambda: open_binaries() == 0)

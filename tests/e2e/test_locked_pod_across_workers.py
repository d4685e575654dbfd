"""A locked pod on a running host with two web workers: any of them serves the citizen who signed in, none anybody else."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import pytest
from ports import free_port
from running_host import serving

WORDS, OTHER = "fire ord om katten", "fem andre ord om hunden"
TOKEN = re.compile(r'name="csrf" value="([^"]+)"')
CODE = re.compile(r"<code>([0-9A-Z-]{30,})</code>")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A host with two web workers, and Kari with a passphrase."""
    folder = tmp_path_factory.mktemp("locked")
    words = folder / "words"
    words.write_text(WORDS, encoding="utf-8")
    base = f"http://localhost:{free_port()}"
    common = ["--data", str(folder / "data"), "--base-url", base, "--json"]
    command = [sys.executable, "-m", "tvilling"]
    subprocess.run(
        [*command, "citizen", "add", "kari", "--passphrase-file", str(words), *common], check=True, capture_output=True
    )
    port = base.rpartition(":")[2]
    options = ["--role", "web", "--workers", "2", "--listen", f"127.0.0.1:{port}", "--data", str(folder / "data")]
    with serving(base, *options) as process:
        yield SimpleNamespace(base=base, process=process)


def page(running, path, cookies, **options):
    """One request on a connection of its own, so that any worker may get it."""
    method = "POST" if "data" in options else "GET"
    return httpx.request(
        method, f"{running.base}{path}", cookies=cookies, headers={"Accept": "text/html"}, timeout=30, **options
    )


def everywhere(running, path, cookies, count: int = 24) -> set[int]:
    """What the workers answer to many requests at once."""
    with ThreadPoolExecutor(12) as many:
        return {each.status_code for each in many.map(lambda _: page(running, path, cookies), range(count))}


def sign_in(running, words):
    form = page(running, "/-/sign-in", {})
    fields = {"csrf": TOKEN.search(form.text).group(1), "handle": "kari", "passphrase": words}
    answer = page(running, "/-/sign-in", dict(form.cookies), data=fields)
    assert answer.status_code == 303, answer.text
    return dict(answer.cookies)


def test_every_worker_serves_the_session_before_and_after_the_lock_and_none_the_old_one(running):
    workers = [child for child in running.process.children(recursive=True) if not child.children()]
    assert len(workers) >= 2
    first, second = sign_in(running, WORDS), sign_in(running, WORDS)
    assert everywhere(running, "/-/my-data", first) == {200}
    lock = page(running, "/-/lock", first)
    fields = {"csrf": TOKEN.search(lock.text).group(1), "present": WORDS, "passphrase": OTHER, "again": OTHER}
    locked = page(running, "/-/lock", first, data=fields)
    assert locked.status_code == 200
    assert CODE.search(locked.text)
    session = dict(locked.cookies)
    assert everywhere(running, "/-/my-data", session) == {200}
    for ended in (first, second):
        assert 200 not in everywhere(running, "/-/my-data", ended)
    again = sign_in(running, OTHER)
    assert everywhere(running, "/-/log", again, 8) == {200}
    deadline = time.monotonic() + 60
    while "Poden forsegles" in page(running, "/-/lock", again).text:
        assert time.monotonic() < deadline, "history is not sealed anew"
        time.sleep(0.1)
    assert httpx.get(f"{running.base}/kari/profile/card").status_code == 200
    assert httpx.get(f"{running.base}/kari/consents/").status_code == 401

"""Starting the two servers: the Community Solid Server from npm, and ours as `tvilling serve` starts it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil
from machine import pss_megabytes

from tvilling.ports import free_port

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tvilling-benchmarks"
COMMUNITY_SERVER = "@solid/community-server@7"
PROJECT = Path(__file__).parents[2]
_TVILLING = [sys.executable, "-m", "tvilling"]


@dataclass
class Server:
    """A running server."""

    name: str
    base: str
    process: subprocess.Popen
    start_seconds: float

    def _all(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        return sum(times.user + times.system for times in (process.cpu_times() for process in self._all()))

    def memory_megabytes(self) -> float:
        """PSS of all its processes."""
        return sum(pss_megabytes(process) for process in self._all())

    def stop(self) -> None:
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            for process in self._all()[::-1]:
                process.kill()
            self.process.wait()


def start(name: str, command: list[str], base: str, probe: str, folder: Path) -> Server:
    """Start a server and wait for its first answer."""
    with (folder / f"{name}.log").open("wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=PROJECT)
    while True:
        try:
            with urllib.request.urlopen(base + probe, timeout=5):
                return Server(name, base, process, time.perf_counter() - began)
        except OSError as error:
            if process.poll() is not None or time.perf_counter() - began > 60:
                log_text = (folder / f"{name}.log").read_text()[-2000:]
                raise SystemExit(f"{name} did not start: {error}\n{log_text}") from error
            time.sleep(0.01)


# The Community Solid Server


def install_community_server() -> Path:
    """The package's folder, installed once into a cache outside the project."""
    home = CACHE / "community-solid-server"
    package = home / "node_modules/@solid/community-server"
    if not (package / "package.json").exists():
        home.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(home)]
        subprocess.run([*command, COMMUNITY_SERVER], check=True, stdout=subprocess.DEVNULL, cwd=home)
    return package


def community_version(package: Path) -> str:
    return str(json.loads((package / "package.json").read_text())["version"])


def _open_configuration(package: Path, folder: Path) -> Path:
    """Files on disk and no access control at all, which is the fastest it has for public documents."""
    known = json.loads((package / "config/file-root.json").read_text())
    replaced = {
        "css:config/ldp/authorization/webacl.json": "css:config/ldp/authorization/allow-all.json",
        "css:config/util/auxiliary/acl.json": "css:config/util/auxiliary/empty.json",
    }
    known["import"] = [replaced.get(one, one) for one in known["import"]]
    file = folder / "open.json"
    file.write_text(json.dumps(known))
    return file


def _community(package: Path, folder: Path, name: str, arguments: list[str]) -> Server:
    port = free_port()
    base = f"http://localhost:{port}"
    command = ["node", str(package / "bin/server.js"), "-p", str(port), "-b", f"{base}/", "-l", "warn", *arguments]
    return start(name, command, base, "/.well-known/openid-configuration", folder)


def start_community_open(package: Path, folder: Path) -> tuple[Server, Path]:
    """With files and no access control; its root folder, so that a container can be filled without asking it."""
    root = folder / "community-files"
    root.mkdir()
    arguments = ["-c", str(_open_configuration(package, folder)), "-f", str(root)]
    return _community(package, folder, "community-open", arguments), root


def start_community_guarded(package: Path, folder: Path) -> tuple[Server, str, tuple[str, str, str]]:
    """In memory, with WAC and DPoP; a pod's path in it, and the credentials of its owner's script."""
    seed = folder / "seed.json"
    account = {"email": "bench@example.org", "password": "not-a-secret"}
    seed.write_text(json.dumps([{**account, "pods": [{"name": "bench"}]}]))
    arguments = ["-c", str(package / "config/default.json"), "--seedConfig", str(seed)]
    server = _community(package, folder, "community-guarded", arguments)

    def ask(address: str, value: object = None, token: str = ""):
        headers = {"Accept": "application/json"}
        if value is not None:
            headers["Content-Type"] = "application/json"
        if token:
            headers["Authorization"] = f"CSS-Account-Token {token}"
        data = None if value is None else json.dumps(value).encode()
        with urllib.request.urlopen(urllib.request.Request(address, data=data, headers=headers), timeout=30) as answer:
            return json.load(answer)

    index, until = f"{server.base}/.account/", time.monotonic() + 30
    while True:  # it answers before the account is made
        try:
            ask(ask(index)["controls"]["password"]["login"], account)
            break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
    token = ask(ask(index)["controls"]["password"]["login"], account)["authorization"]
    wanted = {"name": "bench", "webId": f"{server.base}/bench/profile/card#me"}
    made = ask(ask(index, token=token)["controls"]["account"]["clientCredentials"], wanted, token)
    return server, "/bench/", (f"{server.base}/.oidc/token", made["id"], made["secret"])


# Ours


def prepare_ours(folder: Path) -> tuple[Path, str, tuple[str, str, str]]:
    """A data folder with one citizen: the folder, the host's address, the credentials of the citizen's script."""
    data, base = folder / "data", f"http://localhost:{free_port()}"
    _tell(data, base, "citizen", "add", "bench")
    made = _tell(data, base, "citizen", "credentials", "bench")
    return data, base, (made["token_endpoint"], made["client_id"], made["client_secret"])


def start_ours(data: Path, base: str, folder: Path, handle: str = "bench") -> Server:
    """All roles, as in production: encrypted, logged, each write synced to the disk before it is answered."""
    port = base.rpartition(":")[2]
    listen, live = f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}"
    command = [*_TVILLING, "serve", "--data", str(data), "--base-url", base, "--listen", listen, "--live-listen", live]
    return start("ours", command, base, f"/{handle}/profile/card", folder)


def _tell(data: Path, base: str, *words: str):
    command = [*_TVILLING, *words, "--data", str(data), "--base-url", base, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT).stdout)


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)

"""A host as `tvilling serve` runs it, on sockets; its citizens, their browsers, and the programs of others."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urljoin, urlsplit

import httpx
import psutil
import pytest
from ending import end, kill_and_wait
from joserfc import jwt
from joserfc.jwk import ECKey
from ports import free_port

from tvilling.city.visitor import Visitor, read_forms

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from pod_server.host import Host
    from tvilling.serve import Processes

PASSPHRASE = "en lang setning om høst"


def no_clients(why: str) -> NoReturn:
    """A skip that nobody overlooks; a failure where TVILLING_REQUIRE_CLIENTS is set (CI)."""
    message = f"NO CLIENTS: {why}, so no real Solid client was tried (see `make clients`)"
    if os.environ.get("TVILLING_REQUIRE_CLIENTS"):
        pytest.fail(message)
    pytest.skip(message)


class Program:
    """A client's program: told what it needs as JSON, says JSON lines, and is answered where it asks."""

    def __init__(self, node: str, script: Path, told: Mapping[str, Any]) -> None:
        self._process = subprocess.Popen(
            [node, "--no-warnings", str(script), json.dumps(told)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=script.parent,
        )  # fmt: skip

    def next(self) -> dict[str, Any]:
        """What it says next; fails with its standard error where it ended instead."""
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):
                said = json.loads(line)
                assert isinstance(said, dict)
                return said
        assert self._process.stderr
        pytest.fail(self._process.stderr.read()[-3000:])

    def tell(self, **members: Any) -> None:
        """Answer it."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(members) + "\n")
        self._process.stdin.flush()

    def end(self) -> None:
        kill_and_wait(self._process)


class Browser(Visitor):
    """A citizen's browser, which also answers apps."""

    def answer_app(self, address: str, modes: str | None) -> str:
        """Follow an app's authorization request to the page that asks, answer, and return where the browser is sent.

        `modes` is how far the app is let in; None says no.
        """
        arrived = self._http.get(address)
        assert arrived.status_code == 303, arrived.text
        page = urljoin(self.base_url, arrived.headers["location"])
        form = self._form(page, action_ends_with=urlsplit(page).path)
        answer = {"answer": "deny"} if modes is None else {"answer": "allow", "modes": modes}
        answered = self._post(form.action, form.hidden() | answer)
        assert answered.status_code == 303, answered.text
        return str(answered.headers["location"])

    def end_apps(self) -> int:
        """End every app on the page My data; how many there were."""
        ended = 0
        for form in read_forms(self._page("/-/my-data")):
            if form.action.startswith("/-/apps/") and form.action.endswith("/end"):
                self._post(form.action, form.hidden())
                ended += 1
        return ended


class Dpop(httpx.Auth):
    """A token and a fresh proof with each request (RFC 9449)."""

    def __init__(self, key: ECKey, token: str) -> None:
        self._key = key
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        address = str(request.url.copy_with(query=None, fragment=None))
        request.headers["Authorization"] = f"DPoP {self._token}"
        request.headers["DPoP"] = proof(self._key, request.method, address, self._token)
        yield request


def proof(key: ECKey, method: str, address: str, token: str | None = None) -> str:
    """A DPoP proof of now."""
    claims: dict[str, Any] = {"htm": method, "htu": address, "jti": secrets.token_urlsafe(16), "iat": int(time.time())}
    if token is not None:
        claims["ath"] = urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key, algorithms=["ES256"])


@dataclass(frozen=True)
class Citizen:
    """Who lives there, with the credentials of a script of theirs."""

    handle: str
    webid: str
    pod: str
    client_id: str
    client_secret: str
    token_endpoint: str

    def client(self) -> httpx.Client:
        """The script, signed in."""
        key = ECKey.generate_key("P-256")
        answer = httpx.post(
            self.token_endpoint,
            data={"grant_type": "client_credentials", "scope": "webid"},
            auth=(self.client_id, self.client_secret),
            headers={"DPoP": proof(key, "POST", self.token_endpoint)},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return httpx.Client(auth=Dpop(key, answer.json()["access_token"]), timeout=60)


@dataclass(frozen=True)
class RunningHost:
    """A host on sockets."""

    base_url: str
    live_url: str
    data: Path
    host: Host
    processes: Processes

    def kill_web(self) -> None:
        """kill -9 of the web role and all its workers, as they stand; then it is started anew, as its watcher does."""
        web = self.processes.running["web"]
        os.killpg(web.pid, signal.SIGKILL)
        web.wait()
        self.processes.watch_once()
        self.processes.wait_until_ready()

    def citizen(self, handle: str, **options: Any) -> Citizen:
        """A new citizen, who signs in with PASSPHRASE, and a script's credentials."""
        from pod_server.authorization.enforcement import require_owner
        from pod_server.authorization_server.scripts import create_credentials
        from pod_server.pods import create_pod
        from pod_server.vault.key_derivation import Passphrase

        made = create_pod(self.host, handle, passphrase=Passphrase(PASSPHRASE), **options)
        script = create_credentials(self.host, require_owner(made.vault), made.webid)
        return Citizen(
            handle,
            made.webid,
            f"{self.base_url}/{handle}/",
            script.client_id,
            script.client_secret,
            script.token_endpoint,
        )

    @contextlib.contextmanager
    def browser(self, citizen: Citizen) -> Iterator[Browser]:
        """The citizen's browser, signed in."""
        with Browser(self.base_url, citizen.handle) as browser:
            browser.sign_in(PASSPHRASE)
            yield browser


@contextlib.contextmanager
def serving(base_url: str, *options: str) -> Iterator[psutil.Process]:
    """The command `tvilling serve` with these options, once it answers; ended with all of its processes afterwards."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tvilling", "serve", "--base-url", base_url, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{base_url}/readyz").status_code == 200:
                    break
            assert server.poll() is None, "tvilling serve ended at once"
            assert time.monotonic() < deadline, "tvilling serve did not answer within a minute"
            time.sleep(0.02)
        yield psutil.Process(server.pid)
    finally:
        end(server, grace_seconds=15)


@contextlib.contextmanager
def running_host(
    folder: Path, *, allow_outbound: tuple[str, ...] = (), workers: int = 1, agents: int = 1
) -> Iterator[RunningHost]:
    """`tvilling serve` on free ports, with one worker of the web role unless more are asked for."""
    from tvilling.app import create_host
    from tvilling.data_folder import migrate_data_folder
    from tvilling.serve import Processes
    from tvilling.settings import Listen, Settings

    listen, live = Listen("127.0.0.1", free_port()), Listen("127.0.0.1", free_port())
    settings = Settings(
        data_folder=str(folder),
        base_url=listen.origin,
        live_url=live.origin,
        listen=listen,
        live_listen=live,
        allow_outbound=allow_outbound,
        workers=workers,
        agents=agents,
    )
    migrate_data_folder(settings)
    host = create_host(settings)
    processes = Processes(settings)
    try:
        processes.start()
        processes.wait_until_ready()
        yield RunningHost(listen.origin, live.origin, folder, host, processes)
    finally:
        processes.stop()
        host.storage.close()
        host.key_store.close()

"""The live role as it is run: a receiver that takes a connection and never answers holds up nobody but itself."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import msgspec
import pytest
from ports import free_port

from pod_server import documents
from pod_server.authorization.enforcement import require_owner
from pod_server.notifications import webhook
from pod_server.notifications.changes import State
from pod_server.notifications.channel import WEBHOOK, Subscription
from pod_server.opening import OpenPod
from pod_server.pods import create_pod
from tvilling.app import create_host
from tvilling.data_folder import migrate_data_folder
from tvilling.serve import Processes
from tvilling.settings import Listen, Settings

STALLING = 40


@pytest.fixture
def good():
    """A receiver that answers at once."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.heard = heard
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def stalling():
    """A receiver that takes connections and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)
    yield listener
    listener.close()


def test_a_receiver_that_stalls_holds_up_nobody_else(tmp_path, good, stalling):
    origins = tuple(f"http://127.0.0.1:{one.getsockname()[1]}" for one in (good.socket, stalling))
    live = Listen("127.0.0.1", free_port())
    settings = Settings(
        data_folder=str(tmp_path / "data"),
        base_url="http://localhost:8080",
        live_url=live.origin,
        listen=Listen("127.0.0.1", 8080),
        live_listen=live,
        allow_outbound=origins,
    )
    migrate_data_folder(settings)
    host = create_host(settings)
    new = create_pod(host, "kari")
    ends = int(time.time() + 3600) * 1_000_000
    owner = host.base_url + "/kari/profile/card#me"
    subscription = msgspec.json.encode(Subscription(WEBHOOK, "kari", "private/doc", owner, "", None, ends))
    for number in range(STALLING + 1):
        send_to = f"{origins[1]}/{number}" if number < STALLING else f"{origins[0]}/hook"
        webhook.add(host, new.pod.pod_id, subscription, send_to, State(), ends=ends)
    processes = Processes(settings)
    processes.start(("live",))
    try:
        wait_for(lambda: answers(f"{live.origin}/healthz"), 60)
        opened = OpenPod(new.pod, require_owner(new.vault), new.vault)
        with host.storage.write() as tx:
            documents.put(tx, opened, "private/doc", "text/turtle", b"", public=False, at=host.clock.now())
        host.signal.notify([new.pod.pod_id])
        wait_for(lambda: good.heard, 60)
        with host.storage.read() as tx:
            given_up_on = tx.all(
                "SELECT last_answer FROM webhook_channel WHERE last_answer NOT IN ('', 'answered 204')"
            )
        assert not given_up_on, "it heard while the others were still being waited for"
        assert good.heard[0]["type"] == "Create"
        assert answers(f"{live.origin}/healthz")
    finally:
        processes.stop()


def answers(url):
    try:
        return httpx.get(url, timeout=30).status_code == 200
    except httpx.HTTPError:
        return False


def wait_for(condition, seconds):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)

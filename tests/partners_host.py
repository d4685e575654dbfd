"""A host in this process, on a socket and in real time: pages, doors and outbox; for partners who come from outside."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from hosts import make_host
from running_host import free_port
from werkzeug.serving import make_server

from partner_bridge.outbox import run_outbox
from pod_server.clock import SystemClock
from pod_server.outbound import Outbound
from tvilling.app import create_web_app
from tvilling.settings import Listen, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pod_server.host import Host


@contextlib.contextmanager
def served_host(folder: Path) -> Iterator[tuple[Host, int]]:
    """The host, and a free port on loopback that it may call."""
    port, receiver = free_port(), free_port()
    base_url = f"http://127.0.0.1:{port}"
    outbound = Outbound(frozenset({f"http://127.0.0.1:{receiver}"}))
    host = replace(make_host(folder, SystemClock(), base_url=base_url), outbound=outbound, allow_insecure=True)
    listen = Listen("127.0.0.1", port)
    settings = Settings(
        data_folder=str(folder), base_url=base_url, live_url=base_url, listen=listen, live_listen=listen
    )
    server = make_server("127.0.0.1", port, create_web_app(host, settings), threaded=True)
    stop = threading.Event()
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True),
        threading.Thread(target=run_outbox, args=(host, stop), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield host, receiver
    finally:
        stop.set()
        server.shutdown()
        for thread in threads:
            thread.join(timeout=10)
        server.server_close()
        host.storage.close()
        host.key_store.close()

"""The entry of each process: `python -m tvilling.roles web|live|agent|twin`, its settings named by the parent."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from typing import TYPE_CHECKING

from tvilling.in_use import hold, hold_database
from tvilling.lifeline import hold_on
from tvilling.settings import Settings

if TYPE_CHECKING:
    from flask import Flask


def web_application() -> Flask:
    """The factory that each of granian's workers calls."""
    from pod_server.slow_callers import watch  # noqa: PLC0415
    from tvilling.app import create_host, create_web_app  # noqa: PLC0415 - only the workers need the house

    settings = Settings.from_environ(os.environ)
    hold(settings.run_folder)
    hold_database(settings.database_url)
    threading.Thread(target=watch, args=(settings.listen.port,), name="slow callers", daemon=True).start()
    app = create_web_app(create_host(settings), settings)
    _keep_from_the_collector()
    return app


def _keep_from_the_collector() -> None:
    """What is there now stays as long as the process: the collector need not look at it, nor touch its pages, again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


CONNECTIONS_A_WORKER = 10_000
"""Open at a time; the server would stop taking new ones at a few hundred that say nothing, which is what an attacker opens."""

WORKERS_KILLED_AFTER_SECONDS = 4
"""A worker that does not end when it is asked to is ended by its server, before the host would end the whole role (serve.py, 8 s):
granian itself waits for ever. What such a worker had acknowledged is on the disk."""

HEADERS_SECONDS = 15
"""How long a connection may take to send a request's first line and headers."""


def raise_limit_of_open_files() -> None:
    """As many connections as the system lets us have: each is an open file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run_web(settings: Settings) -> None:
    """Answer requests: a few workers, each with threads that wait for bodies and readers, and some that never do."""
    from granian import Granian  # noqa: PLC0415
    from granian.constants import Interfaces  # noqa: PLC0415
    from granian.http import HTTP1Settings  # noqa: PLC0415
    from granian.log import LogLevels  # noqa: PLC0415

    import tvilling.app  # noqa: PLC0415
    from partner_bridge.connectors import registry  # noqa: PLC0415
    from pod_server.bodies import THREADS  # noqa: PLC0415

    # Loaded once, before the workers are forked: they start sooner, and share the memory that the code takes.
    tvilling.app.load_web_role()
    for left_out in registry(settings.connector_packages).not_loaded:
        print(
            f"tvilling: connector package {left_out.package} is left out: {left_out.why}; {left_out.mend}",
            file=sys.stderr,
            flush=True,
        )
    _keep_from_the_collector()
    raise_limit_of_open_files()
    Granian(
        "tvilling.roles:web_application",
        address=settings.listen.host,
        port=settings.listen.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=THREADS,
        backlog=4096,
        backpressure=CONNECTIONS_A_WORKER,
        http1_settings=HTTP1Settings(header_read_timeout=HEADERS_SECONDS * 1000),
        factory=True,
        log_access=False,
        log_level=LogLevels.error,
        respawn_failed_workers=True,
        workers_kill_timeout=WORKERS_KILLED_AFTER_SECONDS,
    ).serve()


def run_live(settings: Settings) -> None:
    """Hold the long-lived streams and the Solid channels, one greenlet or two each."""
    import gevent.monkey  # noqa: PLC0415

    gevent.monkey.patch_all()
    import signal  # noqa: PLC0415

    import gevent  # noqa: PLC0415
    from gevent.pywsgi import WSGIServer  # noqa: PLC0415

    from tvilling.app import create_host, create_live_role  # noqa: PLC0415
    from tvilling.impatient import ImpatientHandler  # noqa: PLC0415

    raise_limit_of_open_files()
    server = WSGIServer(
        (settings.live_listen.host, settings.live_listen.port),
        create_live_role(create_host(settings)),
        log=None,
        backlog=4096,
        handler_class=ImpatientHandler,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, server.stop, 1)
    server.serve_forever(stop_timeout=1)


def run_agent(settings: Settings) -> None:
    """Think: follow the feed. Send: empty the outbox. Two loops that meet only in the pods, one that asks sources, three that keep house."""
    import dashboard.unlocking  # noqa: PLC0415
    import partner_bridge.outbox  # noqa: PLC0415
    import partner_bridge.pulling  # noqa: PLC0415
    import pod_server.upkeep  # noqa: PLC0415
    import twin_agent.worker  # noqa: PLC0415
    from pod_server.binaries import run_sweeper  # noqa: PLC0415
    from pod_server.settling import run_settler  # noqa: PLC0415
    from tvilling.app import create_host  # noqa: PLC0415
    from tvilling.serve import stop_on_signals  # noqa: PLC0415

    stop = stop_on_signals()
    host = create_host(settings)
    sender = threading.Thread(target=partner_bridge.outbox.run_outbox, args=(host, stop), name="outbox", daemon=True)
    sender.start()
    opener = threading.Thread(
        target=dashboard.unlocking.run_for_open_pods, args=(host, stop), name="opened", daemon=True
    )
    opener.start()
    puller = threading.Thread(target=partner_bridge.pulling.run_pulls, args=(host, stop), name="pulls", daemon=True)
    puller.start()
    threading.Thread(target=pod_server.upkeep.run_upkeep, args=(host, stop), name="upkeep", daemon=True).start()
    threading.Thread(target=run_sweeper, args=(host, stop), name="sweeper", daemon=True).start()
    threading.Thread(target=run_settler, args=(host, stop), name="settler", daemon=True).start()
    twin_agent.worker.run_agent(host, stop)
    sender.join(timeout=5)
    opener.join(timeout=5)
    puller.join(timeout=5)


def run_twin(settings: Settings) -> None:
    """Think only: a further agent beside the one that also sends, asks sources and keeps house."""
    import twin_agent.worker  # noqa: PLC0415
    from tvilling.app import create_host  # noqa: PLC0415
    from tvilling.serve import stop_on_signals  # noqa: PLC0415

    stop = stop_on_signals()
    twin_agent.worker.run_agent(create_host(settings), stop)


ENTRIES = {"web": run_web, "live": run_live, "agent": run_agent, "twin": run_twin}


if __name__ == "__main__":
    hold_on(os.environ)
    chosen = Settings.from_environ(os.environ)
    hold(chosen.run_folder)
    hold_database(chosen.database_url)
    ENTRIES[sys.argv[1]](chosen)

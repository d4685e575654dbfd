"""The tap on the shoulder where several machines serve one PostgreSQL database: the pipes here, and NOTIFY to the others.

On its own machine a signal travels as always (signal.py). To the others it goes by a database notification, gathered in
a thread of its own, so that nobody waits for it; each machine's listeners hear it and pass it into their pipes. As with
the pipes, a lost signal costs seconds and nothing else: listeners also poll.

Source: https://www.postgresql.org/docs/current/sql-notify.html. A payload is shorter than 8,000 bytes. Notifying
commits, so it is done with `synchronous_commit = off`: there is nothing to sync.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import structlog

from pod_server.identifiers import PodId
from pod_server.notifications.signal import Listener, Signal
from pod_server.storage.errors import StorageError
from pod_server.storage.postgresql.connection import readable

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pod_server.storage.postgresql.engine import PostgresqlStorage

CHANNEL = "tvilling_pods"

_PODS_A_NOTIFICATION = 400
"""Sixteen hexadecimal digits and a comma each: under 7,000 bytes."""

_GATHERED_SECONDS = 0.01
"""After a notification: it costs a transaction of its own, and beside many small deliveries one each would cost as much as
they do. The first goes out at once, and those that follow together."""

_PAUSE_SECONDS = 1.0
"""After a broken connection; meanwhile listeners poll."""

_log = structlog.get_logger("tvilling.signal")


class DatabaseSignal(Signal):
    """Signals in one folder and, through the database, to whoever listens on other machines."""

    def __init__(self, folder: Path, storage: PostgresqlStorage) -> None:
        """Use `folder` for this machine and `storage`'s database for the others."""
        super().__init__(folder)
        self._storage = storage
        self._origin = _name_of(folder)
        self._guard = threading.Lock()
        self._waiting: set[int] = set()
        self._awake = threading.Event()
        self._process = 0

    def notify(self, pod_ids: Collection[PodId]) -> None:
        """Tell every listener, here and elsewhere, that these pods have changed. Never blocks and never fails."""
        if not pod_ids:
            return
        super().notify(pod_ids)
        with self._guard:
            if self._process != os.getpid():  # the first signal of this process, or of a forked child
                self._process, self._waiting, self._awake = os.getpid(), set(), threading.Event()
                threading.Thread(target=self._send_for_ever, name="signal-sender", daemon=True).start()
            self._waiting.update(pod_ids)
        self._awake.set()

    def listen(self) -> Listener:
        """A new listener; it hears what is notified from now on, here and on other machines."""
        listener = super().listen()
        threading.Thread(target=self._hear_for_ever, args=(listener,), name="signal-ear", daemon=True).start()
        return listener

    def _send_for_ever(self) -> None:
        connection: psycopg.Connection[tuple[object, ...]] | None = None
        while True:
            self._awake.wait()
            self._awake.clear()
            with self._guard:
                pods, self._waiting = sorted(self._waiting), set()
            try:
                if connection is None or connection.closed:
                    connection = self._storage.connect()
                    connection.execute("SET synchronous_commit = off")
                for start in range(0, len(pods), _PODS_A_NOTIFICATION):
                    text = ",".join(f"{pod_id:x}" for pod_id in pods[start : start + _PODS_A_NOTIFICATION])
                    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{self._origin} {text}"))
                time.sleep(_GATHERED_SECONDS)
            except (psycopg.Error, StorageError):
                # The pods are lost to the signal, not to the listeners: these look by themselves every few seconds.
                _log.warning("signal.not_sent", pods=len(pods))
                connection = None
                time.sleep(_PAUSE_SECONDS)

    def _hear_for_ever(self, listener: Listener) -> None:
        while not listener.closed:
            with contextlib.suppress(psycopg.Error, StorageError, OSError), self._storage.connect() as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                while not listener.closed:
                    if readable(connection.pgconn.socket, int(_PAUSE_SECONDS * 1000)):
                        connection.pgconn.consume_input()
                    while (notification := connection.pgconn.notifies()) is not None:
                        self._pass_on(listener, notification.extra.decode())
            if not listener.closed:
                time.sleep(_PAUSE_SECONDS)

    def _pass_on(self, listener: Listener, payload: str) -> None:
        origin, _, text = payload.partition(" ")
        if origin == self._origin or not text:  # this machine's listeners have heard it by their pipes
            return
        with contextlib.suppress(ValueError):  # somebody else's notification under our name
            listener.put({PodId(int(number, 16)) for number in text.split(",")})


def _name_of(folder: Path) -> str:
    """One name for all processes that use this folder, and no other folder's: kept in it."""
    place = folder / "signal.origin"
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(8))
    for _ in range(100):
        if name := place.read_text():
            return name
        time.sleep(0.01)  # whoever made the file has not written it yet
    return secrets.token_hex(8)

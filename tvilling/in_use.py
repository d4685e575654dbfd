"""Who uses a data folder, or a database: every process that opens one holds a shared lock; a restore holds it alone.

The locks are `flock`s, and on PostgreSQL advisory locks of a connection kept for it; both end with their process,
however it dies. A connection may also break while its process lives: then the lock is taken again at once, or, where a
restore was faster, the process ends.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from tvilling.errors import FolderInUse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

_LOCK_FILE = "in-use.lock"


def hold(run_folder: Path) -> int:
    """Hold a folder as one of its users, until the process ends or the returned descriptor is closed.

    Raises:
        FolderInUse: a restore is under way.
    """
    return _lock(run_folder, fcntl.LOCK_SH, "a restore is under way in this data folder; wait until it is done")


@contextmanager
def used(run_folder: Path) -> Iterator[None]:
    """Hold a folder as one of its users for the length of a block; see `hold`."""
    descriptor = hold(run_folder)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def alone(run_folder: Path) -> Iterator[None]:
    """Hold a folder for oneself.

    Raises:
        FolderInUse: a server or a command has it open.
    """
    descriptor = _lock(run_folder, fcntl.LOCK_EX, "a server or a command has this data folder open; stop it first")
    try:
        yield
    finally:
        os.close(descriptor)


_DATABASE_LOCK = "hashtext('tvilling in use')"
_TRY_AGAIN_SECONDS = 0.2

_log = structlog.get_logger("tvilling.in_use")


def hold_database(database_url: str | None) -> None:
    """Hold a PostgreSQL database as one of its users until the process ends; None is no database.

    Raises:
        FolderInUse: a restore or a move is under way.
        StorageUnavailable: nobody answers there.
    """
    if database_url is not None:
        connection = _hold_shared(database_url)
        threading.Thread(target=_go_on_holding, args=(database_url, connection), name="in use", daemon=True).start()


def _hold_shared(database_url: str) -> psycopg.Connection[Any]:
    return _lock_database(database_url, "pg_try_advisory_lock_shared", "a restore is under way in this database")


def _go_on_holding(database_url: str, connection: psycopg.Connection[Any]) -> None:
    """Take the lock again whenever its connection broke (a restarted server, a cut line), and the lock with it.

    Where a restore took the database in between, this process must not go on writing to it: it ends.
    """
    while True:
        _wait_until_lost(connection)
        connection.close()
        try:
            connection = _take_again(database_url)
        except FolderInUse as error:
            _log.error("database.taken", problem=str(error))
            end_process()
            return


def _take_again(database_url: str) -> psycopg.Connection[Any]:
    from pod_server.storage.errors import StorageError  # noqa: PLC0415

    while True:
        try:
            return _hold_shared(database_url)
        except StorageError:  # the server is not back yet: nothing can be written either
            time.sleep(_TRY_AGAIN_SECONDS)


def _wait_until_lost(connection: psycopg.Connection[Any]) -> None:
    """An idle connection has something to say when it goes away; notices in between are read and let be."""
    import psycopg  # noqa: PLC0415

    try:
        while True:
            poll = select.poll()
            poll.register(connection.fileno(), select.POLLIN)
            poll.poll()
            connection.execute("SELECT 1")
    except psycopg.Error:
        return


def end_process() -> None:
    """Ask this process to end in order, as whoever runs it would."""
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def database_used(database_url: str | None) -> Iterator[None]:
    """Hold a database as one of its users for the length of a block; see `hold_database`."""
    with ExitStack() as stack:
        if database_url is not None:
            refusal = "a restore is under way in this database; wait until it is done"
            stack.enter_context(closing(_lock_database(database_url, "pg_try_advisory_lock_shared", refusal)))
        yield


@contextmanager
def database_alone(database_url: str | None) -> Iterator[None]:
    """Hold a database for oneself.

    Raises:
        FolderInUse: a server or a command has it open, on whichever machine.
    """
    with ExitStack() as stack:
        if database_url is not None:
            refusal = "a server or a command, here or on another machine, has this database open; stop it first"
            stack.enter_context(closing(_lock_database(database_url, "pg_try_advisory_lock", refusal)))
        yield


def _lock_database(database_url: str, how: str, refusal: str) -> psycopg.Connection[Any]:
    import psycopg  # noqa: PLC0415 - libpq is loaded where it is used

    from pod_server.storage.postgresql.address import read_address  # noqa: PLC0415
    from pod_server.storage.postgresql.failures import translate  # noqa: PLC0415

    try:
        connection = psycopg.connect(read_address(database_url), autocommit=True)
        row = connection.execute(f"SELECT {how}({_DATABASE_LOCK})".encode()).fetchone()
    except psycopg.Error as error:
        raise translate(error) from error
    if row != (True,):
        connection.close()
        raise FolderInUse(refusal)
    return connection


def _lock(run_folder: Path, kind: int, refusal: str) -> int:
    run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(run_folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FolderInUse(refusal) from None
    return descriptor

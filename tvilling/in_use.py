"""Who uses a data folder, or a database: every process that opens one holds a shared lock; a restore holds it alone.

The locks are `flock`s, and on PostgreSQL advisory locks of a connection kept for it; both end with their process,
however it dies.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

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
_held: list[psycopg.Connection[Any]] = []


def hold_database(database_url: str | None) -> None:
    """Hold a PostgreSQL database as one of its users until the process ends; None is no database.

    Raises:
        FolderInUse: a restore or a move is under way.
        StorageUnavailable: nobody answers there.
    """
    if database_url is not None:
        _held.append(
            _lock_database(database_url, "pg_try_advisory_lock_shared", "a restore is under way in this database")
        )


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

    from pod_server.storage.postgresql import read_address, translate  # noqa: PLC0415

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

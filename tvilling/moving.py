"""`tvilling move`: a house from files to PostgreSQL or back, and database servers for the length of a restore in files.

Rows and keys are copied whole, the server stopped; then the folder's settings name the new place. What was there stays
under another name, or in its server, until the operator deletes it.
"""

from __future__ import annotations

import dataclasses
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from pod_server.storage import engine_copies
from pod_server.storage.postgresql.address import read_address
from pod_server.storage.postgresql.engine import schema_version_of
from pod_server.storage.postgresql.failures import translate
from pod_server.vault import key_store_postgresql
from tvilling.app import create_host, epoch_keys_of
from tvilling.backup import KEY_STORE
from tvilling.data_folder import DATABASE_FILE
from tvilling.errors import MoveError
from tvilling.in_use import alone, database_alone
from tvilling.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOVED = ".moved"


@dataclass(frozen=True)
class Moved:
    """What a move did.

    Attributes:
        pods: How many pods the new place holds.
        rows: How many rows were copied.
        left: What stays behind until it is deleted.
    """

    pods: int
    rows: int
    left: tuple[str, ...]


def move_to_servers(settings: Settings, *, database_url: str, keys_url: str | None) -> Moved:
    """Copy a folder's database, and its key store where `keys_url` names a place for it, to PostgreSQL; use that from now on.

    Raises:
        FolderInUse: a server or a command has the folder or the database open.
        MoveError: the data do not lie in the folder, or the database there is not empty.
    """
    there = dataclasses.replace(settings, database_url=database_url, keys_url=keys_url)
    if settings.database_url is not None:
        raise MoveError("the data lie on a database server already; bring them back with --to-files first")
    if not (settings.data / DATABASE_FILE).is_file():
        raise MoveError(f"{settings.data} holds no database to move; name the data folder with --data")
    with alone(settings.run_folder), database_alone(database_url):
        if _has_pods(database_url):
            raise MoveError("the database holds pods already; name an empty one")
        rows = engine_copies.copy_in(settings.data / DATABASE_FILE, database_url)
        left = [settings.data / DATABASE_FILE]
        if keys_url is not None:
            key_store_postgresql.copy_in(settings.data / KEY_STORE, keys_url, epoch_keys_of(settings))
            left.append(settings.data / KEY_STORE)
        pods = _check(there)
        there.write()
        names = []
        for path in left:
            path.rename(path.with_name(path.name + _MOVED))
            engine_copies.forget(path)
            names.append(str(path.with_name(path.name + _MOVED)))
    return Moved(pods, rows, tuple(names))


def move_to_files(settings: Settings) -> Moved:
    """Copy a host's data and keys from PostgreSQL into its data folder, and use those from now on.

    Raises:
        FolderInUse: a server or a command, on whichever machine, has the database open.
        MoveError: the data do not lie on a server, or there are files already.
    """
    here = dataclasses.replace(settings, database_url=None, keys_url=None)
    if settings.database_url is None:
        raise MoveError("the data lie in the folder already")
    if (settings.data / DATABASE_FILE).exists():
        raise MoveError(f"{settings.data / DATABASE_FILE} is there already; move it away first")
    with alone(settings.run_folder), database_alone(settings.database_url):
        if settings.keys_url is not None:
            key_store_postgresql.copy_out(settings.keys_url, settings.data / KEY_STORE, epoch_keys_of(settings))
        rows = engine_copies.copy_out(settings.database_url, settings.data / DATABASE_FILE)
        pods = _check(here)
        here.write()
    left = ["the database"] + (["the key store's database"] if settings.keys_url is not None else [])
    return Moved(pods, rows, tuple(left))


@contextmanager
def servers_in_files(settings: Settings, *, force: bool) -> Iterator[Settings]:
    """What lies on servers as files of the data folder, and afterwards what the files hold put on the servers.

    A restore compares, mends and signs in files, whichever engine the host uses. If it fails, the servers are as they
    were.

    Raises:
        MoveError: the database holds pods, and `force` is not given.
    """
    database, keys = settings.data / DATABASE_FILE, settings.data / KEY_STORE
    if settings.database_url is None:
        yield settings
        return
    occupied = _has_pods(settings.database_url)
    if occupied and not force:
        raise MoveError("the database holds pods; name an empty one, or add --force")
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys.parent.mkdir(exist_ok=True, mode=0o700)
    engine_copies.forget(database)
    if occupied:
        engine_copies.copy_out(settings.database_url, database)
        if settings.keys_url is not None:
            engine_copies.forget(keys)
            key_store_postgresql.copy_out(settings.keys_url, keys, epoch_keys_of(settings))
    try:
        yield dataclasses.replace(settings, database_url=None, keys_url=None)
        written = settings.run_folder / "settings.json"
        last = Settings.from_file(written) if written.exists() else settings
        there = dataclasses.replace(last, database_url=settings.database_url, keys_url=settings.keys_url)
        # Keys first: keys may be newer than data, never older.
        if settings.keys_url is not None:
            key_store_postgresql.copy_in(keys, settings.keys_url, epoch_keys_of(there))
        engine_copies.copy_in(database, settings.database_url)
        there.write()
    finally:
        engine_copies.forget(database)
        if settings.keys_url is not None:
            engine_copies.forget(keys)


def _has_pods(database_url: str) -> bool:
    try:
        with psycopg.connect(read_address(database_url), autocommit=True) as connection:
            if schema_version_of(connection) == 0:
                return False
            return connection.execute("SELECT 1 FROM pod LIMIT 1").fetchone() is not None
    except psycopg.Error as error:
        raise translate(error) from error


def _check(settings: Settings) -> int:
    """Open the host in its new place and count the pods; every one of them has its keys there.

    Raises:
        MoveError: some have none.
    """
    host = create_host(settings)
    with closing(host.storage), closing(host.key_store):
        with host.storage.read() as tx:
            pods = {pod_id for (pod_id,) in tx.all("SELECT pod_id FROM pod")}
        missing = len(pods - host.key_store.pods_with_keys())
        if missing:
            raise MoveError(f"{missing} pods have no keys in the new place; nothing was changed where they were")
    return len(pods)

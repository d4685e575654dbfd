"""The key store in a PostgreSQL database of its own, for hosts that several machines serve.

What it does is key_store.py's; here is only how its statements reach a server. It belongs in another database than the
data, best on another server, so that backups of the data never hold keys.

A server keeps what was overwritten for a while: in dead rows, in its write-ahead log and in copies of that. What makes
destroying final here are the covers alone (docs/vault-format.md): what is left of a pod is covered anew at each erasure,
and the epoch key that opens the old cover is destroyed within thirty days. On SQLite the file is overwritten at once as
well; docs/adr/0040 weighs the two.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, cast

import psycopg
from psycopg.conninfo import make_conninfo

from pod_server.storage.copying import copy_database
from pod_server.storage.engine_copies import copy_tables_in, copy_tables_out, forget
from pod_server.storage.postgresql.address import read_address
from pod_server.storage.postgresql.values import numbered
from pod_server.vault.errors import KeyStoreTooNew, KeyStoreUnavailable
from pod_server.vault.key_store import FORMAT, KeyStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pod_server.vault.epoch_keys import EpochKeys
    from pod_server.vault.randomness import RandomBytes

SCHEMA = "tvilling_keys"
TABLES = ("slot", "keyring", "cover", "epoch", "host_key", "lasting_key", "generation")

_LOCK_TIMEOUT = "10s"
_MAKE = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
SET LOCAL search_path = {SCHEMA};
CREATE TABLE IF NOT EXISTS key_store_format (format BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS slot (
    pod_id BIGINT NOT NULL, kind TEXT COLLATE "C" NOT NULL, parameters TEXT NOT NULL, salt BYTEA NOT NULL,
    sealed BYTEA NOT NULL, PRIMARY KEY (pod_id, kind)
);
CREATE TABLE IF NOT EXISTS keyring (
    pod_id BIGINT NOT NULL, kind TEXT COLLATE "C" NOT NULL, grant_id TEXT COLLATE "C" NOT NULL, epoch BIGINT NOT NULL,
    wrapped BYTEA, PRIMARY KEY (pod_id, kind, grant_id, epoch)
);
CREATE TABLE IF NOT EXISTS cover (pod_id BIGINT PRIMARY KEY, epoch BIGINT NOT NULL, wrapped BYTEA NOT NULL);
CREATE INDEX IF NOT EXISTS cover_by_epoch ON cover (epoch);
CREATE TABLE IF NOT EXISTS epoch (current BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS generation (changes BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS host_key (file TEXT COLLATE "C" PRIMARY KEY, sealed BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS lasting_key (
    use TEXT COLLATE "C" NOT NULL, number BIGINT NOT NULL, public BYTEA NOT NULL, made_at BIGINT, hand_over TEXT NOT NULL,
    revoked_at BIGINT, sealed BYTEA, PRIMARY KEY (use, number)
);
INSERT INTO epoch SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM epoch);
INSERT INTO generation SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM generation);
INSERT INTO key_store_format SELECT {FORMAT} WHERE NOT EXISTS (SELECT 1 FROM key_store_format);
UPDATE key_store_format SET format = {FORMAT} WHERE format < {FORMAT};
"""

_REPLACED = {
    "slot": "(pod_id, kind) DO UPDATE SET parameters = excluded.parameters, salt = excluded.salt, sealed = excluded.sealed",
    "cover": "(pod_id) DO UPDATE SET epoch = excluded.epoch, wrapped = excluded.wrapped",
    "host_key": "(file) DO UPDATE SET sealed = excluded.sealed",
}


@cache
def _in_its_words(statement: str) -> bytes:
    """A statement of key_store.py as PostgreSQL says it."""
    if found := re.match(r"INSERT OR (IGNORE|REPLACE) INTO (\w+)", statement):
        conflict = "DO NOTHING" if found.group(1) == "IGNORE" else _REPLACED[found.group(2)]
        statement = f"INSERT INTO {found.group(2)}{statement[found.end() :]} ON CONFLICT {conflict}"
    return numbered(re.sub(r"\?(\d)", r"$\1", statement))


class _Done:
    """What many executions changed."""

    def __init__(self, rowcount: int) -> None:
        self.rowcount = rowcount


class _Speaker:
    """A connection as key_store.py uses one."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.total_changes = 0

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        if statement == "BEGIN IMMEDIATE":
            # One writer at a time, as on SQLite; readers go on.
            self.connection.execute("BEGIN")
            return self.connection.execute("LOCK TABLE generation IN EXCLUSIVE MODE")
        cursor = psycopg.RawCursor(self.connection)
        cursor.execute(_in_its_words(statement), parameters)
        if not statement.startswith("SELECT"):
            self.total_changes += max(0, cursor.rowcount)
        return cursor

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> _Done:
        return _Done(sum(max(0, self.execute(statement, row).rowcount) for row in rows))


class PostgresqlKeyStore(KeyStore):
    """One key store in a database; safe among threads, processes and machines."""

    def __init__(self, keys_url: str, epoch_keys: EpochKeys, random: RandomBytes = os.urandom) -> None:
        """Open the key store at an address, or make it.

        Raises:
            DatabaseAddressInvalid: the address cannot be read.
            KeyStoreTooNew: a newer version wrote it.
            KeyStoreUnavailable: nobody answers there, or does not let us in.
        """
        self._keys_url = keys_url
        self.epoch_keys = epoch_keys
        self._random = random
        self._of_thread = threading.local()
        self._guard = threading.Lock()
        self._open: list[tuple[int, psycopg.Connection[Any]]] = []
        try:
            with psycopg.connect(read_address(keys_url), autocommit=True) as connection:
                connection.execute("SELECT pg_advisory_lock(hashtext('tvilling key store'))")
                with connection.transaction():
                    connection.execute(_MAKE)
                    row = connection.execute("SELECT format FROM key_store_format").fetchone()
        except psycopg.Error as error:
            _unavailable(error)
        if row is not None and row[0] > FORMAT:
            raise KeyStoreTooNew(f"The key store has format {row[0]}; this version knows {FORMAT}. Run the newer one.")

    def close(self) -> None:
        """Let go of every connection."""
        with self._guard:
            connections, self._open = self._open, []
        for process, connection in connections:
            if process == os.getpid():  # a forked child leaves its parent's open
                connection.close()
        self._of_thread = threading.local()

    def _connection(self) -> sqlite3.Connection:
        speaker: _Speaker | None = getattr(self._of_thread, "connection", None)
        if speaker is None or self._of_thread.process != os.getpid() or speaker.connection.closed:
            connection = psycopg.connect(_address_of_tables(self._keys_url), autocommit=True)
            speaker = _Speaker(connection)
            self._of_thread.connection, self._of_thread.process = speaker, os.getpid()
            self._of_thread.depth, self._of_thread.erases = 0, False
            self._of_thread.uncovered = set()
            with self._guard:
                self._open.append((os.getpid(), connection))
        return cast("sqlite3.Connection", speaker)  # what key_store.py uses of a connection, this has

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with super()._writing() as connection:
                yield connection
        except psycopg.Error as error:
            _unavailable(error)

    def _truncate_log(self, connection: sqlite3.Connection) -> None:
        """Nothing: see the module's text."""

    def _one(self, sql: str, parameters: tuple[object, ...]) -> tuple[Any, ...] | None:
        rows = self._all(sql, parameters)
        return rows[0] if rows else None

    def _all(self, sql: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
        for attempt in (1, 2):
            try:
                return self._connection().execute(sql, parameters).fetchall()
            except psycopg.OperationalError as error:
                # The server was restarted since this thread last asked: once more, unless a transaction is under way.
                if attempt == 2 or self._of_thread.depth:
                    _unavailable(error)
                self._of_thread.connection.connection.close()
            except psycopg.Error as error:
                _unavailable(error)
        raise AssertionError


def _unavailable(error: psycopg.Error) -> NoReturn:
    raise KeyStoreUnavailable("The key store cannot be reached just now. Try again in a moment.") from error


def copy_out(keys_url: str, target: Path, epoch_keys: EpochKeys) -> None:
    """Copy a key store in a database to the file `target` (mode 0600), whole or not at all.

    Raises:
        KeyStoreUnavailable: nobody answers there, or there is no room.
    """
    draft = target.with_name(f".{target.name}.out")
    forget(draft)
    try:
        KeyStore(draft, epoch_keys).close()
        with contextlib.closing(sqlite3.connect(draft)) as writing:
            copy_tables_out(_address_of_tables(keys_url), writing, TABLES)
        copy_database(draft, target)
    except (psycopg.Error, sqlite3.Error) as error:
        raise KeyStoreUnavailable("The key store could not be copied.") from error
    finally:
        forget(draft)


def copy_in(source: Path, keys_url: str, epoch_keys: EpochKeys) -> None:
    """Put the key store of the file `source` in place of the one in a database.

    Raises:
        KeyStoreUnavailable: nobody answers there; nothing was changed.
    """
    PostgresqlKeyStore(keys_url, epoch_keys).close()
    try:
        with contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reading:
            there = {name for (name,) in reading.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            missing = [table for table in TABLES if table not in there]
            if missing:
                # A copy of an older format, which had no such table: nothing of another store's stays in it.
                with psycopg.connect(_address_of_tables(keys_url)) as connection:
                    connection.execute(f"TRUNCATE {', '.join(missing)}".encode())
            copy_tables_in(reading, _address_of_tables(keys_url), [table for table in TABLES if table in there])
    except (psycopg.Error, sqlite3.Error) as error:
        raise KeyStoreUnavailable("The key store could not be copied.") from error


def _address_of_tables(keys_url: str) -> str:
    return make_conninfo(read_address(keys_url), options=f"-c search_path={SCHEMA} -c lock_timeout={_LOCK_TIMEOUT}")

"""The storage engine: connections, each lent to one transaction at a time, and what a server must be set to."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import structlog

from pod_server.storage.errors import StorageBusy
from pod_server.storage.postgresql.address import read_address
from pod_server.storage.postgresql.connection import PipelinedConnection
from pod_server.storage.postgresql.failures import translate
from pod_server.storage.postgresql.transaction import PostgresqlTransaction
from pod_server.storage.schema_version import check_schema_version

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS_AT_MOST = 24
"""For each process: a web worker has twelve threads, and a thread holds at most two connections at once."""

_log = structlog.get_logger()

_STATEMENT_SECONDS = 120

_STATEMENTS_AT_MOST = 1000
"""Statements that a connection may know by name: each takes memory at the server. A fuller one is replaced."""


class PostgresqlStorage:
    """PostgreSQL behind the storage port.

    Connections are lent, each to one user at a time, so that threads and greenlets alike may use one storage; a forked
    child starts with none.
    """

    is_embedded = False

    def __init__(self, database_url: str, *, timeout_seconds: float = 10.0) -> None:
        """Use the database at `database_url`.

        Raises:
            DatabaseAddressInvalid: it is no `postgresql://` address.
            StorageUnavailable: nobody answers there, or does not let us in.
            DataFolderTooNew: a newer version of the program wrote it.
            DataFolderTooOld: it has no schema yet; `migrate_postgresql(database_url)` makes or renews it.
        """
        self._address = read_address(database_url)
        self._timeout_seconds = timeout_seconds
        self._forget_connections()
        connection = self.connect()
        try:
            check_schema_version(schema_version_of(connection))
            off = settings_that_lose(connection)
        finally:
            connection.close()
        if off:
            _log.warning("database-loses-commits", settings=off, mend="set them to on in postgresql.conf, and reload")

    @contextmanager
    def read(self) -> Iterator[PostgresqlTransaction]:
        """A read-only snapshot, taken at the first statement."""
        with self._transaction(writing=False) as transaction:
            yield transaction

    @contextmanager
    def look(self) -> Iterator[PostgresqlTransaction]:
        """Reading without a snapshot: a question is over with its answer."""
        with self._transaction(writing=False, snapshot=False) as transaction:
            yield transaction

    @contextmanager
    def write(self, *, urgent: bool = False) -> Iterator[PostgresqlTransaction]:  # noqa: ARG002 - locks are fair here
        """A writing transaction; durable when the block has ended. Turns are per pod and come in order.

        Raises:
            StorageFull: the disk is full; nothing was written.
            StorageBusy: a lock did not come within the time-out, or two transactions waited for each other.
            StorageUnavailable: the connection broke. Nothing stands, unless it broke while the commit was under way;
                whatever is sent again is recognised.
        """
        with self._transaction(writing=True) as transaction:
            yield transaction
            transaction.commit()

    def connect(self) -> psycopg.Connection[Any]:
        """A new connection of the caller's own, in autocommit, for what the port has no words for.

        Raises:
            StorageUnavailable: nobody answers, or does not let us in.
        """
        try:
            return psycopg.connect(self._address, autocommit=True)
        except psycopg.Error as error:
            raise translate(error) from error

    def close(self) -> None:
        """Close every idle connection; the next use opens new ones."""
        if os.getpid() != self._process:
            self._forget_connections()
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _transaction(self, *, writing: bool, snapshot: bool = True) -> Iterator[PostgresqlTransaction]:
        if os.getpid() != self._process:
            self._forget_connections()
        room, idle = self._room, self._idle
        if not room.acquire(timeout=self._timeout_seconds):
            raise StorageBusy
        try:
            connection = self._usable_connection(idle)
            transaction: PostgresqlTransaction | None = None
            try:
                transaction = PostgresqlTransaction(connection, writing=writing, snapshot=snapshot)
                yield transaction
            finally:
                if transaction is not None and transaction.leave() and len(connection.known) < _STATEMENTS_AT_MOST:
                    idle.append(connection)
                else:
                    connection.close()
        finally:
            room.release()

    def _usable_connection(self, idle: deque[PipelinedConnection]) -> PipelinedConnection:
        while idle:
            connection = idle.pop()
            if connection.is_usable():
                return connection
            connection.close()  # the server was restarted since, or gave it up
        milliseconds = int(self._timeout_seconds * 1000)
        try:
            connection = PipelinedConnection.connect(self._address, autocommit=True)
            connection.execute(
                f"SET synchronous_commit = on; SET lock_timeout = {milliseconds};"
                # Whoever reads says no BEGIN.
                "SET default_transaction_isolation = 'repeatable read'; SET default_transaction_read_only = on;"
                f"SET statement_timeout = {_STATEMENT_SECONDS * 1000};"
                # A process that hangs in mid-transaction holds others up no longer than this.
                f"SET idle_in_transaction_session_timeout = {_STATEMENT_SECONDS * 1000}"
            )
        except psycopg.Error as error:
            raise translate(error) from error
        return connection

    def _forget_connections(self) -> None:
        """Begin without any: at first, and after a fork, where the parent's are left to the parent, open."""
        self._process = os.getpid()
        self._idle: deque[PipelinedConnection] = deque()
        self._room = threading.BoundedSemaphore(CONNECTIONS_AT_MOST)


_MUST_BE_ON = ("fsync", "full_page_writes")
"""Settings of a server without which what was acknowledged may be lost in a power cut. Whether a commit waits for the disk
(`synchronous_commit`) each of our connections says itself, whatever the server's, the database's or the role's default."""


def settings_that_lose(connection: psycopg.Connection[Any]) -> list[str]:
    """Which of the settings that keep commits through a power cut are off."""
    values = {name: connection.execute(f"SHOW {name}".encode()).fetchone() for name in _MUST_BE_ON}
    return [name for name, value in values.items() if value == ("off",)]


def schema_version_of(connection: psycopg.Connection[Any]) -> int:
    """The version of the database's schema; 0 where it has none."""
    if connection.execute("SELECT to_regclass('schema_version')").fetchone() == (None,):
        return 0
    row = connection.execute("SELECT version FROM schema_version").fetchone()
    return int(row[0]) if row else 0

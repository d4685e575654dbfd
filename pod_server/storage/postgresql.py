"""The storage port on PostgreSQL: many writers, each alone with the pods that its statements name.

What SQLite gives by having one writer is given here by taking turns in smaller rooms. In a writing transaction

- the first statement about a pod takes the pod: its row in `pod` is locked (FOR NO KEY UPDATE) until the transaction
  ends, so whoever reads a pod's grant, log head or feed there reads what stands, and nobody changes it meanwhile. The
  commit of a withdrawal is thereby the point after which no write under the grant succeeds, in any process;
- the first statement about a table that is not reached by pod takes the table (an advisory lock), so one-use codes
  are used once and counters do not skip.

Statements see what was committed when they began (READ COMMITTED), after the locks were granted. Readers see one
snapshot (REPEATABLE READ). Where two transactions waited for each other, the one that the engine ended is said again,
statement by statement; its writer learns of it only where an answer is another now. A COMMIT answers when the write-ahead log is on the disk (`synchronous_commit = on`).

Statements travel in libpq's pipeline mode: BEGIN, the locks and whatever needs no answer go out with the next question
in one round trip (a round trip costs 60 µs, a statement in a pipeline 5). A reader says neither BEGIN nor ROLLBACK: what
is sent before a sync is one transaction by itself, and a flush brings its answers without ending it.

Source: https://www.postgresql.org/docs/current/explicit-locking.html, .../transaction-iso.html, .../libpq-pipeline-mode.html.
"""

from __future__ import annotations

import os
import re
import select
import struct
import threading
import zlib
from collections import deque
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import psycopg
import structlog
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus

from pod_server import desk
from pod_server.storage.errors import (
    DatabaseAddressInvalid,
    StorageBusy,
    StorageConflict,
    StorageDamaged,
    StorageError,
    StorageFull,
    StorageUnavailable,
    TextUnstorable,
)
from pod_server.storage.schema_version import check_schema_version
from pod_server.storage.statements import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from psycopg.pq.abc import PGresult

    from pod_server.storage.ports import Question, Row

CONNECTIONS_AT_MOST = 24
"""For each process: a web worker has twelve threads, and a thread holds at most two connections at once."""

_log = structlog.get_logger()

_STATEMENT_SECONDS = 120
_PIPELINED_AT_MOST = 200
"""Statements sent before an answer is read: neither side's socket buffer may fill while both are writing."""

_STATEMENTS_AT_MOST = 1000
"""Statements that a connection may know by name: each takes memory at the server. A fuller one is replaced."""

SAID_AGAIN_AT_MOST = 4
"""Times that a transaction is said again after a conflict, before whoever wrote it is told."""

_LOCK_SPACE = 0x7476696C
"""'tvil': other programs' advisory locks in the same database are not ours."""

_BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_TAKE_POD = "SELECT 1 FROM pod WHERE pod_id = ? FOR NO KEY UPDATE"
_TAKE_PODS = f"SELECT 1 FROM pod WHERE pod_id IN ({', '.join('?' * 16)}) ORDER BY pod_id FOR NO KEY UPDATE"
_TAKEN_AT_ONCE = 16
"""Sixteen in one statement, in their order; where there are fewer the last is named again."""

_TAKE_TABLE = {
    "alone": f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, ?::int4)",
    "shared": f"SELECT pg_advisory_xact_lock_shared({_LOCK_SPACE}, ?::int4)",
}

_CONNECTION: dict[str, str | int] = {
    "application_name": "tvilling",
    "connect_timeout": 5,
    # A machine that vanished is noticed within half a minute, not after two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

_UNKNOWN, _BOOL, _BYTEA, _INT8, _INT2, _INT4, _TEXT, _FLOAT8, _NUMERIC = 0, 16, 17, 20, 21, 23, 25, 701, 1700
"""Type numbers of pg_type; the schema has BIGINT, TEXT and BYTEA, the others come from expressions."""

_FULL = (errors.DiskFull,)
_CONFLICT = (errors.SerializationFailure, errors.DeadlockDetected)
_BUSY = (
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.TooManyConnections,
    errors.OutOfMemory,
)
_DAMAGED = (errors.DataCorrupted, errors.IndexCorrupted, errors.IoError)
_GONE = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.InvalidPassword,
    errors.InvalidAuthorizationSpecification,
    errors.InvalidCatalogName,
)


def translate(error: Exception, *, writing: bool = False) -> Exception:
    """The house's error for one of PostgreSQL's; an error of ours in the SQL itself stays what it is."""
    if isinstance(error, _FULL):
        return StorageFull()
    if isinstance(error, _CONFLICT):
        return StorageConflict()
    if isinstance(error, _BUSY):
        return StorageBusy()
    if isinstance(error, _DAMAGED):
        return StorageDamaged()
    if isinstance(error, _GONE):
        return StorageUnavailable()
    if writing and isinstance(error, errors.ReadOnlySqlTransaction):
        return StorageUnavailable()  # a standby, or a primary that was just replaced
    # Without a state of its own it is libpq's: the connection broke, or was never made.
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return StorageUnavailable()
    return error


def read_address(database_url: str) -> str:
    """The connection string of a `postgresql://` address, with what the house adds to it.

    Raises:
        DatabaseAddressInvalid: it is no such address.
    """
    if not database_url.startswith(("postgresql://", "postgres://")):
        raise DatabaseAddressInvalid
    try:
        given = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError as error:
        # The library's words may repeat the address, and with it a password.
        raise DatabaseAddressInvalid from error
    if not all(port.isdigit() for port in str(given.get("port", "5432")).split(",")):
        raise DatabaseAddressInvalid
    added = {name: value for name, value in _CONNECTION.items() if name not in given}
    return make_conninfo(database_url, **added)


class _Connection(psycopg.Connection[Any]):
    """A connection, in pipeline mode from the first transaction on, and the statements that it knows by name."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.known: dict[str, bytes] = {}
        self.unsure: list[str] = []
        self.names = 0
        self.unread = 0

    def is_usable(self) -> bool:
        """Whether a transaction may begin: the last one has ended, and the server has not hung up since."""
        if self.closed:
            return False
        try:
            if self.unread:
                self.pgconn.consume_input()  # the end of a reader before this one lies there already
            while self.unread:
                self.read_until_sync()
        except psycopg.Error:
            return False
        # An idle connection has nothing to say but that the server goes away.
        return self.pgconn.status == ConnStatus.OK and not readable(self.pgconn.socket, 0)

    def sync(self) -> None:
        """End what was sent; the server answers it up to here."""
        self.pgconn.pipeline_sync()
        self.unread += 1

    def read_until_sync(self) -> list[PGresult]:
        """Every answer up to the first end that was not read yet; the last is an error where the connection broke."""
        answers: list[PGresult] = []
        while True:
            result = self._next_answer()
            if result.status == ExecStatus.PIPELINE_SYNC:
                self.unread -= 1
                return answers
            answers.append(result)
            if self._broke(result):
                return answers

    def read_answers(self, number: int) -> list[PGresult]:
        """The answers to so many statements, without ending what they are part of; fewer where the connection broke."""
        self.pgconn.send_flush_request()
        self.pgconn.flush()
        answers: list[PGresult] = []
        while len(answers) < number:
            result = self._next_answer()
            answers.append(result)
            if self._broke(result):
                break
        return answers

    def _broke(self, result: PGresult) -> bool:
        broke = result.status == ExecStatus.FATAL_ERROR and self.pgconn.status != ConnStatus.OK
        if broke:
            self.unread = 0
        return broke

    def _next_answer(self) -> PGresult:
        pgconn = self.pgconn
        while True:
            while pgconn.is_busy():
                # What was sent may still lie here: more than a socket takes at once (libpq, PQflush).
                unsent = bool(pgconn.flush())
                # Others sit at the desk meanwhile; under gevent, whose poll this is, only this greenlet waits.
                with desk.away():
                    something_came = readable(pgconn.socket, None, or_writable=unsent)
                if something_came:
                    pgconn.consume_input()
            result = pgconn.get_result()
            if result is not None:
                return result


def readable(socket: int, milliseconds: int | None, *, or_writable: bool = False) -> bool:
    """Wait until there is something to read, or the end, or, if so wished, until something more can be sent.

    Returns:
        True for the first; False for the second, and after that time (None: never).
    """
    poll = select.poll()
    poll.register(socket, select.POLLIN | (select.POLLOUT if or_writable else 0))
    return any(events & ~select.POLLOUT for _, events in poll.poll(milliseconds))


_Asked = tuple[str, tuple[Any, ...]]
"""A question as the key to its answer."""


class PostgresqlTransaction:
    """One transaction on one connection, in pipeline mode."""

    skip_locked = " FOR UPDATE SKIP LOCKED"

    __slots__ = (
        "_answered",
        "_batch",
        "_begun",
        "_committed",
        "_connection",
        "_foreseen",
        "_pgconn",
        "_pods",
        "_said",
        "_snapshot",
        "_tables",
        "_waiting",
        "_writing",
        "memory",
    )

    def __init__(self, connection: _Connection, *, writing: bool, snapshot: bool = True) -> None:
        self._connection = connection
        self._snapshot = snapshot and not writing
        self._pgconn = connection.pgconn
        self._writing = writing
        self._waiting = 0
        self._begun = False
        self._committed = False
        self._pods: set[int] = set()
        self._tables: set[str] = set()
        self.memory: dict[Hashable, Any] = {}
        self._foreseen: dict[int, dict[_Asked, list[Row]]] = {}
        self._said: list[_Asked] = []
        self._answered: list[PGresult] = []
        self._batch: list[bool] = []
        if self._pgconn.pipeline_status == PipelineStatus.OFF:
            self._pgconn.enter_pipeline_mode()
        if writing:
            self._send(_BEGIN_WRITING, ())

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement that changes rows; returns how many it changed."""
        return self._ask(sql, parameters).command_tuples or 0

    def send(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement whose count nobody needs; it goes out with the next question, or with the COMMIT."""
        self._take(sql, parameters)
        self._send(sql, parameters)

    def foresee(self, questions: Iterable[Question]) -> None:
        """Ask several questions in one round trip; each must be about one pod."""
        asked: list[tuple[int, _Asked, int]] = []
        chosen = [(subject_of(sql).pods_named(parameters), sql, parameters) for sql, parameters in questions]
        self._take_pods({pod_id for pods, _, _ in chosen for pod_id in pods})
        for (pod_id,), sql, parameters in chosen:
            self._take(sql, parameters)
            self._send(sql, parameters)
            asked.append((pod_id, (sql, tuple(parameters)), self._waiting - 1))
            if self._waiting >= _PIPELINED_AT_MOST:
                self._keep(asked)
                asked.clear()
        if asked:
            self._keep(asked)

    def _keep(self, asked: Sequence[tuple[int, _Asked, int]]) -> None:
        answers = self._answers()
        for pod_id, question, place in asked:
            answer = answers[place]
            self._foreseen.setdefault(pod_id, {})[question] = _rows(answer, at_most=answer.ntuples)

    def _foreseen_answer(self, sql: str, parameters: Sequence[Any]) -> list[Row] | None:
        pods = subject_of(sql).pods_named(parameters)
        return self._foreseen.get(pods[0], {}).get((sql, tuple(parameters))) if len(pods) == 1 else None

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one INSERT for many rows, in one round trip for each two hundred."""
        for row in rows:
            self.send(sql, row)

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row, or None. Also runs a changing statement with a RETURNING clause."""
        if self._foreseen and (known := self._foreseen_answer(sql, parameters)) is not None:
            return known[0] if known else None
        result = self._ask(sql, parameters)
        return _rows(result, at_most=1)[0] if result.ntuples else None

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Every row."""
        if self._foreseen and (known := self._foreseen_answer(sql, parameters)) is not None:
            return known
        result = self._ask(sql, parameters)
        return _rows(result, at_most=result.ntuples)

    def commit(self) -> None:
        """End the transaction; what it wrote is on the disk when this returns."""
        tag = self._ask("COMMIT", ()).command_status
        if tag != b"COMMIT":
            # A statement failed and somebody caught its error inside the block: PostgreSQL has rolled back.
            message = "the transaction was rolled back: one of its statements had failed"
            raise RuntimeError(message)
        self._committed = True

    def leave(self) -> bool:
        """End what is not committed; whether the connection may be used again.

        Nobody waits for the answer to a ROLLBACK: whoever uses the connection next reads it first.
        """
        try:
            if self._pgconn.status != ConnStatus.OK:
                return False
            if not self._committed:
                self._forget_unsure()
                if self._writing:
                    self._send("ROLLBACK", ())
                if self._begun:
                    self._connection.sync()
        except (psycopg.Error, StorageError):
            return False
        return True

    def _take(self, sql: str, parameters: Sequence[Any]) -> None:
        """Take what the statement is about, before it runs; see the module's text."""
        if not self._writing:
            return
        subject = subject_of(sql)
        if subject.skips:
            return
        for pod_id in subject.pods_named(parameters):
            if pod_id not in self._pods:
                self._send(_TAKE_POD, (pod_id,))
                self._pods.add(pod_id)
            if subject.changes and (foreseen := self._foreseen.get(pod_id)):
                for asked in [
                    each for each in foreseen if not set(subject_of(each[0]).tables).isdisjoint(subject.tables)
                ]:
                    del foreseen[asked]
        for table, how in subject.takes:
            if table in self._tables or (how == "shared" and f"{table} shared" in self._tables):
                continue
            self._send(_TAKE_TABLE[how], (zlib.crc32(table.encode()) - (1 << 31),))
            self._tables.add(table if how == "alone" else f"{table} shared")

    def _take_pods(self, pods: set[int]) -> None:
        """Take several pods, in their order."""
        if not self._writing:
            return
        new = sorted(pods - self._pods)
        for start in range(0, len(new), _TAKEN_AT_ONCE):
            some = new[start : start + _TAKEN_AT_ONCE]
            if len(some) > 1:
                self._send(_TAKE_PODS, (*some, *[some[-1]] * (_TAKEN_AT_ONCE - len(some))))
                self._pods.update(some)

    def _send(self, sql: str, parameters: Sequence[Any]) -> None:
        """Put a statement on its way."""
        values: list[bytes | None] = []
        formats: list[int] = []
        for value in parameters:
            if value is None:
                values.append(None)
                formats.append(0)
            elif isinstance(value, str):
                if "\0" in value:
                    value = _without_nul(sql, value)  # noqa: PLW2901 - the same value, as it can be asked for
                values.append(value.encode())
                formats.append(0)
            elif isinstance(value, int):
                values.append(b"%d" % value)
                formats.append(0)
            else:
                values.append(bytes(value))
                formats.append(1)
        try:
            if self._waiting >= _PIPELINED_AT_MOST + 16:
                self._read_answers()
            name = self._connection.known.get(sql) or self._prepare(sql, parameters)
            self._begun = True
            self._pgconn.send_query_prepared(name, values, formats, 1)
        except psycopg.Error as error:
            raise translate(error, writing=self._writing) from error
        self._waiting += 1
        if self._writing:
            self._said.append((sql, tuple(parameters)))
            self._batch.append(True)

    def _prepare(self, sql: str, parameters: Sequence[Any]) -> bytes:
        connection = self._connection
        connection.names += 1
        name = b"s%d" % connection.names
        self._pgconn.send_prepare(name, numbered(sql), [_type_of(value) for value in parameters])
        self._waiting += 1
        self._batch.append(False)
        connection.known[sql] = name
        connection.unsure.append(sql)
        return name

    def _ask(self, sql: str, parameters: Sequence[Any]) -> PGresult:
        """Send a statement and wait for its answer, and with it for those of everything sent before."""
        self._take(sql, parameters)
        self._send(sql, parameters)
        return self._answers()[-1]

    def _answers(self) -> list[PGresult]:
        """Wait for every answer that is due, in order.

        Raises:
            StorageError: what the first statement that failed says; those after it were not carried out.
        """
        try:
            return self._read_answers()
        except psycopg.Error as error:
            raise translate(error, writing=self._writing) from error

    def _read_answers(self) -> list[PGresult]:
        connection = self._connection
        waiting, self._waiting = self._waiting, 0
        if self._snapshot:
            answers = connection.read_answers(waiting)
        else:
            connection.sync()
            while connection.unread > 1:  # of a reader before this one, or of an interrupted wait
                connection.read_until_sync()
            answers = connection.read_until_sync()
            self._begun = self._writing
        failed = next((answer for answer in answers if answer.status == ExecStatus.FATAL_ERROR), None)
        batch, self._batch = self._batch, []
        if failed is not None:
            self._forget_unsure()
            conflict = errors.error_from_result(failed)
            if not (self._writing and isinstance(conflict, _CONFLICT)):
                raise conflict
            fresh = iter(self._say_again(conflict))
            return [next(fresh) if is_statement else failed for is_statement in batch]
        connection.unsure.clear()
        if self._writing:
            self._answered += [answer for answer, is_statement in zip(answers, batch, strict=True) if is_statement]
        return answers

    def _say_again(self, conflict: psycopg.Error) -> list[PGresult]:
        """The answers that a conflict has cost, from the same statements said once more from the beginning.

        The engine ended this transaction because another one and it waited for each other. Whoever writes the block must
        not see that, as long as it changes nothing for them: every statement is said again, and where every answer that
        they have had already comes out the same, what they did with those is right as well. Where one does not, the block
        itself would have to run again, which is its caller's affair (conflicts.py).

        Raises:
            psycopg.Error: the conflict itself, where an answer is another now, or conflicts went on.
        """
        said, had = self._said, self._answered
        for _ in range(SAID_AGAIN_AT_MOST):
            try:
                self._run([("ROLLBACK", ())])
                now = self._run(said[: len(had)])
                if not all(map(_says_the_same, had, now)):
                    break
                # Only now: among these may be the COMMIT.
                fresh = self._run(said[len(had) :])
            except _CONFLICT:
                continue
            self._said, self._answered = said, now + fresh
            return fresh
        raise conflict

    def _run(self, statements: Sequence[_Asked]) -> list[PGresult]:
        """Send statements and read their answers, without a word about it to whoever reads or repeats."""
        answers: list[PGresult] = []
        for start in range(0, len(statements), _PIPELINED_AT_MOST):
            self._said, self._batch = [], []
            for sql, parameters in statements[start : start + _PIPELINED_AT_MOST]:
                self._send(sql, parameters)
            batch, self._batch, self._waiting = self._batch, [], 0
            self._connection.sync()
            said = self._connection.read_until_sync()
            failed = next((answer for answer in said if answer.status == ExecStatus.FATAL_ERROR), None)
            if failed is not None:
                self._forget_unsure()
                raise errors.error_from_result(failed)
            self._connection.unsure.clear()
            answers += [answer for answer, is_statement in zip(said, batch, strict=True) if is_statement]
        return answers

    def _forget_unsure(self) -> None:
        """After a failure: what was to be prepared behind it was not, and is prepared anew under another name."""
        for sql in self._connection.unsure:
            self._connection.known.pop(sql, None)
        self._connection.unsure.clear()


def _says_the_same(one: PGresult, other: PGresult) -> bool:
    """Whether two answers to one statement are the same."""
    return (
        one.status == other.status
        and one.command_status == other.command_status
        and (one.ntuples, one.nfields) == (other.ntuples, other.nfields)
        and all(
            one.get_value(row, column) == other.get_value(row, column)
            for row in range(one.ntuples)
            for column in range(one.nfields)
        )
    )


def _type_of(value: Any) -> int:
    """The type to declare for a parameter; an int is always a bigint, so that no statement is prepared twice."""
    if value is None:
        return _UNKNOWN
    if isinstance(value, str):
        return _TEXT
    return _INT8 if isinstance(value, int) else _BYTEA


def _without_nul(sql: str, value: str) -> str:
    """A text with U+0000 as PostgreSQL can be asked for it. Nothing stored holds it, so a question finds nothing.

    Raises:
        TextUnstorable: it was to be stored.
    """
    if subject_of(sql).changes:
        raise TextUnstorable
    return value.replace("\0", "\uffff")


_QUOTED_OR_PARAMETER = re.compile(r"'(?:[^']|'')*'|--[^\n]*|\?")


@cache
def numbered(sql: str) -> bytes:
    """The statement with `$1`, `$2`, … for its question marks."""
    number = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal number
        if found.group() != "?":
            return found.group()
        number += 1
        return f"${number}"

    return _QUOTED_OR_PARAMETER.sub(replace, sql).encode()


def _read_integer(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def _read_float(value: bytes) -> float:
    number: float = struct.unpack("!d", value)[0]
    return number


def _read_numeric(value: bytes) -> int | float:
    """A numeric in PostgreSQL's binary form (digits to the base 10,000); SUM of a bigint is one."""
    count, weight, sign, _scale = struct.unpack_from("!hhHh", value)
    digits: tuple[int, ...] = struct.unpack_from(f"!{count}h", value, 8)
    total: int | float = sum(digit * 10_000 ** (weight - place) for place, digit in enumerate(digits))
    return -total if sign == 0x4000 else total


_READERS: dict[int, Callable[[bytes], Any]] = {
    _INT8: _read_integer,
    _INT4: _read_integer,
    _INT2: _read_integer,
    _BOOL: _read_integer,
    _BYTEA: bytes,
    _FLOAT8: _read_float,
    _NUMERIC: _read_numeric,
}


def _read_text(value: bytes) -> str:
    return value.decode()


def _rows(result: PGresult, *, at_most: int) -> list[Row]:
    readers = [_READERS.get(result.ftype(column), _read_text) for column in range(result.nfields)]
    get = result.get_value
    rows = []
    for row in range(at_most):
        values = (get(row, column) for column in range(len(readers)))
        rows.append(
            tuple(None if value is None else reader(value) for value, reader in zip(values, readers, strict=True))
        )
    return rows


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

    def _usable_connection(self, idle: deque[_Connection]) -> _Connection:
        while idle:
            connection = idle.pop()
            if connection.is_usable():
                return connection
            connection.close()  # the server was restarted since, or gave it up
        milliseconds = int(self._timeout_seconds * 1000)
        try:
            connection = _Connection.connect(self._address, autocommit=True)
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
        self._idle: deque[_Connection] = deque()
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

"""The storage port on SQLite: write-ahead log, `synchronous=FULL`, one writer at a time behind a turnstile.

A transaction that has left its block is on the disk: SQLite has synced the write-ahead log before COMMIT returns.
Transactions of one process that stand in line are committed together: each is a savepoint of one transaction, which
begins at the turnstile, ends with one sync, and ends well for all of its members or for none.
Source: https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html#pragma_synchronous.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pod_server import desk
from pod_server.storage.errors import StorageBusy, StorageDamaged, StorageError, StorageFull
from pod_server.storage.schema_version import check_schema_version, read_schema_version
from pod_server.storage.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pod_server.storage.ports import Question, Row

_FULL_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
"""A disk quota and a file-size limit reach SQLite as failed writes, not as SQLITE_FULL."""

_BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED_CODES = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
)
_PRIMARY_CODE_MASK = 0xFF

_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32768",
    # A longer write-ahead log than the default 1000 pages: each checkpoint writes hot index pages once, not often.
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 67108864",
)


_GROUP_SECONDS = 0.008
"""How long after its first member began a group lets others join: a writing transaction holds up other processes."""

_GROUP_MEMBERS = 32
_LOOK_AGAIN_SECONDS = 0.05


DATABASE_NAME = "tvilling.sqlite"
"""The embedded database's file in a data folder; the lock files lie beside it."""


def open_storage(data_folder: Path, *, timeout_seconds: float = 10.0) -> SqliteStorage:
    """Open a data folder's embedded database; its schema must be this program's.

    Raises:
        DataFolderTooNew: a newer version of the program wrote it.
        DataFolderTooOld: it has no schema yet; `migrate(path)` makes or renews it.
    """
    return SqliteStorage(data_folder / DATABASE_NAME, timeout_seconds=timeout_seconds)


def schema_version_of(path: Path) -> int:
    """The version of a database file's schema; 0 where there is none.

    Asked over a read-only connection, before any pragma: a newer program's file is not to be touched. Only where a crash
    in the first migration left a rollback journal it must be written: SQLite then takes back what was half done.

    Raises:
        StorageError: the file cannot be read.
    """
    if not path.exists():
        return 0
    try:
        try:
            return _version_in(path, "ro")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE_MASK != sqlite3.SQLITE_READONLY:
                raise
            return _version_in(path, "rw")
    except sqlite3.Error as error:
        raise translate(error) from error


def _version_in(path: Path, mode: str) -> int:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)) as connection:
        return read_schema_version(connection)


def translate(error: sqlite3.Error) -> Exception:
    """The house's error for one of SQLite's; an error of ours in the SQL itself stays what it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error
    primary = code & _PRIMARY_CODE_MASK
    if code in _FULL_CODES or primary in _FULL_CODES:
        return StorageFull()
    if primary in _BUSY_CODES:
        return StorageBusy()
    if primary in _DAMAGED_CODES:
        return StorageDamaged()
    return error


_CHANGES_NOTHING = "PRAGMA user_version = 0"
"""Nobody uses that number; SQLite writes its page all the same, where it passes over an UPDATE that changes nothing."""


def commit(connection: sqlite3.Connection, changes_nothing: str) -> None:
    """Commit, or see to it that what was refused is not there tomorrow.

    A COMMIT whose sync failed was refused, but its frames stand whole in the write-ahead log: this process passes over
    them, and whoever opens the log next takes them for committed. The next commit is written over their beginning, and
    what follows it no longer fits; so one that changes nothing is made at once.

    Args:
        connection: In a transaction, in autocommit otherwise.
        changes_nothing: A statement that writes a page and says nothing new.

    Raises:
        sqlite3.Error: nothing of the transaction stands.

    Source: https://www.sqlite.org/walformat.html, section 4.3; found by tests/faults with a disk that refuses a sync.
    """
    try:
        connection.execute("COMMIT")
    except sqlite3.Error:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute(changes_nothing)
        raise


class SqliteTransaction:
    """One transaction on one connection."""

    skip_locked = ""

    __slots__ = ("_connection", "memory")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.memory: dict[Hashable, Any] = {}

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement that changes rows; returns how many it changed."""
        try:
            return self._connection.execute(sql, parameters).rowcount
        except sqlite3.Error as error:
            raise translate(error) from error

    def foresee(self, questions: Iterable[Question]) -> None:
        """Nothing: an answer is no further away later."""

    def must_change(self, sql: str, parameters: Sequence[Any], otherwise: Exception) -> None:
        """Run one statement without which nothing shall stand."""
        if not self.execute(sql, parameters):
            raise otherwise

    def send(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement whose count nobody needs."""
        self.execute(sql, parameters)

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one INSERT for many rows."""
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise translate(error) from error

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row, or None. Also runs a changing statement with a RETURNING clause."""
        try:
            row: Row | None = self._connection.execute(sql, parameters).fetchone()
        except sqlite3.Error as error:
            raise translate(error) from error
        return row

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Every row."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise translate(error) from error


def _roll_back(connection: sqlite3.Connection) -> bool:
    """End whatever transaction is still open (a failed COMMIT may or may not have ended it); False where that fails."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return True


class _Writer:
    """A connection that may write, and its place at the turnstile."""

    __slots__ = ("connection", "turnstile")

    def __init__(self, connection: sqlite3.Connection, turnstile: Turnstile) -> None:
        self.connection = connection
        self.turnstile = turnstile

    def close(self) -> None:
        self.connection.close()
        self.turnstile.close()


class _Group:
    """One open transaction that several threads write in, one after another.

    Attributes:
        writer: Its connection, behind the turnstile.
        last_joining: The monotonic time after which nobody joins.
        members: How many wrote and wait for the commit.
        finished: Set when it is committed, or lost.
        error: Why it was lost.
    """

    __slots__ = ("error", "finished", "last_joining", "members", "writer")

    def __init__(self, writer: _Writer) -> None:
        self.writer = writer
        self.last_joining = time.monotonic() + _GROUP_SECONDS
        self.members = 0
        self.finished = threading.Event()
        self.error: Exception | None = None

    @property
    def takes_more(self) -> bool:
        """Whether the next in line may still write in it; not while somebody urgent waits at the turnstile."""
        return (
            self.members < _GROUP_MEMBERS
            and time.monotonic() < self.last_joining
            and not self.writer.turnstile.somebody_urgent_waits()
        )


class _Line:
    """Those who want to write in this process: one at the door, the others behind."""

    __slots__ = ("_guard", "door", "group", "waiting")

    def __init__(self) -> None:
        self.door = threading.Lock()
        self.group: _Group | None = None
        self.waiting = 0
        self._guard = threading.Lock()

    def enter(self, timeout_seconds: float) -> None:
        """Wait for the door.

        Raises:
            StorageBusy: it did not open in time.
        """
        if not self.waiting and self.door.acquire(blocking=False):
            return
        with self._guard:
            self.waiting += 1
        try:
            with desk.away():
                entered = self.door.acquire(timeout=timeout_seconds)
        finally:
            with self._guard:
                self.waiting -= 1
        if not entered:
            raise StorageBusy


class _Checkpointer:
    """Moves the write-ahead log into the database beside the writers, so that no commit has to do it.

    SQLite would do it in the commit after which the log is long, and everybody would wait; it still does where this falls
    behind. Passive: it waits for nobody and holds nobody up (https://www.sqlite.org/pragma.html#pragma_wal_checkpoint).
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._commits = 0
        self._called = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def note_commit(self) -> None:
        """One more commit; only with the door in hand."""
        self._commits += 1
        if self._commits % _COMMITS_A_CHECKPOINT:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
            self._thread.start()
        self._called.set()

    def close(self) -> None:
        """End it, and wait until it has."""
        self._closed = True
        self._called.set()
        if self._thread is not None:
            self._thread.join(5)

    def _run(self) -> None:
        try:
            with closing(self._connect()) as connection:
                while not self._closed:
                    self._called.wait()
                    self._called.clear()
                    if not self._closed:
                        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except (sqlite3.Error, StorageError):
            # A full or failing disk is told to whoever writes; the commits do the work themselves then.
            self._called.clear()


_COMMITS_A_CHECKPOINT = 64


class SqliteStorage:
    """SQLite behind the storage port.

    Connections are lent from two small pools (readers and writers), never to two users at once, so that threads and
    greenlets alike may use one storage, and a forked child starts with pools of its own.
    """

    is_embedded = True

    def __init__(self, path: Path, *, timeout_seconds: float = 10.0) -> None:
        """Use the database file `path`.

        Raises:
            DataFolderTooNew: a newer version of the program wrote it.
            DataFolderTooOld: it has no schema yet; `migrate(path)` makes or renews it.
        """
        check_schema_version(schema_version_of(path))
        self.path = path
        self._timeout_seconds = timeout_seconds
        self._process = os.getpid()
        self._readers: deque[sqlite3.Connection] = deque()
        self._writers: deque[_Writer] = deque()
        self._line = _Line()
        self._checkpointer = self._new_checkpointer()

    @contextmanager
    def read(self) -> Iterator[SqliteTransaction]:
        """A read-only snapshot, taken at the first statement."""
        self._forget_parents_connections()
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self._connect(read_only=True)
        try:
            connection.execute("BEGIN")
            yield SqliteTransaction(connection)
        except sqlite3.Error as error:
            raise translate(error) from error
        finally:
            if _roll_back(connection):
                self._readers.append(connection)
            else:
                connection.close()

    def look(self) -> AbstractContextManager[SqliteTransaction]:
        """Reading that needs no snapshot; here a snapshot costs nothing."""
        return self.read()

    @contextmanager
    def write(self, *, urgent: bool = False) -> Iterator[SqliteTransaction]:
        """A writing transaction behind the turnstile; durable when the block has ended.

        Raises:
            StorageFull: the disk is full; nothing was written.
            StorageBusy: no turn came within the time-out.
        """
        self._forget_parents_connections()
        with self._write_alone() if urgent else self._write_in_line() as tx:
            yield tx

    @contextmanager
    def _write_alone(self) -> Iterator[SqliteTransaction]:
        """Before everybody who stands in line, with a commit of its own."""
        writer = self._writer()
        try:
            writer.turnstile.enter(urgent=True, timeout_seconds=self._timeout_seconds)
            writer.connection.execute("BEGIN IMMEDIATE")
            yield SqliteTransaction(writer.connection)
            commit(writer.connection, _CHANGES_NOTHING)
        except sqlite3.Error as error:
            raise translate(error) from error
        finally:
            self._let_go(writer)

    @contextmanager
    def _write_in_line(self) -> Iterator[SqliteTransaction]:
        """In the transaction that is open in this process, or in a new one."""
        line = self._line
        line.enter(self._timeout_seconds)
        # From here to the door's release this thread alone writes in this process.
        try:
            group = line.group = line.group or self._begin_group()
        except BaseException:
            line.door.release()
            raise
        connection = group.writer.connection
        joined = group.members > 0
        try:
            if joined:
                connection.execute("SAVEPOINT member")
            yield SqliteTransaction(connection)
            if joined:
                connection.execute("RELEASE member")
        except BaseException as error:
            self._undo(group, joined)
            self._leave(group)
            if isinstance(error, sqlite3.Error):
                raise translate(error) from error
            raise
        group.members += 1
        self._leave(group)
        self._wait_for(group)
        if group.error is not None:
            raise translate(group.error) if isinstance(group.error, sqlite3.Error) else group.error

    def _begin_group(self) -> _Group:
        writer = self._writer()
        try:
            with desk.away():
                writer.turnstile.enter(urgent=False, timeout_seconds=self._timeout_seconds)
            writer.connection.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self._let_go(writer)
            if isinstance(error, sqlite3.Error):
                raise translate(error) from error
            raise
        return _Group(writer)

    @staticmethod
    def _undo(group: _Group, joined: bool) -> None:
        """Take back what a failed member wrote, and nothing of the others'."""
        connection = group.writer.connection
        try:
            if not connection.in_transaction:
                # SQLite itself rolled everything back (a full disk, say): the others' writes went too.
                group.error = StorageFull()
            elif joined:
                connection.execute("ROLLBACK TO member")
                connection.execute("RELEASE member")
            else:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            group.error = error

    def _leave(self, group: _Group) -> None:
        """Open the door: to the next in line, who goes on in the same transaction, or after the commit."""
        alive = group.error is None and group.writer.connection.in_transaction
        if not (alive and group.members and self._line.waiting and group.takes_more):
            self._finish(group)
        self._line.door.release()

    def _finish(self, group: _Group) -> None:
        """Commit for all members; only with the door in hand."""
        self._line.group = None
        try:
            if group.error is None and group.writer.connection.in_transaction:
                with desk.away():
                    commit(group.writer.connection, _CHANGES_NOTHING)
                self._checkpointer.note_commit()
        except sqlite3.Error as error:
            group.error = error
        except BaseException:
            group.error = StorageBusy()
            raise
        finally:
            self._let_go(group.writer)
            group.finished.set()

    def _wait_for(self, group: _Group) -> None:
        """Wait for the commit. Whoever was to come next may have given up at the door: then it is made here."""
        if group.finished.is_set():
            return
        with desk.away():
            while not group.finished.wait(_LOOK_AGAIN_SECONDS):
                if self._line.door.acquire(blocking=False):
                    if self._line.group is group:
                        self._finish(group)
                    self._line.door.release()

    def _writer(self) -> _Writer:
        try:
            return self._writers.pop()
        except IndexError:
            return _Writer(self._connect(read_only=False), Turnstile(self.path.parent))

    def _let_go(self, writer: _Writer) -> None:
        """Whatever happened, an interrupt while waiting included: nothing stays open, and the others may pass."""
        usable = _roll_back(writer.connection)
        writer.turnstile.leave()
        if usable:
            self._writers.append(writer)
        else:
            writer.close()

    def close(self) -> None:
        """Close every idle connection."""
        self._forget_parents_connections()
        self._checkpointer.close()
        self._checkpointer = self._new_checkpointer()
        while self._readers:
            self._readers.pop().close()
        while self._writers:
            self._writers.pop().close()

    def _connect(self, *, read_only: bool) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=self._timeout_seconds,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
            self._use_write_ahead_log(connection)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            if read_only:
                connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise translate(error) from error
        return connection

    def _use_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        """Turn the write-ahead log on, where it is not on yet: the mode stays with the file.

        SQLite does not wait for its lock here, whatever the time-out (two first connections at once meet in it), so
        we do.
        """
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & _PRIMARY_CODE_MASK not in _BUSY_CODES or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
            else:
                return

    def _new_checkpointer(self) -> _Checkpointer:
        return _Checkpointer(lambda: self._connect(read_only=False))

    def _forget_parents_connections(self) -> None:
        """After a fork the child must not use its parent's connections; it leaves them open, unused."""
        process = os.getpid()
        if process != self._process:
            self._process = process
            self._readers = deque()
            self._writers = deque()
            self._line = _Line()
            self._checkpointer = self._new_checkpointer()

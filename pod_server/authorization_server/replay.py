"""One-use identifiers of proofs and assertions, remembered across this host's processes but not across its restarts.

On one machine a small SQLite file without synchronous writes; on PostgreSQL two unlogged tables (RFC 9449, section 11.1; RFC 7523, section 3). A crash of the machine may
lose the newest rows, so after a restart of the machine, or a new file, whatever was issued before is refused.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pod_server.clock import microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.clock import Clock
    from pod_server.storage.ports import Storage

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PRUNE_EVERY = 2000
_LOOKS = 200


def machine_start() -> str:
    """A word that changes when the machine restarts, or empty where the system has none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class Replay(Protocol):
    """What remembers one-use identifiers."""

    def covers(self, issued_at: datetime) -> bool:
        """Whether something issued then would be remembered, had it been used."""
        ...

    def first_use(self, identifier: str, expires: datetime) -> bool:
        """Remember an identifier until it expires; False where it is remembered already."""
        ...


class SharedReplayStore:
    """Who has been seen, shared by all machines that serve one PostgreSQL database.

    The tables are UNLOGGED: nothing is synced for them, and the server empties them when it recovers from a crash. The
    moment since which they remember is a row of such a table too, so that it goes with them: whoever then misses it, or
    finds another than before, takes what is shown for used, and whatever was issued earlier is refused.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        """Begin, or go on with, the database's store."""
        self._storage = storage
        self._clock = clock
        self._uses = 0
        self._started = self._begin()

    def covers(self, issued_at: datetime) -> bool:
        """Whether something issued then would be in this store, had it been used."""
        return microseconds(issued_at) >= self._started

    def first_use(self, identifier: str, expires: datetime) -> bool:
        """Remember an identifier until it expires; False where it is remembered already, or the store was emptied.

        Args:
            identifier: What it is for, who issued it and its `jti`.
            expires: When nobody would accept it any more.
        """
        self._uses += 1
        with self._storage.write() as tx:
            row = tx.one(
                "INSERT INTO seen_once (identifier, expires) VALUES (?, ?) ON CONFLICT (identifier) DO NOTHING "
                "RETURNING (SELECT MAX(at) FROM seen_since)",
                (identifier, microseconds(expires)),
            )
            if self._uses % _PRUNE_EVERY == 0:
                tx.send("DELETE FROM seen_once WHERE expires < ?", (microseconds(self._clock.protocol_now()),))
        if row is None:
            return False
        if row[0] != self._started:
            self._started = self._begin()
            return False
        return True

    def _begin(self) -> int:
        with self._storage.write() as tx:
            row = tx.one("SELECT MAX(at) FROM seen_since")
            if row is None or row[0] is None:
                row = (_whole_second(self._clock),)
                tx.send("INSERT INTO seen_since (at) VALUES (?)", row)
        return int(row[0])


def _whole_second(clock: Clock) -> int:
    """Now, in microseconds, cut to the second: proofs are dated in whole seconds, and those of this second are new."""
    return microseconds(clock.protocol_now()) // 1_000_000 * 1_000_000


class _Turn:
    """A thread's own hold on the file whose lock is the right to write next; closed with the thread."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        os.close(self.file)


class ReplayStore:
    """Who has been seen, shared by all processes that open the same file."""

    def __init__(self, path: Path, clock: Clock, *, boot: str | None = None) -> None:
        """Open or begin the store.

        Args:
            path: The file, in the runtime folder.
            clock: Its protocol time decides what has run out.
            boot: The machine's start; read from the system when None.
        """
        self._path = path
        self._clock = clock
        self._local = threading.local()
        self._uses = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._started = self._begin(machine_start() if boot is None else boot)

    def _begin(self, boot: str) -> int:
        try:
            return self._read_start(boot)
        except sqlite3.DatabaseError:
            self._close()
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            return self._read_start(boot)

    def _read_start(self, boot: str) -> int:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS seen (identifier TEXT PRIMARY KEY, expires BIGINT NOT NULL) WITHOUT ROWID"
            )
            connection.execute("CREATE TABLE IF NOT EXISTS start (boot TEXT NOT NULL, at BIGINT NOT NULL)")
            row = connection.execute("SELECT at FROM start WHERE boot = ?", (boot,)).fetchone()
            if row is None:
                row = (_whole_second(self._clock),)
                connection.execute("DELETE FROM start")
                connection.execute("DELETE FROM seen")
                connection.execute("INSERT INTO start (boot, at) VALUES (?, ?)", (boot, row[0]))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        return int(row[0])

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=5.0, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            self._local.connection = connection
        return connection

    def _close(self) -> None:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def covers(self, issued_at: datetime) -> bool:
        """Whether something issued then would be in this store, had it been used."""
        return microseconds(issued_at) >= self._started

    def first_use(self, identifier: str, expires: datetime) -> bool:
        """Remember an identifier until it expires; False where it is remembered already.

        Args:
            identifier: What it is for, who issued it and its `jti`.
            expires: When nobody would accept it any more.
        """
        connection = self._connection()
        self._uses += 1
        if self._uses % _PRUNE_EVERY == 0:
            connection.execute("DELETE FROM seen WHERE expires < ?", (microseconds(self._clock.protocol_now()),))
        turn = self._take_turn()
        try:
            added = connection.execute(
                "INSERT INTO seen (identifier, expires) VALUES (?, ?) ON CONFLICT (identifier) DO NOTHING",
                (identifier, microseconds(expires)),
            )
        finally:
            if turn is not None:
                fcntl.flock(turn, fcntl.LOCK_UN)
        return added.rowcount == 1

    def _take_turn(self) -> int | None:
        """The right to write next, or None where it does not come within a moment.

        Writing takes some microseconds. Where two processes meet in it, SQLite sleeps for a millisecond or more before it
        looks again, and with it everybody behind. A file lock comes at once; without it SQLite's own waiting does.
        """
        turn: _Turn | None = getattr(self._local, "turn", None)
        if turn is None:
            turn = self._local.turn = _Turn(f"{self._path}.turn")
        for _ in range(_LOOKS):
            try:
                fcntl.flock(turn.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.sched_yield()
            else:
                return turn.file
        return None

"""A power cut at a chosen statement: of the database and of the key store, before it, or just after a commit.

Every SQLite connection counts the statements that change something, and its commits. When the count that was asked for is
reached, that statement raises `PowerCut`; from then on every further one does too, but those that undo: a dead process
writes nothing, and its open transactions are rolled back by whoever opens the files next. What the house does on its way
out (`except BaseException`) therefore changes nothing either.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_connect = sqlite3.connect
_CHANGES = ("INSERT", "UPDATE", "DELETE", "COMMIT", "RELEASE")
_UNDOES = ("ROLLBACK", "PRAGMA", "SELECT", "BEGIN")


class PowerCut(BaseException):
    """The machine stopped here. No handler for errors may mend it."""


class Fuse:
    """Counts steps, and blows at the one that it was set to.

    Attributes:
        steps: How many steps were made since it was set, or mended.
        blown: Whether the power is off.
    """

    def __init__(self) -> None:
        """Begin with the power on, and nothing set."""
        self._guard = threading.Lock()
        self._at: int | None = None
        self.steps = 0
        self.blown = False

    def set(self, at: int | None) -> None:
        """Blow at the step of this number, counted from now; None never."""
        with self._guard:
            self._at, self.steps, self.blown = at, 0, False

    def mend(self) -> None:
        """The power is on again."""
        self.set(None)

    def step(self) -> None:
        """One more step.

        Raises:
            PowerCut: it was the one, or the power is off already.
        """
        with self._guard:
            if not self.blown:
                self.steps += 1
                self.blown = self.steps == self._at
            if self.blown:
                raise PowerCut


FUSE = Fuse()


class FusedConnection(sqlite3.Connection):
    """A connection whose changing statements are steps of the fuse; a commit is one before and one after."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """As `sqlite3.Connection.execute`."""
        word = sql.lstrip()[:8].upper()
        if word.startswith(_CHANGES):
            FUSE.step()
        elif FUSE.blown and not word.startswith(_UNDOES):
            raise PowerCut
        cursor = super().execute(sql, parameters)
        if word.startswith("COMMIT"):
            FUSE.step()
        return cursor

    def executemany(self, sql: str, rows: Any, /) -> sqlite3.Cursor:
        """As `sqlite3.Connection.executemany`: all rows or none, as in its transaction they are."""
        FUSE.step()
        return super().executemany(sql, rows)


@contextmanager
def fused_connections() -> Iterator[Fuse]:
    """Every SQLite connection that is made inside obeys the fuse."""

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return _connect(*arguments, **{"factory": FusedConnection, **options})

    sqlite3.connect = connect  # type: ignore[assignment]
    try:
        yield FUSE
    finally:
        sqlite3.connect = _connect
        FUSE.mend()

"""The turnstile before SQLite's one writer: three file locks, so that a withdrawal never queues behind bulk deliveries.

SQLite lets whoever asks at the right moment write next, and bulk writers that ask again at once starve the others for
seconds. Here everyone must hold the *room* to write. A bulk writer looks whether the *turnstile* is free each time
before it tries the room; an urgent writer holds the turnstile from the moment it comes, so that nobody enters before
it and it waits for at most the one transaction that is under way.

Among themselves bulk writers take turns: whoever tries the room holds the *queue* until it is inside, so that a process
that has just left the room and comes back at once stands behind those who were waiting.

The locks are `flock`s: they work between processes and between threads (each waits on open files of its own) and end
with their process, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from typing import TYPE_CHECKING

from pod_server.storage.errors import StorageBusy

if TYPE_CHECKING:
    from pathlib import Path

_BULK_PAUSE_SECONDS = 0.0005
_URGENT_PAUSE_SECONDS = 0.0002
"""An urgent writer looks more often: it should find the room within a fraction of a millisecond."""


class Turnstile:
    """One writer's lock files, held open. Not for two threads at once."""

    def __init__(self, folder: Path) -> None:
        """Open (make) the lock files in `folder`; whoever drops it without `close` leaves no descriptor behind."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._turnstile = os.open(folder / "writers.turnstile", flags, 0o600)
        self._room = os.open(folder / "writers.room", flags, 0o600)
        self._queue = os.open(folder / "writers.queue", flags, 0o600)
        self._close = weakref.finalize(self, _close_all, (self._room, self._turnstile, self._queue))
        # An ending process closes them by itself; a forked child has nothing to do with them at its end.
        self._close.atexit = False

    def enter(self, *, urgent: bool, timeout_seconds: float) -> None:
        """Wait for the room.

        Raises:
            StorageBusy: it did not become free within `timeout_seconds`; nothing is held.
        """
        deadline = time.monotonic() + timeout_seconds
        if urgent:
            self._enter_urgently(deadline)
        else:
            self._enter_in_turn(deadline)

    def leave(self) -> None:
        """Let go of whatever is held."""
        for lock in (self._room, self._turnstile, self._queue):
            fcntl.flock(lock, fcntl.LOCK_UN)

    def somebody_urgent_waits(self) -> bool:
        """Whether an urgent writer stands at the turnstile; for whoever holds the room and could hold it longer."""
        if _try_lock(self._turnstile, fcntl.LOCK_SH):
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)
            return False
        return True

    def close(self) -> None:
        """Close the lock files, which also lets go of them; again changes nothing."""
        self._close()

    def _enter_in_turn(self, deadline: float) -> None:
        first = False
        while True:
            first = first or _try_lock(self._queue, fcntl.LOCK_EX)
            if first and self._try_room():
                fcntl.flock(self._queue, fcntl.LOCK_UN)
                return
            if time.monotonic() > deadline:
                fcntl.flock(self._queue, fcntl.LOCK_UN)
                raise StorageBusy
            time.sleep(_BULK_PAUSE_SECONDS)

    def _try_room(self) -> bool:
        if not _try_lock(self._turnstile, fcntl.LOCK_SH):
            return False
        entered = _try_lock(self._room, fcntl.LOCK_EX)
        fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        return entered

    def _enter_urgently(self, deadline: float) -> None:
        while not _try_lock(self._turnstile, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise StorageBusy
            time.sleep(_URGENT_PAUSE_SECONDS)
        while not _try_lock(self._room, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                fcntl.flock(self._turnstile, fcntl.LOCK_UN)
                raise StorageBusy
            time.sleep(_URGENT_PAUSE_SECONDS)


def _close_all(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

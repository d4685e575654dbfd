"""One busy thread a process: whoever answers a request for a pod sits at the desk, and leaves it to wait.

Python runs one thread at a time anyhow, but many runnable ones are slow: each short call that lets go of the
interpreter lock (every SQLite statement does) hands it to another thread, and getting it back may take a switch
interval of 5 ms. So the threads of a worker take turns at one desk. A thread sits down with its request's head, gets up
for everything that waits (a body, a turn to write, the disk, another host) and comes back. Slow bodies and readers
therefore hold a thread, of which there are several, and never the desk.

A thread that is not at the desk (pages, other processes) may use the same functions; for it `away` does nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


class _Desk:
    """One seat, and a queue before it: whoever comes first sits first, however many come and go meanwhile.

    An ordinary lock goes to whoever asks at the right moment, and now and then somebody asks at the wrong one for long.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._queue: deque[threading.Lock] = deque()

    def sit(self) -> None:
        """Wait for the seat."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            called = threading.Lock()
            called.acquire()
            self._queue.append(called)
        called.acquire()

    def rise(self) -> None:
        """Leave the seat to the next in the queue."""
        with self._guard:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._taken = False


_desk = _Desk()


class _Seat(threading.local):
    taken = False


_seat = _Seat()


class _Seated:
    """At the desk; sitting down where one sits already changes nothing."""

    __slots__ = ("_was_seated",)

    def __enter__(self) -> None:
        self._was_seated = _seat.taken
        if not self._was_seated:
            _desk.sit()
            _seat.taken = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._was_seated:
            _seat.taken = False
            _desk.rise()


class _Away:
    """Up from the desk, for a wait; back at it afterwards."""

    __slots__ = ("_was_seated",)

    def __enter__(self) -> None:
        self._was_seated = _seat.taken
        if self._was_seated:
            _seat.taken = False
            _desk.rise()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._was_seated:
            _desk.sit()
            _seat.taken = True


def seated() -> _Seated:
    """A block in which this thread is at the desk."""
    return _Seated()


def away() -> _Away:
    """A block in which this thread waits for something and leaves the desk to others, if it sat there."""
    return _Away()

"""One busy thread a process: whoever answers a request for a pod sits at the desk, and leaves it to wait.

Python runs one thread at a time anyhow, but many runnable ones are slow: each short call that lets go of the
interpreter lock (every SQLite statement does) hands it to another thread, and getting it back may take a switch
interval of 5 ms. So the threads of a worker take turns at one desk. A thread sits down with its request's head, gets up
for everything that waits (a body, a turn to write, the disk, another host) and comes back. Slow bodies and readers
therefore hold a thread, of which there are several, and never the desk.

Bulk deliveries have a desk of their own: one of them is worked on at a time, and no request for a pod waits behind its
many records; the two desks share the interpreter as two threads do.

A thread that is not at a desk (pages, other processes) may use the same functions; for it `away` does nothing.
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


_pods = _Desk()
_bulk = _Desk()


class _Seat(threading.local):
    at: _Desk | None = None


_seat = _Seat()


class _Seated:
    """At a desk; sitting down where one sits already changes nothing."""

    __slots__ = ("_desk", "_was_seated")

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk

    def __enter__(self) -> None:
        self._was_seated = _seat.at is not None
        if not self._was_seated:
            self._desk.sit()
            _seat.at = self._desk

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._was_seated:
            _seat.at = None
            self._desk.rise()


class _Away:
    """Up from the desk, for a wait; back at it afterwards."""

    __slots__ = ("_left",)

    def __enter__(self) -> None:
        self._left = _seat.at
        if self._left is not None:
            _seat.at = None
            self._left.rise()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._left is not None:
            self._left.sit()
            _seat.at = self._left


def seated() -> _Seated:
    """A block in which this thread is at the desk of requests for pods."""
    return _Seated(_pods)


def seated_for_bulk() -> _Seated:
    """A block in which this thread is at the desk of bulk deliveries."""
    return _Seated(_bulk)


def away() -> _Away:
    """A block in which this thread waits for something and leaves its desk to others, if it sat at one."""
    return _Away()

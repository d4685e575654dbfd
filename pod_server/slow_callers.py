"""Callers who send or take next to nothing are cut off, while others have to be turned away because of them.

A worker's thread that waits for a body, or for the reader of a large answer, cannot be called back from that wait by
Python, and granian has no time-out for it. The kernel can end it: a connection that is shut down is at its end for both
sides. So when a worker had to refuse somebody for lack of places, it looks at its own connections twice, some time
apart, and shuts those over which hardly a byte went in between, in either direction. Connections that merely lie open
between two requests go with them, which any client must expect of any server (RFC 9112, section 9.5).

Linux alone tells (`TCP_INFO`, linux/tcp.h); elsewhere nothing is cut.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_AGAIN_SECONDS = 20.0
"""Between the two looks; answers that take longer to make are cut too, but only in a worker that is short of places."""

SLOWEST_BYTES_A_SECOND = 2048

_ACKED_AND_RECEIVED = struct.Struct("=QQ")
_COUNTS_AT = 120
"""Where `tcpi_bytes_acked` and `tcpi_bytes_received` stand in `struct tcp_info`, since Linux 4.1."""

_OWN_DESCRIPTORS = Path("/proc/self/fd")

_pressed = threading.Event()


def press() -> None:
    """Somebody was turned away for lack of places."""
    _pressed.set()


class _Seen(NamedTuple):
    moved_bytes: int
    at: float


class SlowCallers:
    """The connections of one worker's listener, and what went over them when they were last looked at."""

    def __init__(self, port: int) -> None:
        """Watch the connections that were accepted on `port`."""
        self._port = port
        self._seen: dict[tuple[object, ...], _Seen] = {}

    def look(self, now: float) -> int:
        """Look at every connection; cut those that hardly moved since the last look. How many were cut.

        Args:
            now: Seconds on a clock that never goes back.
        """
        seen: dict[tuple[object, ...], _Seen] = {}
        cut = 0
        for connection in _connections(self._port):
            with contextlib.suppress(OSError):
                peer = connection.getpeername()
                counts = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                moved = sum(_ACKED_AND_RECEIVED.unpack_from(counts, _COUNTS_AT))
                before = self._seen.get(peer)
                if before is not None and moved - before.moved_bytes < SLOWEST_BYTES_A_SECOND * (now - before.at):
                    connection.shutdown(socket.SHUT_RDWR)
                    cut += 1
                else:
                    seen[peer] = _Seen(moved, now)
        self._seen = seen
        return cut

    def forget(self) -> None:
        """Begin anew: the next look is a first one."""
        self._seen = {}


def _connections(port: int) -> Iterator[socket.socket]:
    """The accepted connections of this process, each through a descriptor of our own that is closed again."""
    if not hasattr(socket, "TCP_INFO") or not _OWN_DESCRIPTORS.is_dir():
        return
    for entry in list(_OWN_DESCRIPTORS.iterdir()):
        try:
            number = int(entry.name)
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            connection = _through_a_descriptor_of_our_own(number)
        except OSError:
            continue  # closed since the list was made, or there is no descriptor left to look through
        with connection:
            try:
                is_ours = connection.type == socket.SOCK_STREAM and connection.getsockname()[1] == port
                listens = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            except (OSError, IndexError):
                continue
            if is_ours and not listens:
                yield connection


def _through_a_descriptor_of_our_own(number: int) -> socket.socket:
    """The same connection; closing this object leaves the worker's own descriptor open.

    Raises:
        OSError: it is no socket any more, or none can be opened; nothing stays open.
    """
    ours = os.dup(number)
    try:
        return socket.socket(fileno=ours)
    except OSError:
        os.close(ours)
        raise


def watch(port: int) -> None:
    """Wait to be pressed, look, and look again until nobody presses any more; for a daemon thread of each web worker."""
    callers = SlowCallers(port)
    while True:
        _pressed.wait()
        callers.look(time.monotonic())
        while _pressed.is_set():
            _pressed.clear()
            time.sleep(LOOK_AGAIN_SECONDS)
            callers.look(time.monotonic())
        callers.forget()

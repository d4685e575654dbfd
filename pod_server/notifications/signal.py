"""A tap on the shoulder between processes: these pods have changed, go and look.

Each listener has a named pipe in one folder; whoever changed pods writes their numbers into every pipe there, one
write a batch, after the transaction has committed. A signal may be lost (a full pipe, a crash); nothing depends on it
but speed, because listeners also poll: the database is the truth.

Pipes rather than datagram sockets: Linux queues ten datagrams by default and a pipe of ours over a hundred thousand
pods, and a pipe's path may be of any length.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import select
import struct
from typing import TYPE_CHECKING, Protocol, Self

from pod_server.identifiers import PodId

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from types import TracebackType

_PREFIX = "signal-"
_PODS_PER_WRITE = 512
"""4096 bytes: the most that Linux writes into a pipe whole or not at all (PIPE_BUF)."""

_PIPE_BYTES = 1 << 20
_GONE = frozenset({errno.ENXIO, errno.EPIPE})


class Notifies(Protocol):
    """What writers need of a signal."""

    def notify(self, pod_ids: Collection[PodId]) -> None:
        """Tell every listener that these pods have changed."""
        ...


class Signal:
    """Sends signals to, and opens listeners in, one folder."""

    def __init__(self, folder: Path) -> None:
        """Use `folder` (made where missing)."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder

    def notify(self, pod_ids: Collection[PodId]) -> None:
        """Tell every listener that these pods have changed. Never blocks and never fails."""
        if not pod_ids:
            return
        try:
            names = [name for name in os.listdir(self.folder) if name.startswith(_PREFIX)]  # noqa: PTH208 - hot path
        except OSError:
            return
        if not names:
            return
        pods = list(pod_ids)
        packed = struct.pack(f"<{len(pods)}q", *pods)
        for name in names:
            self.send(f"{self.folder}/{name}", packed)

    def listen(self) -> Listener:
        """A new listener; it hears what is notified from now on."""
        return Listener(self.folder)

    @staticmethod
    def send(path: str, packed: bytes) -> None:
        """Write packed pods into one listener's pipe."""
        step = 8 * _PODS_PER_WRITE
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                for start in range(0, len(packed), step):
                    os.write(pipe, packed[start : start + step])
            finally:
                os.close(pipe)
        except OSError as error:
            # A full pipe (EAGAIN) is as good as a heard signal: its owner has others to wake up for, and polls.
            if error.errno in _GONE:  # nobody has it open: its owner died
                with contextlib.suppress(OSError):
                    os.unlink(path)  # noqa: PTH108 - hot path


class NullSignal:
    """Tells nobody; for tests and single commands."""

    def notify(self, pod_ids: Collection[PodId]) -> None:
        """Do nothing."""


class Listener:
    """One process's ear. Use it as a context manager, or close it."""

    def __init__(self, folder: Path) -> None:
        """Make a pipe of its own in the signal's folder."""
        name = f"{os.getpid()}-{secrets.token_hex(6)}"
        draft = folder / f".{name}"
        self._path = folder / f"{_PREFIX}{name}"
        os.mkfifo(draft, 0o600)
        # Open for writing too, so that it does not end whenever a writer closes its side (Linux: fifo(7)); named only
        # then, so that no writer takes it for a dead listener's.
        self._pipe = os.open(draft, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a smaller pipe does too
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        draft.rename(self._path)
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self, timeout_seconds: float) -> set[PodId]:
        """The pods that have changed since the last call; empty after `timeout_seconds` of silence."""
        pods: set[PodId] = set()
        if not self._poll.poll(max(0, round(timeout_seconds * 1000))):
            return pods
        with contextlib.suppress(BlockingIOError):
            while True:
                packed = os.read(self._pipe, _PIPE_BYTES)
                pods.update(PodId(number) for number in struct.unpack(f"<{len(packed) // 8}q", packed))
        return pods

    def fileno(self) -> int:
        """The pipe's descriptor, readable when there is something to hear; for event loops."""
        return self._pipe

    def put(self, pod_ids: Collection[PodId]) -> None:
        """Let this listener alone hear of these pods, as if they had been notified."""
        Signal.send(str(self._path), struct.pack(f"<{len(pod_ids)}q", *pod_ids))

    def close(self) -> None:
        """Stop listening and remove the pipe."""
        self.closed = True
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._pipe)

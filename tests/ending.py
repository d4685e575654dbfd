"""How tests end the processes that they started: asked first, then killed with all of their family, never waited for
without a limit.

The last test of a run ends whatever the run has shared. What waited there for ever would take that test with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

KILLED_WITHIN_SECONDS = 10.0
"""A killed process is gone at once, unless it waits for the disk."""


def family_of(pid: int) -> list[psutil.Process]:
    """A process and all that it started; none where it is gone."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(family: Iterable[psutil.Process]) -> None:
    """End processes at once, and those that they have started meanwhile."""
    family = list(family)
    for each in [*family, *(child for one in family for child in family_of(one.pid))]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def end(process: subprocess.Popen, *, grace_seconds: float = 10.0) -> None:
    """Ask a process to end, and kill it and its family where it does not, or leaves some of them behind."""
    family = family_of(process.pid)
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
    kill_and_wait(process, family)


def kill_and_wait(process: subprocess.Popen, family: Iterable[psutil.Process] = ()) -> None:
    """Kill a process and its family, and close what leads to it."""
    kill([*family, *family_of(process.pid)])
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILLED_WITHIN_SECONDS)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


@contextlib.contextmanager
def forked(work: Callable[[], object]) -> Iterator[int]:
    """A child of this process that does some work and ends; whatever happens in the block, it is gone afterwards.

    A child that stays has copies of all that this process has open: whoever waits for the end of one of those waits
    for the child.
    """
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:  # a child must never come back
            os._exit(1)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):  # the test has waited for its end itself
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def outcome_of(child: int, *, within_seconds: float = 60.0) -> int:
    """How a forked child ended, as `subprocess` puts it: its exit code, or minus the signal that it died of.

    Raises:
        TimeoutError: it has not ended in time.
    """
    descriptor = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(within_seconds * 1000):
            message = f"process {child} has not ended within {within_seconds:.0f} seconds"
            raise TimeoutError(message)
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextlib.contextmanager
def killed_after(seconds: float, family: Callable[[], Iterable[psutil.Process]]) -> Iterator[None]:
    """Kill some processes where the block takes longer, so that whatever waits for them in the block comes to its end."""
    alarm = threading.Timer(seconds, lambda: kill(family()))
    alarm.daemon = True
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()

"""A pipe between a host, or a demo city, and its processes: when the host is gone, however it died, they end.

The host holds the writing end and writes nothing; each process reads. A host that is killed (SIGKILL, or the kernel's
out-of-memory killer) can end nobody, but its end of the pipe closes with it, on every Unix.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "TVILLING_LIFELINE"
GRACE_SECONDS = 3.0
"""For requests that are under way; whoever starts the host anew needs its ports."""


class Lifeline:
    """The host's side. The writing end is never inherited: no child keeps another one alive."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        weakref.finalize(self, _close, self.reading, writing)

    def environment(self) -> dict[str, str]:
        """This process's environment, and in it the pipe's name; the child gets the pipe itself by `pass_fds`."""
        return os.environ | {VARIABLE: str(self.reading)}


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def hold_on(environment: Mapping[str, str]) -> None:
    """End this process, and the processes of its session, when the host that started it is gone.

    Does nothing where it was not started by a host.

    Args:
        environment: In which the host names the pipe's descriptor.
    """
    named = environment.get(VARIABLE, "")
    if named.isascii() and named.isdigit():
        threading.Thread(target=_watch, args=(int(named),), name="lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    try:
        while os.read(descriptor, 1):
            pass
    except OSError:
        return  # no such pipe: somebody started this process by hand in an environment that was left over
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_SECONDS)
    # Each process leads a session of its own (serve.py); its workers are in its group.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)

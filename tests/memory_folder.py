"""Where the tests' files lie: in memory, where there is plenty.

The house syncs to the disk before it says that something stands, thousands of times in a run, and a test learns nothing
from a disk that takes its time: what a killed process wrote is there all the same, and a power cut cannot be made here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 4 * 2**30
"""Several times what a run leaves lying at its end."""

_PREFIX = "tvilling-tests-"


def choose() -> Path | None:
    """Let temporary files of this process and those it starts lie in memory; the folder, or None where that is not wise.

    Whoever sets TMPDIR has chosen.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return None
    _remove_what_killed_runs_left()
    if min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) < NEEDED_BYTES:
        return None
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=MEMORY))
    folder.chmod(0o711)  # PostgreSQL's account goes through it to a folder of its own
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    return folder


def _remove_what_killed_runs_left() -> None:
    for folder in MEMORY.glob(f"{_PREFIX}*"):
        number = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def leave(folder: Path, *, keep: bool) -> None:
    """The run is over; what is kept for whoever looks at a failure stays until the next run."""
    with contextlib.suppress(KeyError):
        del os.environ["TMPDIR"]
    tempfile.tempdir = None
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)

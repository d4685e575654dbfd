"""What every benchmark prints beside its figures: the machine, and yardsticks measured in the same run."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import time
from pathlib import Path

import psutil


def fsync_milliseconds(rounds: int = 50) -> float:
    """The median time of one 4 KiB write and fsync here."""
    times = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(rounds):
            began = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * 4096, 0)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return sorted(times)[rounds // 2] * 1000


def python_loops_per_second() -> float:
    """How many million additions a second the interpreter makes on one core."""
    began = time.perf_counter()
    total = 0
    for number in range(2_000_000):
        total += number
    return 2.0 / (time.perf_counter() - began)


def describe() -> str:
    """One line on the machine and its yardsticks."""
    return (
        f"machine: {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, Python "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}; yardsticks: fsync "
        f"{fsync_milliseconds():.2f} ms, {python_loops_per_second():.0f} M additions/s"
    )


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def pss_megabytes(process: psutil.Process) -> float:
    """Proportional set size of one process, children not included."""
    return float(process.memory_full_info().pss) / 2**20


def folder_megabytes(folder: Path) -> float:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20

"""Compiles recorder.c, and runs a program under it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
TESTS = HERE.parents[1]
COMPILERS = ("cc", "gcc", "clang")


class NoCompiler(Exception):
    """There is no C compiler, so that nothing can be recorded."""


def compile_recorder(folder: Path) -> Path:
    """Make the library in a folder.

    Raises:
        NoCompiler: none of `cc`, `gcc` and `clang` is there.
    """
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise NoCompiler("a C compiler (cc, gcc or clang) is needed to record what the house tells the disk")
    library = folder / "recorder.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "recorder.c", "-ldl", "-lpthread"], check=True
    )
    return library


def run_recorded(
    library: Path, root: Path, trace: Path, arguments: Sequence[str], *, module: str = "workload"
) -> subprocess.CompletedProcess[str]:
    """Run `python -m faults.harness.MODULE …` below the recorder; whoever calls looks at how it ended."""
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "TVILLING_FAULTS_ROOT": str(root.resolve()),
        "TVILLING_FAULTS_TRACE": str(trace),
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", f"faults.harness.{module}", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def notes_of(raw: Sequence[bytes]) -> list[dict[str, Any]]:
    """What the program said was acknowledged, in order."""
    return [json.loads(note) for note in raw]

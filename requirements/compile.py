"""Compile the lock files: hashes of every file, the names of no host."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
OPTIONS = [
    "--python-version",
    "3.11",
    "--generate-hashes",
    "--no-header",
    "--no-emit-index-url",
    "--quiet",
    "--upgrade",
]


def compile_lock(name: str, *extra: str) -> None:
    """Compile requirements/<name>.in to requirements/<name>.txt."""
    source, target = HERE / f"{name}.in", HERE / f"{name}.txt"
    subprocess.run(  # noqa: S603 - fixed words and the project's own paths
        [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS, *extra, str(source), "-o", str(target)],
        check=True,
        cwd=HERE.parent,
    )


def main() -> None:
    """Restate pyproject's list for the compiler, then compile every lock."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    heading = "# The same list as pyproject.toml, from which the locks are compiled (make lock).\n"
    (HERE / "runtime.in").write_text(heading + "\n".join(project["dependencies"]) + "\n")
    compile_lock("runtime")
    compile_lock("development", "-c", "requirements/runtime.txt")
    compile_lock("upload", "--no-deps")
    compile_lock("node")


if __name__ == "__main__":
    main()

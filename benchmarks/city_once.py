"""The whole job once, on a new data folder: `tvilling demo --once`, its seconds and what it stored.

.venv/bin/python benchmarks/city_once.py
"""

from __future__ import annotations

import json
import subprocess
import sys

from machine import describe


def main() -> None:
    print(describe())
    done = subprocess.run(
        [sys.executable, "-m", "tvilling", "demo", "--once", "--json"], capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    print(
        f"exit code {done.returncode}: {report['seconds']} s for {report['citizens']} citizens and "
        f"{report['activities_stored']:,} activities, delivered, footprinted, recomputed, released and verified"
    )


if __name__ == "__main__":
    main()

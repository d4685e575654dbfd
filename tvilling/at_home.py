"""What runs in the citizens' houses in the demo city: the program at the meter's HAN port, and the files that somebody brings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvilling.city.households import citizens
from tvilling.city.simulators.files import DROPPED
from tvilling.city.simulators.sources import SOURCES, City
from tvilling.errors import JourneyError
from tvilling.partners_of_the_city import own_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tvilling.lifeline import Lifeline
    from tvilling.settings import Settings

AGENT = "han"
_ENDS_WITHIN_SECONDS = 30


def pipes(folder: Path, handles: Sequence[str]) -> dict[str, str]:
    """The pipes that stand for serial lines, by handle; made at first need."""
    found = {}
    for handle in handles:
        if SOURCES[AGENT].asks(handle, handles):
            path = folder / f"han-{handle}"
            if not path.exists():
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                os.mkfifo(path, 0o600)
            found[handle] = str(path)
    return found


@dataclass
class MeterPrograms:
    """`tvilling han`, once for each house that has it.

    Attributes:
        told: What each program said when it ended, by handle.
    """

    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    def start(
        self, settings: Settings, client_id: str, grants: dict[str, str], handles: Sequence[str], lifeline: Lifeline
    ) -> None:
        """Start the program of each house whose citizen consented; it ends with whoever holds the lifeline."""
        folder = settings.data / "simulators"
        key, _ = own_key(folder, AGENT)
        for handle, pipe in pipes(folder, handles).items():
            if handle not in grants:
                continue
            arguments = {
                "--serial": pipe,
                "--base-url": settings.base_url,
                "--client-id": client_id,
                "--key-file": str(key),
                "--grant": grants[handle],
                "--queue": str(folder / f"han-{handle}.sqlite"),
                "--city-clock": str(folder / "config.json"),
            }
            self.running[handle] = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [
                    sys.executable,
                    "-m",
                    "tvilling",
                    "han",
                    "--json",
                    *(word for pair in arguments.items() for word in pair),
                ],
                env=lifeline.environment(),
                pass_fds=(lifeline.reading,),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )

    def finish(self) -> dict[str, dict[str, Any]]:
        """Wait until the programs have heard the end of their lines and delivered the rest; what each said.

        Raises:
            JourneyError: one of them said nothing in time.
        """
        for handle, program in list(self.running.items()):
            try:
                said, _ = program.communicate(timeout=_ENDS_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                program.kill()
                program.communicate()
                raise JourneyError(f"the program at {handle}'s meter did not end") from None
            finally:
                del self.running[handle]
            if program.returncode != 0:
                raise JourneyError(f"the program at {handle}'s meter ended with {program.returncode}")
            self.told[handle] = json.loads(said)
        return self.told

    def stop(self) -> None:
        """End what still runs."""
        for program in self.running.values():
            program.kill()
            program.communicate()
        self.running.clear()


def bring_files(settings: Settings, city: City, handles: Sequence[str]) -> dict[str, int]:
    """Bring each file of the city to its citizen's pod by `tvilling import`; how many records each pod got.

    Raises:
        JourneyError: a file was not taken as it is.
    """
    households = {each.handle: each for each in citizens()}
    folder = settings.data / "simulators" / "files"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    taken: dict[str, int] = {}
    for each in DROPPED:
        for handle in each.whose(handles):
            path = folder / f"{handle}-{each.name}"
            path.write_bytes(each.make(city, households[handle]))
            done = subprocess.run(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "tvilling", "import", handle, "--connector", each.connector, str(path),
                 "--data", str(settings.data), "--json"],
                capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip
            if done.returncode != 0:
                raise JourneyError(f"{path.name} was not taken: {done.stderr.strip()[-300:]}")
            report = json.loads(done.stdout)
            if report["refused"] or not report["accepted"] + report["duplicates"]:
                raise JourneyError(f"{path.name} was not taken whole: {json.dumps(report)[:300]}")
            taken[handle] = taken.get(handle, 0) + report["accepted"]
    return taken

"""The channel of a folder that is watched: what is put into it is taken in, and moved where it is seen what became of it.

    a file        whole when its size and time have stood still for some seconds; half-written ones by their usual names
                  (`.part`, `.tmp`, `.crdownload`, hidden ones) and links are left alone
    taken in      by the same path as `tvilling import`: the citizen's own files under their own consent
    moved         to `done/`, or to `refused/` where nothing of it could be used, with `NAME.problems.json` beside it

Killed between the two, the next look takes the file in again: every record is a duplicate then, and the file is moved.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from partner_bridge.batch_files import BatchReport, take_in_batch
from partner_bridge.errors import BatchRefused, BodyTooLarge, BodyUnreadable
from partner_bridge.import_files import ImportReport, import_files
from pod_server.problems import problem_details

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from pod_server.host import Host

Report = ImportReport | BatchReport

STANDS_STILL_SECONDS = 2.0
_HALF_WRITTEN = (".part", ".tmp", ".crdownload", ".partial", ".filepart", "~")
DONE, REFUSED = "done", "refused"


@dataclass(frozen=True)
class Taken:
    """What became of one file."""

    name: str
    moved_to: str
    report: Report


class WatchedFolder:
    """A folder, and what was seen in it at the last look."""

    def __init__(self, folder: Path) -> None:
        """Watch a folder.

        Raises:
            BodyUnreadable: it is no folder.
        """
        if not folder.is_dir():
            raise BodyUnreadable(f"{folder} is no folder")
        self._folder = folder
        self._seen: dict[str, tuple[int, int, float]] = {}

    def look(self, host: Host, handle: str, connector: str, now: float) -> list[Taken]:
        """Take in what stands still.

        Args:
            host: This host.
            handle: Whose pod.
            connector: Which format the files are in.
            now: Seconds on a clock that only goes forward.

        Raises:
            UnknownConnector, NoSuchPod, PodLocked: as `import_files`; no file is moved.
            StorageFull, StorageBusy: the file is taken in at the next look.
        """
        return self.look_with(host, lambda path: import_files(host, handle, connector, [path]), now)

    def look_with(self, host: Host, take_in: Callable[[Path], Report], now: float) -> list[Taken]:
        """As `look`, where something else than a citizen's own files lies in the folder (batch_files.py)."""
        return [self._take(host, take_in, name) for name in self._whole(now)]

    def _whole(self, now: float) -> list[str]:
        present: dict[str, tuple[int, int, float]] = {}
        whole = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith(_HALF_WRITTEN):
                    continue
                try:
                    about = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # it was taken away between two looks
                if not stat.S_ISREG(about.st_mode):
                    continue
                size, changed = about.st_size, about.st_mtime_ns
                before = self._seen.get(entry.name)
                since = before[2] if before is not None and before[:2] == (size, changed) else now
                present[entry.name] = (size, changed, since)
                if now - since >= STANDS_STILL_SECONDS:
                    whole.append(entry.name)
        self._seen = present
        return sorted(whole)

    def _take(self, host: Host, take_in: Callable[[Path], Report], name: str) -> Taken:
        path = self._folder / name
        report: Report
        try:
            report = take_in(path)
        except (BodyUnreadable, BodyTooLarge, BatchRefused) as error:
            report = ImportReport(refused=1, problems=[{"file": name, **problem_details(error, host.base_url)}])
        place = REFUSED if report.refused and not report.accepted + report.duplicates else DONE
        return Taken(name, str(self._move(path, place, report).relative_to(self._folder)), report)

    def _move(self, path: Path, place: str, report: Report) -> Path:
        target = self._folder / place / path.name
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            # Another file of this name came before; both stay, told apart by what is in this one.
            mark = hashlib.sha256(path.name.encode() + str(path.stat().st_mtime_ns).encode()).hexdigest()[:8]
            target = target.with_name(f"{target.stem}-{mark}{target.suffix}")
        if report.problems:
            told = target.with_name(f"{target.name}.problems.json")
            told.write_text(json.dumps(asdict(report), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        path.replace(target)
        self._seen.pop(path.name, None)
        return target


def watch(  # noqa: PLR0917 - called by one command
    host: Host, handle: str, connector: str, folder: Path, stop: threading.Event, every_seconds: float
) -> list[Taken]:
    """Look until told to stop; returns what was taken in."""
    import time  # noqa: PLC0415

    watched, taken = WatchedFolder(folder), []
    while True:
        taken += watched.look(host, handle, connector, time.monotonic())
        if stop.wait(every_seconds):
            return taken


def watch_batches(host: Host, folder: Path, stop: threading.Event, every_seconds: float) -> list[Taken]:
    """As `watch`, of batch files that partners and integrators put there."""
    import time  # noqa: PLC0415

    watched, taken = WatchedFolder(folder), []
    while True:
        taken += watched.look_with(host, lambda path: take_in_batch(host, path), time.monotonic())
        if stop.wait(every_seconds):
            return taken

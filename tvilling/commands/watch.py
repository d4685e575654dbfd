"""`tvilling watch`: take in what a citizen puts into a folder."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import click

from tvilling.commands.frame import Frame, command


@click.command("watch")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.argument("handle")
@click.option("--connector", required=True, help="Which format the files are in.")
@click.option("--every", type=float, default=2.0, show_default=True, help="Seconds between two looks.")
@click.option("--once", is_flag=True, help="Take in what stands still now, and end.")
@command
def watch(frame: Frame, *, folder: Path, handle: str, connector: str, every: float, once: bool) -> None:
    """Take in the files of FOLDER for HANDLE as they come; they are moved to done/ or refused/ in it."""
    from partner_bridge.channels.watched_folder import STANDS_STILL_SECONDS, WatchedFolder  # noqa: PLC0415
    from partner_bridge.channels.watched_folder import watch as watch_folder  # noqa: PLC0415
    from tvilling.serve import stop_on_signals  # noqa: PLC0415

    with frame.host() as host:
        if once:
            watched = WatchedFolder(folder)
            watched.look(host, handle, connector, time.monotonic())
            threading.Event().wait(STANDS_STILL_SECONDS)
            taken = watched.look(host, handle, connector, time.monotonic())
        else:
            taken = watch_folder(host, handle, connector, folder, stop_on_signals(), every)
    rows: list[dict[str, Any]] = [
        {
            "file": each.name,
            "moved_to": each.moved_to,
            "accepted": each.report.accepted,
            "duplicates": each.report.duplicates,
            "refused": each.report.refused,
        }
        for each in taken
    ]
    words = "\n".join(f"{row['moved_to']}: {row['accepted']} new, {row['refused']} refused" for row in rows)
    frame.answer(rows, words or "nothing to take in")

"""A consistent copy of a SQLite file while others write to it, durable before it has its name.

Source: https://www.sqlite.org/backup.html. The copy is made in one step: it reads one snapshot of the write-ahead log,
so that no writer waits for it and none makes it begin anew.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from pod_server.storage.errors import StorageDamaged
from pod_server.storage.sqlite import translate

if TYPE_CHECKING:
    from pathlib import Path


def copy_database(source: Path, target: Path) -> None:
    """Copy the database file `source` to `target` (mode 0600), whole or not at all.

    Raises:
        StorageFull: there was no room; `target` is as it was.
        StorageDamaged: the source cannot be read, or the copy does not pass SQLite's own check.
    """
    draft = target.with_name(f".{target.name}.draft")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reading,
            closing(sqlite3.connect(draft)) as writing,
        ):
            reading.backup(writing)
            # One file, with no write-ahead log beside it that might be forgotten.
            writing.execute("PRAGMA journal_mode = DELETE")
            if writing.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise StorageDamaged
        with draft.open("rb") as copied:
            os.fsync(copied.fileno())
        draft.replace(target)
        sync_folder(target.parent)
    except sqlite3.Error as error:
        raise translate(error) from error
    finally:
        draft.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder (mode 0700) and those above it, each with its name durable; one that is there stays as it is.

    A file may be synced and its folder too: when the folder's own name is lost in a power cut, so are they.
    """
    missing = [folder, *folder.parents]
    while missing and missing[-1].exists():
        missing.pop()
    for one in reversed(missing):
        one.mkdir(exist_ok=True, mode=0o700)
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

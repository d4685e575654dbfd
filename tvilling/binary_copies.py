"""The large binaries of a backup: `DIR/data/binaries/<pod>/<name>`, and `DIR/data/binaries.txt` that lists them.

A file is never changed once a document names it, so a backup copies each once: what an earlier backup in the same folder
holds is kept, and what no document names any more is removed. A line of the list is `<pod>/<name> <bytes> <sha256>`.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from pod_server.storage.copying import make_folder, sync_folder
from pod_server.storage.errors import StorageFull
from tvilling.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FOLDER = "data/binaries"
LIST = "data/binaries.txt"
_LINE = re.compile(r"([0-9a-f]{16}/[0-9a-f]{32}) (\d{1,15}) ([0-9a-f]{64})\Z")
_CHUNK = 1 << 20


class Listed(NamedTuple):
    """One file of the list: `<pod>/<name>`, its length and SHA-256."""

    name: str
    size_bytes: int
    sha256: str


def named_in(database: Path) -> list[str]:
    """The files that the documents of a database (a finished copy) name, in order."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT pod_id, binary_name FROM document WHERE binary_name IS NOT NULL")
        return sorted(f"{pod_id:016x}/{name.hex()}" for pod_id, name in rows)


def copy_out(source: Path, folder: Path, names: Iterable[str]) -> None:
    """Copy the named files of the data folder's `source` into a backup, write the list, and remove what is not named.

    Raises:
        BackupError: a file that a document names is missing.
        StorageFull: there is no room.
    """
    target = folder / FOLDER
    held = {one.name: one for one in read_list(folder)} if (folder / LIST).is_file() else {}
    lines = []
    for name in names:
        one = held.get(name)
        if one is None or not _is_there(target / name, one.size_bytes):
            one = copy_one(source / name, target / name, name)
        lines.append(f"{one.name} {one.size_bytes} {one.sha256}\n")
    draft = folder / f"{LIST}.draft"
    with draft.open("w", encoding="ascii") as stream:
        stream.writelines(lines)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(folder / LIST)
    sync_folder(folder / "data")
    wanted = {line.partition(" ")[0] for line in lines}
    for path in target.glob("*/*") if target.is_dir() else ():
        if f"{path.parent.name}/{path.name}" not in wanted:
            path.unlink()


def read_list(folder: Path) -> list[Listed]:
    """The list of a backup; the caller has compared it with the manifest, or does not rely on it.

    Raises:
        BackupError: it is damaged.
    """
    listed = []
    for line in (folder / LIST).read_text(encoding="ascii", errors="replace").splitlines():
        found = _LINE.match(line)
        if found is None:
            raise BackupError(f"{folder / LIST} is damaged")
        listed.append(Listed(found[1], int(found[2]), found[3]))
    return listed


def stage_in(folder: Path, present: Path, target: Path) -> None:
    """Put a backup's files into `target`; each is compared with the list.

    Args:
        folder: The backup.
        present: The files of the data folder that is replaced: what is there unchanged is linked, not copied.
        target: A new folder.

    Raises:
        BackupError: a file is missing, cut short or changed.
        StorageFull: there is no room.
    """
    for one in read_list(folder):
        into, lying = target / one.name, present / one.name
        _make_folders(into)
        if _is_there(lying, one.size_bytes) and _hash_of(lying) == one.sha256:
            os.link(lying, into)
        elif not (folder / FOLDER / one.name).is_file():
            raise BackupError(f"the backup lacks {FOLDER}/{one.name}")
        elif copy_one(folder / FOLDER / one.name, into, one.name) != one:
            raise BackupError(f"{FOLDER}/{one.name} is not what the backup's list says: it was cut short or changed")
    for place in (target, *target.glob("*")):
        if place.is_dir():
            sync_folder(place)


def copy_one(source: Path, target: Path, name: str) -> Listed:
    """Copy one file, a piece at a time and durably, and say what it is.

    Raises:
        BackupError: it is missing.
        StorageFull: there is no room.
    """
    _make_folders(target)
    draft = target.with_name(f".{target.name}.copy")
    draft.unlink(missing_ok=True)
    digest, size = hashlib.sha256(), 0
    try:
        with (
            source.open("rb") as reading,
            os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as writing,
        ):
            while piece := reading.read(_CHUNK):
                writing.write(piece)
                digest.update(piece)
                size += len(piece)
            writing.flush()
            os.fsync(writing.fileno())
        draft.replace(target)
        sync_folder(target.parent)
    except FileNotFoundError as error:
        raise BackupError(f"a document names the file {name}, which is missing: tvilling doctor") from error
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StorageFull from error
    return Listed(name, size, digest.hexdigest())


def _make_folders(path: Path) -> None:
    make_folder(path.parent)


def _is_there(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes


def _hash_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

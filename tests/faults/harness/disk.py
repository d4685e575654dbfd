"""What is on a disk after a power cut: what was synced, and any part of what was not.

The model, as harsh as POSIX allows and a journalling file system may be:

- A file's bytes are safe once an fsync or fdatasync of that file has returned. Of each write since, the disk may have
  everything, nothing, or some of its 512-byte sectors; later writes may be there without earlier ones.
- A name (a file made, linked, renamed or removed in a folder) is safe once an fsync of that folder has returned. Of what
  was done since in one folder, the disk has a beginning (journals keep the order), each folder its own. Syncing a file
  does not make its name safe; syncing a folder does not make its files' bytes safe.
- Killing a process loses nothing that it had told the system.

Sources: fsync(2); Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014); https://www.sqlite.org/atomiccommit.html.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random

_HEAD = struct.Struct("<cQQQIII")
_SECTOR = 512


class Call(NamedTuple):
    """One record of the trace (recorder.c says what its members are)."""

    kind: str
    inode: int
    a: int
    first: str
    second: str
    data: bytes


def read_trace(path: Path) -> list[Call]:
    """Every call in order; a last record that was cut short is left out."""
    raw, at, calls = path.read_bytes(), 0, []
    while at + _HEAD.size <= len(raw):
        kind, inode, a, _, first, second, length = _HEAD.unpack_from(raw, at)
        begin = at + _HEAD.size
        at = begin + first + second + length
        if at > len(raw):
            break
        texts = raw[begin : begin + first].decode(), raw[begin + first : begin + first + second].decode()
        calls.append(Call(kind.decode(), inode, a, *texts, raw[begin + first + second : at]))
    return calls


@dataclass(eq=False)
class _File:
    """A file's safe bytes, and what was done to it since."""

    safe: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, bytes), or (size, None) for a truncation."""


@dataclass(eq=False)
class _Folder:
    """A folder, and what was done to its names since it was last synced."""

    pending: list[_Naming] = field(default_factory=list)


@dataclass(eq=False)
class _Naming:
    """One change of names: `what` gets the name `new`, and loses the name `old`."""

    what: _File | _Folder | None
    old: PurePosixPath | None
    new: PurePosixPath | None
    folders: tuple[_Folder, ...]
    is_safe: bool = False


class Disk:
    """What a process told the system, call by call.

    `unsynced` is for sabotage: as if the process had left out its syncs of `files`, or of `folders`.
    """

    def __init__(self, root: str, *, unsynced: str = "") -> None:
        self._root = PurePosixPath(root)
        self._unsynced = {"": (), "files": (_File,), "folders": (_Folder,)}[unsynced]
        self._top = _Folder()
        self._now: dict[PurePosixPath, _File | _Folder] = {self._root: self._top}
        self._by_inode: dict[int, _File | _Folder] = {}
        self._namings: list[_Naming] = []
        self.notes: list[bytes] = []

    def take(self, call: Call) -> None:
        """Go on by one call."""
        match call.kind:
            case "R":
                self._by_inode.setdefault(call.inode, self._top)
            case "A":
                self.notes.append(call.data)
            case "C" | "M":
                made = _File() if call.kind == "C" else _Folder()
                self._by_inode[call.inode] = made
                self._name(made, None, PurePosixPath(call.first))
            case "W":
                self._file(call).since.append((call.a, call.data))
            case "T":
                self._file(call).since.append((call.a, None))
            case "S":
                self._sync(self._by_inode[call.inode])
            case "N" | "L":
                old, new = PurePosixPath(call.first), PurePosixPath(call.second)
                what = self._now[old]
                if call.kind == "N" and isinstance(what, _Folder):
                    self._rename_folder(what, old, new)
                else:
                    self._name(what, old if call.kind == "N" else None, new)
            case "U" | "D":
                self._name(None, PurePosixPath(call.first), None)

    def _file(self, call: Call) -> _File:
        found = self._by_inode[call.inode]
        assert isinstance(found, _File)
        return found

    def _folder_of(self, path: PurePosixPath) -> _Folder:
        found = self._now[path.parent]
        assert isinstance(found, _Folder)
        return found

    def _name(self, what: _File | _Folder | None, old: PurePosixPath | None, new: PurePosixPath | None) -> None:
        folders = tuple({id(folder): folder for folder in (self._folder_of(p) for p in (old, new) if p)}.values())
        naming = _Naming(what, old, new, folders)
        self._namings.append(naming)
        for folder in folders:
            folder.pending.append(naming)
        if old is not None:
            self._now.pop(old, None)
        if new is not None and what is not None:
            self._now[new] = what

    def _rename_folder(self, what: _Folder, old: PurePosixPath, new: PurePosixPath) -> None:
        inside = [(path, one) for path, one in self._now.items() if old in path.parents]
        self._name(what, old, new)
        for path, one in inside:
            del self._now[path]
            self._now[new / path.relative_to(old)] = one

    def _sync(self, what: _File | _Folder) -> None:
        if isinstance(what, self._unsynced):
            return
        if isinstance(what, _File):
            _carry_out(what.safe, what.since)
            what.since.clear()
            return
        for naming in list(what.pending):
            self._make_safe(naming)

    def _make_safe(self, naming: _Naming) -> None:
        """With a change everything before it in its folders is safe too."""
        for folder in naming.folders:
            while naming in folder.pending:
                before = folder.pending.pop(0)
                before.is_safe = True
                if before is not naming:
                    self._make_safe(before)

    # What is left

    def after_kill(self) -> dict[str, bytes | None]:
        """The files by their path below the root; None for a folder."""
        left: dict[str, bytes | None] = {}
        for path, one in self._now.items():
            if path != self._root:
                left[str(path.relative_to(self._root))] = _bytes_of(one) if isinstance(one, _File) else None
        return left

    def after_power_cut(self, draw: random.Random) -> dict[str, bytes | None]:
        """As `after_kill`, with what a power cut may leave; the draw decides what of the unsynced there is."""
        # Extremes show most: everything unsynced gone, or the names there without the bytes.
        names, contents = draw.choice(((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.5, 0.5), (0.8, 0.3)))
        kept = self._kept_namings(draw, names)
        tree: dict[PurePosixPath, _File | _Folder] = {self._root: self._top}
        for naming in self._namings:
            if not (naming.is_safe or id(naming) in kept):
                continue
            if naming.old is not None:
                moved = [path for path in tree if path == naming.old or naming.old in path.parents]
                gone = {path: tree.pop(path) for path in moved}
                if naming.new is not None and isinstance(naming.what, _Folder):
                    for path, one in gone.items():
                        if path != naming.old:
                            tree[naming.new / path.relative_to(naming.old)] = one
            if naming.new is not None and naming.what is not None:
                tree[naming.new] = naming.what
        left: dict[str, bytes | None] = {}
        for path, one in tree.items():
            # What lies in a folder whose own name was lost is lost with it.
            if path != self._root and all(above in tree for above in path.parents if self._root in above.parents):
                name = str(path.relative_to(self._root))
                left[name] = _torn(one, draw, contents) if isinstance(one, _File) else None
        return left

    def _kept_namings(self, draw: random.Random, share: float) -> set[int]:
        """Of each folder's changes since its sync, a beginning; one in two folders counts where both have it."""
        cut: dict[int, set[int]] = {}
        for naming in self._namings:
            for folder in naming.folders:
                if id(folder) not in cut:
                    count = len(folder.pending)
                    keep = round(count * share) if share in {0.0, 1.0} else draw.randint(0, count)
                    cut[id(folder)] = {id(one) for one in folder.pending[:keep]}
        return {
            id(naming)
            for naming in self._namings
            if not naming.is_safe and all(id(naming) in cut[id(folder)] for folder in naming.folders)
        }


def _carry_out(content: bytearray, changes: list[tuple[int, bytes | None]]) -> None:
    for at, data in changes:
        if data is None:
            del content[at:]
            content.extend(bytes(at - len(content)))
        else:
            content.extend(bytes(max(0, at - len(content))))
            content[at : at + len(data)] = data


def _bytes_of(file: _File) -> bytes:
    content = bytearray(file.safe)
    _carry_out(content, file.since)
    return bytes(content)


def _torn(file: _File, draw: random.Random, share: float) -> bytes:
    content = bytearray(file.safe)
    for change in file.since:
        at, data = change
        if draw.random() >= share:
            continue
        if data is None or len(data) <= _SECTOR or draw.random() < 0.6:
            _carry_out(content, [change])
            continue
        sectors = [(at + begin, data[begin : begin + _SECTOR]) for begin in range(0, len(data), _SECTOR)]
        _carry_out(content, [sector for sector in sectors if draw.random() < 0.5])
    return bytes(content)


def write_out(left: dict[str, bytes | None], folder: Path) -> None:
    """Make the files of what is left, in a folder that is not there yet."""
    folder.mkdir(parents=True, mode=0o700)
    for name, content in sorted(left.items()):
        path = folder / name
        if content is None:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(content)


def disk_after(calls: list[Call], place: int, *, unsynced: str = "") -> Disk:
    """The disk after so many calls."""
    disk = Disk(calls[0].first, unsynced=unsynced)
    for call in calls[:place]:
        disk.take(call)
    return disk

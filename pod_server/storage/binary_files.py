"""The folder in which large binaries lie, sealed, beside the database: `<pod id, 16 hex>/<name, 32 hex>`.

A file is written under its own random name and never changed afterwards. It counts as soon as a committed row names it,
so whoever writes one syncs it and its folder before the commit. While it is being written its writer holds a lock on
it: a file without a row and without a lock is what a crash left behind, and may be removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import time
from typing import TYPE_CHECKING

from pod_server import problems
from pod_server.identifiers import PodId
from pod_server.storage.copying import sync_folder
from pod_server.storage.errors import StorageDamaged, StorageError, StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SYNC_EVERY_BYTES = 64 * 1024 * 1024
"""What was written goes to the disk in steps, so that the last sync is short and a full disk shows early."""

_POD_FOLDER = re.compile(r"[0-9a-f]{16}\Z")
_FILE_NAME = re.compile(r"[0-9a-f]{32}\Z")
_GONE = ".gone"
"""Behind the name of a file that is being removed."""

_KEEPING = "keeping.lock"
_REMOVAL_TRIES = 20
_REMOVAL_PAUSE_SECONDS = 0.01


class BinaryMissing(StorageError):
    """The file that a row names is not there."""

    def __init__(self) -> None:
        super().__init__("A file of the storage is missing. The operator must look at it: tvilling doctor.")


problems.declare(BinaryMissing, "storage-damaged", "The storage has failed", 500)


class Draft:
    """A file that is being written, locked by its writer; not for two threads at once."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._unsynced = 0

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            StorageFull: there is no room.
        """
        with _translated():
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            self._unsynced += len(data)
            if self._unsynced >= _SYNC_EVERY_BYTES:
                os.fdatasync(self._descriptor)
                self._unsynced = 0

    def sync(self) -> None:
        """Make the file and its name durable: a commit may name it from now on.

        Raises:
            StorageFull: there is no room.
        """
        with _translated():
            os.fsync(self._descriptor)
            sync_folder(self._path.parent)
            # The pod's folder may have been made by a process that died before it could sync that.
            sync_folder(self._path.parent.parent)

    def close(self) -> None:
        """Let go of the file, which stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """Remove the file, which nobody was told of."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            self.close()


class BinaryFiles:
    """All files of all pods of a host."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made when the first file is."""
        self.folder = folder

    def create(self, pod_id: PodId, name: bytes) -> Draft:
        """Begin a file.

        Raises:
            StorageFull: there is no room.
        """
        with _translated():
            place = self._place(pod_id)
            self._make_folders(place)
            path = place / name.hex()
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return Draft(path, descriptor)

    def open(self, pod_id: PodId, name: bytes) -> int:
        """A descriptor for reading, which the caller closes; it goes on reading when the file is removed.

        Raises:
            BinaryMissing: there is no such file.
        """
        try:
            return os.open(self._place(pod_id) / name.hex(), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BinaryMissing from None
        except OSError as error:
            raise StorageDamaged from error

    def path(self, pod_id: PodId, name: bytes) -> Path:
        """Where a file lies, for those who copy it."""
        return self._place(pod_id) / name.hex()

    def remove(self, pod_id: PodId, names: Iterable[bytes]) -> None:
        """Remove files that no row names any more; while somebody keeps them (`keep`), they wait for the sweeper."""
        for path in [self._place(pod_id) / name.hex() for name in names]:
            self._remove(path)

    def count(self, pod_id: PodId) -> int:
        """How many files a pod has."""
        place = self._place(pod_id)
        return sum(1 for _ in place.iterdir()) if place.is_dir() else 0

    def remove_pod(self, pod_id: PodId) -> None:
        """Remove all files of a pod that is gone."""
        self.remove(pod_id, self.names(pod_id))
        self.finish_removals(pod_id)
        with contextlib.suppress(OSError):
            self._place(pod_id).rmdir()

    def finish_removals(self, pod_id: PodId) -> None:
        """Remove what a crash left half removed."""
        for path in list(self._place(pod_id).glob(f"*{_GONE}")):
            path.unlink(missing_ok=True)

    def remove_abandoned(self, pod_id: PodId, name: bytes, is_named: Callable[[], bool]) -> bool:
        """Remove a file whose writer is gone, unless a row names it: asked once no writer can be about to commit."""
        path = self._place(pod_id) / name.hex()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return not is_named() and self._remove(path)
        finally:
            os.close(descriptor)

    def is_being_written(self, pod_id: PodId, name: bytes) -> bool:
        """Whether a writer holds the file."""
        try:
            descriptor = os.open(self._place(pod_id) / name.hex(), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)

    def pods(self, *, changed_since: float = 0.0) -> list[PodId]:
        """Every pod that has a folder, or whose folder got or lost a file since a time (seconds since 1970)."""
        if not self.folder.is_dir():
            return []
        found = []
        for entry in sorted(self.folder.iterdir()):
            # A pod may go while the folder is read.
            with contextlib.suppress(FileNotFoundError):
                if _POD_FOLDER.match(entry.name) and entry.stat().st_mtime >= changed_since:
                    found.append(PodId(int(entry.name, 16)))
        return found

    def names(self, pod_id: PodId) -> dict[bytes, int]:
        """A pod's files: name and length in bytes."""
        found: dict[bytes, int] = {}
        place = self._place(pod_id)
        for path in place.iterdir() if place.is_dir() else ():
            # A file may go while the folder is read.
            with contextlib.suppress(FileNotFoundError):
                if _FILE_NAME.match(path.name):
                    found[bytes.fromhex(path.name)] = path.stat().st_size
        return found

    @contextlib.contextmanager
    def keep(self) -> Iterator[None]:
        """While the block runs no file is removed, so that what a snapshot names can be copied after it."""
        descriptor = self._keeping()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def _place(self, pod_id: PodId) -> Path:
        return self.folder / f"{pod_id:016x}"

    def _make_folders(self, place: Path) -> None:
        for folder in (self.folder, place):
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                continue
            sync_folder(folder.parent)

    def _keeping(self) -> int:
        self._make_folders(self.folder)
        return os.open(self.folder / _KEEPING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _remove(self, path: Path) -> bool:
        """Remove a file unless somebody keeps it; another that removes something is waited for.

        Under the lock the file loses its name; that it loses its blocks, which takes long for a large one, is not waited
        for by others.
        """
        gone = path.with_name(path.name + _GONE)
        descriptor = self._keeping()
        try:
            for _ in range(_REMOVAL_TRIES):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(_REMOVAL_PAUSE_SECONDS)
                    continue
                with contextlib.suppress(FileNotFoundError):
                    path.rename(gone)
                break
            else:
                return False
        finally:
            os.close(descriptor)
        gone.unlink(missing_ok=True)
        return True


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The house's error for the system's."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull from error
        raise StorageDamaged from error

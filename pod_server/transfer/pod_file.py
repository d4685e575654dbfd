"""The form of an exported pod: a zip of plain RDF and JSON with a manifest that hashes every file in it.

    manifest.json                          format, whose pod, when, the files with size and SHA-256; written last
    documents.json                         each document's path, media type, time, and the file it is in
    documents/…                            RDF as Turtle with absolute IRIs; everything else as it was put
    activities/<grant>/<YYYY-MM>.jsonld    activities as they stand after corrections, with their context inside
    activities/<grant>/<YYYY-MM>.nq        the same as N-Quads
    counting.nq                            which of them the figures leave out, and why (counting_statements.py)
    grants.json  household.json  log.json  consents and their events, the household, the log with its signed checkpoint

Nothing is ever unpacked to a disk: files are read by their names in the manifest, and counted while they are read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any, Self

from pod_server.transfer.errors import PodFileInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

FORMAT = "tvilling-pod-1"
MANIFEST = "manifest.json"

MOST_FILES = 100_000
LARGEST_FILE_BYTES = 256 << 20
LARGEST_TOTAL_BYTES = 8 << 30
"""Of what is packed; large binaries lie unpacked in the file and are as large as they are."""

MOST_EXPANSION = 200
"""Activities as N-Quads shrink to a thirtieth; a bomb of zeros to a thousandth."""

_SMALL_BYTES = 10 << 20
"""Below this nobody is harmed, however well it shrank."""

_CHUNK = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_.~%!$&'()*+,;=:@/-]{1,1100}\Z")
_OLDEST = (1980, 1, 1, 0, 0, 0)


class PodFileWriter:
    """Writes a pod's file beside its place; it gets its name when it is whole and on the disk."""

    def __init__(self, target: Path) -> None:
        """Begin.

        Raises:
            PodFileInvalid: the target is there already.
        """
        if target.exists():
            raise PodFileInvalid(f"{target} is there already; name another file")
        self._target = target
        self._draft = target.with_name(f".{target.name}.draft")
        self._draft.unlink(missing_ok=True)
        self._stream: IO[bytes] = os.fdopen(os.open(self._draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "w+b")
        self._zip = zipfile.ZipFile(self._stream, "w", zipfile.ZIP_DEFLATED)
        self._files: dict[str, dict[str, Any]] = {}

    def add(self, name: str, chunks: Iterable[bytes], *, compress: bool = True) -> None:
        """Add one file, a piece at a time.

        Large binaries are not compressed: most are already, and a reader that fears bombs takes them at any size.
        """
        digest, size = hashlib.sha256(), 0
        entry = zipfile.ZipInfo(name, _OLDEST)
        entry.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        entry.external_attr = 0o600 << 16
        with self._zip.open(entry, "w", force_zip64=True) as stream:
            for chunk in chunks:
                stream.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        self._files[name] = {"bytes": size, "sha256": digest.hexdigest()}

    def has(self, name: str) -> bool:
        """Whether a name is taken."""
        return name in self._files

    def free(self, name: str) -> str:
        """The name, or the first numbered one like it that is not taken."""
        number = 1
        free = name
        while free in self._files:
            number += 1
            free = f"{name}~{number}"
        return free

    def finish(self, members: dict[str, Any], *, form: str = FORMAT) -> None:
        """Write the manifest, sync everything, and give the file its name."""
        manifest = {"format": form, **members, "files": self._files}
        entry = zipfile.ZipInfo(MANIFEST, _OLDEST)
        entry.compress_type = zipfile.ZIP_DEFLATED
        self._zip.writestr(entry, json.dumps(manifest, ensure_ascii=False, indent=1))
        self._zip.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        os.link(self._draft, self._target)  # never over a file that came meanwhile
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._draft.unlink(missing_ok=True)


class PodFileReader:
    """Reads a pod's file whose every byte was compared with its manifest.

    Attributes:
        manifest: What the file says of itself.
    """

    def __init__(self, source: Path) -> None:
        """Open and check a file, to its last byte, before anything of it is believed.

        Raises:
            PodFileInvalid: no zip, cut short, too great, names that climb, files that are missing, more or changed.
        """
        try:
            self._zip = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise PodFileInvalid(f"{source.name} is no exported pod, or was cut short") from error
        try:
            self._check_directory(source.stat().st_size)
            self.manifest = self._read_manifest()
            self._check_files()
        except BaseException:
            self._zip.close()
            raise

    def names(self, folder: str) -> list[str]:
        """The files below a folder, in order."""
        return sorted(name for name in self.manifest["files"] if name.startswith(folder))

    def read(self, name: str) -> bytes:
        """One file.

        Raises:
            PodFileInvalid: there is none.
        """
        try:
            return self._zip.read(name)
        except (
            KeyError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise PodFileInvalid(f"the file lacks {name}, or it is damaged") from error

    def size(self, name: str) -> int:
        """One file's length in bytes.

        Raises:
            PodFileInvalid: there is none.
        """
        try:
            return self._zip.getinfo(name).file_size
        except KeyError:
            raise PodFileInvalid(f"the file lacks {name}") from None

    def stream(self, name: str) -> IO[bytes]:
        """One file, to be read a piece at a time.

        Raises:
            PodFileInvalid: there is none.
        """
        try:
            return self._zip.open(name)
        except KeyError:
            raise PodFileInvalid(f"the file lacks {name}") from None

    def read_json(self, name: str) -> Any:
        """One JSON file.

        Raises:
            PodFileInvalid: there is none, or it is not JSON.
        """
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            if isinstance(error, PodFileInvalid):
                raise
            raise PodFileInvalid(f"{name} is not JSON") from error

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()

    def _check_directory(self, size_bytes: int) -> None:
        entries = self._zip.infolist()
        names = [entry.filename for entry in entries]
        packed = [entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
        total = sum(entry.file_size for entry in packed)
        unpacked = (entry for entry in entries if entry.compress_type == zipfile.ZIP_STORED)
        if any(entry.file_size != entry.compress_size for entry in unpacked) or (
            sum(entry.compress_size for entry in entries) > size_bytes
        ):
            raise PodFileInvalid("the file's directory promises more than there is")
        if len(names) > MOST_FILES or len(set(names)) != len(names):
            raise PodFileInvalid(f"an exported pod has at most {MOST_FILES} files, each once")
        for entry in entries:
            segments = entry.filename.split("/")
            if not _NAME.match(entry.filename) or any(segment in {"", ".", ".."} for segment in segments):
                raise PodFileInvalid("the file holds a name that climbs out of it, or that no export gives")
        for entry in packed:
            if entry.file_size > LARGEST_FILE_BYTES:
                raise PodFileInvalid(f"{entry.filename} is greater than {LARGEST_FILE_BYTES >> 20} MiB")
        packed_bytes = sum(entry.compress_size for entry in packed)
        if total > LARGEST_TOTAL_BYTES or (total > _SMALL_BYTES and total > MOST_EXPANSION * packed_bytes):
            raise PodFileInvalid("the file would grow beyond what any pod's export does")

    def _read_manifest(self) -> dict[str, Any]:
        manifest = self.read_json(MANIFEST)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise PodFileInvalid(f"the file is not of the form {FORMAT}")
        if not isinstance(manifest.get("files"), dict):
            raise PodFileInvalid("the manifest lists no files")
        return manifest

    def _check_files(self) -> None:
        listed: dict[str, Any] = self.manifest["files"]
        if set(listed) | {MANIFEST} != set(self._zip.namelist()) or MANIFEST in listed:
            raise PodFileInvalid("the manifest lists other files than are there")
        for name, expected in listed.items():
            digest, size = hashlib.sha256(), 0
            try:
                with self._zip.open(name) as stream:
                    while chunk := stream.read(_CHUNK):
                        digest.update(chunk)
                        size += len(chunk)
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
                raise PodFileInvalid(f"{name} is damaged") from error
            if expected != {"bytes": size, "sha256": digest.hexdigest()}:
                raise PodFileInvalid(f"{name} is not what the manifest says: it was changed")

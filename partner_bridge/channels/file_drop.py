"""The channel of files that a citizen (or an integrator) hands over: whole CSV files, or JSON in one of three forms."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import msgspec

from partner_bridge.errors import BodyTooLarge, BodyUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from partner_bridge.connectors.normalising import Connector, Streamed

FILE_LIMIT_BYTES = 100 * 1024 * 1024
STREAM_LIMIT_BYTES = 4 * 1024**3
_TOO_LARGE = f"{{name}} is larger than {FILE_LIMIT_BYTES // (1024 * 1024)} MiB, packed or unpacked; bring it in parts"
_LINE = re.compile(rb"\S[^\r\n]*")
_UTF_16 = frozenset({b"\xff\xfe", b"\xfe\xff"})


def read_file(path: Path, connector: Connector) -> Iterator[bytes]:
    """The payloads in one file, plain, packed with gzip, or alone in a zip; UTF-16 becomes UTF-8.

    A text connector takes the file as a whole. A JSON connector takes one payload, an array of payloads, or one a line.

    Raises:
        BodyUnreadable: no such file, empty, or not readable.
        BodyTooLarge: over 100 MiB, packed or unpacked.
    """
    try:
        # Told before it is read: a file of gigabytes costs a look at its size.
        require_size(path.name, path.stat().st_size)
        with path.open("rb") as file:
            content = file.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise BodyUnreadable(f"{path.name} cannot be read") from error
    yield from read_content(path.name, content, connector)


def require_size(name: str, size_bytes: int) -> None:
    """Refuse a file by its size, before any of it is read.

    Raises:
        BodyTooLarge: it is over 100 MiB.
    """
    if size_bytes > FILE_LIMIT_BYTES:
        raise BodyTooLarge(_TOO_LARGE.format(name=name))


def read_content(name: str, content: bytes, connector: Connector) -> Iterator[bytes]:
    """As `read_file`, of a file that is here already."""
    content = _unpacked(name, content)
    if content[:2] in _UTF_16:
        try:
            content = content.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise BodyUnreadable(f"{name} begins as UTF-16 and does not go on so") from error
    if not content.strip():
        raise BodyUnreadable(f"{name} is empty")
    if connector.form == "text":
        yield content
        return
    stripped = content.removeprefix(b"\xef\xbb\xbf").strip()
    try:
        if stripped.startswith(b"["):
            yield from (bytes(raw) for raw in msgspec.json.decode(stripped, type=list[msgspec.Raw]))
            return
        msgspec.json.decode(stripped, type=msgspec.Raw)
        yield stripped
    except (msgspec.DecodeError, RecursionError):
        # Not one JSON value: perhaps one a line; a line that is broken becomes its own problem in the connector.
        yield from (found.group() for found in _LINE.finditer(stripped))


@contextmanager
def open_stream(name: str, file: BinaryIO, connector: Streamed) -> Iterator[BinaryIO]:
    """A large file, or the one of an archive that the connector reads, to be read piece by piece.

    Args:
        name: The file's, for what is said of it.
        file: Open, at its beginning; can be sought in.
        connector: Whose format it is in.

    Raises:
        BodyUnreadable: empty, packed in another way, or an archive without such a file.
        BodyTooLarge: it unpacks to more than 4 GiB, which is told from the archive's own directory and held to while
            reading: the archive cannot lie.
    """
    head = file.read(4)
    file.seek(0)
    if not head:
        raise BodyUnreadable(f"{name} is empty")
    if head[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=file) as packed:
            yield cast("BinaryIO", _Bounded(name, packed))
        return
    if head != b"PK\x03\x04":
        yield cast("BinaryIO", _Bounded(name, file))
        return
    try:
        archive = zipfile.ZipFile(file)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise BodyUnreadable(f"{name} is packed, and cannot be unpacked") from error
    with archive:
        fitting = [each for each in archive.infolist() if each.filename.rpartition("/")[2] == connector.member]
        if len(fitting) != 1:
            raise BodyUnreadable(f"{name} holds {len(fitting)} files named {connector.member}, and one is expected")
        if fitting[0].file_size > STREAM_LIMIT_BYTES:
            raise BodyTooLarge(f"{name} unpacks to more than {STREAM_LIMIT_BYTES // 1024**3} GiB")
        try:
            with archive.open(fitting[0]) as member:
                yield cast("BinaryIO", _Bounded(name, member))
        except (OSError, RuntimeError, NotImplementedError) as error:
            raise BodyUnreadable(f"{name} is packed, and cannot be unpacked") from error


class _Bounded:
    """A file that ends in an error where it would go on for ever."""

    def __init__(self, name: str, file: IO[bytes] | gzip.GzipFile) -> None:
        self._name, self._file, self._left = name, file, STREAM_LIMIT_BYTES

    def read(self, size: int) -> bytes:
        """The next piece.

        Raises:
            BodyUnreadable: it cannot be unpacked further.
            BodyTooLarge: more than 4 GiB came.
        """
        try:
            piece = self._file.read(size)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise BodyUnreadable(f"{self._name} is packed, and cannot be unpacked") from error
        self._left -= len(piece)
        if self._left < 0:
            raise BodyTooLarge(f"{self._name} unpacks to more than {STREAM_LIMIT_BYTES // 1024**3} GiB")
        return piece


def _unpacked(name: str, content: bytes) -> bytes:
    try:
        if content[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(FILE_LIMIT_BYTES + 1)
        elif content[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = [each for each in archive.infolist() if not each.is_dir()]
                if len(members) != 1:
                    raise BodyUnreadable(f"{name} holds {len(members)} files; bring them one by one, or one in a zip")
                with archive.open(members[0]) as member:
                    content = member.read(FILE_LIMIT_BYTES + 1)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        # RuntimeError: zipfile's word for a member that wants a password.
        raise BodyUnreadable(f"{name} is packed, and cannot be unpacked") from error
    if len(content) > FILE_LIMIT_BYTES:
        raise BodyTooLarge(_TOO_LARGE.format(name=name))
    return content

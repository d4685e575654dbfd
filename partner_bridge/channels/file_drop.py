"""The channel of files that a citizen (or an integrator) hands over: whole CSV files, or JSON in one of three forms."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import TYPE_CHECKING

import msgspec

from partner_bridge.errors import BodyTooLarge, BodyUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from partner_bridge.connectors.normalising import Connector

FILE_LIMIT_BYTES = 100 * 1024 * 1024


def read_file(path: Path, connector: Connector) -> Iterator[bytes]:
    """The payloads in one file, compressed with gzip or not.

    A text connector takes the file as a whole. A JSON connector takes one payload, an array of payloads, or one a line.

    Raises:
        BodyUnreadable: no such file, or not readable.
        BodyTooLarge: over 100 MiB, packed or unpacked.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_LIMIT_BYTES + 1)
        if content[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(FILE_LIMIT_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BodyUnreadable(f"{path.name} cannot be read") from error
    if len(content) > FILE_LIMIT_BYTES:
        raise BodyTooLarge(f"{path.name} is larger than {FILE_LIMIT_BYTES} bytes")
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
        yield from (line for line in stripped.splitlines() if line.strip())

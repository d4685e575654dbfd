"""Records in a stream of bytes: each a length (u32) and MessagePack of its kind and its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from pod_server.transfer.errors import PodFileInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_RECORD_BYTES = 256 << 20
"""A row with a document of the greatest size that lies in the database, several times over."""


class Writable(Protocol):
    """Where records go."""

    def write(self, data: bytes) -> None:
        """Append."""
        ...


def write_record(target: Writable, kind: str, value: Any) -> None:
    """Append one record."""
    encoded = msgspec.msgpack.encode((kind, value))
    target.write(len(encoded).to_bytes(4, "big"))
    target.write(encoded)


class Records:
    """The records of a stream that comes in pieces.

    Raises (while it is gone through):
        PodFileInvalid: the stream ends within a record, or holds what is none.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._waiting = bytearray()

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        while (head := self._take(4, at_end=True)) is not None:
            size = int.from_bytes(head, "big")
            if size > LARGEST_RECORD_BYTES:
                raise PodFileInvalid("the file holds a record that no pod has")
            encoded = self._take(size)
            assert encoded is not None
            try:
                kind, value = msgspec.msgpack.decode(encoded)
            except (msgspec.MsgspecError, TypeError, ValueError) as error:
                raise PodFileInvalid("the file holds a record that cannot be read") from error
            yield str(kind), value

    def _take(self, size: int, *, at_end: bool = False) -> bytes | None:
        while len(self._waiting) < size:
            piece = next(self._pieces, None)
            if piece is None:
                if at_end and not self._waiting:
                    return None
                raise PodFileInvalid("the file was cut short")
            self._waiting += piece
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken

"""As much of the WebSocket protocol as a channel that only speaks needs (RFC 6455): handshake, frames, ping and close."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import TYPE_CHECKING, Any, Protocol

from pod_server.notifications.errors import NotAWebSocket

if TYPE_CHECKING:
    from collections.abc import Mapping

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
MOST_BYTES = 4096
"""Of what a listener may say at a time; there is nothing to say."""


class Readable(Protocol):
    """The connection's incoming side."""

    def read(self, size: int, /) -> bytes:
        """So many bytes, or fewer at the end."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


def handshake(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The headers that accept an opening handshake (section 4.2).

    Raises:
        NotAWebSocket: the request is no such handshake.
    """
    upgrades = environ.get("HTTP_UPGRADE", "").lower()
    connection = {one.strip() for one in environ.get("HTTP_CONNECTION", "").lower().split(",")}
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "")
    try:
        well_formed = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        well_formed = False
    if upgrades != "websocket" or "upgrade" not in connection or not well_formed:
        raise NotAWebSocket("Open this address with a WebSocket client.")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        raise NotAWebSocket("Version 13 of the WebSocket protocol is spoken here.")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    return [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """One whole, unmasked frame, as a server sends it (section 5.2)."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + payload


def close_frame(code: int) -> bytes:
    """A close frame with its reason's number (section 7.4.1)."""
    return frame(CLOSE, struct.pack("!H", code))


def read_frame(source: Readable) -> tuple[int, bytes] | None:
    """The next frame's opcode and unmasked payload; None at the end, or where the peer breaks the protocol."""
    head = source.read(2)
    if len(head) < 2:
        return None
    first, second = head
    if first & 0x70 or not second & 0x80:
        return None  # extensions that were not agreed on, or no mask: a client must mask (section 5.1)
    size = second & 0x7F
    if size >= 126:
        longer = source.read(2 if size == 126 else 8)
        if len(longer) not in {2, 8}:
            return None
        size = int.from_bytes(longer, "big")
    opcode = first & 0x0F
    if size > (125 if opcode >= CLOSE else MOST_BYTES):
        return None
    mask, masked = source.read(4), source.read(size)
    if len(mask) < 4 or len(masked) < size:
        return None
    return opcode, bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))

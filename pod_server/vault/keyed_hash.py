"""HMAC-SHA-256 (RFC 2104) under a key that is used many times: its first blocks are hashed once, and copied for each message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHA256 = SHA256()


class KeyedHash:
    """One key; two threads may use it."""

    __slots__ = ("_begun",)

    def __init__(self, key: bytes) -> None:
        self._begun = HMAC(key, _SHA256)

    def __repr__(self) -> str:
        return "KeyedHash(***)"

    def digest(self, message: bytes) -> bytes:
        """32 bytes."""
        begun = self._begun.copy()
        begun.update(message)
        return begun.finalize()

    def digests(self, messages: Iterable[bytes], length: int = 32) -> list[bytes]:
        """The first `length` bytes for each message, in order."""
        copy, found = self._begun.copy, []
        for message in messages:
            begun = copy()
            begun.update(message)
            found.append(begun.finalize()[:length])
        return found

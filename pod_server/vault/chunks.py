"""Chunked files: how a large binary is sealed piece by piece. docs/vault-format.md, section 8, says it without Python.

    file    = "TVC" ‖ version 1 ‖ chunk 0 ‖ chunk 1 ‖ … ‖ chunk n
    chunk i = AES-256-GCM(expand(secret, "chunks"), nonce i, 262 144 bytes of plaintext (the last one: what is left),
              associated data = field("TVC" ‖ version) ‖ field(pod id, u64) ‖ field(file's name) ‖ field(i, u64)
              ‖ field(last, u8)) ‖ tag (16)
    nonce i = i (u88) ‖ last (u8: 1 for the last chunk, else 0)

The STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", CRYPTO 2015), as age uses it: a chunk that was moved, left out, repeated, cut off, or comes from
another file does not open. A file's secret is random, used for this one file, and lies with the file's name and size in
an envelope, which binds it to its document, version and pod, and commits to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pod_server.vault.envelope import SECRET_BYTES, expand
from pod_server.vault.envelope import field as framed
from pod_server.vault.errors import Tampered
from pod_server.vault.xaes import TAG_BYTES

if TYPE_CHECKING:
    from pod_server.identifiers import PodId
    from pod_server.vault.randomness import RandomBytes

VERSION = 1
PREFIX = b"TVC" + bytes((VERSION,))
CHUNK_BYTES = 256 * 1024
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
NAME_BYTES = 16
_SIZE_BYTES = 8
_REFERENCE_BYTES = NAME_BYTES + SECRET_BYTES + _SIZE_BYTES


@dataclass(frozen=True)
class ChunkedFile:
    """What is needed to find and open one chunked file; sealed in its document's row.

    Attributes:
        name: 16 random bytes, under which the file lies.
        secret: 32 random bytes, for this file alone.
        size_bytes: Of the plaintext.
    """

    name: bytes
    secret: bytes = field(repr=False)
    size_bytes: int

    def encoded(self) -> bytes:
        """`name ‖ secret ‖ u64 size`: 56 bytes."""
        return self.name + self.secret + self.size_bytes.to_bytes(_SIZE_BYTES, "big")

    @staticmethod
    def decode(encoded: bytes) -> ChunkedFile:
        """Read `encoded()` back.

        Raises:
            Tampered: another length.
        """
        if len(encoded) != _REFERENCE_BYTES:
            raise Tampered
        secret_end = NAME_BYTES + SECRET_BYTES
        size = int.from_bytes(encoded[secret_end:], "big")
        return ChunkedFile(encoded[:NAME_BYTES], encoded[NAME_BYTES:secret_end], size)

    @property
    def sealed_bytes(self) -> int:
        """The file's whole length."""
        return sealed_length(self.size_bytes)


def count_chunks(size_bytes: int) -> int:
    """How many chunks a plaintext has; an empty one has a single empty chunk."""
    return max(1, -(-size_bytes // CHUNK_BYTES))


def sealed_length(size_bytes: int) -> int:
    """The length of the file that seals so many bytes."""
    return len(PREFIX) + size_bytes + count_chunks(size_bytes) * TAG_BYTES


def new_secret(random: RandomBytes) -> tuple[bytes, bytes]:
    """The name and the secret of a file that is not there yet."""
    return random(NAME_BYTES), random(SECRET_BYTES)


class ChunkKey:
    """Seals and opens the chunks of one file of one pod. The file's `PREFIX` stands before them, as it is."""

    __slots__ = ("_cipher", "_fields")

    def __init__(self, name: bytes, secret: bytes, pod_id: PodId) -> None:
        if len(secret) != SECRET_BYTES or len(name) != NAME_BYTES:
            raise ValueError("a chunked file has a name of 16 bytes and a secret of 32")
        self._cipher = AESGCM(expand(secret, "chunks"))
        self._fields = framed(PREFIX) + framed(pod_id.to_bytes(8, "big")) + framed(name)

    def seal(self, number: int, plaintext: bytes, *, last: bool) -> bytes:
        """Seal one chunk; each number once, counted from 0.

        Args:
            number: Which chunk.
            plaintext: `CHUNK_BYTES` bytes; the last chunk has what is left: at least one byte, unless it is the only one.
            last: Whether no other chunk follows.

        Returns:
            `len(plaintext) + 16` bytes.
        """
        fits = len(plaintext) == CHUNK_BYTES or (last and len(plaintext) < CHUNK_BYTES and (plaintext or number == 0))
        if not fits:
            raise ValueError("only the last chunk is short, and it is empty only where it is alone")
        return self._cipher.encrypt(*self._nonce_and_fields(number, plaintext, last=last))

    def open(self, number: int, sealed: bytes, *, last: bool) -> bytes:
        """Open one chunk that was sealed as exactly this one.

        Raises:
            Tampered: it was changed, cut, moved, or is of another file or pod.
        """
        nonce, body, fields = self._nonce_and_fields(number, sealed, last=last)
        try:
            return self._cipher.decrypt(nonce, body, fields)
        except InvalidTag:
            raise Tampered from None

    def _nonce_and_fields(self, number: int, body: bytes, *, last: bool) -> tuple[bytes, bytes, bytes]:
        flag = bytes((last,))
        return number.to_bytes(11, "big") + flag, body, self._fields + framed(number.to_bytes(8, "big")) + framed(flag)

"""Signed checkpoints: a tree's size and root as a C2SP signed note (c2sp.org/tlog-checkpoint, c2sp.org/signed-note)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from pod_server.log.errors import LogBroken
from pod_server.log.tree import HASH_BYTES
from pod_server.signatures import PublicKey, SignatureInvalid, SigningKey, base64url

if TYPE_CHECKING:
    from collections.abc import Iterable

_ED25519 = b"\x01"
COSIGNATURE = b"\x04"
_KINDS = (_ED25519, COSIGNATURE)
_DASH = "— "
_MAXIMUM_SIGNATURES = 16


class Checkpoint(NamedTuple):
    """What a checkpoint states.

    Attributes:
        origin: The log's unique name, a schema-less URL.
        size: How many leaves.
        root: 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """The note's text: three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class VerifierKey(NamedTuple):
    """A named key that checkpoints are verified with; as text `name+8 hexadecimal digits+base64(kind ‖ 32 bytes)`.

    Attributes:
        name: The log's or the witness's.
        public_key: Ed25519, 32 bytes.
        kind: 0x01 for a log's key, 0x04 for a witness's (c2sp.org/signed-note, signature types).
    """

    name: str
    public_key: bytes
    kind: bytes = _ED25519

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name, newline, kind, public key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.kind + self.public_key).digest()[:4]

    def encoded(self) -> str:
        """The key as text."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self.kind + self.public_key).decode()}"

    @staticmethod
    def decode(text: str) -> VerifierKey:
        """Read a key's text.

        Raises:
            LogBroken: not an Ed25519 verifier key, or its id is not its own.
        """
        try:
            name, key_id, encoded = text.split("+", 2)
            data = canonical_base64(encoded)
        except (ValueError, binascii.Error):
            raise LogBroken("The text is no verifier key.") from None
        key = VerifierKey(name, data[1:], data[:1])
        if data[:1] not in _KINDS or len(data) != 33 or key.key_id.hex() != key_id or not _is_key_name(name):
            raise LogBroken("The text is no Ed25519 verifier key.")
        return key


def verifier_key(name: str, key: SigningKey) -> VerifierKey:
    """The public side of a checkpoint key under a name."""
    return VerifierKey(name, base64url.read(key.public_jwk["x"]))


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> str:
    """The signed note; the key's name is the origin.

    Raises:
        ValueError: the origin cannot be a key's name, or the key is not Ed25519.
    """
    if not _is_key_name(checkpoint.origin) or key.algorithm != "EdDSA":
        raise ValueError("a checkpoint needs an origin without spaces and plus signs, and an Ed25519 key")
    body = checkpoint.body()
    signature = verifier_key(checkpoint.origin, key).key_id + key.sign(body.encode())
    return f"{body}\n{_DASH}{checkpoint.origin} {base64.b64encode(signature).decode()}\n"


def parse_unverified(note: str) -> tuple[Checkpoint, str, list[tuple[str, bytes]]]:
    """A note's checkpoint, its text and its signatures (name, key id and signature), before anything is checked.

    Raises:
        LogBroken: not a checkpoint.
    """
    failure = LogBroken("The text is no checkpoint.")
    body, blank, signatures = note.rpartition("\n\n")
    if not blank or any(ord(character) < 0x20 and character != "\n" for character in note):
        raise failure
    lines = body.split("\n")
    if len(lines) < 3 or not all(lines) or not signatures.endswith("\n"):
        raise failure
    signature_lines = signatures[:-1].split("\n")
    found: list[tuple[str, bytes]] = []
    if len(signature_lines) > _MAXIMUM_SIGNATURES:
        raise failure
    try:
        for line in signature_lines:
            dash, name, encoded = line[:2], *line[2:].split(" ")
            signature = canonical_base64(encoded)
            if dash != _DASH or not _is_key_name(name) or len(signature) < 5:
                raise failure
            found.append((name, signature))
        root = canonical_base64(lines[2])
        size = int(lines[1])
    except (ValueError, TypeError, binascii.Error):
        raise failure from None
    if not found or len(root) != HASH_BYTES or size < 0 or str(size) != lines[1]:
        raise failure
    return Checkpoint(lines[0], size, root), body + "\n", found


def verify_checkpoint(note: str, keys: Iterable[VerifierKey]) -> Checkpoint:
    """Check a signed checkpoint with known keys; signatures of unknown keys are passed over.

    Raises:
        LogBroken: not a checkpoint, a known key's signature does not verify, or no known key signed.
    """
    checkpoint, body, signatures = parse_unverified(note)
    known = {(key.name, key.key_id): key for key in keys if key.kind == _ED25519}
    verified = False
    for name, signature in signatures:
        key = known.get((name, signature[:4]))
        if key is None:
            continue
        public_key = PublicKey({"kty": "OKP", "crv": "Ed25519", "x": base64url.write(key.public_key)})
        try:
            public_key.verify(signature[4:], body.encode())
        except SignatureInvalid:
            raise LogBroken("The checkpoint's signature does not verify.") from None
        verified = True
    if not verified:
        raise LogBroken("The checkpoint is not signed by a key that is known here.")
    return checkpoint


def _is_key_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)


def canonical_base64(text: str) -> bytes:
    """The bytes of a base64 text, of whose several texts for the same bytes only one is accepted.

    Raises:
        ValueError: it is another, or none.
    """
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical")
    return data

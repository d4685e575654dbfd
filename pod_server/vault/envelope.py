"""The envelope: how every sealed byte of a pod is framed. docs/vault-format.md, section 2, says it without Python.

    sealed = "TV" ‖ version 1 ‖ compression ‖ u8 length of dictionary ‖ dictionary ‖ nonce (24) ‖ commitment (32) ‖ body + tag (16)
    header = field(version) ‖ field(compression) ‖ field(dictionary)
           ‖ field(pod id, u64) ‖ field(scope) ‖ field(grant) ‖ field(epoch, u32)
           ‖ field(object type) ‖ field(place name) ‖ field(place version, u64)           field(x) = u16 length ‖ x
    commitment = HMAC-SHA-256(commit key, nonce ‖ header)
    body = XAES-256-GCM(seal key, nonce, plaintext or its zstd frame, associated data = header)

The header is authenticated and not stored: whoever opens an envelope must know what it is and where it lies, so names
of things are not readable at rest and no envelope can be opened as another. AES-GCM alone does not commit to its key;
the commitment, checked first, does.
"""

from __future__ import annotations

import hmac
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from pod_server.vault import compression
from pod_server.vault.errors import Tampered
from pod_server.vault.keyed_hash import KeyedHash
from pod_server.vault.xaes import NONCE_BYTES, TAG_BYTES, XaesKey

if TYPE_CHECKING:
    from pod_server.identifiers import GrantId, PodId
    from pod_server.vault.randomness import RandomBytes

MAGIC = b"TV"
VERSION = 1
UNCOMPRESSED = 0
ZSTD = 1
SECRET_BYTES = 32
COMMITMENT_BYTES = 32
_FIXED_BYTES = 5 + NONCE_BYTES + COMMITMENT_BYTES + TAG_BYTES

ScopeKind = Literal[
    "public", "own", "grant", "figures", "log", "marks", "identity", "slot", "keyring", "cover", "epoch", "host", "move"
]


class Scope(NamedTuple):
    """Whose key seals: the public part, the citizen's own, one grant's, the figures across grants, or the log.

    Attributes:
        kind: `public`, `own`, `grant`, `figures`, `log`; `marks` (the key of a grant's idempotency marks) and `identity`
            (the citizen's signing keys) seal nothing; the vault itself also uses `slot`, `keyring`, `cover`, `epoch`
            and `host`.
        grant: The grant's id for the kinds `grant` and `marks`, else "".
        epoch: 1 and up; a new epoch is a new random key.
    """

    kind: ScopeKind
    grant: GrantId | Literal[""] = ""
    epoch: int = 1


class Place(NamedTuple):
    """What is sealed and where it lies; authenticated, never stored with the ciphertext.

    Attributes:
        object_type: A short ASCII word: `segment`, `document`, `partial`, …
        name: Up to 65 535 bytes that name the place within the pod (a sequence number, a keyed hash, a path).
        version: The place's version number, 0 and up.
    """

    object_type: str
    name: bytes
    version: int = 0


PUBLIC = Scope("public")
OWN = Scope("own")
"""The first epoch of the citizen's own scope; which one is in force stands in the database (key_epochs.py)."""
LOG = Scope("log")
"""The first epoch of the log's scope."""
IDENTITY = Scope("identity")


def expand(secret: bytes, label: str) -> bytes:
    """32 bytes for one use of a uniformly random 32-byte secret: HKDF-Expand with SHA-256 (RFC 5869, section 2.3).

    The extract step is left out because the secret is uniform already (RFC 5869, section 3.3).
    """
    return KeyedHash(secret).digest(_expansion(label))


@cache
def _expansion(label: str) -> bytes:
    return b"tvilling v1 " + label.encode() + b"\x01"


def field(value: bytes) -> bytes:
    """A value with its 16-bit length before it, so that no two lists of fields give the same bytes."""
    return len(value).to_bytes(2, "big") + value


def _scope_fields(pod_id: PodId, scope: Scope) -> bytes:
    kind, grant, epoch = scope
    return b"".join(
        (
            b"\x00\x08",
            pod_id.to_bytes(8, "big"),
            field(kind.encode("ascii")),
            field(grant.encode("ascii")),
            b"\x00\x04",
            epoch.to_bytes(4, "big"),
        )
    )


def _frame_fields(compressed: int, dictionary: str) -> bytes:
    return field(bytes((VERSION,))) + field(bytes((compressed,))) + field(dictionary.encode("ascii"))


_PLAIN_FRAME = _frame_fields(UNCOMPRESSED, "")


def _place_fields(place: Place) -> bytes:
    object_type, name, version = place
    kind = object_type.encode("ascii")
    return b"".join(
        (
            len(kind).to_bytes(2, "big"),
            kind,
            len(name).to_bytes(2, "big"),
            name,
            b"\x00\x08",
            version.to_bytes(8, "big"),
        )
    )


class EnvelopeInspection(NamedTuple):
    """What a sealed body shows without any key."""

    version: int
    compression: int
    dictionary: str
    nonce: bytes
    commitment: bytes
    ciphertext: bytes


def inspect(sealed: bytes) -> EnvelopeInspection:
    """Take a sealed body apart without opening it.

    Raises:
        Tampered: the bytes are no envelope of this version.
    """
    if (
        len(sealed) < _FIXED_BYTES
        or sealed[:2] != MAGIC
        or sealed[2] != VERSION
        or sealed[3] not in (UNCOMPRESSED, ZSTD)
    ):
        raise Tampered
    start = 5 + sealed[4]
    if len(sealed) < _FIXED_BYTES + sealed[4] or (sealed[4] and sealed[3] != ZSTD):
        raise Tampered
    try:
        dictionary = sealed[5:start].decode("ascii")
    except UnicodeDecodeError:
        raise Tampered from None
    nonce_end = start + NONCE_BYTES
    body = nonce_end + COMMITMENT_BYTES
    return EnvelopeInspection(
        VERSION, sealed[3], dictionary, sealed[start:nonce_end], sealed[nonce_end:body], sealed[body:]
    )


class EnvelopeKey:
    """The keys of one scope of one pod for sealing and opening, made from the scope's random secret."""

    __slots__ = ("_commit", "_scope_fields", "_seal_key")

    def __init__(self, secret: bytes, pod_id: PodId, scope: Scope) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError("a scope's secret is 32 bytes")
        expanding = KeyedHash(secret)
        self._seal_key = XaesKey(expanding.digest(_expansion("seal")))
        self._commit = KeyedHash(expanding.digest(_expansion("commit")))
        self._scope_fields = _scope_fields(pod_id, scope)

    def elsewhere(self, pod_id: PodId, scope: Scope) -> EnvelopeKey:
        """The key of the same secret for another pod or scope, for secrets that are no single pod's (the host's, an epoch's).

        What was made of the secret is shared: it is the greater part of a key's cost.
        """
        other = object.__new__(EnvelopeKey)
        other._seal_key, other._commit = self._seal_key, self._commit
        other._scope_fields = _scope_fields(pod_id, scope)
        return other

    def seal(
        self, place: Place, plaintext: bytes, random: RandomBytes, *, compress: bool = False, dictionary: str = ""
    ) -> bytes:
        """Seal one body and bind it to its place.

        Args:
            place: What it is and where it lies; authenticated, not stored.
            plaintext: The whole body; may be empty.
            random: Draws the 24-byte nonce.
            compress: Compress with zstd first; the smaller of the two forms is kept.
            dictionary: The name of a shipped dictionary; only with `compress`.

        Returns:
            The framed envelope: 77 bytes longer than what it holds (plus the dictionary's name).
        """
        body, compressed, frame_fields = plaintext, UNCOMPRESSED, _PLAIN_FRAME
        if compress:
            frame = compression.compress(plaintext, dictionary)
            if len(frame) < len(plaintext):
                body, compressed, frame_fields = frame, ZSTD, _frame_fields(ZSTD, dictionary)
        if compressed == UNCOMPRESSED:
            dictionary = ""
        nonce = random(NONCE_BYTES)
        header = frame_fields + self._scope_fields + _place_fields(place)
        commitment = self._commit.digest(nonce + header)
        name = dictionary.encode("ascii")
        return b"".join(
            (
                MAGIC,
                bytes((VERSION, compressed, len(name))),
                name,
                nonce,
                commitment,
                self._seal_key.encrypt(nonce, body, header),
            )
        )

    def open(self, place: Place, sealed: bytes) -> bytes:
        """Open what was sealed at exactly this place, in this scope of this pod.

        Raises:
            Tampered: anything at all is different from what was sealed.
        """
        parts = inspect(sealed)
        frame_fields = (
            _PLAIN_FRAME if parts.compression == UNCOMPRESSED else _frame_fields(parts.compression, parts.dictionary)
        )
        header = frame_fields + self._scope_fields + _place_fields(place)
        expected = self._commit.digest(parts.nonce + header)
        if not hmac.compare_digest(expected, parts.commitment):
            raise Tampered
        body = self._seal_key.decrypt(parts.nonce, parts.ciphertext, header)
        return compression.decompress(body, parts.dictionary) if parts.compression == ZSTD else body

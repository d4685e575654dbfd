"""Sealing to somebody who is away: HPKE (RFC 9180), base mode, X25519, HKDF-SHA256, AES-256-GCM.

Whoever holds the public key can seal; only the opened pod can open. HPKE here binds its context through `info` and
does not say who sealed: what must be attributed is signed beside it, or committed to by the log.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from pod_server.vault.errors import Tampered

PUBLIC_KEY_BYTES = 32
OVERHEAD_BYTES = 48
"""32 bytes of encapsulated key and a tag of 16."""

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class InboxKey:
    """The private half of an inbox, made from 32 uniform bytes."""

    __slots__ = ("_private_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        self._private_key = X25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._private_key.public_key().public_bytes_raw()

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Open what was sealed to this inbox in exactly this context.

        Raises:
            Tampered: another key, another context, or changed bytes.
        """
        try:
            return _SUITE.decrypt(sealed, self._private_key, context)
        except (InvalidTag, ValueError):
            raise Tampered from None


def seal_to(public_key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Seal to an inbox's public key (32 bytes), bound to `context`.

    Returns:
        The encapsulated key (32 bytes), then `len(plaintext) + 16` bytes.

    Raises:
        ValueError: the public key is not one.
    """
    return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public_key), context)

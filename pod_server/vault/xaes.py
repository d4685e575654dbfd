"""XAES-256-GCM: AES-256-GCM with a 192-bit nonce, by a fresh subkey each time.

Source: C2SP, https://c2sp.org/XAES-256-GCM. The subkey is NIST SP 800-108r1's counter KDF over CMAC-AES256.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from pod_server.vault.errors import Tampered

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16

_FIRST_HALF = b"\x00\x01X\x00"
_SECOND_HALF = b"\x00\x02X\x00"


class XaesKey:
    """One XAES-256-GCM key; the CMAC key schedule is made once and copied for each nonce."""

    __slots__ = ("_cmac",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("an XAES-256-GCM key is 32 bytes")
        self._cmac = CMAC(AES(key))

    def subkey(self, nonce_start: bytes) -> bytes:
        """The AES-256-GCM key for the first 12 bytes of a nonce."""
        first = self._cmac.copy()
        first.update(_FIRST_HALF + nonce_start)
        second = self._cmac.copy()
        second.update(_SECOND_HALF + nonce_start)
        return first.finalize() + second.finalize()

    def encrypt(self, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
        """Encrypt under a 24-byte nonce that is never used twice with this key.

        Returns:
            `len(plaintext) + 16` bytes.
        """
        if len(nonce) != NONCE_BYTES:
            raise ValueError("an XAES-256-GCM nonce is 24 bytes")
        return AESGCM(self.subkey(nonce[:12])).encrypt(nonce[12:], plaintext, associated_data)

    def decrypt(self, nonce: bytes, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Decrypt and authenticate.

        Raises:
            Tampered: key, nonce, ciphertext or associated data is not what was sealed.
        """
        if len(nonce) != NONCE_BYTES or len(ciphertext) < TAG_BYTES:
            raise Tampered
        try:
            return AESGCM(self.subkey(nonce[:12])).decrypt(nonce[12:], ciphertext, associated_data)
        except InvalidTag:
            raise Tampered from None

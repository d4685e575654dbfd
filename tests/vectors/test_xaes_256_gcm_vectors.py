"""XAES-256-GCM against the vectors that its specification publishes (https://c2sp.org/XAES-256-GCM)."""

from __future__ import annotations

import hashlib

import pytest

from pod_server.vault.errors import Tampered
from pod_server.vault.xaes import XaesKey

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"
PUBLISHED = [
    # The two cases of CMAC's subkey: the first bit of L is 0, then 1.
    (
        b"\x01" * 32,
        b"",
        "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b",
        "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
    ),
    (
        b"\x03" * 32,
        b"c2sp.org/XAES-256-GCM",
        "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8",
        "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
    ),
]


@pytest.mark.parametrize(("key", "associated_data", "subkey", "ciphertext"), PUBLISHED)
def test_published_vectors_come_out_byte_for_byte(key, associated_data, subkey, ciphertext):
    xaes = XaesKey(key)
    assert xaes.subkey(NONCE[:12]).hex() == subkey
    assert xaes.encrypt(NONCE, b"XAES-256-GCM", associated_data).hex() == ciphertext
    assert xaes.decrypt(NONCE, bytes.fromhex(ciphertext), associated_data) == b"XAES-256-GCM"


class ShakeStream:
    """The specification's deterministic source: one SHAKE-128 instance with empty input."""

    def __init__(self, length: int) -> None:
        self._bytes, self._at = hashlib.shake_128(b"").digest(length), 0

    def read(self, count: int) -> bytes:
        self._at += count
        return self._bytes[self._at - count : self._at]


def test_ten_thousand_random_cases_accumulate_to_the_published_hash():
    source = ShakeStream(10_000 * (32 + 24 + 2 * 256))
    assert source.read(16).hex() == "7f9c2ba4e88f827d616045507605853e"
    source._at = 0
    seen = bytearray()
    for _ in range(10_000):
        key, nonce = source.read(32), source.read(24)
        plaintext = source.read(source.read(1)[0])
        associated_data = source.read(source.read(1)[0])
        seen += XaesKey(key).encrypt(nonce, plaintext, associated_data)
    digest = hashlib.shake_128(seen).hexdigest(32)
    assert digest == "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"


def test_a_wrong_key_nonce_or_associated_data_opens_nothing():
    key, associated_data, _, ciphertext = PUBLISHED[1]
    sealed = bytes.fromhex(ciphertext)
    for wrong in (
        lambda: XaesKey(b"\x04" * 32).decrypt(NONCE, sealed, associated_data),
        lambda: XaesKey(key).decrypt(NONCE[::-1], sealed, associated_data),
        lambda: XaesKey(key).decrypt(NONCE, sealed, b""),
        lambda: XaesKey(key).decrypt(NONCE, sealed[:15], associated_data),
        lambda: XaesKey(key).decrypt(NONCE[:12], sealed, associated_data),
    ):
        with pytest.raises(Tampered):
            wrong()

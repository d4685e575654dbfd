"""HPKE against the vectors published with RFC 9180: base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-GCM.

The vault seals with AES-256-GCM (kem 0x0020, kdf 0x0001, aead 0x0002); the other set is RFC 9180, appendix A.1.1. Both are
in the research group's file (https://github.com/cfrg/draft-irtf-cfrg-hpke, test-vectors.json of the final draft; the
library's own copy is cryptography_vectors/HPKE). The decoder of the fault harness, which is written from the RFC's text
and shares no code with the library, opens all of them; the vault's own suite opens the first of its set.
"""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from faults.harness.decoder import hpke_open

from pod_server.vault import inbox
from pod_server.vault.errors import Tampered

INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
PLAINTEXT = bytes.fromhex("4265617574792069732074727574682c20747275746820626561757479")

AES_256 = (
    2,
    "497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d",
    "6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256",
    {
        0: "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a",
        1: "2c43aff25343fdbff864506f0818b9d87df84ea01b1a2144d23b4d40c26bf655fdf197fe40297a8aebeed5cc2d",
        4: "448a8892f261cbb6bf5b7b64a4fae8a2c86492494b069c10525895d871c27c2f12cd17e0588fedaba9f7b0cd4c",
        255: "f6ad1823eb0b932d04b6e23010eea64f1fe5edd0583dae5ba27ca6363f4ea104bd217331460ef4208040423641",
        256: "53624f4f9f173453b14e633b45390ff54cacaa4428d44baee1bff8133fab1ab3afe60f88e4634b525c54e92eda",
    },
)
AES_128 = (
    1,
    "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
    "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
    {
        0: "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
        1: "af2d7e9ac9ae7e270f46ba1f975be53c09f8d875bdc8535458c2494e8a6eab251c03d0c22a56b8ca42c2063b84",
        4: "583bd32bc67a5994bb8ceaca813d369bca7b2a42408cddef5e22f880b631215a09fc0012bc69fccaa251c0246d",
        255: "7175db9717964058640a3a11fb9007941a5d1757fda1a6935c805c21af32505bf106deefec4a49ac38d71c9e0a",
        256: "957f9800542b0b8891badb026d79cc54597cb2d225b54c00c5238c25d05c30e3fbeda97d2e0e1aba483a2df9f2",
    },
)


@pytest.mark.parametrize(
    ("aead", "private", "encapsulated", "sequence", "ciphertext"),
    [(aead, private, enc, *one) for aead, private, enc, sealed in (AES_256, AES_128) for one in sealed.items()],
)
def test_the_decoder_written_from_the_rfc_opens_what_was_published(aead, private, encapsulated, sequence, ciphertext):
    sealed, aad = bytes.fromhex(encapsulated + ciphertext), b"Count-%d" % sequence
    key = bytes.fromhex(private)
    assert hpke_open(sealed, key, INFO, aad=aad, aead=aead, sequence=sequence) == PLAINTEXT
    with pytest.raises(InvalidTag):
        hpke_open(sealed, key, INFO + b"?", aad=aad, aead=aead, sequence=sequence)


def test_the_vaults_own_suite_opens_what_was_published():
    """The published messages carry associated data, which the library's public call does not take: its inner one does."""
    _, private, encapsulated, sealed = AES_256
    opened = openssl.hpke._decrypt_with_aad(
        inbox._SUITE,
        bytes.fromhex(encapsulated + sealed[0]),
        X25519PrivateKey.from_private_bytes(bytes.fromhex(private)),
        INFO,
        b"Count-0",
    )
    assert opened == PLAINTEXT


def test_what_the_vault_seals_opens_by_the_rfcs_text_and_in_no_other_context():
    key = inbox.InboxKey(bytes(range(32)))
    sealed = inbox.seal_to(key.public_key, PLAINTEXT, INFO)
    assert hpke_open(sealed, bytes(range(32)), INFO) == key.open(sealed, INFO) == PLAINTEXT
    with pytest.raises(Tampered):
        key.open(sealed, INFO + b"?")

"""T3: a downgraded or edited envelope header, or weakened slot parameters."""

from __future__ import annotations

import os

import pytest
from hosts import key_store_in

from pod_server.vault.envelope import OWN, EnvelopeKey, Place
from pod_server.vault.errors import Tampered, WrongPassphrase
from pod_server.vault.host_key import HostKey
from pod_server.vault.key_derivation import Argon2Cost, KeyDerivation, Passphrase
from pod_server.vault.vault import create_vault, unlock_with_passphrase

KEY, PLACE = EnvelopeKey(bytes(range(32)), 7, OWN), Place("document", b"name", 1)


@pytest.mark.parametrize("version", [v for v in range(256) if v != 1])
def test_no_other_version_is_accepted(version):
    sealed = bytearray(KEY.seal(PLACE, b"body" * 20, os.urandom))
    sealed[2] = version
    with pytest.raises(Tampered):
        KEY.open(PLACE, bytes(sealed))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("to", range(4))
def test_compression_cannot_be_switched_on_or_off(compress, to):
    sealed = bytearray(KEY.seal(PLACE, b"body" * 20, os.urandom, compress=compress))
    if sealed[3] == to:
        assert KEY.open(PLACE, bytes(sealed)) == b"body" * 20
        return
    sealed[3] = to
    with pytest.raises(Tampered):
        KEY.open(PLACE, bytes(sealed))


def test_a_dictionary_cannot_be_slipped_in_or_taken_out():
    sealed = KEY.seal(PLACE, b"body" * 20, os.urandom, compress=True)
    for name in (b"x", b"activities-1", b"\xff" * 4):
        with pytest.raises(Tampered):
            KEY.open(PLACE, sealed[:4] + bytes((len(name),)) + name + sealed[5:])


def test_the_nonce_and_commitment_cannot_be_taken_from_another_envelope():
    first, second = (KEY.seal(PLACE, body, os.urandom) for body in (b"first body", b"other body"))
    assert len(first) == len(second)
    for start, end in ((5, 29), (29, 61), (5, 61), (61, len(first))):
        with pytest.raises(Tampered):
            KEY.open(PLACE, first[:start] + second[start:end] + first[end:])


def test_a_slots_cost_cannot_be_weakened_or_blown_up(tmp_path):
    """Weakened parameters give another key and another header; blown-up ones are refused before any work is done."""
    host_key, derivation, store = HostKey(bytes(32)), KeyDerivation(), key_store_in(tmp_path)
    words = Passphrase("fire ord om katten")
    try:
        create_vault(host_key, store, 7, passphrase=words, cost=Argon2Cost(128, 2, 1), derivation=derivation)
        slot = store.slot(7, "passphrase")
        for parameters in (
            "argon2id m=64,t=1,p=1",
            "argon2id m=1048577,t=3,p=1",
            "argon2id m=128,t=4294967295,p=1",
            "pbkdf2 m=128,t=2,p=1",
            "",
        ):
            store.put_slot(7, slot._replace(parameters=parameters))
            with pytest.raises(WrongPassphrase):
                unlock_with_passphrase(host_key, store, 7, words, derivation=derivation)
        store.put_slot(7, slot._replace(salt=bytes(16)))
        with pytest.raises(WrongPassphrase):
            unlock_with_passphrase(host_key, store, 7, words, derivation=derivation)
        store.put_slot(7, slot)
        assert unlock_with_passphrase(host_key, store, 7, words, derivation=derivation).keys(OWN)
    finally:
        derivation.close()
        store.close()

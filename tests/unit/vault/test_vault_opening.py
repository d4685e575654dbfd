"""Vaults: made, opened in every way, locked, kept apart."""

from __future__ import annotations

import threading

import pytest

from pod_server.vault.envelope import LOG, OWN, PUBLIC, Place, Scope
from pod_server.vault.errors import (
    HostKeyMismatch,
    KeyErased,
    PassphraseTooLong,
    PassphraseTooShort,
    PodLocked,
    RecoveryCodeMistyped,
    Tampered,
    VaultExists,
    WrongPassphrase,
    WrongRecoveryCode,
)
from pod_server.vault.host_key import HostKey
from pod_server.vault.inbox import seal_to
from pod_server.vault.key_derivation import MAXIMUM_BYTES, Passphrase
from pod_server.vault.scope_keys import mark_with, marks_with
from pod_server.vault.vault import (
    FIGURES,
    host_mark_key,
    public_vault,
    unlock_with_custodian,
    unlock_with_passphrase,
    unlock_with_recovery_code,
    unlock_with_root,
)

PLACE = Place("document", b"profile", 1)
WORDS = "fire ord om katten"


def test_every_way_in_opens_the_same_vault(house):
    new = house.vault(passphrase=WORDS)
    sealed = new.vault.seal(OWN, PLACE, b"mine")
    opened = [
        unlock_with_passphrase(house.host_key, house.key_store, 7, Passphrase(WORDS), derivation=house.derivation),
        unlock_with_recovery_code(house.host_key, house.key_store, 7, new.recovery_code.lower().replace("-", " ")),
        unlock_with_custodian(house.host_key, house.key_store, 7),
        unlock_with_root(house.host_key, house.key_store, 7, new.vault.root_key),
    ]
    for vault in opened:
        assert vault.open(OWN, PLACE, sealed) == b"mine"
        assert vault.index_name(OWN, "a/b") == new.vault.index_name(OWN, "a/b")


def test_the_same_passphrase_typed_with_other_code_points_opens(house):
    house.vault(passphrase="blåbærsyltetøy")
    decomposed = Passphrase("bla\u030abærsyltetøy")
    assert unlock_with_passphrase(house.host_key, house.key_store, 7, decomposed, derivation=house.derivation)


def test_wrong_ways_in_are_refused(house):
    house.vault(passphrase=WORDS)
    other = house.vault(8)
    with pytest.raises(WrongPassphrase):
        unlock_with_passphrase(house.host_key, house.key_store, 7, Passphrase(WORDS + "!"), derivation=house.derivation)
    with pytest.raises(WrongRecoveryCode):
        unlock_with_recovery_code(house.host_key, house.key_store, 7, other.recovery_code)
    with pytest.raises(RecoveryCodeMistyped):
        unlock_with_recovery_code(house.host_key, house.key_store, 7, "1234")
    with pytest.raises(PodLocked):
        unlock_with_root(house.host_key, house.key_store, 7, other.vault.root_key)
    with pytest.raises(HostKeyMismatch):
        unlock_with_custodian(HostKey(bytes(32)), house.key_store, 7)


def test_a_pod_without_passphrase_slot_answers_like_one_with_another_passphrase(house):
    house.vault()
    with pytest.raises(WrongPassphrase) as failure:
        unlock_with_passphrase(house.host_key, house.key_store, 7, Passphrase(WORDS), derivation=house.derivation)
    assert str(failure.value) == str(WrongPassphrase())


def test_a_locked_pod_opens_for_nobody_but_its_citizen(house):
    house.vault(passphrase=WORDS, custodian=False)
    with pytest.raises(PodLocked):
        unlock_with_custodian(house.host_key, house.key_store, 7)
    assert unlock_with_passphrase(
        house.host_key, house.key_store, 7, Passphrase(WORDS), derivation=house.derivation
    ).keys(OWN)


def test_the_public_scope_needs_no_unlocking_and_opens_nothing_else(house):
    new = house.vault(custodian=False)
    sealed = new.vault.seal(PUBLIC, PLACE, b"card")
    public = public_vault(house.host_key, house.key_store, 7)
    assert public.is_public_only
    assert public.open(PUBLIC, PLACE, sealed) == b"card"
    assert public.index_name(PUBLIC, "card") != new.vault.index_name(OWN, "card")
    for scope in (OWN, FIGURES, LOG, Scope("grant", "g-1")):
        with pytest.raises(PodLocked):
            public.seal(scope, PLACE, b"no")
    with pytest.raises(PodLocked):
        public.create_scope(Scope("grant", "g-1"))
    with pytest.raises(PodLocked):
        assert public.root_key


def test_a_vault_is_made_once(house):
    house.vault()
    with pytest.raises(VaultExists):
        house.vault()


def test_short_passphrases_are_refused_and_leave_nothing_behind(house):
    with pytest.raises(PassphraseTooShort):
        house.vault(passphrase="kort")
    assert house.key_store.slot_kinds(7) == frozenset()
    assert house.key_store.keyring(7) == {}


def test_enormous_passphrases_are_refused_and_none_is_cut_off_unseen(house):
    """A vault of version 1 may have been sealed to the first 4096 bytes of a longer one, and opens with the whole of it."""
    long = "x" * MAXIMUM_BYTES
    with pytest.raises(PassphraseTooLong, match="4,096"):
        house.vault(passphrase=long + "y")
    assert house.key_store.slot_kinds(7) == frozenset()
    house.vault(passphrase=long)
    for typed in (long, long + "y"):
        assert unlock_with_passphrase(
            house.host_key, house.key_store, 7, Passphrase(typed), derivation=house.derivation
        ).keys(OWN)
    with pytest.raises(WrongPassphrase):
        unlock_with_passphrase(house.host_key, house.key_store, 7, Passphrase(long[:-1]), derivation=house.derivation)


def test_scopes_are_made_once_and_seen_by_vaults_opened_before(house):
    vault = house.vault().vault
    earlier = unlock_with_custodian(house.host_key, house.key_store, 7)
    scope = Scope("grant", "g-1", 1)
    with pytest.raises(KeyErased):
        vault.seal(scope, PLACE, b"too early")
    vault.create_scope(scope)
    public_key = vault.inbox(scope).public_key
    for again in (vault, earlier):
        again.create_scope(scope)
        assert again.inbox(scope).public_key == public_key
    assert earlier.open(scope, PLACE, vault.seal(scope, PLACE, b"24 records")) == b"24 records"


def test_grants_and_epochs_have_keys_of_their_own(house):
    vault = house.vault().vault
    scopes = [Scope("grant", "g-1", 1), Scope("grant", "g-1", 2), Scope("grant", "g-2", 1)]
    for scope in scopes:
        vault.create_scope(scope)
    assert len({vault.inbox(scope).public_key for scope in scopes}) == 3
    for scope in scopes[1:]:
        with pytest.raises(Tampered):
            vault.open(scope, PLACE, vault.seal(scopes[0], PLACE, b"x"))


def test_a_destroyed_scope_opens_nothing_and_never_comes_back(house):
    vault = house.vault().vault
    scope = Scope("grant", "g-1", 1)
    vault.create_scope(scope)
    sealed = vault.seal(scope, PLACE, b"x")
    assert vault.destroy_scope(scope)
    assert not vault.destroy_scope(scope)
    for erased in (
        lambda: vault.open(scope, PLACE, sealed),
        lambda: vault.seal(scope, PLACE, b"x"),
        lambda: vault.create_scope(scope),
        lambda: unlock_with_custodian(house.host_key, house.key_store, 7).open(scope, PLACE, sealed),
    ):
        with pytest.raises(KeyErased):
            erased()
    assert not vault.has_scope(scope)
    vault.create_scope(Scope("grant", "g-1", 2))
    assert vault.has_scope(Scope("grant", "g-1", 2))


def test_all_epochs_of_a_grant_are_destroyed_without_opening_the_pod(house):
    vault = house.vault(custodian=False).vault
    for grant, epoch in (("g-1", 1), ("g-1", 2), ("g-2", 1)):
        vault.create_scope(Scope("grant", grant, epoch))
    assert house.key_store.destroy_grant(7, "g-1") == 2
    assert not vault.has_scope(Scope("grant", "g-1", 2))
    assert vault.has_scope(Scope("grant", "g-2", 1))


def test_marks_are_the_same_for_the_host_and_the_vault_and_differ_between_grants(house):
    vault = house.vault().vault
    vault.create_grant("g-1")
    vault.create_grant("g-2")
    held = host_mark_key(house.host_key, house.key_store, 7, "g-1")
    assert vault.mark("g-1", 1, "urn:r:1") == mark_with(held, "urn:r:1")
    assert marks_with(held, ["urn:r:1", "urn:r:2"])[0] == vault.mark("g-1", 1, "urn:r:1")
    assert vault.mark("g-1", 1, "urn:r:1") != vault.mark("g-2", 1, "urn:r:1")
    assert len(vault.mark("g-1", 1, "urn:r:1")) == 12


def test_what_is_sealed_to_a_locked_pods_inbox_opens_after_unlocking(house):
    new = house.vault(passphrase=WORDS, custodian=False)
    scope = Scope("grant", "g-1", 1)
    new.vault.create_scope(scope)
    sealed = seal_to(new.vault.inbox(scope).public_key, b"a delivery", b"context 1")
    opened = unlock_with_passphrase(house.host_key, house.key_store, 7, Passphrase(WORDS), derivation=house.derivation)
    assert opened.inbox(scope).open(sealed, b"context 1") == b"a delivery"
    with pytest.raises(Tampered):
        opened.inbox(scope).open(sealed, b"context 2")
    with pytest.raises(Tampered):
        opened.inbox(LOG).open(sealed, b"context 1")
    with pytest.raises(Tampered):
        opened.inbox(scope).open(b"short", b"context 1")


def test_nothing_prints_keys(house):
    new = house.vault(passphrase=WORDS)
    text = repr([new.vault, house.host_key, Passphrase(WORDS), new.vault.keys(OWN)])
    assert new.vault.root_key.hex() not in text
    assert repr(new.vault.root_key) not in text
    assert WORDS not in text


def test_a_vault_is_used_by_many_threads_at_once(house):
    vault = house.vault().vault
    failures = []

    def work(number):
        try:
            scope = Scope("grant", f"g-{number % 3}", 1)
            vault.create_scope(scope)
            for version in range(30):
                place = Place("segment", b"%d" % number, version)
                assert vault.open(scope, place, vault.seal(scope, place, b"r" * 300, compress=True)) == b"r" * 300
        except Exception as failure:  # noqa: BLE001 (carried to the test's own thread)
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []

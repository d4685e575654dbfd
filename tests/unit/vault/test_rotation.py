"""New passphrases and codes, locking, and leaving open again."""

from __future__ import annotations

import pytest

from pod_server.vault import rotation
from pod_server.vault.envelope import LOG, OWN, PUBLIC, Place, Scope
from pod_server.vault.errors import (
    KeyErased,
    LastWayIn,
    PassphraseTooShort,
    PodLocked,
    WrongPassphrase,
    WrongRecoveryCode,
)
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from pod_server.vault.scope_keys import mark_with
from pod_server.vault.vault import (
    host_mark_key,
    public_vault,
    unlock_with_custodian,
    unlock_with_passphrase,
    unlock_with_recovery_code,
    unlock_with_root,
)

OLD, NEW = "fire ord om katten", "fem andre ord om hunden"
PLACE, CHEAP = Place("document", b"x", 1), Argon2Cost(64, 1, 1)


def by_passphrase(house, words):
    return unlock_with_passphrase(house.host_key, house.key_store, 7, Passphrase(words), derivation=house.derivation)


def test_after_a_change_only_the_new_passphrase_opens_and_other_ways_stand(house):
    new = house.vault(passphrase=OLD)
    rotation.change_passphrase(house.key_store, new.vault, Passphrase(NEW), cost=CHEAP, derivation=house.derivation)
    assert by_passphrase(house, NEW).root_key == new.vault.root_key
    with pytest.raises(WrongPassphrase):
        by_passphrase(house, OLD)
    assert unlock_with_recovery_code(house.host_key, house.key_store, 7, new.recovery_code)
    with pytest.raises(PassphraseTooShort):
        rotation.change_passphrase(house.key_store, new.vault, Passphrase("kort"), derivation=house.derivation)
    assert by_passphrase(house, NEW)


def test_a_new_recovery_code_ends_the_old_one(house):
    new = house.vault()
    code = rotation.renew_recovery_code(house.key_store, new.vault)
    assert unlock_with_recovery_code(house.host_key, house.key_store, 7, code).root_key == new.vault.root_key
    with pytest.raises(WrongRecoveryCode):
        unlock_with_recovery_code(house.host_key, house.key_store, 7, new.recovery_code)


def locked_house(house):
    new = house.vault(passphrase=OLD)
    grant, gone = Scope("grant", "g-1", 1), Scope("grant", "g-2", 1)
    new.vault.create_scope(grant)
    new.vault.create_scope(gone)
    new.vault.destroy_scope(gone)
    sealed = {scope: new.vault.seal(scope, PLACE, b"x") for scope in (OWN, PUBLIC, LOG, grant)}
    return new, locked_by(house, new.vault, NEW), sealed


def locked_by(house, vault, words, **options):
    return rotation.renew_keys(
        house.host_key,
        house.key_store,
        vault,
        None if words is None else Passphrase(words),
        **{"custodian": False, "cost": CHEAP, "derivation": house.derivation, **options},
    )


def test_a_locked_pod_opens_by_its_new_passphrase_and_code_alone(house):
    new, locked, sealed = locked_house(house)
    for vault in (
        by_passphrase(house, NEW),
        locked.vault,
        unlock_with_recovery_code(house.host_key, house.key_store, 7, locked.recovery_code),
    ):
        assert all(vault.open(scope, PLACE, body) == b"x" for scope, body in sealed.items())
        assert not vault.has_scope(Scope("grant", "g-2", 1))
    for refused, error in (
        (lambda: unlock_with_custodian(house.host_key, house.key_store, 7), PodLocked),
        (lambda: by_passphrase(house, OLD), WrongPassphrase),
        (lambda: unlock_with_recovery_code(house.host_key, house.key_store, 7, new.recovery_code), WrongRecoveryCode),
        (lambda: unlock_with_root(house.host_key, house.key_store, 7, new.vault.root_key), PodLocked),
    ):
        with pytest.raises(error):
            refused()
    assert public_vault(house.host_key, house.key_store, 7).open(PUBLIC, PLACE, sealed[PUBLIC]) == b"x"


def test_a_vault_opened_before_the_lock_can_make_no_key_that_would_be_lost(house):
    new, locked, _ = locked_house(house)
    with pytest.raises(PodLocked):
        new.vault.create_scope(Scope("grant", "g-3", 1))
    assert not locked.vault.has_scope(Scope("grant", "g-3", 1))
    for refused in (
        lambda: rotation.renew_recovery_code(house.key_store, new.vault),
        lambda: rotation.leave_open(house.host_key, house.key_store, new.vault),
        lambda: locked_by(house, new.vault, OLD),
    ):
        with pytest.raises(PodLocked):
            refused()
    assert by_passphrase(house, NEW)


def test_the_old_slots_and_wrapped_secrets_are_in_none_of_the_files(house):
    new = house.vault(passphrase=OLD)
    old = house.stored()
    assert len(old) > 7
    locked_by(house, new.vault, NEW)
    left = b"".join(path.read_bytes() for path in (house.folder / "keys").glob("keys.sqlite*"))
    assert not any(secret in left for secret in old)


def test_a_pod_is_left_open_again(house):
    _, locked, sealed = locked_house(house)
    rotation.leave_open(house.host_key, house.key_store, locked.vault)
    assert unlock_with_custodian(house.host_key, house.key_store, 7).open(OWN, PLACE, sealed[OWN]) == b"x"


def test_the_public_vault_changes_nothing(house):
    house.vault()
    public = public_vault(house.host_key, house.key_store, 7)
    with pytest.raises(PodLocked):
        rotation.leave_open(house.host_key, house.key_store, public)
    with pytest.raises(PodLocked):
        rotation.renew_recovery_code(house.key_store, public)


def test_new_keys_begin_a_new_epoch_of_every_scope_that_data_lies_under(house):
    new, locked, _ = locked_house(house)
    assert set(locked.vault.newest_scopes()) == {
        Scope("own", "", 2),
        Scope("figures", "", 2),
        Scope("log", "", 2),
        Scope("grant", "g-1", 2),  # not g-2: its key was destroyed, and never comes back
    }
    again = locked_by(house, locked.vault, NEW).vault
    assert {scope.epoch for scope in again.newest_scopes()} == {3}
    assert again.inbox(Scope("log", "", 3)).public_key != new.vault.inbox(LOG).public_key


def test_an_old_copy_of_the_key_store_with_the_host_key_opens_nothing_of_the_new_epochs(house):
    new, locked, _ = locked_house(house)
    sealed = {scope: locked.vault.seal(scope, PLACE, b"x") for scope in locked.vault.newest_scopes()}
    stolen = new.vault  # has the old root key, and every secret that the old copy held
    for scope, body in sealed.items():
        with pytest.raises((PodLocked, KeyErased)):
            stolen.open(scope, PLACE, body)


def test_a_pod_that_stays_open_goes_on_through_its_custodian_slot(house):
    """Whoever has a vault of the old root key in hand: through the slot it goes on, a session ends."""
    new = house.vault(passphrase=OLD)
    through_the_slot = unlock_with_custodian(house.host_key, house.key_store, 7)
    renewed = locked_by(house, new.vault, None, custodian=True)
    scope = Scope("own", "", 2)
    assert through_the_slot.open(scope, PLACE, renewed.vault.seal(scope, PLACE, b"x")) == b"x"
    through_the_slot.create_scope(Scope("grant", "g-9", 1))
    assert renewed.vault.has_scope(Scope("grant", "g-9", 1))
    with pytest.raises(PodLocked):
        new.vault.keys(scope)


def test_signing_and_mark_keys_stay_when_everything_else_is_new(house):
    new = house.vault(passphrase=OLD)
    new.vault.create_grant("g-1")
    marked, seed = new.vault.mark("g-1", 1, "urn:r:1"), new.vault.signing_seed("g-1")
    locked = locked_by(house, new.vault, NEW).vault
    assert locked.mark("g-1", 2, "urn:r:1") == marked
    assert locked.signing_seed("g-1") == seed != locked.signing_seed("g-2")
    held = host_mark_key(house.host_key, house.key_store, 7, "g-1")
    assert mark_with(held, "urn:r:1") == marked
    house.key_store.destroy_grant(7, "g-1")
    assert host_mark_key(house.host_key, house.key_store, 7, "g-1") is None


def test_the_mark_key_of_a_grant_from_before_there_were_mark_keys_is_kept_when_keys_are_renewed(house):
    new = house.vault(passphrase=OLD)
    new.vault.create_scope(Scope("grant", "g-1", 1))
    marked = new.vault.mark("g-1", 1, "urn:r:1")
    assert locked_by(house, new.vault, NEW).vault.mark("g-1", 2, "urn:r:1") == marked


def test_no_slot_is_dropped_that_would_leave_a_piece_of_paper_alone(house):
    new = house.vault(passphrase=OLD)
    assert rotation.remove_slot(house.key_store, new.vault, "passphrase")
    with pytest.raises(LastWayIn):
        rotation.remove_slot(house.key_store, new.vault, "custodian")
    with pytest.raises(LastWayIn):
        locked_by(house, new.vault, None)
    assert unlock_with_custodian(house.host_key, house.key_store, 7)

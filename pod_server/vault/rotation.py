"""Changing the ways in: a new passphrase, a new recovery code, new keys for everything, locking, and leaving open.

A new passphrase or code seals the same root key anew. `renew_keys` makes a **new** root key and a new epoch of every
scope: an old copy of the key store holds the old custodian slot, and with it the old root key, which must open nothing
that is sealed from now on. What was sealed before is sealed again in the background (pod_server/resealing.py), and the
old epochs' keys are destroyed some time after that. Locking is `renew_keys` without a custodian slot.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pod_server.vault import recovery_code as recovery_codes
from pod_server.vault import slots as slots_of
from pod_server.vault.envelope import SECRET_BYTES
from pod_server.vault.errors import LastWayIn
from pod_server.vault.key_derivation import SHARED, Argon2Cost, KeyDerivation, Passphrase
from pod_server.vault.scope_keys import unwrap_secret, wrap_secret
from pod_server.vault.vault import HOST_HELD, Vault, newest_scopes, wrapping_key

if TYPE_CHECKING:
    from pod_server.vault.host_key import HostKey
    from pod_server.vault.key_store import KeyStore
    from pod_server.vault.randomness import RandomBytes
    from pod_server.vault.slots import SlotKind


class RenewedVault(NamedTuple):
    """A vault under a new root key.

    Attributes:
        recovery_code: The new one, shown once; the old one opens nothing.
        vault: Open.
    """

    recovery_code: str
    vault: Vault


def change_passphrase(
    key_store: KeyStore,
    vault: Vault,
    passphrase: Passphrase,
    *,
    random: RandomBytes = os.urandom,
    cost: Argon2Cost | None = None,
    derivation: KeyDerivation = SHARED,
) -> None:
    """Put a new passphrase in place of the old one, whose slot is destroyed.

    Raises:
        PassphraseTooShort, PassphraseTooLong: fewer than eight characters, or over 4096 bytes; the old one stands.
        SignInBusy: no room in the deriving process; the old one stands.
        PodLocked: the vault is not open, or its root key is not the pod's any more.
    """
    slot = slots_of.passphrase_slot(
        vault.pod_id, vault.root_key, passphrase, random, cost=cost or Argon2Cost(), derivation=derivation
    )
    with key_store.batch():
        vault.require_current_root()
        key_store.put_slot(vault.pod_id, slot)


def renew_recovery_code(key_store: KeyStore, vault: Vault, *, random: RandomBytes = os.urandom) -> str:
    """A new recovery code, shown once; the old one opens nothing from now on.

    Raises:
        PodLocked: the vault is not open, or its root key is not the pod's any more.
    """
    code = recovery_codes.new(random)
    with key_store.batch():
        vault.require_current_root()
        key_store.put_slot(vault.pod_id, slots_of.recovery_slot(vault.pod_id, vault.root_key, code, random))
    return code


def renew_keys(
    host_key: HostKey,
    key_store: KeyStore,
    vault: Vault,
    passphrase: Passphrase | None,
    *,
    custodian: bool,
    random: RandomBytes = os.urandom,
    cost: Argon2Cost | None = None,
    derivation: KeyDerivation = SHARED,
) -> RenewedVault:
    """Give a pod a new root key and every scope a new epoch; slots, sessions and vaults of the old root key end.

    One commit of the key store: before it everything stands as it was, after it the old root key opens nothing.

    Args:
        host_key: The host's.
        key_store: The host's.
        vault: Open.
        passphrase: What will open the pod. None leaves it without a passphrase: for a pod that keeps its custodian slot.
        custodian: Whether the host gets a custodian slot; False locks the pod.
        random: Draws the new keys.
        cost: Argon2id's.
        derivation: The process that derives.

    Raises:
        PassphraseTooShort, PassphraseTooLong: fewer than eight characters, or over 4096 bytes; nothing was changed.
        LastWayIn: neither passphrase nor custodian: the pod would hang on the recovery code alone.
        SignInBusy: no room in the deriving process; nothing was changed.
        PodLocked: the vault is not open, or its root key is not the pod's any more.
    """
    if passphrase is None and not custodian:
        raise LastWayIn
    pod_id, root_key = vault.pod_id, random(SECRET_BYTES)
    code = recovery_codes.new(random)
    slots = [slots_of.recovery_slot(pod_id, root_key, code, random)]
    if passphrase is not None:
        cost = cost or Argon2Cost()
        slots.append(slots_of.passphrase_slot(pod_id, root_key, passphrase, random, cost=cost, derivation=derivation))
    if custodian:
        slots.append(slots_of.custodian_slot(pod_id, root_key, host_key, random))
    with key_store.batch():
        vault.require_current_root()
        keyring = key_store.keyring(pod_id)
        for scope in newest_scopes(keyring):
            if scope.kind == "grant":
                # From now on the mark key is no epoch's any more.
                vault.keep_mark_key(scope.grant, scope.epoch)  # type: ignore[arg-type]
        rewrapped = []
        for scope, wrapped in keyring.items():
            if wrapped is None or scope.kind in HOST_HELD:
                continue
            secret = unwrap_secret(wrapping_key(pod_id, scope, vault.root_key, host_key), wrapped)
            rewrapped.append((scope, wrap_secret(wrapping_key(pod_id, scope, root_key, host_key), secret, random)))
        fresh = []
        for scope in newest_scopes(keyring):
            scope = scope._replace(epoch=scope.epoch + 1)  # noqa: PLW2901
            wrapped = wrap_secret(wrapping_key(pod_id, scope, root_key, host_key), random(SECRET_BYTES), random)
            fresh.append((scope, wrapped))
        key_store.replace_root(pod_id, slots, rewrapped, fresh)
    return RenewedVault(code, Vault(pod_id, root_key, host_key, key_store, random))


def leave_open(host_key: HostKey, key_store: KeyStore, vault: Vault, *, random: RandomBytes = os.urandom) -> None:
    """Give the host its custodian slot back: the twin works and partners are served while the citizen is away.

    Raises:
        PodLocked: the vault is not open, or its root key is not the pod's any more.
    """
    with key_store.batch():
        vault.require_current_root()
        key_store.put_slot(vault.pod_id, slots_of.custodian_slot(vault.pod_id, vault.root_key, host_key, random))


def remove_slot(key_store: KeyStore, vault: Vault, kind: SlotKind) -> bool:
    """Drop one way in; True if it was there. The same root key stays behind the others.

    Raises:
        LastWayIn: nothing but a recovery code would be left.
        PodLocked: the vault is not open, or its root key is not the pod's any more.
    """
    with key_store.batch():
        vault.require_current_root()
        left = key_store.slot_kinds(vault.pod_id) - {kind}
        if left <= {"recovery"}:
            raise LastWayIn
        return key_store.remove_slot(vault.pod_id, kind)

"""Slots: the ways to a pod's root key. Each seals the same 32 bytes; removing one leaves the others as they are.

passphrase   Argon2id(passphrase, salt, cost) → slot secret
recovery     the recovery code's 128 bits, HKDF-Extract with the salt → slot secret
custodian    sealed to the host key; there while the pod is open
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Literal, NamedTuple

from pod_server.vault import recovery_code
from pod_server.vault.envelope import EnvelopeKey, Place, Scope
from pod_server.vault.errors import HostKeyMismatch, Tampered, WrongPassphrase, WrongRecoveryCode
from pod_server.vault.key_derivation import SHARED, Argon2Cost, KeyDerivation, Passphrase

if TYPE_CHECKING:
    from pod_server.identifiers import PodId
    from pod_server.vault.host_key import HostKey
    from pod_server.vault.randomness import RandomBytes

SlotKind = Literal["passphrase", "recovery", "custodian"]
SALT_BYTES = 16
_SLOT = Scope("slot")
_RECOVERY_PARAMETERS = "hkdf-sha256"


class Slot(NamedTuple):
    """One slot as it is stored.

    Attributes:
        kind: Which way in it is.
        parameters: How its key is made, in words that are part of what is authenticated.
        salt: 16 bytes; empty for the custodian.
        sealed: The root key in an envelope.
    """

    kind: SlotKind
    parameters: str
    salt: bytes
    sealed: bytes


def _place(kind: SlotKind, parameters: str) -> Place:
    return Place("slot", f"{kind} {parameters}".encode())


def passphrase_slot(
    pod_id: PodId,
    root_key: bytes,
    passphrase: Passphrase,
    random: RandomBytes,
    *,
    cost: Argon2Cost,
    derivation: KeyDerivation = SHARED,
) -> Slot:
    """Seal the root key under a passphrase.

    Raises:
        PassphraseTooShort, PassphraseTooLong: fewer than eight characters, or over 4096 bytes.
        SignInBusy: no room in the deriving process.
    """
    passphrase.require_length()
    salt, parameters = random(SALT_BYTES), cost.encoded()
    key = EnvelopeKey(derivation.derive(passphrase, salt, cost), pod_id, _SLOT)
    return Slot("passphrase", parameters, salt, key.seal(_place("passphrase", parameters), root_key, random))


def open_passphrase_slot(
    pod_id: PodId, slot: Slot | None, passphrase: Passphrase, derivation: KeyDerivation = SHARED
) -> bytes:
    """The root key.

    Raises:
        WrongPassphrase: it does not open the slot, or there is none; both take as long.
        SignInBusy: no room in the deriving process.
    """
    if slot is None:
        derivation.derive(passphrase, bytes(SALT_BYTES), Argon2Cost())
        raise WrongPassphrase
    try:
        secret = derivation.derive(passphrase, slot.salt, Argon2Cost.decode(slot.parameters))
        return EnvelopeKey(secret, pod_id, _SLOT).open(_place("passphrase", slot.parameters), slot.sealed)
    except Tampered:
        raise WrongPassphrase from None


def _recovery_secret(entropy: bytes, salt: bytes) -> bytes:
    return hmac.digest(salt, entropy, "sha256")  # HKDF-Extract, RFC 5869 section 2.2; the envelope expands


def recovery_slot(pod_id: PodId, root_key: bytes, code: str, random: RandomBytes) -> Slot:
    """Seal the root key under a recovery code."""
    salt = random(SALT_BYTES)
    key = EnvelopeKey(_recovery_secret(recovery_code.read(code), salt), pod_id, _SLOT)
    sealed = key.seal(_place("recovery", _RECOVERY_PARAMETERS), root_key, random)
    return Slot("recovery", _RECOVERY_PARAMETERS, salt, sealed)


def open_recovery_slot(pod_id: PodId, slot: Slot | None, code: str) -> bytes:
    """The root key.

    Raises:
        RecoveryCodeMistyped: the text is no recovery code.
        WrongRecoveryCode: it does not open the slot, or there is none.
    """
    entropy = recovery_code.read(code)
    if slot is None:
        raise WrongRecoveryCode
    key = EnvelopeKey(_recovery_secret(entropy, slot.salt), pod_id, _SLOT)
    try:
        return key.open(_place("recovery", slot.parameters), slot.sealed)
    except Tampered:
        raise WrongRecoveryCode from None


def custodian_slot(pod_id: PodId, root_key: bytes, host_key: HostKey, random: RandomBytes) -> Slot:
    """Seal the root key to the host."""
    return Slot("custodian", f"host {host_key.fingerprint}", b"", host_key.wrap(pod_id, root_key, random))


def open_custodian_slot(pod_id: PodId, slot: Slot, host_key: HostKey) -> bytes:
    """The root key.

    Raises:
        HostKeyMismatch: sealed to another host key.
        Tampered: the slot was changed, or is another pod's.
    """
    if slot.parameters != f"host {host_key.fingerprint}":
        raise HostKeyMismatch("The pod's custodian slot was sealed to another host key than the one in use.")
    return host_key.unwrap(pod_id, slot.sealed)

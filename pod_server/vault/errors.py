"""What can go wrong in the vault. Messages never hold plaintext, keys or names of things."""

from __future__ import annotations

from pod_server import problems


class VaultError(Exception):
    """The root of the vault's errors."""


class WrongPassphrase(VaultError):
    """The passphrase opens no slot of this pod (or the pod has no passphrase slot: from outside both look alike)."""

    def __init__(self) -> None:
        super().__init__("The passphrase does not open this pod.")


class PassphraseRefused(VaultError):
    """A new passphrase is not taken; what was before stands."""


class PassphraseTooShort(PassphraseRefused):
    """A new passphrase has fewer than the least number of characters."""


class PassphraseTooLong(PassphraseRefused):
    """A new passphrase has more bytes than go into the derivation: what was cut off would protect nothing, unseen."""


class WrongRecoveryCode(VaultError):
    """The recovery code is well formed and opens no slot of this pod."""

    def __init__(self) -> None:
        super().__init__("The recovery code does not open this pod.")


class RecoveryCodeMistyped(VaultError):
    """The text is not a recovery code: a wrong length, sign or checksum."""


class PodLocked(VaultError):
    """The citizen has locked the pod: there is no custodian slot, and nobody has signed in."""

    def __init__(self) -> None:
        super().__init__("The citizen has locked this pod; only they can open it, by signing in.")


class Tampered(VaultError):
    """Sealed bytes do not open: every cause looks the same, on purpose."""

    def __init__(self) -> None:
        super().__init__("The stored data could not be opened.")


class KeyErased(VaultError):
    """The key of a scope was destroyed or never made; nothing under it can be sealed or opened."""

    def __init__(self) -> None:
        super().__init__("The key to this data has been destroyed, so the data can no longer be read.")


class LastWayIn(VaultError):
    """Without this slot the pod would hang on a piece of paper, or on nothing."""

    def __init__(self) -> None:
        super().__init__(
            "This is the last way into the pod but the recovery code. Give the pod a passphrase first, or leave it open."
        )


class VaultExists(VaultError):
    """A vault was to be made for a pod that has one."""


class HostKeyMissing(VaultError):
    """The host key's file is not there, is not readable, or does not hold a host key."""


class HostKeyMismatch(VaultError):
    """A slot or key was sealed to another host key than the one in use."""


class KeyStoreUnavailable(VaultError):
    """The key store could not be read or written (full disk, lock, damage)."""


class KeyStoreFull(KeyStoreUnavailable):
    """There is no room where the key store lies; what was asked for may be asked for again."""

    def __init__(self) -> None:
        super().__init__("The host has no room left for keys. Do it again when the operator has made room.")


class KeyStoreTooNew(VaultError):
    """The key store was written by a newer version of the program."""


class KeyStoreOutdated(VaultError):
    """The data lies under keys that this key store, an older copy, never had."""

    def __init__(self) -> None:
        super().__init__(
            "The key store is older than the data: the pod got new keys since it was copied. The operator must put the "
            "newest copy back; nothing was changed."
        )


class KeyStoreTooOld(VaultError):
    """The key store is a copy from an epoch whose key was destroyed."""


class EpochKeysMissing(VaultError):
    """The folder of epoch keys is empty, damaged, cannot be written, or belongs to another host key's file."""


class EpochKeyDestroyed(VaultError):
    """The key of one epoch is not there any more."""

    def __init__(self, number: int) -> None:
        super().__init__(f"The key of epoch {number} was destroyed.")
        self.number = number


class SignInBusy(VaultError):
    """Too many passphrases are being tried at once; the bounded process has no room."""

    def __init__(self) -> None:
        super().__init__("Many people are signing in just now. Try again in a few seconds.")


problems.declare(WrongPassphrase, "wrong-passphrase", "The passphrase does not open this pod", 403)
problems.declare(PassphraseTooShort, "passphrase-too-short", "The passphrase is too short", 400)
problems.declare(PassphraseTooLong, "passphrase-too-long", "The passphrase is too long", 400)
problems.declare(WrongRecoveryCode, "wrong-recovery-code", "The recovery code does not open this pod", 403)
problems.declare(RecoveryCodeMistyped, "recovery-code-mistyped", "The recovery code is mistyped", 400)
problems.declare(PodLocked, "pod-locked", "The pod is locked", 403)
problems.declare(Tampered, "unreadable-data", "The stored data could not be opened", 500)
problems.declare(KeyErased, "data-erased", "The data has been erased", 410)
problems.declare(HostKeyMismatch, "host-key-mismatch", "The host runs with another key than the pod was sealed to", 500)
problems.declare(KeyStoreUnavailable, "key-store-unavailable", "The key store cannot be used just now", 503)
problems.declare(KeyStoreFull, "storage-full", "The storage is full", 507)
problems.declare(KeyStoreOutdated, "key-store-outdated", "The key store is older than the data", 500)
problems.declare(LastWayIn, "last-way-in", "The pod needs another way in first", 409)
problems.declare(KeyStoreTooOld, "key-store-too-old", "The key store is an old copy that opens nothing any more", 500)
problems.declare(EpochKeysMissing, "epoch-keys-missing", "The host's epoch keys cannot be used", 503)
problems.declare(SignInBusy, "sign-in-busy", "Too many sign-ins at once", 503)

"""A pod's vault, opened: it seals, opens, names and marks under the keys of the pod's scopes.

`create_vault` makes one; `unlock_with_passphrase`, `unlock_with_recovery_code`, `unlock_with_custodian` and
`unlock_with_root` open it; `public_vault` opens the public scope alone, which the host always holds.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pod_server.identifiers import GrantId
from pod_server.vault import recovery_code as recovery_codes
from pod_server.vault import slots as slots_of
from pod_server.vault.envelope import IDENTITY, LOG, OWN, PUBLIC, SECRET_BYTES, EnvelopeKey, Place, Scope, expand
from pod_server.vault.errors import KeyErased, PodLocked, Tampered
from pod_server.vault.key_derivation import SHARED, Argon2Cost, KeyDerivation, Passphrase
from pod_server.vault.scope_keys import MARK_BYTES, ScopeKeys, mark_with, unwrap_secret, wrap_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from pod_server.identifiers import PodId
    from pod_server.vault.host_key import HostKey
    from pod_server.vault.inbox import InboxKey
    from pod_server.vault.key_store import KeyStore
    from pod_server.vault.randomness import RandomBytes
    from pod_server.vault.slots import Slot

FIGURES = Scope("figures")
_FIRST_SCOPES = (PUBLIC, OWN, FIGURES, LOG)
HOST_HELD = frozenset({"public", "marks"})
"""Scopes whose secrets are wrapped by the host's key: what it must do while the citizen is away."""

RENEWED_KINDS = frozenset({"own", "figures", "log", "grant"})
"""What data is sealed under. The citizen's signing keys and the mark keys open nothing and stay."""


class Vault:
    """An open vault. It prints without its keys; two threads may use one.

    A vault remembers the scope keys it has used. A scope destroyed elsewhere is noticed by the next vault that is
    opened, and before that by the grant's state, which storage reads again inside its transaction. When the pod gets a
    new root key, a vault opened through the custodian slot goes on with it; any other ends (`PodLocked`).
    """

    __slots__ = (
        "_host_key",
        "_key_store",
        "_keyring",
        "_mark_keys",
        "_random",
        "_reopen",
        "_root_key",
        "_scopes",
        "pod_id",
    )

    def __init__(
        self,
        pod_id: PodId,
        root_key: bytes | None,
        host_key: HostKey,
        key_store: KeyStore,
        random: RandomBytes = os.urandom,
        *,
        reopen: Callable[[], bytes] | None = None,
    ) -> None:
        self.pod_id = pod_id
        self._reopen = reopen
        self._keyring: tuple[bytes, EnvelopeKey] | None = None
        self._mark_keys: dict[GrantId, bytes] = {}
        self._root_key = root_key
        self._host_key = host_key
        self._key_store = key_store
        self._random = random
        self._scopes: dict[Scope, ScopeKeys] = {}

    def __repr__(self) -> str:
        return f"Vault({self.pod_id}, {'public' if self._root_key is None else 'open'}, ***)"

    @property
    def is_public_only(self) -> bool:
        """True when only the public scope can be used."""
        return self._root_key is None

    @property
    def root_key(self) -> bytes:
        """The 32-byte root key, for a session to wrap and for nothing else.

        Raises:
            PodLocked: this vault opens the public scope alone.
        """
        if self._root_key is None:
            raise PodLocked
        return self._root_key

    # Sealing

    def seal(
        self, scope: Scope, place: Place, plaintext: bytes, *, compress: bool = False, dictionary: str = ""
    ) -> bytes:
        """Seal a body under a scope, bound to its place. See envelope.py for the form.

        Raises:
            KeyErased: the scope's key was destroyed or never made.
            PodLocked: only the public scope is open.
        """
        return self.keys(scope).envelope.seal(place, plaintext, self._random, compress=compress, dictionary=dictionary)

    def open(self, scope: Scope, place: Place, sealed: bytes) -> bytes:
        """Open what was sealed at exactly this place under this scope.

        Raises:
            Tampered: anything differs.
            KeyErased: the scope's key was destroyed or never made.
            PodLocked: only the public scope is open.
        """
        return self.keys(scope).envelope.open(place, sealed)

    def index_name(self, scope: Scope, text: str) -> bytes:
        """16 bytes by which storage finds a name or path of this scope, and which tell nothing."""
        return self.keys(scope).index_name(text)

    def mark(self, grant: GrantId, epoch: int, record_id: str, length: int = MARK_BYTES) -> bytes:
        """The idempotency mark of a record of a grant."""
        return mark_with(self.mark_key(grant, epoch), record_id, length)

    def mark_key(self, grant: GrantId, epoch: int) -> bytes:
        """The key of a grant's idempotency marks, the same in all its epochs.

        Args:
            grant: The grant.
            epoch: The grant's present epoch; of importance only to grants from before mark keys were kept apart.

        Raises:
            KeyErased: the grant was erased.
        """
        known = self._mark_keys.get(grant)
        if known is None:
            known = host_mark_key(self._host_key, self._key_store, self.pod_id, grant)
            if known is None:
                known = self.keys(Scope("grant", grant, epoch)).mark_key
            self._mark_keys[grant] = known
        return known

    def inbox(self, scope: Scope) -> InboxKey:
        """The key pair that others seal to while the pod is locked."""
        return self.keys(scope).inbox

    def signing_seed(self, grant: GrantId) -> bytes:
        """32 bytes from which the citizen's signing key for one grant is made: partners cannot compare theirs."""
        if not self.has_scope(IDENTITY):
            self.create_scope(IDENTITY)
        return self.keys(IDENTITY).signing_seed(grant)

    # Scopes

    def create_grant(self, grant: GrantId) -> None:
        """Make the keys of a new grant: its first epoch, and the key of its marks. Again changes nothing.

        Raises:
            KeyErased, PodLocked: as `create_scope`.
        """
        with self._key_store.batch():
            self.create_scope(Scope("grant", grant, 1))
            self.keep_mark_key(grant, 1)

    def keep_mark_key(self, grant: GrantId, epoch: int) -> None:
        """Leave a grant's mark key with the host, so that it recognises records while the citizen is away."""
        scope = Scope("marks", grant)
        if not self.has_scope(scope):
            wrapped = wrap_secret(self._wrapping_key(scope), self.mark_key(grant, epoch), self._random)
            self._key_store.add_secret(self.pod_id, scope, wrapped)

    def create_scope(self, scope: Scope) -> None:
        """Make a scope's random secret, durably. Again gives the same.

        Raises:
            KeyErased: the scope existed and was destroyed; it never comes back (use the next epoch).
            PodLocked: only the public scope is open.
        """
        secret = self._random(SECRET_BYTES)
        with self._key_store.batch():
            # A root key that was replaced meanwhile must not wrap anything any more.
            self._follow_root()
            wrapped = wrap_secret(self._wrapping_key(scope), secret, self._random)
            if self._key_store.add_secret(self.pod_id, scope, wrapped):
                self._scopes[scope] = ScopeKeys(secret, self.pod_id, scope)
        self.keys(scope)

    def require_current_root(self) -> None:
        """Check that the root key this vault was opened with is still the pod's.

        Raises:
            PodLocked: it is not: the pod was locked meanwhile, or removed.
        """
        if not self._has_current_root():
            raise PodLocked

    def _has_current_root(self) -> bool:
        newest = self._key_store.newest_secret(self.pod_id, "own")
        if newest is None or newest[1] is None:
            return False
        try:
            unwrap_secret(self._wrapping_key(Scope("own", "", newest[0])), newest[1])
        except Tampered:
            return False
        return True

    def _follow_root(self) -> bool:
        """Go on with the pod's new root key, where it was replaced and this vault may; True if it was.

        Raises:
            PodLocked: it was replaced, and this vault was not opened through the custodian slot, or that is gone.
        """
        if self._root_key is None:
            raise PodLocked
        if self._has_current_root():
            return False
        if self._reopen is None:
            raise PodLocked
        self._root_key = self._reopen()
        if not self._has_current_root():
            raise PodLocked
        return True

    def has_scope(self, scope: Scope) -> bool:
        """Whether the scope's key exists now, asked of the key store."""
        return self._key_store.wrapped_secret(self.pod_id, scope) is not None

    def newest_scopes(self) -> list[Scope]:
        """The newest epoch of each scope that data is sealed under, asked of the key store."""
        return newest_scopes(self._key_store.keyring(self.pod_id))

    def destroy_scope(self, scope: Scope) -> bool:
        """Destroy a scope's key for good; True if there was one."""
        self._scopes.pop(scope, None)
        return self._key_store.destroy_scope(self.pod_id, scope)

    def keys(self, scope: Scope) -> ScopeKeys:
        """The keys of a scope.

        Raises:
            KeyErased: destroyed or never made.
            PodLocked: only the public scope is open.
            Tampered: the keyring's entry was changed.
        """
        known = self._scopes.get(scope)
        if known is not None:
            return known
        key = self._wrapping_key(scope)
        wrapped = self._key_store.wrapped_secret(self.pod_id, scope)
        if wrapped is None:
            raise KeyErased
        try:
            secret = unwrap_secret(key, wrapped)
        except Tampered:
            if scope.kind in HOST_HELD or not self._follow_root():
                raise
            secret = unwrap_secret(self._wrapping_key(scope), wrapped)
        keys = self._scopes[scope] = ScopeKeys(secret, self.pod_id, scope)
        return keys

    def knows(self, scope: Scope) -> bool:
        """Whether the scope's keys are in memory: nothing need be asked of the key store."""
        return scope in self._scopes or (scope.kind == "marks" and scope.grant in self._mark_keys)

    def learn(self, scope: Scope, wrapped: bytes) -> None:
        """Take in what the key store was asked for together with other pods' (`KeyStore.wrapped_secrets`).

        What does not open is left alone: whoever needs the scope asks the key store again, and meets the reason there.
        """
        if self.knows(scope):
            return
        try:
            secret = unwrap_secret(self._wrapping_key(scope), wrapped)
        except (Tampered, PodLocked):
            return
        if scope.kind == "marks":
            self._mark_keys[GrantId(scope.grant)] = secret
        else:
            self._scopes[scope] = ScopeKeys(secret, self.pod_id, scope)

    def _wrapping_key(self, scope: Scope) -> EnvelopeKey:
        root_key, known = self._root_key, self._keyring
        if root_key is None or scope.kind in HOST_HELD:
            return wrapping_key(self.pod_id, scope, root_key, self._host_key)
        if known is None or known[0] is not root_key:  # a new root key has another keyring key
            known = self._keyring = root_key, wrapping_key(self.pod_id, scope, root_key, self._host_key)
        return known[1].elsewhere(self.pod_id, scope)


def wrapping_key(pod_id: PodId, scope: Scope, root_key: bytes | None, host_key: HostKey) -> EnvelopeKey:
    """What a scope's secret is wrapped with: the host's key for what the host holds, the keyring key for the others.

    Raises:
        PodLocked: the scope needs a root key and there is none.
    """
    if scope.kind in HOST_HELD:
        return host_key.envelope_key(pod_id, scope)
    if root_key is None:
        raise PodLocked
    return EnvelopeKey(expand(root_key, "keyring"), pod_id, scope)


def host_mark_key(host_key: HostKey, key_store: KeyStore, pod_id: PodId, grant: GrantId) -> bytes | None:
    """The key of a grant's idempotency marks as the host keeps it; None where it keeps none, or the grant was erased.

    Raises:
        Tampered: the entry was changed.
    """
    scope = Scope("marks", grant)
    wrapped = key_store.wrapped_secret(pod_id, scope)
    return None if wrapped is None else unwrap_secret(host_key.envelope_key(pod_id, scope), wrapped)


def newest_scopes(keyring: dict[Scope, bytes | None]) -> list[Scope]:
    """The present epoch of each scope that data is sealed under; an erased grant has none.

    The figures' key is destroyed at each erasure and made again with the next figures: its epochs count on.
    """
    newest: dict[tuple[str, str], Scope] = {}
    for scope in keyring:
        if scope.kind in RENEWED_KINDS:
            place = (scope.kind, scope.grant)
            newest[place] = max(scope, newest.get(place, scope), key=lambda each: each.epoch)
    return sorted(scope for scope in newest.values() if keyring[scope] is not None or scope.kind == "figures")


class NewVault(NamedTuple):
    """A vault just made.

    Attributes:
        recovery_code: Shown to the citizen once, never stored.
        vault: Open.
        log_public_key: 32 bytes; the host keeps it to write the log of a locked pod.
    """

    recovery_code: str
    vault: Vault
    log_public_key: bytes


def create_vault(
    host_key: HostKey,
    key_store: KeyStore,
    pod_id: PodId,
    *,
    passphrase: Passphrase | None = None,
    custodian: bool = True,
    random: RandomBytes = os.urandom,
    cost: Argon2Cost | None = None,
    derivation: KeyDerivation = SHARED,
) -> NewVault:
    """Make a pod's root key, its slots and its first scopes (public, own, figures, log), in one durable commit.

    Args:
        host_key: Seals the custodian slot and the public scope's key.
        key_store: Where slots and keyring go.
        pod_id: The pod's immutable number, 0 to 2^63 - 1.
        passphrase: None for a pod that is opened by custodian or recovery code alone.
        custodian: False makes a locked pod.
        random: Draws every key, salt and nonce.
        cost: Argon2id's cost; the default is 64 MiB, three passes.
        derivation: The process that derives.

    Raises:
        VaultExists: the pod has a vault.
        PassphraseTooShort, PassphraseTooLong: fewer than eight characters, or over 4096 bytes.
        SignInBusy: no room in the deriving process.
        KeyStoreUnavailable: nothing was made.
    """
    root_key = random(SECRET_BYTES)
    code = recovery_codes.new(random)
    slots = [slots_of.recovery_slot(pod_id, root_key, code, random)]
    if passphrase is not None:
        cost = cost or Argon2Cost()
        slots.append(slots_of.passphrase_slot(pod_id, root_key, passphrase, random, cost=cost, derivation=derivation))
    if custodian:
        slots.append(slots_of.custodian_slot(pod_id, root_key, host_key, random))
    vault = Vault(pod_id, root_key, host_key, key_store, random)
    secrets = []
    for scope in _FIRST_SCOPES:
        secret = random(SECRET_BYTES)
        secrets.append((scope, wrap_secret(wrapping_key(pod_id, scope, root_key, host_key), secret, random)))
        vault._scopes[scope] = ScopeKeys(secret, pod_id, scope)  # noqa: SLF001 (the vault's own maker)
    key_store.create(pod_id, slots, secrets)
    return NewVault(code, vault, vault.inbox(LOG).public_key)


def unlock_with_passphrase(
    host_key: HostKey,
    key_store: KeyStore,
    pod_id: PodId,
    passphrase: Passphrase,
    *,
    random: RandomBytes = os.urandom,
    derivation: KeyDerivation = SHARED,
) -> Vault:
    """Open a vault as its citizen. The caller counts the tries.

    Raises:
        WrongPassphrase: it does not open the pod.
        SignInBusy: no room in the deriving process.
    """
    root_key = slots_of.open_passphrase_slot(pod_id, key_store.slot(pod_id, "passphrase"), passphrase, derivation)
    return Vault(pod_id, root_key, host_key, key_store, random)


def unlock_with_recovery_code(
    host_key: HostKey, key_store: KeyStore, pod_id: PodId, code: str, *, random: RandomBytes = os.urandom
) -> Vault:
    """Open a vault by its recovery code.

    Raises:
        RecoveryCodeMistyped: the text is no recovery code.
        WrongRecoveryCode: it does not open the pod.
    """
    root_key = slots_of.open_recovery_slot(pod_id, key_store.slot(pod_id, "recovery"), code)
    return Vault(pod_id, root_key, host_key, key_store, random)


def unlock_with_custodian(
    host_key: HostKey,
    key_store: KeyStore,
    pod_id: PodId,
    *,
    random: RandomBytes = os.urandom,
    slot: Slot | None = None,
) -> Vault:
    """Open a vault as the host may while the citizen leaves it open.

    Args:
        host_key: To which the slot was sealed.
        key_store: Where it is.
        pod_id: Whose.
        random: Draws nonces.
        slot: The custodian slot, where the caller has just read it.

    Raises:
        PodLocked: there is no custodian slot.
        HostKeyMismatch: the slot was sealed to another host key.
        Tampered: the slot was changed.
    """

    def reopen() -> bytes:
        slot = key_store.slot(pod_id, "custodian")
        if slot is None:
            raise PodLocked
        return slots_of.open_custodian_slot(pod_id, slot, host_key)

    root_key = reopen() if slot is None else slots_of.open_custodian_slot(pod_id, slot, host_key)
    return Vault(pod_id, root_key, host_key, key_store, random, reopen=reopen)


def unlock_with_root(
    host_key: HostKey, key_store: KeyStore, pod_id: PodId, root_key: bytes, *, random: RandomBytes = os.urandom
) -> Vault:
    """Open a vault from a session's copy of the root key.

    Raises:
        PodLocked: the root key is not the pod's (any more): the session has ended.
    """
    vault = Vault(pod_id, root_key, host_key, key_store, random)
    vault.require_current_root()
    return vault


def public_vault(host_key: HostKey, key_store: KeyStore, pod_id: PodId, *, random: RandomBytes = os.urandom) -> Vault:
    """Open the public scope alone; everything else raises PodLocked."""
    return Vault(pod_id, None, host_key, key_store, random)

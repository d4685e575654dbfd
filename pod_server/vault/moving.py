"""A vault on its way to another host: what goes along, and what the other host makes of it. docs/vault-format.md, section 10.

The root key stays the same, so the citizen's passphrase and recovery code open the pod there as here, and everything
that is sealed under the keyring goes along as it lies. What this host's own key wraps is wrapped by the other's; the
custodian slot stays behind. All of it travels in chunks (chunks.py) under a secret that is sealed to the root key.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from pod_server.vault import slots as slots_of
from pod_server.vault.chunks import CHUNK_BYTES, PREFIX, SEALED_CHUNK_BYTES, ChunkKey, new_secret
from pod_server.vault.envelope import EnvelopeKey, Place, Scope, expand
from pod_server.vault.errors import Tampered
from pod_server.vault.scope_keys import unwrap_secret, wrap_secret
from pod_server.vault.vault import HOST_HELD, Vault, wrapping_key

if TYPE_CHECKING:
    from pod_server.identifiers import PodId
    from pod_server.vault.host_key import HostKey
    from pod_server.vault.key_derivation import Passphrase
    from pod_server.vault.key_store import KeyStore
    from pod_server.vault.randomness import RandomBytes
    from pod_server.vault.slots import Slot, SlotKind

_MOVE = Scope("move")
_PLACE = Place("move", b"")
TRAVELLING: tuple[SlotKind, ...] = ("passphrase", "recovery")
"""The ways in that are the citizen's own."""


@dataclass(frozen=True)
class MovingSecret:
    """One scope's secret on its way.

    Attributes:
        scope: Which.
        secret: Wrapped under the root key; bare where the host's key wrapped it; None where it was destroyed.
    """

    scope: Scope
    secret: bytes | None


@dataclass(frozen=True)
class MovingVault:
    """The citizen's own ways in and the keyring, on their way."""

    slots: list[Slot]
    secrets: list[MovingSecret]


def slots_to_move(key_store: KeyStore, pod_id: PodId) -> list[Slot]:
    """The citizen's own ways in."""
    found = (key_store.slot(pod_id, kind) for kind in TRAVELLING)
    return [slot for slot in found if slot is not None]


def secrets_to_move(host_key: HostKey, key_store: KeyStore, pod_id: PodId) -> list[MovingSecret]:
    """The keyring. Put it nowhere but into a `MoveWriter`: some of these secrets are bare.

    Raises:
        Tampered: an entry was changed.
    """
    moving = []
    for scope, wrapped in key_store.keyring(pod_id).items():
        secret = wrapped
        if wrapped is not None and scope.kind in HOST_HELD:
            secret = unwrap_secret(wrapping_key(pod_id, scope, None, host_key), wrapped)
        moving.append(MovingSecret(scope, secret))
    return moving


def open_root(pod_id: PodId, slots: list[Slot], *, passphrase: Passphrase | None, recovery_code: str | None) -> bytes:
    """The root key, by one of the citizen's ways in.

    Raises:
        WrongPassphrase, WrongRecoveryCode, RecoveryCodeMistyped: it does not open.
        SignInBusy: no room in the deriving process.
        Tampered: the slot was changed.
    """
    by_kind = {slot.kind: slot for slot in slots}
    if recovery_code is not None:
        return slots_of.open_recovery_slot(pod_id, by_kind.get("recovery"), recovery_code)
    assert passphrase is not None, "one of the two is given"
    return slots_of.open_passphrase_slot(pod_id, by_kind.get("passphrase"), passphrase)


def receive_vault(
    host_key: HostKey,
    key_store: KeyStore,
    pod_id: PodId,
    root_key: bytes,
    arrived: MovingVault,
    *,
    custodian: bool,
    random: RandomBytes = os.urandom,
) -> Vault:
    """Make the vault here, in one durable commit; the vault, open.

    Raises:
        VaultExists: this host has, or had, a vault of this number.
        Tampered: the secrets are not what the root key wrapped.
    """
    kept = [slot for slot in arrived.slots if slot.kind in TRAVELLING]
    if custodian:
        kept.append(slots_of.custodian_slot(pod_id, root_key, host_key, random))
    wrapped: list[tuple[Scope, bytes]] = []
    for each in arrived.secrets:
        if each.secret is None:
            continue
        key = wrapping_key(pod_id, each.scope, root_key, host_key)
        if each.scope.kind in HOST_HELD:
            wrapped.append((each.scope, wrap_secret(key, each.secret, random)))
        else:
            unwrap_secret(key, each.secret)
            wrapped.append((each.scope, each.secret))
    with key_store.batch():
        key_store.forget_tombstones(pod_id)
        key_store.create(pod_id, kept, wrapped)
        key_store.destroy_scopes(pod_id, [each.scope for each in arrived.secrets if each.secret is None])
    return Vault(pod_id, root_key, host_key, key_store, random)


class MoveWriter:
    """Seals a stream of any length, a chunk in memory at a time."""

    def __init__(self, vault: Vault, file: IO[bytes], random: RandomBytes = os.urandom) -> None:
        name, secret = new_secret(random)
        key = EnvelopeKey(expand(vault.root_key, "move"), vault.pod_id, _MOVE)
        self.sealed_secret = key.seal(_PLACE, name + secret, random)
        self._key = ChunkKey(name, secret, vault.pod_id)
        self._file = file
        self._waiting = bytearray()
        self._number = 0

    def begin(self) -> None:
        """Before the first byte."""
        self._file.write(PREFIX)

    def write(self, data: bytes) -> None:
        """Append. A chunk is sealed when more has come, since the last one says that it is the last."""
        self._waiting += data
        while len(self._waiting) > CHUNK_BYTES:
            self._seal(bytes(self._waiting[:CHUNK_BYTES]), last=False)
            del self._waiting[:CHUNK_BYTES]

    def finish(self) -> None:
        """After the last byte."""
        self._seal(bytes(self._waiting), last=True)

    def _seal(self, piece: bytes, *, last: bool) -> None:
        self._file.write(self._key.seal(self._number, piece, last=last))
        self._number += 1


def read_moved(pod_id: PodId, root_key: bytes, sealed_secret: bytes, file: IO[bytes]) -> Iterator[bytes]:
    """The stream again, in pieces; whatever was cut off, changed or moved does not open.

    Raises:
        Tampered: as said; nothing of the chunk is given out.
    """
    opened = EnvelopeKey(expand(root_key, "move"), pod_id, _MOVE).open(_PLACE, sealed_secret)
    key = ChunkKey(opened[:16], opened[16:], pod_id)
    if file.read(len(PREFIX)) != PREFIX:
        raise Tampered
    number, sealed = 0, file.read(SEALED_CHUNK_BYTES)
    while True:
        following = file.read(SEALED_CHUNK_BYTES)
        yield key.open(number, sealed, last=not following)
        if not following:
            return
        number, sealed = number + 1, following

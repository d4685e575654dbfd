"""The keys of one scope, all from one random secret, so that destroying the secret destroys them all."""

from __future__ import annotations

import hmac
from functools import cached_property
from typing import TYPE_CHECKING

from pod_server.vault.envelope import EnvelopeKey, Place, Scope, expand
from pod_server.vault.inbox import InboxKey
from pod_server.vault.keyed_hash import KeyedHash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pod_server.identifiers import PodId
    from pod_server.vault.randomness import RandomBytes

INDEX_NAME_BYTES = 16
MARK_BYTES = 12
_NAMES_REMEMBERED = 256
"""A request asks for the same few names many times; they are forgotten with the keys."""

_KEYRING_PLACE = Place("scope-secret", b"")


def mark_with(mark_key: bytes, record_id: str, length: int = MARK_BYTES) -> bytes:
    """The idempotency mark of a record: a keyed hash, so that marks at rest tell nothing of ids."""
    return hmac.digest(mark_key, record_id.encode(), "sha256")[:length]


def marks_with(mark_key: bytes, record_ids: Iterable[str], length: int = MARK_BYTES) -> list[bytes]:
    """The marks of many records, in their order."""
    return KeyedHash(mark_key).digests([record_id.encode() for record_id in record_ids], length)


class ScopeKeys:
    """Everything the secret of one scope opens."""

    def __init__(self, secret: bytes, pod_id: PodId, scope: Scope) -> None:
        self._secret = secret
        self.envelope = EnvelopeKey(secret, pod_id, scope)
        self._names: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return "ScopeKeys(***)"

    @cached_property
    def mark_key(self) -> bytes:
        """The key of the idempotency marks that a grant begins with; kept as the grant's `marks` entry."""
        return expand(self._secret, "mark")

    @cached_property
    def _index_key(self) -> bytes:
        return expand(self._secret, "index")

    @cached_property
    def inbox(self) -> InboxKey:
        """The key pair others seal to while the pod is locked."""
        return InboxKey(expand(self._secret, "inbox"))

    def signing_seed(self, name: str) -> bytes:
        """32 bytes from which a signing key of this scope is made; another name, another key."""
        return hmac.digest(expand(self._secret, "sign"), name.encode(), "sha256")

    def index_name(self, text: str) -> bytes:
        """16 bytes by which a name or path is found; equal names give equal bytes, and nothing else shows."""
        name = self._names.get(text)
        if name is None:
            if len(self._names) >= _NAMES_REMEMBERED:
                self._names.clear()
            name = self._names[text] = hmac.digest(self._index_key, text.encode(), "sha256")[:INDEX_NAME_BYTES]
        return name


def wrap_secret(key: EnvelopeKey, secret: bytes, random: RandomBytes) -> bytes:
    """A scope's secret, sealed for the keyring; the scope itself is bound by `key`'s scope."""
    return key.seal(_KEYRING_PLACE, secret, random)


def unwrap_secret(key: EnvelopeKey, wrapped: bytes) -> bytes:
    """A scope's secret out of the keyring.

    Raises:
        Tampered: the entry belongs to another pod, scope or root key, or was changed.
    """
    return key.open(_KEYRING_PLACE, wrapped)

"""The host's own key, and the file that opens it.

The **host key** is 256 random bits from which the host's other keys follow by label; it never changes, because partners
know citizens by names that follow from it. It lies in the key store, sealed to the **host key's file**, which can be
exchanged (`host_key_rotation.py`) and which also seals the epoch keys. A file of the first version holds the host key
itself, until the first exchange.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import os
from typing import TYPE_CHECKING

from pod_server.storage.copying import make_folder
from pod_server.vault.envelope import EnvelopeKey, Place, Scope
from pod_server.vault.errors import HostKeyMismatch, HostKeyMissing, Tampered

if TYPE_CHECKING:
    from pathlib import Path

    from pod_server.identifiers import PodId
    from pod_server.vault.key_store import KeyStore
    from pod_server.vault.randomness import RandomBytes

_PREFIXES = {1: "tvilling-host-key-v1 ", 2: "tvilling-host-key-v2 "}
_KEY_BYTES = 32


def _derive(secret: bytes, label: str, length: int) -> bytes:
    if not 1 <= length <= 255 * 32:
        raise ValueError("HKDF gives 1 to 8160 bytes")
    information = b"tvilling host v1 " + label.encode()
    block, output, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.digest(secret, block + information + bytes((counter,)), "sha256")
        output += block
        counter += 1
    return output[:length]


class HostKey:
    """The host key. It prints as `***`; nothing outside this module sees its bytes.

    Attributes:
        fingerprint: 16 hexadecimal digits that name the key without telling it; written into custodian slots.
    """

    __slots__ = ("_envelope_keys", "_secret", "fingerprint")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _KEY_BYTES:
            raise ValueError("a host key is 32 bytes")
        self._secret = secret
        self._envelope_keys: dict[str, EnvelopeKey] = {}
        self.fingerprint = self.derive("fingerprint", 8).hex()

    def __repr__(self) -> str:
        return f"HostKey(*** {self.fingerprint})"

    def derive(self, label: str, length: int = 32) -> bytes:
        """A key for one use, by HKDF-Expand with SHA-256 (RFC 5869); labels never change their meaning.

        Args:
            label: What the key is for, `issuer signing`, `cookie`, `pairwise subject`, …
            length: 1 to 8160 bytes.
        """
        return _derive(self._secret, label, length)

    def envelope_key(self, pod_id: PodId, scope: Scope) -> EnvelopeKey:
        """The host's key for one thing it holds of a pod: the custodian slot, the public scope's key."""
        return self.envelope_key_for(f"pod {scope.kind}", pod_id, scope)

    def envelope_key_for(self, label: str, pod_id: PodId, scope: Scope) -> EnvelopeKey:
        """An envelope key of `derive(label)`; there are few labels, and each one's keys are made once."""
        of_label = self._envelope_keys.get(label)
        if of_label is None:
            of_label = self._envelope_keys[label] = EnvelopeKey(self.derive(label), pod_id, scope)
        return of_label.elsewhere(pod_id, scope)

    def wrap(self, pod_id: PodId, root_key: bytes, random: RandomBytes = os.urandom) -> bytes:
        """Seal a pod's root key to this host: the custodian slot."""
        return self.envelope_key(pod_id, _CUSTODIAN).seal(_CUSTODIAN_PLACE, root_key, random)

    def unwrap(self, pod_id: PodId, sealed: bytes) -> bytes:
        """Open a custodian slot.

        Raises:
            Tampered: not sealed to this host key for this pod.
        """
        return self.envelope_key(pod_id, _CUSTODIAN).open(_CUSTODIAN_PLACE, sealed)


_CUSTODIAN = Scope("slot")
_CUSTODIAN_PLACE = Place("slot", b"custodian")
_OF_THE_HOST: PodId = 0  # type: ignore[assignment] # no pod's: pods' numbers are random
_HOST_SCOPE = Scope("host")
_HOST_PLACE = Place("host-key", b"")


class HostKeyFile:
    """What the host key's file holds. It prints as `***`.

    Attributes:
        path: Where it lies.
        fingerprint: 16 hexadecimal digits that name this file's secret.
    """

    __slots__ = ("_secret", "_version", "fingerprint", "path")

    def __init__(self, path: Path, secret: bytes, version: int = 2) -> None:
        if len(secret) != _KEY_BYTES:
            raise ValueError("a host key is 32 bytes")
        self.path = path
        self._secret, self._version = secret, version
        self.fingerprint = _derive(secret, "fingerprint", 8).hex()

    def __repr__(self) -> str:
        return f"HostKeyFile(*** {self.fingerprint})"

    @staticmethod
    def load(path: Path) -> HostKeyFile:
        """Read the file: one line, `tvilling-host-key-v2 ` and 44 characters of base64.

        Raises:
            HostKeyMissing: no such file, not readable, or not a host key.
        """
        try:
            text = path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise HostKeyMissing("The host key's file cannot be read.") from error
        for version, prefix in _PREFIXES.items():
            if text.startswith(prefix):
                try:
                    return HostKeyFile(path, base64.b64decode(text[len(prefix) :].strip(), validate=True), version)
                except (binascii.Error, ValueError) as error:
                    raise HostKeyMissing("The host key's file is damaged.") from error
        raise HostKeyMissing("The host key's file does not hold a host key (it begins with tvilling-host-key-v).")

    @staticmethod
    def load_or_create(path: Path, *, random: RandomBytes = os.urandom) -> HostKeyFile:
        """Read the file, or make it (mode 0600, whole or not at all, one winner among processes).

        Raises:
            HostKeyMissing: the file is there and is no host key, or cannot be made.
        """
        if path.exists():
            return HostKeyFile.load(path)
        secret = random(_KEY_BYTES)
        draft = path.with_name(f".{path.name}.{random(8).hex()}")
        try:
            make_folder(path.parent)
            try:
                write_durably(draft, _PREFIXES[2] + base64.b64encode(secret).decode() + "\n")
                with contextlib.suppress(FileExistsError):  # another process was first; its key is the host's
                    os.link(draft, path)
                sync_folder_of(path)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise HostKeyMissing("The host key's file cannot be made.") from error
        return HostKeyFile.load(path)

    @property
    def is_the_host_key(self) -> bool:
        """Whether the file is of the first version, whose secret is the host key itself."""
        return self._version == 1

    def seal_host_key(self, host_key: HostKey, random: RandomBytes = os.urandom) -> bytes:
        """The host key, sealed to this file, for the key store."""
        return self.envelope_key("host key", _HOST_SCOPE).seal(_HOST_PLACE, host_key._secret, random)  # noqa: SLF001

    def open_host_key(self, sealed: bytes) -> HostKey:
        """The host key out of the key store.

        Raises:
            HostKeyMismatch: it was not sealed to this file, or was changed.
        """
        try:
            return HostKey(self.envelope_key("host key", _HOST_SCOPE).open(_HOST_PLACE, sealed))
        except Tampered:
            raise HostKeyMismatch("The host key in the key store does not open with the host key's file.") from None

    def first_host_key(self, random: RandomBytes = os.urandom) -> HostKey:
        """The host key of a host that has none yet: a file of the first version is its own."""
        return HostKey(self._secret if self.is_the_host_key else random(_KEY_BYTES))

    def envelope_key(self, label: str, scope: Scope) -> EnvelopeKey:
        """A key of this file for one thing of the host's: `host key`, `epoch key`."""
        return EnvelopeKey(_derive(self._secret, f"file {label}", _KEY_BYTES), _OF_THE_HOST, scope)


def open_host_key(file: HostKeyFile, key_store: KeyStore, *, create: bool = True) -> HostKey:
    """The host key out of the key store; made with a key store that is new.

    Args:
        file: The host key's file.
        key_store: Where the host key lies, sealed to the file.
        create: False where somebody only looks.

    Raises:
        HostKeyMismatch: the key store was made with another file.
    """
    sealed = key_store.host_key(file.fingerprint)
    if sealed is not None:
        return file.open_host_key(sealed)
    host_key = file.first_host_key()
    custodian = f"host {host_key.fingerprint}"
    fits = file.is_the_host_key and key_store.custodians() <= {custodian}
    if key_store.host_key_files() or not (fits or key_store.is_empty()):
        raise HostKeyMismatch(
            "The key store was made with another host key than the one in use; name the right file with --host-key."
        )
    if not create:
        return host_key
    # Of several processes that start at once, one is first; all of them take what it put there.
    key_store.add_first_host_key(file.fingerprint, file.seal_host_key(host_key))
    sealed = key_store.host_key(file.fingerprint)
    if sealed is None:
        raise HostKeyMismatch("Another process made this key store with another host key's file.")
    return file.open_host_key(sealed)


def write_durably(path: Path, text: str) -> None:
    """Make a file of keys (mode 0600) and sync it; it must not be there yet."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder_of(path: Path) -> None:
    """Make what was renamed, linked or removed beside `path` durable."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""A new file of the host key in place of the old one, while everything runs.

The host key itself stays: partners know citizens by names that follow from it. What changes is what opens it, and what
seals the epoch keys:

    1. make     the next file, beside the present one, durably
    2. seal     every epoch key, and the host key in the key store, to both files
    3. exchange the next file takes the present one's name: the point of no return
    4. end      epoch keys and host key are sealed to the new file alone; the old file's bytes are overwritten

After a crash before 3 the present file opens everything, and the next call goes on with the same next file. After a
crash at 4 the new one does, and `finish` does the rest. Running processes need not be told: they hold the host key, and
read the file again when an epoch key asks for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pod_server.vault.epoch_keys import next_host_key_path
from pod_server.vault.errors import HostKeyMissing
from pod_server.vault.host_key import HostKeyFile, open_host_key, sync_folder_of

if TYPE_CHECKING:
    from pathlib import Path

    from pod_server.vault.epoch_keys import EpochKeys
    from pod_server.vault.key_store import KeyStore
    from pod_server.vault.randomness import RandomBytes


def rotate(path: Path, key_store: KeyStore, epoch_keys: EpochKeys, *, random: RandomBytes = os.urandom) -> HostKeyFile:
    """Exchange the host key's file; returns the new one.

    Args:
        path: Where the file lies.
        key_store: The host's.
        epoch_keys: The host's.
        random: Draws the new file's secret.

    Raises:
        HostKeyMissing: the file is not there, or its folder cannot be written.
        HostKeyMismatch: the file does not open the key store.
        EpochKeysMissing: an epoch key does not open, or the folder cannot be written.
        KeyStoreUnavailable: the key store cannot be written.
    """
    with epoch_keys.alone():
        present = HostKeyFile.load(path)
        host_key = open_host_key(present, key_store)
        following = HostKeyFile.load_or_create(next_host_key_path(path), random=random)
        epoch_keys.seal_to([present, following])
        key_store.add_host_key(following.fingerprint, following.seal_host_key(host_key, random))
        _exchange(path)
        exchanged = HostKeyFile.load(path)
        _end(exchanged, key_store, epoch_keys)
    return exchanged


def finish(path: Path, key_store: KeyStore, epoch_keys: EpochKeys) -> bool:
    """End an exchange that a crash cut off after its point of no return; True if there was one.

    Raises:
        HostKeyMissing, HostKeyMismatch, EpochKeysMissing, KeyStoreUnavailable: as `rotate`.
    """
    with epoch_keys.alone():
        if next_host_key_path(path).exists() or len(key_store.host_key_files()) < 2:
            return False
        file = HostKeyFile.load(path)
        open_host_key(file, key_store, create=False)
        _end(file, key_store, epoch_keys)
    return True


def _exchange(path: Path) -> None:
    try:
        with path.open("r+b") as old:
            next_host_key_path(path).replace(path)
            sync_folder_of(path)
            # The old file has no name any more; what it held goes with it.
            old.write(bytes(os.fstat(old.fileno()).st_size))
            old.flush()
            os.fsync(old.fileno())
    except OSError as error:
        raise HostKeyMissing("The host key's file cannot be exchanged: see that it can be written.") from error


def _end(file: HostKeyFile, key_store: KeyStore, epoch_keys: EpochKeys) -> None:
    epoch_keys.seal_to([file])
    key_store.keep_host_key_of(file.fingerprint)

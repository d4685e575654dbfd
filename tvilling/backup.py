"""`tvilling backup`: a consistent copy of a host's data and keys, taken while it runs.

    DIR/data/tvilling.sqlite          the database, sealed as it is
    DIR/data/binaries/…               large binaries, sealed as they are, and binaries.txt, which lists them
    DIR/keys/keys.sqlite              slots and keyrings, under the host's epoch key: opens nothing after 30 days
    DIR/keys/privacy-budget.jsonl     the account of the privacy budget, where there is one
    DIR/keys/host.key                 with --with-host-key alone, and then also
    DIR/keys/epochs/epoch-*.key       the newest epoch's key: such a backup is to be deleted after 30 days
    DIR/backup.json                   what the files must hash to; written last, so that without it nothing was finished

The data are copied first and the keys after them: keys may be newer than data, never older (docs/vault-format.md, 5).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pod_server.storage import engine_copies
from pod_server.storage.copying import copy_database, make_folder, sync_folder
from pod_server.storage.schema_version import SCHEMA_VERSION
from pod_server.vault import key_store_postgresql
from pod_server.vault.epoch_keys import COPIES_DIE_AFTER, epoch_key_name
from pod_server.vault.host_key import HostKeyFile
from research_views.budget import ACCOUNT_FILE
from tvilling import binary_copies
from tvilling.app import epoch_keys_folder, epoch_keys_of, host_key_path
from tvilling.data_folder import DATABASE_FILE
from tvilling.errors import BackupError

if TYPE_CHECKING:
    from pathlib import Path

    from pod_server.host import Host
    from tvilling.settings import Settings

FORMAT = "tvilling-backup-1"
MANIFEST = "backup.json"
DATABASE = f"data/{DATABASE_FILE}"
KEY_STORE = "keys/keys.sqlite"
ACCOUNT = f"keys/{ACCOUNT_FILE}"
HOST_KEY = "keys/host.key"
EPOCH_KEYS = "keys/epochs"

KEEP_KEYS_DAYS = COPIES_DIE_AFTER.days
"""N of docs/vault-format.md: no copy of the key store opens when it is older, unless its epoch key was copied too."""


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        taken: When, ISO 8601, real time.
        base_url: Of the host it was taken of.
        host_key: The fingerprint of the host key that opens its custodian slots.
        files: Size in bytes and SHA-256 (hexadecimal) of each file.
        digest: SHA-256 of the manifest itself.
    """

    taken: str
    base_url: str
    host_key: str
    files: dict[str, tuple[int, str]]
    digest: str


def take_backup(host: Host, settings: Settings, folder: Path, *, with_host_key: bool) -> Manifest:
    """Copy a host's data and keys to `folder`, which is empty or holds an earlier backup.

    Raises:
        BackupError: the folder holds something else, or is the data folder's own.
        StorageFull: there was no room; an earlier backup there may be gone.
    """
    _check_place(settings, folder)
    for part in (folder, folder / "data", folder / "keys"):
        make_folder(part)
        part.chmod(0o700)
    # From here to the end the folder holds no finished backup, and says so.
    (folder / MANIFEST).unlink(missing_ok=True)
    sync_folder(folder)
    taken = host.clock.protocol_now().isoformat()
    with host.binaries.keep():
        # What the copied database names stays until it is copied too.
        copy_data(settings, folder / DATABASE)
        binary_copies.copy_out(host.binaries.folder, folder, binary_copies.named_in(folder / DATABASE))
    copy_keys(settings, folder / KEY_STORE)
    names = [DATABASE, binary_copies.LIST, KEY_STORE]
    # After the key store: its epochs in use are among the newest, or a newer one is there too.
    names += _copy_epoch_keys(settings, folder, wanted=with_host_key)
    # The account is read last: it may know of a release that the database's copy does not, never the other way round.
    for name, source, wanted in (
        (ACCOUNT, settings.data / ACCOUNT, (settings.data / ACCOUNT).exists()),
        (HOST_KEY, host_key_path(settings), with_host_key),
    ):
        if wanted:
            copy_file(source, folder / name)
            names.append(name)
        else:
            (folder / name).unlink(missing_ok=True)
    files = {name: describe_file(folder / name) for name in names}
    members = {
        "format": FORMAT,
        "taken": taken,
        "base_url": settings.base_url,
        "schema_version": SCHEMA_VERSION,
        "host_key": HostKeyFile.load(host_key_path(settings)).fingerprint,
        "files": {name: {"bytes": size, "sha256": digest} for name, (size, digest) in files.items()},
    }
    draft = folder / f".{MANIFEST}.draft"
    draft.write_text(json.dumps(members, indent=1) + "\n", encoding="utf-8")
    copy_file(draft, folder / MANIFEST)
    draft.unlink()
    return read_manifest(folder)


def copy_data(settings: Settings, target: Path) -> None:
    """One snapshot of a host's rows, from whichever engine, as a SQLite file."""
    if settings.database_url is None:
        copy_database(settings.data / DATABASE_FILE, target)
    else:
        engine_copies.copy_out(settings.database_url, target)


def copy_keys(settings: Settings, target: Path) -> None:
    """One snapshot of a host's key store, from wherever it lies, as a SQLite file."""
    if settings.keys_url is None:
        copy_database(settings.data / KEY_STORE, target)
    else:
        key_store_postgresql.copy_out(settings.keys_url, target, epoch_keys_of(settings))


def _copy_epoch_keys(settings: Settings, folder: Path, *, wanted: bool) -> list[str]:
    """Copy the keys of the epochs under which some pod's keys lie, or see to it that none are in the backup."""
    target = folder / EPOCH_KEYS
    shutil.rmtree(target, ignore_errors=True)
    if not wanted:
        return []
    target.mkdir(mode=0o700)
    with closing(sqlite3.connect(f"{(folder / KEY_STORE).absolute().as_uri()}?mode=ro", uri=True)) as copied:
        epochs = [epoch for (epoch,) in copied.execute("SELECT DISTINCT epoch FROM cover ORDER BY epoch")]
    names = []
    for epoch in epochs:
        name = epoch_key_name(epoch)
        copy_file(epoch_keys_folder(settings) / name, target / name)
        names.append(f"{EPOCH_KEYS}/{name}")
    return names


def read_manifest(folder: Path) -> Manifest:
    """What a finished backup says of itself; the files are not looked at.

    Raises:
        BackupError: there is none, or it is not one that this version reads.
    """
    try:
        text = (folder / MANIFEST).read_bytes()
        members: dict[str, Any] = json.loads(text)
        if members["format"] != FORMAT:
            raise BackupError(f"{folder} is a backup of another form: {str(members['format'])[:40]}")
        return Manifest(
            taken=str(members["taken"]),
            base_url=str(members["base_url"]),
            host_key=str(members["host_key"]),
            files={str(name): (int(one["bytes"]), str(one["sha256"])) for name, one in members["files"].items()},
            digest=hashlib.sha256(text).hexdigest(),
        )
    except FileNotFoundError:
        raise BackupError(f"{folder} holds no finished backup: it lacks {MANIFEST}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BackupError(f"{folder}/{MANIFEST} is damaged") from None


def check_file(folder: Path, manifest: Manifest, name: str) -> Path:
    """One of a backup's files, after comparing it with the manifest.

    Raises:
        BackupError: the file is missing, cut short or changed.
    """
    path = folder / name
    if name not in manifest.files or not path.is_file():
        raise BackupError(f"the backup lacks {name}")
    if describe_file(path) != manifest.files[name]:
        raise BackupError(f"{name} is not what the backup's manifest says: it was cut short or changed")
    return path


def copy_file(source: Path, target: Path) -> None:
    """Copy a small file (mode 0600), whole or not at all, and durably."""
    draft = target.with_name(f".{target.name}.copy")
    draft.unlink(missing_ok=True)
    with (
        source.open("rb") as reading,
        os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as writing,
    ):
        shutil.copyfileobj(reading, writing)
        writing.flush()
        os.fsync(writing.fileno())
    draft.replace(target)
    sync_folder(target.parent)


def describe_file(path: Path) -> tuple[int, str]:
    """A file's size in bytes and SHA-256."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return path.stat().st_size, digest


def _check_place(settings: Settings, folder: Path) -> None:
    here, data = folder.resolve(), settings.data.resolve()
    if here == data or data in here.parents or here in data.parents:
        raise BackupError("a backup lies outside the data folder, best on another disk: name another folder")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BackupError(f"{folder} is a file; name a folder")
    foreign = {entry.name for entry in folder.iterdir()} - {"data", "keys", MANIFEST, f".{MANIFEST}.draft"}
    if foreign:
        raise BackupError(f"{folder} holds something else ({min(foreign)}); name an empty folder or an earlier backup")

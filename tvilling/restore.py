"""`tvilling restore`: data of any age and the newest keys, put back so that nothing erased comes back with them.

    1. check      the backup is whole; nobody has the folder open; a host key of the right fingerprint is at hand
    2. stage      database, large binaries, newest key store and longest budget account, copied into a folder of their own
    3. carry over what the replaced database, where it can be read, still knows of consents that changed since
    4. mend       destroyed keys end their grants and pods; sessions and codes of the past are void
    5. sign       a `restored-from` leaf in each log: a restore is told from a rollback
    6. exchange   what was there is moved aside, what was staged gets its place

Until step 6 the folder is as it was; each step can be done again from the beginning.
"""

from __future__ import annotations

import contextlib
import shutil
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pod_server import grants
from pod_server.clock import microseconds
from pod_server.errors import PodError
from pod_server.identifiers import Actor, PodId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.log.restoration import append_restored
from pod_server.pods import list_pods, remove_pod
from pod_server.resealing import KEPT_FOR
from pod_server.storage.copying import copy_database, sync_folder
from pod_server.storage.errors import StorageError
from pod_server.storage.sqlite import SqliteStorage
from pod_server.vault.envelope import Scope
from pod_server.vault.epoch_keys import EpochKeys, is_epoch_key_name
from pod_server.vault.errors import EpochKeysMissing, HostKeyMismatch, HostKeyMissing, KeyStoreTooOld
from pod_server.vault.host_key import HostKeyFile, open_host_key
from pod_server.vault.key_store import KeyStore
from tvilling import binary_copies
from tvilling.app import create_host, epoch_keys_folder, host_key_path
from tvilling.backup import ACCOUNT, DATABASE, EPOCH_KEYS, HOST_KEY, KEY_STORE, check_file, copy_file, read_manifest
from tvilling.data_folder import DATABASE_FILE, migrate_data_folder
from tvilling.errors import RestoreError
from tvilling.in_use import alone, database_alone
from tvilling.moving import servers_in_files

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction
    from tvilling.backup import Manifest
    from tvilling.settings import Settings

OPERATOR = Actor("operator", "", "restore")
BINARIES = "binaries"
_STAGE = "restoring"
_SIDES = ("", "-wal", "-shm")
_LOGS_A_TRANSACTION = 50

_SHORT_LIVED = (
    "session",
    "live_ticket",
    "sign_in_link",
    "pushed_request",
    "authorization_code",
    "app_question",
    "app_code",
    "app_refresh_token",
    "upload",
    "webhook_channel",
    "console_session",
    "console_link",
    "pull",
)
"""Whoever signed out, used a code, or ended an app since the backup was taken must not find it open again; apps ask
their citizens anew. A source's tokens have been replaced since by newer ones: to show an old one again is what thieves
do, and ends them all; citizens connect their sources anew."""

_WAYS_IN = ("passkey", "upstream_link")
"""Ways to sign in that last: taken over from the replaced database, so that one that was removed since stays away; where
that cannot be read, none are left, and citizens sign in with the passphrase and add them anew."""


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Attributes:
        taken: When the backup was taken.
        pods: How many pods there are now.
        key_store: Which key store was used: `present`, or the folder it came from.
        erased_again: Grants of the backup whose keys are destroyed; they are erased now.
        removed_again: Handles of the backup whose citizens were removed since.
        carried_over: Consents whose later state the replaced database still knew; None where it could not be read.
        host_key: Where the host key lies.
        set_aside: Where what was replaced lies now, or None.
    """

    taken: str
    pods: int
    key_store: str
    erased_again: int
    removed_again: tuple[str, ...]
    carried_over: int | None
    host_key: str
    set_aside: str | None


def restore(
    settings: Settings,
    folder: Path,
    *,
    keys: Path | None,
    host_key_file: Path | None,
    epoch_keys: Path | None,
    force: bool,
) -> Restored:
    """Put a backup into the settings' data folder.

    Args:
        settings: Of the folder to restore to.
        folder: The backup.
        keys: Another folder with a key store, newer than the backup's own.
        host_key_file: The host key; otherwise the folder's own, or the one in the backup.
        epoch_keys: A folder with a copy of the epoch keys; otherwise the data folder's own, those beside the host key,
            or those in the backup.
        force: Replace what is in the folder.

    Raises:
        BackupError: the backup is not whole.
        FolderInUse: a server or a command has the folder open.
        RestoreError: the folder is not empty and `force` is not given; no fitting host key; no fitting epoch keys; the
            keys are older than the data; two budget accounts tell different stories.
    """
    with database_alone(settings.database_url), servers_in_files(settings, force=force) as of_the_folder:
        return _restore_folder(
            of_the_folder, folder, keys=keys, host_key_file=host_key_file, epoch_keys=epoch_keys, force=force
        )


def _restore_folder(
    settings: Settings,
    folder: Path,
    *,
    keys: Path | None,
    host_key_file: Path | None,
    epoch_keys: Path | None,
    force: bool,
) -> Restored:
    """As `restore`, where database and key store are files of the data folder."""
    manifest = read_manifest(folder)
    database = check_file(folder, manifest, DATABASE)
    backed_up_keys = _keys_folder(folder, manifest, keys)
    data, folder_of_epochs = settings.data, epoch_keys_folder(settings)
    with alone(settings.run_folder):
        data.chmod(0o700)
        occupied = sorted(entry.name for entry in data.iterdir() if entry.name not in {"run", _STAGE})
        if occupied and not force:
            raise RestoreError(f"{data} is not empty ({occupied[0]}); name a new folder with --data, or add --force")
        host_keys = _host_keys_at_hand(settings, folder, host_key_file)

        stage = data / _STAGE
        shutil.rmtree(stage, ignore_errors=True)
        (stage / "keys").mkdir(parents=True, mode=0o700)
        stage.chmod(0o700)
        copy_database(database, stage / DATABASE_FILE)
        if binary_copies.LIST in manifest.files:
            check_file(folder, manifest, binary_copies.LIST)
            binary_copies.stage_in(folder, data / BINARIES, stage / BINARIES)
        sources = [epoch_keys] if epoch_keys else []
        sources += [folder_of_epochs, *(file.path.parent / "epochs" for file in host_keys), folder / EPOCH_KEYS]
        _stage_epoch_keys(sources, stage / EPOCH_KEYS)
        chosen, host_key = _stage_keys(
            [data / KEY_STORE, backed_up_keys / "keys.sqlite"],
            stage / KEY_STORE,
            host_keys,
            stage / EPOCH_KEYS,
            settings,
        )
        _stage_account([data / ACCOUNT, backed_up_keys / Path(ACCOUNT).name], stage / ACCOUNT)

        staged = replace(
            settings,
            data_folder=str(stage),
            host_key_file=str(host_key),
            epoch_keys_folder=str(stage / EPOCH_KEYS),
        )
        migrate_data_folder(staged)
        host = create_host(staged)
        try:
            _check_keys_cover(host, force=force)
            with closing(host.storage):
                carried_over = _carry_over(host, data / DATABASE_FILE)
                _renew_ways_in(host, data / DATABASE_FILE)
                removed, erased = _mend(host)
                pods = list_pods(host)
                taken = datetime.fromisoformat(manifest.taken)
                for first in range(0, len(pods), _LOGS_A_TRANSACTION):
                    with host.storage.write() as tx:
                        for pod in pods[first : first + _LOGS_A_TRANSACTION]:
                            append_restored(tx, host, pod.pod_id, backup=manifest.digest, taken=taken)
        finally:
            host.key_store.close()
        # Before anything that needs them: a key too many does no harm, and one that is due is destroyed again.
        _stage_epoch_keys([stage / EPOCH_KEYS], folder_of_epochs)
        set_aside = _exchange(data, stage, occupied=bool(occupied))
        lies_at = _keep_host_key(settings, folder, host_key)
    return Restored(
        taken=manifest.taken,
        pods=len(pods),
        key_store="present" if chosen == data / KEY_STORE else str(chosen.parent),
        erased_again=erased,
        removed_again=removed,
        carried_over=carried_over,
        host_key=str(lies_at),
        set_aside=set_aside,
    )


def _keys_folder(folder: Path, manifest: Manifest, keys: Path | None) -> Path:
    """The folder whose key store goes with the backup: the one named, else the backup's own, checked."""
    if keys is None:
        check_file(folder, manifest, KEY_STORE)
        if ACCOUNT in manifest.files:
            check_file(folder, manifest, ACCOUNT)
        return folder / "keys"
    for candidate in (keys, keys / "keys"):
        if (candidate / "keys.sqlite").is_file():
            return candidate
    raise RestoreError(f"{keys} holds no keys.sqlite")


def _host_keys_at_hand(settings: Settings, folder: Path, named: Path | None) -> list[HostKeyFile]:
    """The files of host keys that may open the keys, the likeliest first.

    Raises:
        RestoreError: there is none.
    """
    found = []
    for candidate in [named] if named else [host_key_path(settings), folder / HOST_KEY]:
        try:
            found.append(HostKeyFile.load(candidate))
        except HostKeyMissing:
            continue
    if not found:
        raise RestoreError("no host key is at hand, without which the host opens no pod: name its file with --host-key")
    return found


def _stage_epoch_keys(sources: list[Path], target: Path) -> None:
    """Put every epoch key of the sources into one folder; of two of the same epoch the first source's."""
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for source in sources:
        if not source.is_dir() or source == target:
            continue
        for entry in sorted(source.iterdir()):
            if is_epoch_key_name(entry.name) and not (target / entry.name).exists():
                copy_file(entry, target / entry.name)


def _stage_keys(
    candidates: list[Path], target: Path, host_keys: list[HostKeyFile], epochs: Path, settings: Settings
) -> tuple[Path, Path]:
    """Stage the newest key store, with everything that any of them knows to be destroyed.

    Returns:
        Which it was, and the host key's file that opens it.

    Raises:
        RestoreError: no host key at hand, or not the epoch keys, open it.
    """
    found = [path for path in candidates if path.is_file()]
    scratch = target.with_name("compared.sqlite")

    def opened_copy(path: Path, file: HostKeyFile) -> KeyStore:
        return KeyStore(path, EpochKeys(epochs, file, settings.clock()))

    opened: list[tuple[int, Path, list[tuple[PodId, Scope]]]] = []
    for path in found:
        copy_database(path, scratch)  # opening a store may renew its format: never the original's
        with closing(opened_copy(scratch, host_keys[0])) as store:
            opened.append((store.changes(), path, store.tombstones()))
        for side in _SIDES:
            Path(f"{scratch}{side}").unlink(missing_ok=True)
    # Of two equal ones the one that is there stays: `max` keeps the first.
    _, newest, _ = max(opened, key=lambda one: one[0])
    copy_database(newest, target)
    for file in host_keys:
        with closing(opened_copy(target, file)) as store:
            try:
                open_host_key(file, store, create=False)
            except HostKeyMismatch:
                wanted = ", ".join(sorted(store.host_key_files()))
                continue
            try:
                store.require_epoch_keys()
            except EpochKeysMissing as error:
                raise RestoreError(
                    f"the epoch keys {store.epochs_in_use()} of the key store are not at hand, without which nothing "
                    "opens: name the folder of their copy with --epoch-keys"
                ) from error
            except KeyStoreTooOld as error:
                raise RestoreError(
                    f"{newest} is too old: the key of its epoch was destroyed, so that old copies open nothing. Name a "
                    "newer copy with --keys; if the epoch keys at hand are not the newest, name theirs with --epoch-keys"
                ) from error
            known = set(store.tombstones())
            for _, _, tombstones in opened:
                for pod_id, scope in tombstones:
                    if (pod_id, scope) not in known:
                        store.destroy_scope(pod_id, scope)
        return newest, file.path
    raise RestoreError(
        f"no host key with the fingerprint {wanted} is at hand, without which the host opens no pod: "
        "name its file with --host-key"
    )


def _stage_account(candidates: list[Path], target: Path) -> None:
    """Stage the longest account of the privacy budget: what was spent stays spent.

    Raises:
        RestoreError: the accounts do not continue one another.
    """
    found = sorted((path for path in candidates if path.is_file()), key=lambda path: path.stat().st_size)
    if not found:
        return
    longest = found[-1].read_bytes()
    if any(not longest.startswith(path.read_bytes()) for path in found):
        raise RestoreError("the accounts of the privacy budget here and in the backup tell different stories")
    copy_file(found[-1], target)


def _check_keys_cover(host: Host, *, force: bool) -> None:
    """A key store that is older than the data lacks the keys of newer pods.

    Raises:
        RestoreError: it does, and `force` is not given.
    """
    destroyed = set(host.key_store.tombstones())
    known = {pod_id for pod_id, _ in destroyed} | host.key_store.pods_with_keys()
    with host.storage.read() as tx:
        epochs = tx.all("SELECT pod_id, handle, own_epoch, own_oldest_epoch FROM pod ORDER BY handle")
    missing = [handle for pod_id, handle, epoch, _ in epochs if pod_id not in known or _is_behind(host, pod_id, epoch)]
    if missing and not force:
        raise RestoreError(
            f"the key store is older than the data: it lacks keys of {len(missing)} pods ({missing[0]} …). "
            "Name the newest copy with --keys; with --force those pods stay unreadable"
        )
    alive = host.key_store.pods_with_keys()
    outdated = [
        handle
        for pod_id, handle, _, oldest in epochs
        if (PodId(pod_id), Scope("own", "", oldest)) in destroyed and pod_id in alive
    ]
    if outdated and not force:
        raise RestoreError(
            f"the data is too old for {len(outdated)} pods ({outdated[0]} …): they got new keys since, and the keys that "
            f"this data was sealed under were destroyed {KEPT_FOR.days} days after that. Restore a newer backup; with "
            "--force those pods lose what lies under the old keys"
        )


def _is_behind(host: Host, pod_id: int, own_epoch: int) -> bool:
    newest = host.key_store.newest_epoch(PodId(pod_id), "own")
    return newest is not None and newest[0] < own_epoch


def _carry_over(host: Host, replaced: Path) -> int | None:
    """Take over what the replaced database knows of consents that changed since: a withdrawal is not undone."""
    if not replaced.is_file():
        return None
    try:
        present = SqliteStorage(replaced)
        with closing(present), present.read() as then:
            later = then.all("SELECT pod_id, grant_id, state_version FROM consent")
            with host.storage.write() as tx:
                count = 0
                for pod_id, grant_id, version in later:
                    where = (pod_id, grant_id)
                    held = tx.one("SELECT state_version FROM consent WHERE pod_id = ? AND grant_id = ?", where)
                    if held is None or held[0] >= version:
                        continue
                    for table in ("consent", "consent_event", "consent_receipt"):
                        columns = _columns_of(then, table)
                        rows = then.all(f"SELECT {columns} FROM {table} WHERE pod_id = ? AND grant_id = ?", where)
                        tx.execute(f"DELETE FROM {table} WHERE pod_id = ? AND grant_id = ?", where)
                        marks = ", ".join("?" for _ in columns.split(", "))
                        tx.execute_many(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
                    # The citizen's own copies of the receipts are documents, and those are the backup's.
                    tx.execute("UPDATE consent_receipt SET filed = 0 WHERE pod_id = ? AND grant_id = ?", where)
                    # An erasure that was finished there is not finished here: its rows are back.
                    tx.execute(
                        "UPDATE consent SET erasure_pending = 1 WHERE pod_id = ? AND grant_id = ? AND state = 'erased'",
                        where,
                    )
                    event = LogEvent(at=host.clock.now(), actor=OPERATOR, action="consent-carried-over", grant=grant_id)
                    append_to_log(tx, PodId(pod_id), event)
                    count += 1
                _carry_partners_over(host, tx, then)
                tx.execute_many(
                    "INSERT INTO consent_notice (notice_hash, version, notice, first_answered) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (notice_hash) DO NOTHING",
                    then.all("SELECT notice_hash, version, notice, first_answered FROM consent_notice"),
                )
                tx.execute_many(
                    "INSERT INTO retired_handle (handle, retired, receipt) VALUES (?, ?, ?) "
                    "ON CONFLICT (handle) DO NOTHING",
                    then.all("SELECT handle, retired, receipt FROM retired_handle"),
                )
                tx.execute_many(
                    "UPDATE refresh_token SET revoked_at = ? WHERE token_hash = ? AND revoked_at IS NULL",
                    then.all("SELECT revoked_at, token_hash FROM refresh_token WHERE revoked_at IS NOT NULL"),
                )
    except StorageError:
        return None
    return count


def _carry_partners_over(host: Host, tx: Transaction, then: Transaction) -> None:
    """Partners as the replaced database has them: one that was stopped, or whose key was retired, stays so."""
    alive = host.key_store.pods_with_keys()
    for table in ("partner", "partner_notice", "operator_act", "acting_partner"):
        columns = _columns_of(then, table)
        names = columns.split(", ")
        rows = [list(row) for row in then.all(f"SELECT {columns} FROM {table}")]
        key = {"operator_act": "act_id", "acting_partner": "principal"}.get(table, "client_id")
        if table == "acting_partner":
            tx.execute("DELETE FROM acting_partner")  # leave that was withdrawn since the copy stays withdrawn
        for name in {row[names.index(key)] for row in rows}:
            tx.execute(f"DELETE FROM {table} WHERE {key} = ?", (name,))
        if table == "partner":
            place = names.index("sandbox")
            for row in rows:
                row[place] = row[place] if row[place] in alive else None
        tx.execute_many(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' for _ in names)})", rows)


def _renew_ways_in(host: Host, replaced: Path) -> None:
    """Passkeys as the replaced database has them, or none; its signing keys too, so that a revoked one stays revoked."""
    rows: dict[str, tuple[str, list[Any]]] = {}
    if replaced.is_file():
        with contextlib.suppress(StorageError), closing(SqliteStorage(replaced)) as present, present.read() as then:
            for table in (*_WAYS_IN, "signing_key"):
                columns = _columns_of(then, table)
                rows[table] = (columns, list(then.all(f"SELECT {columns} FROM {table}")))
    with host.storage.write() as tx:
        for table in _WAYS_IN:
            tx.execute(f"DELETE FROM {table}")
        if "signing_key" in rows:
            tx.execute("DELETE FROM signing_key")
        for table, (columns, held) in rows.items():
            marks = ", ".join("?" for _ in columns.split(", "))
            tx.execute_many(f"INSERT INTO {table} ({columns}) VALUES ({marks})", held)


def _columns_of(tx: Transaction, table: str) -> str:
    """A table's columns as SQL lists them; both databases have this program's schema."""
    return ", ".join(row[1] for row in tx.all(f"PRAGMA table_info({table})"))


def _mend(host: Host) -> tuple[tuple[str, ...], int]:
    """Let the data follow the keys: pods without any are removed, grants whose key is destroyed are erased."""
    alive = host.key_store.pods_with_keys()
    destroyed = set(host.key_store.tombstones())
    gone_pods = {pod_id for pod_id, _ in destroyed} - alive
    removed = []
    for pod in list_pods(host):
        if pod.pod_id in gone_pods:
            remove_pod(host, pod.pod_id)
            removed.append(str(pod.handle))
    with host.storage.write() as tx:
        for table in _SHORT_LIVED:
            tx.execute(f"DELETE FROM {table}")
        # A power that was ended since the backup must not come back; a child's age must not be forgotten either.
        tx.execute("UPDATE representation SET state = 'ended' WHERE state IN ('standing', 'offered')")
        # Ended and not forgotten: consents that an app held name it by its connection.
        ended = microseconds(host.clock.protocol_now())
        tx.execute("UPDATE app_connection SET ended_at = ? WHERE ended_at IS NULL", (ended,))
        tx.execute("UPDATE feed SET claimed_by = '', claimed_until = 0")
        for pod_id, state in tx.all("SELECT pod_id, state FROM pod"):
            # Whether a pod is locked is the keys' to say: it may have been locked or opened since the backup.
            present = "open" if "custodian" in host.key_store.slot_kinds(PodId(pod_id)) else "locked"
            if state != present:
                tx.execute("UPDATE pod SET state = ? WHERE pod_id = ?", (present, pod_id))
        held = tx.all("SELECT pod_id, grant_id FROM consent WHERE state NOT IN ('erased', 'refused')")
    erased = 0
    for pod_id, grant_id in held:
        newest = host.key_store.newest_epoch(PodId(pod_id), "grant", grant_id)
        if newest is not None and not newest[1]:  # older epochs' keys are destroyed when a pod gets new ones, too
            try:
                grants.erase(host, PodId(pod_id), grant_id, actor=OPERATOR)
                erased += 1
            except PodError as error:
                raise RestoreError(f"the grant {grant_id} cannot be erased again: {error}") from error
    return tuple(removed), erased + len(grants.resume_erasures(host))


def _exchange(data: Path, stage: Path, *, occupied: bool) -> str | None:
    """Give what was staged its place, and move what was there aside; the key store that was there is not kept."""
    aside = _free_folder(data) if occupied else None
    for side in _SIDES:
        path = data / f"{DATABASE_FILE}{side}"
        if aside is not None and path.exists():
            path.rename(aside / path.name)
    (data / "keys").mkdir(mode=0o700, exist_ok=True)
    for name in (KEY_STORE, ACCOUNT):
        if (stage / name).exists():
            for side in ("-wal", "-shm"):
                (data / f"{name}{side}").unlink(missing_ok=True)
            (stage / name).replace(data / name)
    for folder in (data / "keys", stage):
        sync_folder(folder)
    if aside is not None and (data / BINARIES).exists():
        (data / BINARIES).rename(aside / BINARIES)
    if (stage / BINARIES).exists():
        (stage / BINARIES).rename(data / BINARIES)
    # The database comes last: as long as it is not there, nothing was restored.
    (stage / DATABASE_FILE).replace(data / DATABASE_FILE)
    sync_folder(data)
    shutil.rmtree(stage, ignore_errors=True)
    return None if aside is None else str(aside)


def _free_folder(data: Path) -> Path:
    number = 1
    while (folder := data / f"replaced-{number}").exists():
        number += 1
    folder.mkdir(mode=0o700)
    return folder


def _keep_host_key(settings: Settings, backup: Path, host_key: Path) -> Path:
    """See to it that the folder's commands find the host key: its own place, or the named file where that lies outside."""
    own = settings.data / HOST_KEY
    if host_key in {host_key_path(settings), own}:
        return host_key
    if host_key == backup / HOST_KEY:
        copy_file(host_key, own)
        if settings.host_key_file:
            replace(settings, host_key_file=None).write()
        return own
    replace(settings, host_key_file=str(host_key.absolute())).write()
    return host_key

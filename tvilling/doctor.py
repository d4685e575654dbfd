"""`tvilling doctor`: what is set up so that docs/threat-model.md does not hold, and how to mend it.

It mends nothing by itself: no data folder is made, no mode changed, no schema renewed.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psycopg

from partner_bridge.connectors import registry
from partner_bridge.connectors.packages import packages_at_hand
from pod_server import binaries, feed, integrity, problems, witnessing
from pod_server.authorization import grant_rows
from pod_server.clock import Clock, microseconds, moment
from pod_server.host import Host
from pod_server.identifiers import PodId
from pod_server.log.errors import LogError
from pod_server.log.verification import verify_stored
from pod_server.opening import POD_COLUMNS, Pod, pod_of_row
from pod_server.quota import DOCUMENT_BYTES
from pod_server.storage.errors import DataFolderTooNew, StorageError
from pod_server.storage.postgresql.address import read_address
from pod_server.storage.postgresql.engine import schema_version_of
from pod_server.storage.postgresql.failures import translate
from pod_server.storage.schema_version import SCHEMA_VERSION, read_schema_version
from pod_server.vault.chunks import sealed_length
from pod_server.vault.epoch_keys import EPOCH_KEPT, EPOCH_LASTS, next_host_key_path
from pod_server.vault.errors import (
    EpochKeysMissing,
    HostKeyMismatch,
    HostKeyMissing,
    KeyStoreTooOld,
    KeyStoreUnavailable,
)
from pod_server.vault.host_key import HostKeyFile
from pod_server.vault.key_store import FORMAT
from pod_server.vault.vault import unlock_with_custodian
from research_views.errors import AccountBroken
from tvilling.app import create_host, epoch_keys_folder, host_key_path
from tvilling.backup import KEY_STORE
from tvilling.data_folder import DATABASE_FILE
from tvilling.settings import Settings

Level = Literal["wrong", "warning"]

LOGS_SAMPLED = 25
KEYS_SAMPLED = 2000
OUTBOX_WAITS = timedelta(hours=1)
AGENT_LAGS = timedelta(minutes=10)
ERASURE_TAKES = timedelta(minutes=5)
CLOCK_DIFFERS = timedelta(minutes=2)
_EPOCHS_LAG = timedelta(hours=2)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that somebody should know.

    Attributes:
        check: Which check found it, a slug.
        level: `wrong` makes the command fail; `warning` does not.
        what: What is the matter.
        mend: What to do about it.
    """

    check: str
    level: Level
    what: str
    mend: str


def examine(settings: Settings, *, sample: Callable[[list[Pod], int], list[Pod]] = random.sample) -> list[Finding]:
    """Everything that is wrong with a data folder and its settings, the gravest first.

    Args:
        settings: As the host last ran with.
        sample: Chooses the logs that are verified.
    """
    findings = [*_settings(settings), *_connectors(settings)]
    if settings.database_url is None and not (settings.data / DATABASE_FILE).is_file():
        findings.append(
            Finding("data-folder", "wrong", f"{settings.data} holds no database", "name the data folder with --data")
        )
    else:
        findings += [*_folders(settings), *_host_key(settings), *_epoch_keys(settings)]
        files = [*_versions(settings)]
        findings += files
        keys_there = settings.keys_url is not None or (settings.data / KEY_STORE).is_file()
        if not files and keys_there and host_key_path(settings).is_file():
            findings += _inside(settings, sample)
    return sorted(findings, key=lambda finding: finding.level != "wrong")


def _settings(settings: Settings) -> Iterator[Finding]:
    parts = urlsplit(settings.base_url)
    if parts.scheme != "https" and not settings.is_loopback:
        yield Finding(
            "base-url",
            "wrong",
            f"{settings.base_url} is not https: tokens, proofs and passphrases travel in the open",
            "serve behind a proxy with TLS and give --base-url https://…",
        )
    loopback = [
        origin
        for origin in settings.allow_outbound
        if urlsplit(origin).hostname in {"localhost", "127.0.0.1", "::1"} and not settings.is_loopback
    ]
    if loopback:
        yield Finding(
            "outbound",
            "wrong",
            f"the host may call {', '.join(loopback)} on itself: whoever names a webhook reaches what listens there",
            "leave --allow-outbound out, or name public origins only",
        )
    if settings.demo is not None and not settings.is_loopback:
        yield Finding(
            "demo", "wrong", "this data folder is a demo's, with a control door", "serve a data folder of its own"
        )


def _connectors(settings: Settings) -> Iterator[Finding]:
    found = registry(settings.connector_packages)
    for each in found.not_loaded:
        yield Finding("connectors", "wrong", f"connector package {each.package} is left out: {each.why}", each.mend)
    for package in sorted(set(packages_at_hand()) - set(settings.connector_packages)):
        yield Finding(
            "connectors",
            "warning",
            f"{package} is installed and brings connectors; nothing of it is loaded",
            f"serve with --connector-package {package}, or uninstall it",
        )


def _folders(settings: Settings) -> Iterator[Finding]:
    keys, epochs = settings.data / "keys", epoch_keys_folder(settings)
    key_files = [path for folder in (keys, epochs) if folder.is_dir() for path in sorted(folder.iterdir())]
    files = (settings.data, keys, settings.run_folder, settings.data / DATABASE_FILE, epochs, host_key_path(settings))
    for path in dict.fromkeys((*files, *key_files)):
        if not path.exists():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        # Files of the database are safe inside a folder that is its owner's; keys must be so by themselves.
        if mode & 0o077 and (path.is_dir() or path.parent in {keys, epochs} or path == host_key_path(settings)):
            wanted = "700" if path.is_dir() else "600"
            yield Finding(
                "modes",
                "wrong",
                f"{path} is open to others on this machine (mode {mode:o})",
                f"chmod {wanted} {path}",
            )


def _host_key(settings: Settings) -> Iterator[Finding]:
    path = host_key_path(settings)
    try:
        HostKeyFile.load(path)
    except HostKeyMissing as error:
        yield Finding("host-key", "wrong", f"{path}: {error}", "put the host key back from its copy, or name it anew")
        return
    if settings.data.resolve() in path.resolve().parents:
        yield Finding(
            "host-key-place",
            "warning" if settings.is_loopback else "wrong",
            f"the host key lies inside the data folder ({path}): whoever steals the disk opens the open pods",
            f"move it to a place of its own and serve with --host-key FILE (now {path})",
        )


def _epoch_keys(settings: Settings) -> Iterator[Finding]:
    folder, path = epoch_keys_folder(settings), host_key_path(settings)
    if folder.is_dir() and settings.data.resolve() in folder.resolve().parents:
        yield Finding(
            "epoch-keys-place",
            "warning" if settings.is_loopback else "wrong",
            f"the epoch keys lie inside the data folder ({folder}): a copy of the folder holds both what is sealed and its key, "
            f"and still opens erased data after {(EPOCH_LASTS + EPOCH_KEPT).days} days",
            f"move them to another disk that is in no backup, and serve with --epoch-keys DIR (now {folder})",
        )
    if next_host_key_path(path).exists():
        yield Finding(
            "host-key",
            "wrong",
            f"an exchange of the host key's file was begun and not finished ({next_host_key_path(path)})",
            "finish it: tvilling key rotate",
        )


def _epochs(host: Host, _pods: list[Pod]) -> Iterator[Finding]:
    epochs, now = host.key_store.epoch_keys.epochs(), host.clock.protocol_now()
    overdue = "start the agent, which tends the epochs, or: tvilling key epoch"
    # An hour is how often the agent looks; a second one for a machine that was off.
    if epochs and epochs[-1].made < now - EPOCH_LASTS - _EPOCHS_LAG:
        yield Finding(
            "epochs",
            "wrong",
            f"the newest epoch began {epochs[-1].made.isoformat(timespec='minutes')}: erased data stay readable in copies of "
            "the key store for longer than the receipts say",
            overdue,
        )
    late = [
        epoch.number
        for epoch, follower in itertools.pairwise(epochs)
        if follower.made < now - EPOCH_KEPT - EPOCH_LASTS - _EPOCHS_LAG
    ]
    if late:
        yield Finding("epochs", "wrong", f"the keys of {len(late)} epochs are due to be destroyed ({late[0]})", overdue)
    if epochs and epochs[-1].made > now + CLOCK_DIFFERS:
        yield Finding(
            "clock",
            "wrong",
            f"the newest epoch key is of {epochs[-1].made.isoformat(timespec='seconds')}, which is ahead of this machine's clock",
            "let the machine follow a time server (NTP); the epochs mend themselves at the next tending",
        )
    if len(host.key_store.host_key_files()) > 1:
        yield Finding(
            "host-key",
            "wrong",
            "the old file of the host key still opens the host key",
            "finish it: tvilling key rotate",
        )


def _rows_of_keys(host: Host, pods: list[Pod]) -> Iterator[Finding]:
    handles = {pod.pod_id: pod.handle for pod in pods}
    damaged = host.key_store.damaged_rows(sorted(handles))
    if damaged:
        pod_id, what = damaged[0]
        yield Finding(
            "key-store",
            "wrong",
            f"{len(damaged)} rows of the key store are not what was written: changed, exchanged, or put back from a copy "
            f"({what} of {handles[pod_id]})",
            "keep the folder as evidence, tell the citizens, and restore the newest backup",
        )


_MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")
"""Settings of a database server without which what was acknowledged may be lost in a power cut."""


def _server(database_url: str) -> Iterator[Finding]:
    """What the database server itself gets wrong."""
    try:
        with psycopg.connect(read_address(database_url), autocommit=True) as connection:
            found = schema_version_of(connection)
            for name in _MUST_BE_ON:
                (value,) = connection.execute(f"SHOW {name}".encode()).fetchone() or ("",)
                if value == "off":
                    yield Finding(
                        "database-server",
                        "wrong",
                        f"the database server runs with {name} = off: what was acknowledged may be lost in a power cut",
                        f"set {name} = on in postgresql.conf, and reload",
                    )
            (encoding,) = connection.execute("SHOW server_encoding").fetchone() or ("",)
            if encoding != "UTF8":
                yield Finding(
                    "database-server",
                    "wrong",
                    f"the database's encoding is {encoding}: not every text can be stored",
                    "make a database with ENCODING 'UTF8' and move there: tvilling move",
                )
    except psycopg.Error as error:
        yield Finding("database", "wrong", str(translate(error)), "see that the database server runs and lets us in")
        return
    except StorageError as error:
        yield Finding("database", "wrong", str(error), "see that the database server runs and lets us in")
        return
    if found > SCHEMA_VERSION:
        yield Finding("database", "wrong", str(DataFolderTooNew(found, SCHEMA_VERSION)), "run the newer version")
    elif found < SCHEMA_VERSION:
        yield Finding(
            "database",
            "wrong",
            f"the database has schema version {found}; this version works with {SCHEMA_VERSION}",
            "tvilling backup DIR, then tvilling migrate",
        )


def _versions(settings: Settings) -> Iterator[Finding]:
    yield from (
        _database_file(settings.data / DATABASE_FILE)
        if settings.database_url is None
        else _server(settings.database_url)
    )
    if settings.keys_url is None:
        yield from _key_store_file(settings.data / KEY_STORE)


def _database_file(database: Path) -> Iterator[Finding]:
    try:
        with _looking_at(database) as connection:
            found = read_schema_version(connection)
            if found > SCHEMA_VERSION:
                yield Finding(
                    "database", "wrong", str(DataFolderTooNew(found, SCHEMA_VERSION)), "run the newer version"
                )
            elif found < SCHEMA_VERSION:
                yield Finding(
                    "database",
                    "wrong",
                    f"the database has schema version {found}; this version works with {SCHEMA_VERSION}",
                    "tvilling backup DIR, then tvilling migrate",
                )
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                yield _damaged("database", database)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
            # A rollback journal lies beside it, which whoever only looks must not carry out.
            yield Finding(
                "database",
                "wrong",
                f"a crash left {database} half made",
                "start the server, or run tvilling migrate: what was half done is taken back",
            )
        else:
            yield _damaged("database", database)


def _key_store_file(keys: Path) -> Iterator[Finding]:
    if not keys.is_file():
        yield Finding(
            "key-store", "wrong", f"{keys} is missing: no pod opens", "put the newest copy back: tvilling restore"
        )
        return
    try:
        with _looking_at(keys) as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found > FORMAT:
                yield Finding(
                    "key-store",
                    "wrong",
                    f"the key store has format {found}; this version knows {FORMAT}",
                    "run the newer version",
                )
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                yield _damaged("key-store", keys)
    except sqlite3.Error:
        yield _damaged("key-store", keys)


def _damaged(check: str, path: Path) -> Finding:
    return Finding(check, "wrong", f"{path} is damaged", "stop the server and restore the newest backup")


@contextmanager
def _looking_at(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        yield connection


def _inside(settings: Settings, sample: Callable[[list[Pod], int], list[Pod]]) -> list[Finding]:
    try:
        host = create_host(settings, make_folders=False)
    except StorageError as error:
        return [Finding("database", "wrong", str(error), "restore the newest backup")]
    except KeyStoreUnavailable as error:
        return [Finding("key-store", "wrong", str(error), "see that the keys' database server runs and lets us in")]
    except (HostKeyMismatch, HostKeyMissing) as error:
        return [Finding("host-key", "wrong", str(error), "name the right host key: tvilling serve --host-key FILE")]
    except EpochKeysMissing as error:
        return [Finding("epoch-keys", "wrong", str(error), "put them back, or: tvilling serve --epoch-keys DIR")]
    except KeyStoreTooOld as error:
        return [Finding("key-store", "wrong", str(error), "put the newest copy back: tvilling restore")]
    findings: list[Finding] = []
    try:
        with host.storage.read() as tx:
            pods = [pod_of_row(row) for row in tx.all(f"SELECT {POD_COLUMNS} FROM pod")]
        findings += _rows_of_keys(host, sample(pods, min(KEYS_SAMPLED, len(pods))))
        for check in (
            _epochs,
            _witnesses,
            _keys_and_data,
            _binaries,
            _quota,
            _erasures,
            _outbox,
            _agent,
            _clock,
            _budget,
        ):
            findings += check(host, pods)
        chosen = sample(pods, min(LOGS_SAMPLED, len(pods)))
        findings += [*_logs(host, chosen), *_contents(host, chosen)]
    except Exception as error:
        if problems.problem_type_of(error) is None:
            raise
        findings.append(Finding("database", "wrong", str(error), "stop the server and restore the newest backup"))
    finally:
        host.storage.close()
        host.key_store.close()
    return findings


def _keys_and_data(host: Host, pods: list[Pod]) -> Iterator[Finding]:
    alive = host.key_store.pods_with_keys()
    without = [pod.handle for pod in pods if pod.pod_id not in alive]
    if without:
        yield Finding(
            "keys-and-data",
            "wrong",
            f"the key store has no keys of {len(without)} pods ({without[0]}): it is older than the data, or they were removed",
            "tvilling restore a backup with the newest key store (--keys); of a removed citizen: tvilling citizen remove",
        )
    elsewhere = disagreeing = 0
    fingerprint = f"host {host.host_key.fingerprint}"
    for pod in pods:
        slot = host.key_store.slot(pod.pod_id, "custodian")
        elsewhere += slot is not None and slot.parameters != fingerprint
        disagreeing += pod.pod_id in alive and (slot is None) != (pod.state == "locked")
    if elsewhere:
        yield Finding(
            "host-key",
            "wrong",
            f"{elsewhere} pods were left open to another host key than the one in use",
            "name the right host key: tvilling serve --host-key FILE",
        )
    if disagreeing:
        yield Finding(
            "pod-state",
            "warning",
            f"{disagreeing} pods are shown as open or locked and are not (a crash between two files)",
            "tvilling pod lock, or unlock, says it anew",
        )
    with host.storage.read() as tx:
        held = tx.all("SELECT pod_id, grant_id FROM consent WHERE state NOT IN ('erased', 'refused')")
        epochs = tx.all("SELECT pod_id, handle, own_epoch FROM pod")
    # Older epochs of a grant that stands are destroyed some days after its pod got new keys.
    newest = {(pod_id, grant): host.key_store.newest_epoch(PodId(pod_id), "grant", grant) for pod_id, grant in held}
    dead = [grant for (_, grant), found in newest.items() if found is not None and not found[1]]
    if dead:
        yield Finding(
            "erased-keys",
            "wrong",
            f"{len(dead)} grants stand whose keys are destroyed ({dead[0]}): old data were put back by hand",
            f"tvilling consent erase {dead[0]}, for each",
        )
    own = {pod_id: host.key_store.newest_epoch(PodId(pod_id), "own") for pod_id, _, _ in epochs}
    behind = [handle for pod_id, handle, epoch in epochs if (own[pod_id] or (epoch,))[0] < epoch]
    if behind:
        yield Finding(
            "key-store-outdated",
            "wrong",
            f"the key store is older than the data: {len(behind)} pods got new keys since ({behind[0]} …)",
            "stop the server and restore with the newest copy of the key store: tvilling restore DIR --keys FOLDER",
        )
    with host.storage.read() as tx:
        erased = tx.all("SELECT pod_id, grant_id FROM consent WHERE state = 'erased' AND erasure_pending = 0")
    living = host.key_store.grants_with_keys()
    back = [grant for pod_id, grant in erased if (pod_id, grant) in living]
    if back:
        yield Finding(
            "erased-keys",
            "wrong",
            f"{len(back)} erased grants have keys again ({back[0]}): an older key store was put back by hand",
            "put the newest key store back, or destroy them: tvilling restore with --keys, tvilling consent erase",
        )


def _binaries(host: Host, _pods: list[Pod]) -> Iterator[Finding]:
    with host.storage.read() as tx:
        holding = {
            PodId(row[0]) for row in tx.all("SELECT DISTINCT pod_id FROM document WHERE binary_name IS NOT NULL")
        }
    broken: list[str] = []
    left_behind = left_bytes = 0
    for pod_id in sorted(holding | set(host.binaries.pods())):
        # The files first: one that was made since is named by nobody whom we ask, and locked by its writer.
        lying = host.binaries.names(pod_id)
        with host.storage.read() as tx:
            named = binaries.named_files(tx, pod_id)
        for name, size in named.items():
            path = host.binaries.path(pod_id, name)
            if not path.is_file() or path.stat().st_size != sealed_length(size):
                broken += [str(path)] if binaries.is_named(host, pod_id, name) else []
        for name in lying.keys() - named.keys():
            if not host.binaries.is_being_written(pod_id, name) and not binaries.is_named(host, pod_id, name):
                left_behind += 1
                left_bytes += lying[name]
    if broken:
        yield Finding(
            "binaries",
            "wrong",
            f"{len(broken)} files of documents are missing or cut short ({broken[0]})",
            "put them back from the newest backup (DIR/data/binaries): files there have the same names",
        )
    if left_behind:
        yield Finding(
            "binaries-left",
            "warning",
            f"{left_behind} files ({left_bytes} bytes) belong to no document: a crash left them",
            "start the agent (again): it removes them at its start, and once a day",
        )


def _quota(host: Host, _pods: list[Pod]) -> Iterator[Finding]:
    with host.storage.read() as tx:
        drifted = tx.one(
            "SELECT COUNT(*) FROM (SELECT pod_id, SUM(size_bytes) + COUNT(*) * ? AS counted FROM document "
            "GROUP BY pod_id) AS documents LEFT JOIN storage_use ON storage_use.pod_id = documents.pod_id "
            "WHERE COALESCE(storage_use.used_bytes, 0) <> documents.counted",
            (DOCUMENT_BYTES,),
        )
    if drifted and drifted[0]:
        yield Finding(
            "quota",
            "wrong",
            f"the running sum of {drifted[0]} pods is not what their documents take: rows were changed by hand",
            "tvilling citizen quota HANDLE --recount, for each",
        )


def _erasures(host: Host, _pods: list[Pod]) -> Iterator[Finding]:
    before = microseconds(host.clock.now() - ERASURE_TAKES * host.clock.speed)
    with host.storage.read() as tx:
        rows = tx.all(
            "SELECT pod_id, grant_id FROM consent WHERE erasure_pending = 1 AND changed_at < ? LIMIT 1000", (before,)
        )
        names = [grant_rows.grant_in_pod(tx, host.host_key, PodId(pod_id), grant) for pod_id, grant in rows[:1]]
    if rows:
        yield Finding(
            "erasures",
            "wrong",
            f"{len(rows)} erasures were begun and not finished",
            f"start the agent, which finishes them, or: tvilling consent erase {names[0].id if names[0] else rows[0][1]}",
        )

    with host.storage.read() as tx:
        begun = tx.all("SELECT pod.handle FROM pod JOIN retired_handle ON retired_handle.handle = pod.handle")
    if begun:
        yield Finding(
            "erasures",
            "wrong",
            f"the removal of {len(begun)} citizens was begun and not finished ({begun[0][0]})",
            f"start the agent, which finishes it, or: tvilling citizen remove {begun[0][0]}",
        )


def _outbox(host: Host, _pods: list[Pod]) -> Iterator[Finding]:
    before = microseconds(host.clock.now() - OUTBOX_WAITS * host.clock.speed)
    with host.storage.read() as tx:
        late = tx.all(
            "SELECT client_id, COUNT(*), MIN(created) FROM outbox WHERE state = 'waiting' AND created < ? "
            "GROUP BY client_id ORDER BY MIN(created)",
            (before,),
        )
        given_up = tx.one("SELECT COUNT(*) FROM outbox WHERE state = 'given-up'")
    if late:
        client, _, since = late[0]
        yield Finding(
            "outbox",
            "wrong",
            f"{sum(count for _, count, _ in late)} messages wait for {len(late)} partners, the oldest since "
            f"{moment(since).isoformat(timespec='minutes')} ({client})",
            "see that the agent runs, and that the partner's webhook answers; withdrawals hold whether it does or not",
        )
    if given_up and given_up[0]:
        yield Finding(
            "outbox",
            "warning",
            f"{given_up[0]} messages to partners were given up",
            "tell the partners by other means which consents ended",
        )


def _agent(host: Host, _pods: list[Pod]) -> Iterator[Finding]:
    before = microseconds(host.clock.protocol_now() - AGENT_LAGS)
    with host.storage.read() as tx:
        late = tx.one(
            "SELECT COUNT(*), MIN(feed.waiting_since) FROM feed JOIN pod ON pod.pod_id = feed.pod_id "
            "WHERE feed.head > feed.cursor AND feed.waiting_since < ? AND pod.state = 'open'",
            (before,),
        )
        _, changes = feed.pending(tx)
    if late and late[0]:
        yield Finding(
            "agent",
            "wrong",
            f"{late[0]} open pods wait for the agent since {moment(late[1]).isoformat(timespec='minutes')} "
            f"({changes} changes in all)",
            "start the agent: tvilling serve --role agent",
        )


def _clock(host: Host, _pods: list[Pod]) -> Iterator[Finding]:
    clock: Clock = host.clock
    with host.storage.read() as tx:
        stamps = [
            ("SELECT MAX(received) FROM segment", clock.now()),
            ("SELECT MAX(changed_at) FROM consent", clock.now()),
            ("SELECT MAX(created) FROM pod", clock.now()),
            ("SELECT MAX(waiting_since) FROM feed", clock.protocol_now()),
        ]
        latest: list[tuple[timedelta, datetime]] = []
        for sql, now in stamps:
            row = tx.one(sql)
            if row is not None and row[0]:
                latest.append((moment(row[0]) - now, moment(row[0])))
    ahead, stamp = max(latest, default=(timedelta(0), clock.now()))
    if ahead > CLOCK_DIFFERS * clock.speed:
        yield Finding(
            "clock",
            "wrong",
            f"something was written at {stamp.isoformat(timespec='seconds')}, which is {ahead} ahead of this machine's clock: "
            "the clock was ahead then, or is behind now",
            "let the machine follow a time server (NTP); expiries and proofs are judged by this clock",
        )


def _budget(host: Host, _pods: list[Pod]) -> Iterator[Finding]:
    from research_views.budget import budget  # noqa: PLC0415 - the noise library is slow to load

    try:
        budget(host)
    except AccountBroken as error:
        yield Finding(
            "privacy-budget",
            "wrong",
            str(error),
            "put the longest copy of keys/privacy-budget.jsonl back; release nothing",
        )


def _witnesses(host: Host, pods: list[Pod]) -> Iterator[Finding]:
    with host.storage.read() as tx:
        refused = witnessing.refusals(tx)
    if refused:
        handles = {pod.pod_id: pod.handle for pod in pods}
        pod_id, witness, why, size = refused[0]
        words = "has fewer entries than it has seen" if why == "shorter" else "has other entries than it has seen"
        yield Finding(
            "witnesses",
            "wrong",
            f"{len(refused)} logs are refused by their witnesses: the log of {handles.get(pod_id, '?')} {words} ({witness}, {size} entries)",
            "where the host was restored from a backup since, each log says so by its entry restored-from, and the witness's "
            "operator can begin anew; otherwise keep the folder as evidence and tell the citizens",
        )
    if not host.witnesses and host.base_url.startswith("https://"):
        yield Finding(
            "witnesses",
            "warning",
            "nobody outside watches over the logs: a log that is rolled back whole is noticed by those alone who kept a copy",
            "ask somebody to run tvilling witness, and serve with --witness 'https://… KEY'",
        )


def _contents(host: Host, pods: list[Pod]) -> Iterator[Finding]:
    for pod in pods:
        if host.key_store.slot(pod.pod_id, "custodian") is None:
            continue  # locked: its citizen checks it, on the page of the log
        vault = unlock_with_custodian(host.host_key, host.key_store, pod.pod_id)
        damages = [each for each in integrity.examine(host, vault, pod.pod_id).damages if each.kind != "log"]
        if damages:
            more = f", and {len(damages) - 3} more" if len(damages) > 3 else ""
            yield Finding(
                "contents",
                "wrong",
                f"in the pod of {pod.handle} something is not as it was written: "
                + "; ".join(str(damage) for damage in damages[:3])
                + more,
                "keep the folder as evidence, tell the citizen, and restore the newest backup",
            )


def _logs(host: Host, pods: list[Pod]) -> Iterator[Finding]:
    for pod in pods:
        try:
            with host.storage.read() as tx:
                verify_stored(tx, pod.pod_id)
        except LogError as error:
            yield Finding(
                "logs",
                "wrong",
                f"the log of {pod.handle} does not verify: {error}",
                f"keep the folder as evidence, tell the citizen, and see: tvilling log verify {pod.handle}",
            )

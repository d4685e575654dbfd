"""A data folder with very many pods, made once and kept in the cache folder.

A thousand pods are enrolled. The others are copies of their rows under other numbers and handles: nobody can open those,
since what is sealed is bound to the pod's number, but they fill the tables, the indexes and the disk as others would.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:0] = [str(Path(__file__).parents[2])]

from pod_server import pods
from pod_server.storage import sqlite
from pod_server.storage.schema_version import SCHEMA_VERSION
from solid_load.servers import CACHE
from tvilling.app import create_host
from tvilling.data_folder import DATABASE_FILE, migrate_data_folder
from tvilling.settings import Listen, Settings
from twin_agent import worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from pod_server.vault.key_store import KeyStore

ENROLLED = 1000
BASE = "http://localhost:8080"


def folder_with_pods(count: int, note: Callable[[str], None]) -> Path:
    """The folder; made where the cache has none of this schema."""
    folder = CACHE / f"{count}-pods-{SCHEMA_VERSION}"
    if (folder / "complete").exists():
        return folder
    note(f"making a folder with {count} pods")
    shutil.rmtree(folder, ignore_errors=True)
    settings = _settings(folder)
    migrate_data_folder(settings)
    # What is made here is made again where it is lost, so nothing waits for the disk.
    sqlite._PRAGMAS = ("PRAGMA synchronous = OFF", *sqlite._PRAGMAS[1:])  # noqa: SLF001
    host = create_host(settings)
    began = time.perf_counter()
    with host.key_store.batch():
        for number in range(ENROLLED):
            pods.create_pod(host, f"p{number}", simulated=True)
    note(f"enrolled {ENROLLED / (time.perf_counter() - began):.0f} pods a second, without waiting for the disk")
    # The agent takes the thousand in, so that the copies have no work waiting either.
    worker.wake_pods_of_other_rules(host)
    while worker.work_once(host):
        pass
    with host.storage.read() as tx:
        enrolled = [pod_id for (pod_id,) in tx.all("SELECT pod_id FROM pod")]
    host.storage.close()
    _multiply(folder / DATABASE_FILE, count // ENROLLED)
    for pod_id in enrolled:
        _multiply_keys(host.key_store, pod_id, count // ENROLLED)
    host.key_store.close()
    (folder / "complete").touch()
    return folder


def _multiply(database: Path, times: int) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        connection.execute("BEGIN")
        for table in tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            if "pod_id" not in columns:
                continue
            connection.execute(f"CREATE TEMP TABLE original AS SELECT * FROM {table}")
            alone = _unique_without_pod(connection, table)
            for copy in range(1, times):
                values = ["(pod_id >> 7) | (?1 << 56)" if name == "pod_id" else name for name in columns]
                values = [
                    f"CAST({name} || '-' || ?1 AS TEXT)" if name in alone else value
                    for name, value in zip(columns, values, strict=True)
                ]
                connection.execute(f"INSERT INTO {table} SELECT {', '.join(values)} FROM original", (copy,))
            connection.execute("DROP TABLE original")
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _multiply_keys(key_store: KeyStore, pod_id: int, times: int) -> None:
    """What lies under the store's own covers is put under new ones; what it is, the store does not know anyhow."""
    slots = [slot for kind in ("passphrase", "recovery", "custodian") if (slot := key_store.slot(pod_id, kind))]
    secrets = [(scope, wrapped) for scope, wrapped in key_store.keyring(pod_id).items() if wrapped]
    with key_store.batch():
        for copy in range(1, times):
            key_store.create((pod_id >> 7) | (copy << 56), slots, secrets)


def _unique_without_pod(connection: sqlite3.Connection, table: str) -> set[str]:
    """The columns that alone must not be there twice (a handle, say)."""
    found = set()
    for index in connection.execute(f"PRAGMA index_list({table})").fetchall():
        names = [row[2] for row in connection.execute(f"PRAGMA index_info({index[1]})")]
        if index[2] and "pod_id" not in names:
            found.add(names[0])
    return found


def _settings(folder: Path) -> Settings:
    return Settings(
        data_folder=str(folder),
        base_url=BASE,
        live_url="http://localhost:8081",
        listen=Listen("127.0.0.1", 8080),
        live_listen=Listen("127.0.0.1", 8081),
    )

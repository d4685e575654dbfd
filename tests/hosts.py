"""Hosts for tests: a real one on SQLite in a folder of its own, or on PostgreSQL, at a fixed time."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pod_server.clock import SetClock

if TYPE_CHECKING:
    from pod_server.authorization_server.replay import Replay
    from pod_server.clock import Clock
    from pod_server.host import Host
    from pod_server.pods import NewPod
    from pod_server.vault.host_key import HostKey
    from pod_server.vault.key_store import KeyStore

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass
class City:
    """A host and ways to fill it."""

    host: Host
    clock: SetClock

    def citizen(self, handle: str = "kari", **options: object) -> NewPod:
        """Make a pod; no passphrase unless one is given, so that it costs no Argon2id."""
        from pod_server.pods import create_pod

        return create_pod(self.host, handle, **options)


def database_url_for(folder: Path) -> str | None:
    """Which PostgreSQL database stands for a data folder; None: SQLite in the folder."""
    return None


@cache
def _empty_database() -> bytes:
    """A database as the migrations make it, made once: thousands of tests begin with one."""
    from pod_server.storage.migrate import migrate

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.sqlite"
        migrate(file)
        return file.read_bytes()


def make_host(folder: Path, clock: SetClock, *, base_url: str = "http://localhost:8080") -> Host:
    """A host on a new data folder."""
    from dataclasses import replace

    from tvilling.app import create_host
    from tvilling.data_folder import DATABASE_FILE, make_folders_of, migrate_data_folder
    from tvilling.settings import Listen, Settings

    settings = Settings(
        data_folder=str(folder),
        base_url=base_url,
        live_url="http://localhost:8081",
        listen=Listen("127.0.0.1", 8080),
        live_listen=Listen("127.0.0.1", 8081),
        database_url=database_url_for(folder),
    )
    if settings.database_url is None and not (settings.data / DATABASE_FILE).exists():
        make_folders_of(settings)
        database = settings.data / DATABASE_FILE
        database.touch(mode=0o600)
        database.write_bytes(_empty_database())
    migrate_data_folder(settings)
    host = create_host(settings)
    host.key_store.close()
    return replace(
        host,
        clock=clock,
        key_store=key_store_in(folder / "keys", clock=clock),
        replay=_replay(host, settings.run_folder, clock),
    )


def _replay(host: Host, run_folder: Path, clock: SetClock) -> Replay:
    """A replay store that began at the test's time, on the host's engine."""
    from pod_server.authorization_server.replay import ReplayStore, SharedReplayStore
    from pod_server.clock import microseconds

    if host.storage.is_embedded:
        return ReplayStore(run_folder / "replay-of-the-test.sqlite", clock)
    with host.storage.write() as tx:
        tx.execute("DELETE FROM seen_since WHERE at > ?", (microseconds(clock.protocol_now()),))
    return SharedReplayStore(host.storage, clock)


def key_store_in(folder: Path, *, clock: Clock | None = None, beside: Path | None = None) -> KeyStore:
    """A key store in a folder, with its host key's file and its epoch keys beside it, or in another folder."""
    from pod_server.vault.epoch_keys import EpochKeys
    from pod_server.vault.host_key import HostKeyFile
    from pod_server.vault.key_store import KeyStore

    beside = beside or folder
    file = HostKeyFile.load_or_create(beside / "host.key")
    return KeyStore(folder / "keys.sqlite", EpochKeys(beside / "epochs", file, clock or SetClock(NOON)))


def host_key_in(folder: Path, key_store: KeyStore) -> HostKey:
    """The host key of a key store that `key_store_in` made."""
    from pod_server.vault.host_key import HostKeyFile, open_host_key

    return open_host_key(HostKeyFile.load_or_create(folder / "host.key"), key_store)

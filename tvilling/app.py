"""The one place where the parts are joined: settings in, a host and its applications out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask

from pod_server.authorization_server.replay import Replay, ReplayStore, SharedReplayStore
from pod_server.host import Host
from pod_server.notifications.signal import Signal
from pod_server.outbound import Outbound
from pod_server.signing_keys import SigningKeys
from pod_server.storage.sqlite import SqliteStorage
from pod_server.vault.epoch_keys import EpochKeys
from pod_server.vault.errors import KeyStoreUnavailable
from pod_server.vault.host_key import HostKeyFile, open_host_key
from pod_server.vault.key_store import KeyStore
from pod_server.witnessing import parse_witness
from tvilling.data_folder import DATABASE_FILE, make_folders_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication

    from pod_server.clock import Clock
    from pod_server.left_out import CountedInstead
    from pod_server.storage.ports import Storage
    from tvilling.settings import Settings


def host_key_path(settings: Settings) -> Path:
    """The host key's file: as configured, else in the data folder, where it does not cover theft of the whole disk."""
    return Path(settings.host_key_file) if settings.host_key_file else settings.data / "keys" / "host.key"


def epoch_keys_folder(settings: Settings) -> Path:
    """The epoch keys' folder: as configured, else in the data folder, where a copy of the folder has them too."""
    return Path(settings.epoch_keys_folder) if settings.epoch_keys_folder else settings.data / "keys" / "epochs"


def epoch_keys_of(settings: Settings, file: HostKeyFile | None = None) -> EpochKeys:
    """The epoch keys of a host, opened by its host key's file."""
    return EpochKeys(epoch_keys_folder(settings), file or HostKeyFile.load(host_key_path(settings)), settings.clock())


def open_key_store(settings: Settings, file: HostKeyFile, path: Path | None = None) -> KeyStore:
    """The key store of a data folder, or a copy of it that lies at `path`.

    Raises:
        KeyStoreTooNew: a newer version wrote it.
        KeyStoreUnavailable: it cannot be opened.
    """
    epoch_keys = epoch_keys_of(settings, file)
    if settings.keys_url is not None and path is None:
        from pod_server.vault.key_store_postgresql import PostgresqlKeyStore  # noqa: PLC0415 - where it is used

        return PostgresqlKeyStore(settings.keys_url, epoch_keys)
    return KeyStore(path or settings.data / "keys" / "keys.sqlite", epoch_keys)


def open_storage(settings: Settings) -> Storage:
    """The settings' database: the PostgreSQL one they name, or the data folder's own.

    Raises:
        DataFolderTooNew: a newer version wrote it.
        StorageError: it cannot be opened.
    """
    if settings.database_url is None:
        return SqliteStorage(settings.data / DATABASE_FILE)
    from pod_server.storage.postgresql.engine import PostgresqlStorage  # noqa: PLC0415 - libpq is loaded where it is used

    return PostgresqlStorage(settings.database_url)


def create_host(settings: Settings, *, make_folders: bool = True) -> Host:
    """Open a data folder as a host.

    Args:
        settings: Which folder, and how it is reached.
        make_folders: Whether missing folders are made and all are closed to others; not where somebody only looks.

    Raises:
        DataFolderTooNew: a newer version wrote the folder.
        StorageError: the folder cannot be opened.
        KeyStoreUnavailable: the key store is missing beside data that need it.
        HostKeyMissing: the host key's file is damaged, or cannot be made.
        HostKeyMismatch: the key store was made with another host key's file.
        KeyStoreTooOld: the key store is a copy from an epoch whose key was destroyed.
        EpochKeysMissing: the epoch keys are not where the settings say.
    """
    if make_folders:
        make_folders_of(settings)
    clock = settings.clock()
    storage = open_storage(settings)
    _require_key_store(settings, storage)
    file = HostKeyFile.load_or_create(host_key_path(settings))
    key_store = open_key_store(settings, file)
    key_store.require_epoch_keys()
    return Host(
        base_url=settings.base_url,
        live_url=settings.live_url,
        storage=storage,
        key_store=key_store,
        host_key=open_host_key(file, key_store, create=make_folders),
        clock=clock,
        signal=_signal(settings, storage),
        replay=_replay(settings, storage, clock),
        outbound=Outbound(frozenset(settings.allow_outbound)),
        witnesses=tuple(parse_witness(each) for each in settings.witnesses),
        data_folder=settings.data,
        told_twice=_told_twice,
        allow_insecure=settings.is_loopback,
        quota_bytes=settings.quota_bytes,
        largest_binary_bytes=settings.largest_binary_bytes,
        age_rules=settings.age_rules(),
        connector_packages=settings.connector_packages,
        signing_keys=SigningKeys(timedelta(days=settings.signing_key_days) if settings.signing_key_days else None),
    )


def _told_twice(records: Iterable[tuple[str, bytes]]) -> Mapping[tuple[str, str], CountedInstead]:
    """The twin's answer; loaded when it is first asked for, since most commands never do."""
    from twin_agent.left_out import told_twice  # noqa: PLC0415

    return told_twice(records)


def _signal(settings: Settings, storage: Storage) -> Signal:
    """How processes wake each other: on this machine, and through the database on others."""
    if storage.is_embedded:
        return Signal(settings.run_folder)
    from pod_server.notifications.database_signal import DatabaseSignal  # noqa: PLC0415
    from pod_server.storage.postgresql.engine import PostgresqlStorage  # noqa: PLC0415

    assert isinstance(storage, PostgresqlStorage)
    return DatabaseSignal(settings.run_folder, storage)


def _replay(settings: Settings, storage: Storage, clock: Clock) -> Replay:
    """Where one-use identifiers are remembered: a file for this machine's processes, the database for all machines'."""
    if storage.is_embedded:
        return ReplayStore(settings.run_folder / "replay.sqlite", clock)
    return SharedReplayStore(storage, clock)


def _require_key_store(settings: Settings, storage: Storage) -> None:
    """Make no new key store beside data whose keys have gone astray.

    Raises:
        KeyStoreUnavailable: there are pods and no key store.
    """
    if settings.keys_url is None and not (settings.data / "keys" / "keys.sqlite").exists():
        with storage.read() as tx:
            if tx.one("SELECT 1 FROM pod LIMIT 1") is not None:
                storage.close()
                raise KeyStoreUnavailable(
                    "The key store (keys/keys.sqlite) is missing, and without it no pod opens: put the newest copy back "
                    "with tvilling restore."
                )


def create_live_role(host: Host) -> WSGIApplication:
    """The live role: the Solid notification channels, and the pages' streams beside them."""
    import dashboard.live  # noqa: PLC0415 - only this role needs gevent
    import pod_server.notifications.live  # noqa: PLC0415
    from pod_server.notifications.channel import RECEIVE_PATH  # noqa: PLC0415

    pages = dashboard.live.create_live_app(host)
    channels = pod_server.notifications.live.create_app(host)

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        is_channel = str(environ.get("PATH_INFO", "")).startswith(RECEIVE_PATH)
        return (channels if is_channel else pages)(environ, start_response)

    return application


def load_web_role() -> None:
    """Import everything that the web role works with, and do nothing else: for a process that forks its workers."""
    import research_views.routes  # noqa: F401, PLC0415
    import vocab.kinds  # noqa: PLC0415

    vocab.kinds.load_kinds()


def create_web_app(host: Host, settings: Settings) -> Flask:
    """The web role: every door but the long-lived streams. Order matters once: the pods' catch-all comes last."""
    import dashboard.routes  # noqa: PLC0415 - the live and agent roles need none of these
    import partner_bridge.routes  # noqa: PLC0415
    import pod_server.authorization_server.routes  # noqa: PLC0415
    import pod_server.http_problems  # noqa: PLC0415
    import pod_server.routes  # noqa: PLC0415
    import research_views.routes  # noqa: PLC0415

    app = Flask("tvilling", static_folder=None)
    app.config["HOST"] = host
    if settings.demo is not None:
        from dashboard.demo_settings import DemoSettings  # noqa: PLC0415

        app.config["DEMO"] = DemoSettings(
            control_url=settings.demo.control_url,
            control_token=settings.demo.control_token,
            handle=settings.demo.handle,
            speed=settings.time.speed if settings.time else 1.0,
        )
    pod_server.http_problems.register(app, host)
    pod_server.authorization_server.routes.register(app, host)
    partner_bridge.routes.register(app, host)
    research_views.routes.register(app, host)
    dashboard.routes.register(app, host)
    pod_server.routes.register(app, host)
    return app

"""Bring a data folder's schema to this program's version, with Alembic. Loaded by the command line and tests only."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from pod_server.storage.errors import DataFolderTooNew
from pod_server.storage.postgresql.address import read_address
from pod_server.storage.postgresql.engine import schema_version_of
from pod_server.storage.postgresql.failures import translate as translate_postgresql
from pod_server.storage.schema_version import SCHEMA_VERSION, for_postgresql, read_schema_version
from pod_server.storage.sqlite import translate


def migrate(path: Path) -> int:
    """Make or renew the schema of the database file `path`; returns the version it now has. Does nothing where none is due.

    Raises:
        DataFolderTooNew: a newer program wrote it; it is left untouched.
        StorageFull: the disk is full; the schema is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with closing(sqlite3.connect(path)) as connection:
            found = read_schema_version(connection)
        if found > SCHEMA_VERSION:
            raise DataFolderTooNew(found, SCHEMA_VERSION)
        if found < SCHEMA_VERSION:
            _upgrade(path)
    except sqlite3.Error as error:
        raise translate(error) from error
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise translate(error.orig) from error
        raise
    return SCHEMA_VERSION


_NOT_DURABLE = (
    'CREATE UNLOGGED TABLE IF NOT EXISTS seen_once (identifier TEXT COLLATE "C" PRIMARY KEY, expires BIGINT NOT NULL)',
    "CREATE UNLOGGED TABLE IF NOT EXISTS seen_since (at BIGINT NOT NULL)",
)
"""The replay store's (authorization_server/replay.py): in no backup, and emptied by the server after a crash."""


def migrate_postgresql(database_url: str) -> int:
    """Make or renew the schema of a PostgreSQL database; returns the version it now has. One migrates, others wait.

    Raises:
        DatabaseAddressInvalid: the address cannot be read.
        DataFolderTooNew: a newer program wrote it; it is left untouched.
        StorageUnavailable: nobody answers there.
    """
    try:
        with psycopg.connect(read_address(database_url), autocommit=True) as connection:
            # Held by the connection: it ends with it, whatever happens.
            connection.execute("SELECT pg_advisory_lock(hashtext('tvilling migration'))")
            found = schema_version_of(connection)
            if found > SCHEMA_VERSION:
                raise DataFolderTooNew(found, SCHEMA_VERSION)
            if found < SCHEMA_VERSION:
                _upgrade_postgresql(database_url)
            for statement in _NOT_DURABLE:
                connection.execute(statement)
    except psycopg.Error as error:
        raise translate_postgresql(error) from error
    return SCHEMA_VERSION


def _upgrade_postgresql(database_url: str) -> None:
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(read_address(database_url)), poolclass=NullPool
    )

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def _in_its_words(
        _connection: object, _cursor: object, statement: str, parameters: object, _context: object, _many: object
    ) -> tuple[str, object]:
        return for_postgresql(statement), parameters

    _run(engine)


def _upgrade(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")

    # pysqlite commits before each CREATE TABLE unless transactions are begun by hand: a failed migration would leave
    # half a schema. Source: SQLAlchemy, "Serializable isolation / Savepoints / Transactional DDL".
    @event.listens_for(engine, "connect")
    def _leave_transactions_to_us(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: object) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # type: ignore[attr-defined]

    _run(engine)


def _run(engine: Engine) -> None:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
    engine.dispose()

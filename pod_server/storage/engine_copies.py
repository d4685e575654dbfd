"""A house's rows from one engine to the other: for backups of PostgreSQL, for restoring them, and for moving house.

Out of PostgreSQL: one REPEATABLE READ snapshot, so that writers go on meanwhile; into a SQLite file of this program's
schema, durable before it has its name. Into PostgreSQL: one transaction by COPY, in place of whatever was there. A
backup is thereby one form, whichever engine it was taken of or goes to.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg

from pod_server.storage.copying import copy_database
from pod_server.storage.errors import StorageDamaged
from pod_server.storage.postgresql.address import read_address
from pod_server.storage.postgresql.failures import translate
from pod_server.storage.sqlite import translate as translate_sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_ROWS_AT_ONCE = 1000
_NOT_COPIED = frozenset({"schema_version", "alembic_version"})
"""Both sides have them from their own migrations."""

_PARTS = {"bigint": "int8", "text": "text", "bytea": "bytea"}


def copy_out(database_url: str, target: Path) -> int:
    """Copy a PostgreSQL database to the SQLite file `target` (mode 0600), whole or not at all; how many rows.

    Raises:
        StorageUnavailable: nobody answers there.
        StorageFull: there was no room; `target` is as it was.
    """
    from pod_server.storage.migrate import migrate  # noqa: PLC0415 - Alembic is loaded where a schema is made

    draft = target.with_name(f".{target.name}.out")
    forget(draft)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        migrate(draft)
        with closing(sqlite3.connect(draft)) as writing:
            rows = copy_tables_out(read_address(database_url), writing, tables_of(writing))
        copy_database(draft, target)
    except sqlite3.Error as error:
        raise translate_sqlite(error) from error
    except psycopg.Error as error:
        raise translate(error) from error
    finally:
        forget(draft)
    return rows


def copy_in(source: Path, database_url: str) -> int:
    """Put the rows of the SQLite file `source` in place of everything in a PostgreSQL database; how many rows.

    Raises:
        StorageUnavailable: nobody answers there; nothing was changed.
        DataFolderTooNew, DataFolderTooOld: the two schemas are not of one version.
    """
    from pod_server.storage.migrate import migrate, migrate_postgresql  # noqa: PLC0415

    migrate(source)
    migrate_postgresql(database_url)
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reading:
            return copy_tables_in(reading, read_address(database_url), tables_of(reading))
    except sqlite3.Error as error:
        raise translate_sqlite(error) from error
    except psycopg.Error as error:
        raise translate(error) from error


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """The tables whose rows are copied."""
    found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return sorted(name for (name,) in found if name not in _NOT_COPIED)


def copy_tables_out(address: str, writing: sqlite3.Connection, tables: Iterable[str]) -> int:
    """Copy tables of one snapshot into a SQLite database, in one transaction; how many rows."""
    total = 0
    with psycopg.connect(address) as reading:
        reading.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reading.read_only = True
        writing.execute("BEGIN")
        for table in tables:
            columns = _columns(writing, table)
            writing.execute(f"DELETE FROM {table}")
            insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            with psycopg.ServerCursor(reading, name="copy_out") as rows:
                rows.itersize = _ROWS_AT_ONCE
                rows.execute(_select(columns, table).encode(), binary=True)
                while some := rows.fetchmany(_ROWS_AT_ONCE):
                    writing.executemany(insert, some)
                    total += len(some)
        writing.commit()
    return total


def copy_tables_in(reading: sqlite3.Connection, address: str, tables: Sequence[str]) -> int:
    """Copy tables into a PostgreSQL database in place of what is there, in one transaction; how many rows."""
    total = 0
    reading.execute("BEGIN")  # one snapshot
    with psycopg.connect(address) as writing:
        writing.execute(f"TRUNCATE {', '.join(tables)}".encode())
        for table in tables:
            columns = _columns(reading, table)
            kinds = _types(writing, table)
            if set(kinds) != set(columns):
                raise StorageDamaged  # one of the two is not what its version says
            rows = reading.execute(_select(columns, table))
            with (
                writing.cursor() as cursor,
                cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)".encode()) as copy,
            ):
                copy.set_types([kinds[column] for column in columns])
                while some := rows.fetchmany(_ROWS_AT_ONCE):
                    for row in some:
                        copy.write_row(row)
                    total += len(some)
    reading.rollback()
    return total


def forget(path: Path) -> None:
    """Remove a SQLite file with what lies beside it."""
    for side in ("", "-wal", "-shm", "-journal"):
        path.with_name(f"{path.name}{side}").unlink(missing_ok=True)


def _select(columns: Sequence[str], table: str) -> str:
    return f"SELECT {', '.join(columns)} FROM {table}"


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _types(connection: psycopg.Connection[Any], table: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_name = %s AND table_schema = ANY (current_schemas(false))",
        (table,),
    )
    return {name: _PARTS[kind] for name, kind in rows}

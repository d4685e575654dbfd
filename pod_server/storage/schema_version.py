"""Which schema this program works with, and whether a database has it; needs no migration tool."""

from __future__ import annotations

import re
import sqlite3
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from pod_server.storage.errors import DataFolderTooNew, DataFolderTooOld

if TYPE_CHECKING:
    from collections.abc import Iterator

_CREATE_TABLE = re.compile(
    r"^CREATE TABLE (?:IF NOT EXISTS )?(?P<name>\w+) \((?P<columns>.*)\)", re.DOTALL | re.MULTILINE
)
_COMMENT = re.compile(r"--[^\n]*")

SCHEMA_VERSION = 38
"""Raised by one with each migration in migrations/versions."""


def schema_statements() -> Iterator[tuple[str, str]]:
    """Every statement of schema/*.sql as (file name, statement), files in alphabetical order.

    Raises:
        FileNotFoundError: the package was built without its schema files.
    """
    files = sorted(
        (
            entry
            for entry in resources.files("pod_server.storage").joinpath("schema").iterdir()
            if entry.name.endswith(".sql")
        ),
        key=lambda entry: entry.name,
    )
    if not files:
        message = "pod_server/storage/schema holds no .sql file"
        raise FileNotFoundError(message)
    for file in files:
        statement = ""
        for line in file.read_text(encoding="utf-8").splitlines():
            statement += line + "\n"
            if sqlite3.complete_statement(statement):
                yield file.name, statement.strip()
                statement = ""


def for_postgresql(statement: str) -> str:
    """A statement of the schema in PostgreSQL's words: BYTEA, and texts in the order of their bytes as on SQLite.

    Only CREATE TABLE and ALTER TABLE differ; whatever the server's language, texts are compared as bytes.
    """
    if not re.match(r"\s*(?:--[^\n]*\n\s*)*(?:CREATE|ALTER) TABLE\b", statement):
        return statement
    bare = _COMMENT.sub("", statement)
    return re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', re.sub(r"\bBLOB\b", "BYTEA", bare))


def read_schema_version(connection: sqlite3.Connection) -> int:
    """The version of the database's schema; 0 where it has none."""
    try:
        row = connection.execute("SELECT version FROM schema_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return 0
        raise
    return int(row[0]) if row else 0


def check_schema_version(found: int) -> None:
    """Let only the version this program works with pass.

    Raises:
        DataFolderTooNew: a newer program wrote it.
        DataFolderTooOld: it has no schema, or must be migrated.
    """
    if found > SCHEMA_VERSION:
        raise DataFolderTooNew(found, SCHEMA_VERSION)
    if found < SCHEMA_VERSION:
        raise DataFolderTooOld(found, SCHEMA_VERSION)


@cache
class Column(NamedTuple):
    """One column: its name, `BIGINT`, `TEXT` or `BLOB`, and whether it may be empty."""

    name: str
    type: str
    nullable: bool

    def takes(self, value: object) -> bool:
        """Whether a value may stand in it."""
        if value is None:
            return self.nullable
        if self.type == "BIGINT":
            return type(value) is int and -(1 << 63) <= value < 1 << 63
        return isinstance(value, str if self.type == "TEXT" else bytes)


@cache
def columns_of(table: str) -> tuple[Column, ...]:
    """A table's columns in the schema's order.

    Raises:
        KeyError: there is no such table.
    """
    for _file, statement in schema_statements():
        found = _CREATE_TABLE.search(statement)
        if found is not None and found.group("name") == table:
            lines = (line.strip() for line in _COMMENT.sub("", found.group("columns")).splitlines())
            words = [line.rstrip(",").split() for line in lines if line]
            return tuple(
                Column(each[0], each[1], "NOT" not in each and "PRIMARY" not in each)
                for each in words
                if each[0] not in {"PRIMARY", "UNIQUE", "FOREIGN", "CHECK"}
            )
    raise KeyError(table)


def tables_of_pods() -> tuple[str, ...]:
    """Every table whose rows belong to one pod, so that removing a pod forgets no table."""
    tables = []
    for _file, statement in schema_statements():
        found = _CREATE_TABLE.search(statement)
        if found is not None and "pod_id" in _COMMENT.sub("", found.group("columns")):
            tables.append(found.group("name"))
    return tuple(tables)

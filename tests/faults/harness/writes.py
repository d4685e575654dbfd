"""Which kinds of writes the house has, read off its own source; which of them a life did; and what the rows were.

A kind of write is a verb and a table. Nobody keeps a list of them: `in_source` finds every INSERT, UPDATE and DELETE in
the packages' own SQL, `Counted` counts those that a program carries out, and a test compares the two, so that a new
table cannot stay outside the workload.

`rows_of` is what makes every row a promise: after each act its place and a hash of its content are noted, so that
whatever stood before an act and after it must stand in a database that was cut off in the middle of it.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sqlite3
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUSE = Path(__file__).parents[3]
PACKAGES = ("consent", "dashboard", "partner_bridge", "pod_server", "research_views", "tvilling", "twin_agent")
_CHANGE = re.compile(r"\b(INSERT(?:\s+OR\s+\w+)?\s+INTO|UPDATE|DELETE\s+FROM)\s+([a-z_]+)\b")

Kind = tuple[str, str]
"""Table and verb."""

Rows = dict[str, dict[str, str]]
"""By table and row: a hash of its content."""


def _kinds_in(sql: str) -> Iterator[Kind]:
    for change, table in _CHANGE.findall(sql):
        yield table, change.split()[0]


@cache
def in_source() -> dict[Kind, frozenset[str]]:
    """Every kind of write that a package's SQL names, with the files; migrations run before anybody is served."""
    found: dict[Kind, set[str]] = {}
    for package in PACKAGES:
        for path in (HOUSE / package).rglob("*.py"):
            if "migrations" in path.parts:
                continue
            nodes = list(ast.walk(ast.parse(path.read_text())))
            prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            for node in nodes:
                text = ""
                if id(node) in prose:
                    continue
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    text = node.value
                elif isinstance(node, ast.JoinedStr):
                    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
                for kind in _kinds_in(text):
                    found.setdefault(kind, set()).add(path.relative_to(HOUSE).as_posix())
    assert len(found) > 150, "the house's SQL was not found"
    return {kind: frozenset(files) for kind, files in found.items()}


@contextmanager
def counted() -> Iterator[set[Kind]]:
    """The kinds of writes that changed at least one row, of every SQLite connection made inside."""
    done: set[Kind] = set()

    class Counted(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            cursor = super().execute(sql, parameters)
            if cursor.rowcount:  # -1 where its rows are still to be read
                done.update(_kinds_in(sql) if cursor.description is None or cursor.rowcount > 0 else ())
            return cursor

        def executemany(self, sql: str, rows: Any, /) -> sqlite3.Cursor:
            cursor = super().executemany(sql, rows)
            if cursor.rowcount > 0:
                done.update(_kinds_in(sql))
            return cursor

    connect = sqlite3.connect

    def connect_counted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return connect(*arguments, **{"factory": Counted, **options})

    sqlite3.connect = connect_counted  # type: ignore[assignment]
    try:
        yield done
    finally:
        sqlite3.connect = connect


def rows_of(path: Path) -> Rows:
    """Every row of a database by its key, or by its content where the table has none of its own."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("BEGIN")
        return _rows(connection)
    finally:
        connection.close()


def _rows(connection: sqlite3.Connection) -> Rows:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    rows: Rows = {}
    for (table,) in tables.fetchall():
        keys = _key_columns(connection, table)
        of_table = rows.setdefault(table, {})
        for row in connection.execute(f"SELECT * FROM {table}"):
            content = repr(row)
            key = repr([row[place] for place in keys]) if keys else content
            name = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
            of_table[name] = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
    return rows


def _key_columns(connection: sqlite3.Connection, table: str) -> list[int]:
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    keys = [place for place, *_, is_key in columns if is_key]
    if keys:
        return keys
    places = {name: place for place, name, *_ in columns}
    for _, index, unique, _, partial in connection.execute(f"PRAGMA index_list({table})").fetchall():
        if unique and not partial:
            return [places[name] for _, _, name in connection.execute(f"PRAGMA index_info({index})")]
    return []


def changes(before: Rows, after: Rows) -> dict[str, dict[str, str | None]]:
    """What changed: by table and row the new content; None where the row is gone."""
    told: dict[str, dict[str, str | None]] = {}
    for table in before.keys() | after.keys():
        old, new = before.get(table, {}), after.get(table, {})
        changed: dict[str, str | None] = {
            name: new.get(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)
        }
        if changed:
            told[table] = changed
    return told

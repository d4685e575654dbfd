"""The schema: made whole or not at all, the same by migration as by its files, led by the pod's number."""

from __future__ import annotations

import re
import resource
import sqlite3
from contextlib import closing

import pytest

from pod_server.storage import schema_version
from pod_server.storage.errors import DataFolderTooNew, DataFolderTooOld, StorageFull
from pod_server.storage.migrate import migrate
from pod_server.storage.schema_version import SCHEMA_VERSION, schema_statements, tables_of_pods
from pod_server.storage.sqlite import SqliteStorage, open_storage, schema_version_of
from tvilling import doctor


def test_migrating_twice_changes_nothing_the_second_time(tmp_path):
    path = tmp_path / "tvilling.sqlite"
    assert migrate(path) == SCHEMA_VERSION
    before = path.read_bytes()
    assert migrate(path) == SCHEMA_VERSION
    assert path.read_bytes() == before


def test_migration_gives_what_the_schema_files_say(tmp_path):
    migrate(tmp_path / "migrated.sqlite")
    by_hand = sqlite3.connect(tmp_path / "by-hand.sqlite")
    for _file, statement in schema_statements():
        by_hand.execute(statement)
    question = (
        "SELECT type, name, sql FROM sqlite_schema WHERE name NOT IN ('alembic_version', 'schema_version') "
        "AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    migrated = sqlite3.connect(tmp_path / "migrated.sqlite").execute(question).fetchall()
    assert len(migrated) > 20
    assert migrated == by_hand.execute(question).fetchall()


def test_a_migration_that_fails_leaves_no_half_schema(tmp_path, monkeypatch):
    statements = [*schema_statements()]
    broken = [*statements[:5], ("broken.sql", "CREATE TABLE broken (")]
    monkeypatch.setattr(schema_version, "schema_statements", lambda: iter(broken))
    path = tmp_path / "tvilling.sqlite"
    with pytest.raises(Exception, match=r"syntax|incomplete"):
        migrate(path)
    assert sqlite3.connect(path).execute("SELECT COUNT(*) FROM sqlite_schema").fetchone() == (0,)


def test_an_empty_folder_is_told_to_migrate(tmp_path):
    with pytest.raises(DataFolderTooOld, match="version 0"):
        open_storage(tmp_path)


def test_a_newer_folder_is_refused_and_left_untouched(tmp_path):
    path = tmp_path / "tvilling.sqlite"
    migrate(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE schema_version SET version = 99")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    for attempt in (SqliteStorage, migrate):
        with pytest.raises(DataFolderTooNew, match="newer version of Tvilling") as caught:
            attempt(path)
        assert caught.value.found == 99
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["tvilling.sqlite"]


def test_every_table_with_a_pods_rows_is_known_to_removal(tmp_path):
    """Read from the database itself, so that a table written in another style is not forgotten."""
    migrate(tmp_path / "tvilling.sqlite")
    connection = sqlite3.connect(tmp_path / "tvilling.sqlite")
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    with_pod_id = {
        table
        for table in tables
        if "pod_id" in [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]
    }
    assert {"pod", "segment", "log_leaf", "consent"} <= with_pod_id
    assert set(tables_of_pods()) == with_pod_id


def test_the_schema_uses_only_types_that_both_engines_have():
    allowed = {"BIGINT", "TEXT", "BLOB"}
    columns = 0
    for file, statement in schema_statements():
        assert "AUTOINCREMENT" not in statement, file
        if "CREATE TABLE" not in statement:
            continue
        for line in statement.splitlines():
            found = re.match(r"\s+([a-z_]+) ([A-Z]+)", line)
            if found:
                columns += 1
                assert found.group(2) in allowed, (file, line)
    assert columns > 80


def test_a_first_migration_that_was_cut_off_is_taken_back_and_done_again(tmp_path):
    """A rollback journal is left: who asks for the version must let SQLite roll back, though it only means to read."""
    path = tmp_path / "tvilling.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("CREATE TABLE of_before (it TEXT)")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
        for _ in range(200):
            connection.execute("INSERT INTO schema_version VALUES (1)")
            connection.execute("INSERT INTO of_before VALUES (hex(randomblob(2000)))")
        half_done = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert half_done.keys() == {"tvilling.sqlite", "tvilling.sqlite-journal"}
    for name, content in half_done.items():
        (tmp_path / name).write_bytes(content)
    (found,) = doctor._database_file(path)
    assert "half made" in found.what
    assert schema_version_of(path) == 0
    assert migrate(path) == SCHEMA_VERSION == schema_version_of(path)
    assert [*doctor._database_file(path)] == []


def test_a_disk_too_full_for_the_first_migration_is_said_so_and_with_room_it_is_done(tmp_path):
    path = tmp_path / "tvilling.sqlite"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(StorageFull):
            migrate(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert schema_version_of(path) == 0
    assert migrate(path) == SCHEMA_VERSION

"""A folder from before keys had epochs gains them, and loses nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from pod_server.storage.migrate import migrate
from pod_server.storage.schema_version import SCHEMA_VERSION

BEFORE = (
    *(
        f"ALTER TABLE {table} DROP COLUMN epoch"
        for table in ("household", "document", "proposal", "log_tree", "log_leaf")
    ),
    "DROP TABLE pod",
    "CREATE TABLE pod (pod_id BIGINT PRIMARY KEY, handle TEXT, created BIGINT, state TEXT, area TEXT, simulated BIGINT, figures_epoch BIGINT, log_public_key BLOB)",
    "ALTER TABLE log_leaf DROP COLUMN sealed_hash",
    *(
        f"DROP TABLE {table}"
        for table in ("resealing", "grant_inbox", "pending_delivery", "sealed_delivery", "partial")
    ),
    "CREATE TABLE partial (pod_id BIGINT, grant_id TEXT, epoch BIGINT, month TEXT, version BIGINT, sealed BLOB, PRIMARY KEY (pod_id, grant_id, epoch, month))",
    "INSERT INTO partial VALUES (1, 'g-1', 1, '2026-11', 7, x'aa')",
    "INSERT INTO household (pod_id, version, sealed) VALUES (1, 3, x'bb')",
    "UPDATE schema_version SET version = 5",
    "UPDATE alembic_version SET version_num = '0005'",
)


def test_a_database_from_before_epochs_is_brought_to_this_one_with_its_rows(tmp_path):
    path = tmp_path / "tvilling.sqlite"
    migrate(path)
    with closing(sqlite3.connect(path)) as old, old:
        for statement in BEFORE:
            old.execute(statement)
    assert migrate(path) == SCHEMA_VERSION
    with closing(sqlite3.connect(path)) as new:
        assert new.execute("SELECT * FROM partial").fetchall() == [(1, "g-1", 1, "2026-11", 7, b"\xaa")]
        assert new.execute("SELECT version, sealed, epoch FROM household").fetchall() == [(3, b"\xbb", 1)]
        key = [name for _, name, *_, place in new.execute("PRAGMA table_info(partial)") if place]
        assert key == ["pod_id", "grant_id", "month"]
        for table in ("resealing", "grant_inbox", "pending_delivery", "sealed_delivery"):
            assert new.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,)
        new.execute(
            "INSERT INTO pod (pod_id, handle, created, state, area, simulated, figures_epoch, log_public_key) VALUES (9, 'a', 0, 'open', '', 0, 1, x'00')"
        )
        assert new.execute("SELECT own_epoch, own_oldest_epoch FROM pod").fetchall() == [(1, 1)]

"""A folder from before receipts gains their tables, and loses nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from pod_server.storage.migrate import migrate
from pod_server.storage.schema_version import SCHEMA_VERSION


def test_a_database_of_the_first_version_is_brought_to_this_one_with_its_events(tmp_path):
    path = tmp_path / "tvilling.sqlite"
    migrate(path)
    with closing(sqlite3.connect(path)) as old, old:
        for statement in (
            "DROP TABLE consent_receipt",
            "DROP TABLE consent_notice",
            "ALTER TABLE consent_event DROP COLUMN actor",
            "INSERT INTO consent_event (pod_id, grant_id, sequence, kind, at) VALUES (1, 'g-1', 1, 'given', 5)",
            "UPDATE schema_version SET version = 2",
            "UPDATE alembic_version SET version_num = '0002'",
        ):
            old.execute(statement)
    assert migrate(path) == SCHEMA_VERSION
    with closing(sqlite3.connect(path)) as new:
        assert new.execute("SELECT kind, actor FROM consent_event").fetchall() == [("given", "citizen")]
        assert new.execute("SELECT COUNT(*) FROM consent_receipt, consent_notice").fetchone() == (0,)
        indexes = {name for (name,) in new.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
        assert "consent_receipt_waiting" in indexes

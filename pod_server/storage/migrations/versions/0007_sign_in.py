"""Passkeys, and what a citizen's list of sessions tells; a new database has both from the first revision already."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NEW_COLUMNS = {
    "means": "TEXT NOT NULL DEFAULT 'passphrase'",
    "sealed_details": "BLOB",
    "last_used_at": "BIGINT",
    "upstream_hash": "TEXT",
}


def upgrade() -> None:
    """Add what is missing, and say that this is version 7."""
    connection = op.get_bind()
    for file, statement in schema_statements():
        if file == "sign_in.sql":
            connection.exec_driver_sql(statement)
    present = {column["name"] for column in inspect(connection).get_columns("session")}
    for name, kind in _NEW_COLUMNS.items():
        if name not in present:
            connection.exec_driver_sql(f"ALTER TABLE session ADD COLUMN {name} {kind}")
    op.execute("UPDATE schema_version SET version = 7")

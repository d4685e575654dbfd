"""Partners that apply, are limited and stopped; their notices, consoles and deliveries; a new database has them already."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_COLUMNS = {
    "reason": "TEXT NOT NULL DEFAULT ''",
    "stopped_at": "BIGINT",
    "limits": "TEXT NOT NULL DEFAULT '{}'",
    "sandbox": "BIGINT",
}


def upgrade() -> None:
    """Add what is missing, and say that this is version 18."""
    connection = op.get_bind()
    for file, statement in schema_statements():
        if file == "partners.sql":
            connection.exec_driver_sql(statement)
    present = {column["name"] for column in inspect(connection).get_columns("partner")}
    for name, kind in _COLUMNS.items():
        if name not in present:
            connection.exec_driver_sql(f"ALTER TABLE partner ADD COLUMN {name} {kind}")
    op.execute("UPDATE schema_version SET version = 18")

"""What a municipality answered to a claim; a new database has the columns already."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns where they are missing, and say that this is version 38."""
    connection = op.get_bind()
    if "reply" not in {column["name"] for column in inspect(connection).get_columns("outbox")}:
        connection.exec_driver_sql("ALTER TABLE outbox ADD COLUMN reply TEXT NOT NULL DEFAULT ''")
        connection.exec_driver_sql("ALTER TABLE outbox ADD COLUMN replied BIGINT")
    op.execute("UPDATE schema_version SET version = 38")

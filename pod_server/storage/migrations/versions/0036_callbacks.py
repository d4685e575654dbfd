"""What a source's ping asks to be fetched; a new database has the column already."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column where it is missing, and say that this is version 36."""
    connection = op.get_bind()
    if "callbacks" not in {column["name"] for column in inspect(connection).get_columns("pull")}:
        connection.exec_driver_sql("ALTER TABLE pull ADD COLUMN callbacks TEXT NOT NULL DEFAULT ''")
    op.execute("UPDATE schema_version SET version = 36")

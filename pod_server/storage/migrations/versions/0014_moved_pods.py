"""Pods that moved to another host: where their addresses lead.

A database made today has the column from the first revision already.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add retired_handle.moved_to where it is missing; this is version 14."""
    connection = op.get_bind()
    present = {column["name"] for column in inspect(connection).get_columns("retired_handle")}
    if "moved_to" not in present:
        connection.exec_driver_sql("ALTER TABLE retired_handle ADD COLUMN moved_to TEXT NOT NULL DEFAULT ''")
    op.execute("UPDATE schema_version SET version = 14")

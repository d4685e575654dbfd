"""The receipt of a removed citizen; a new database has its column from the first revision already."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column where it is missing, and say that this is version 11."""
    connection = op.get_bind()
    present = {column["name"] for column in inspect(connection).get_columns("retired_handle")}
    if "receipt" not in present:
        connection.exec_driver_sql("ALTER TABLE retired_handle ADD COLUMN receipt TEXT")
    op.execute("UPDATE schema_version SET version = 11")

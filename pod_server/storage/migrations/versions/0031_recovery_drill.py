"""When a citizen last tried the recovery code that holds now."""

from __future__ import annotations

import sqlalchemy
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column where it is missing: nobody has tried a code yet."""
    connection = op.get_bind()
    if "recovery_tried_at" not in {column["name"] for column in sqlalchemy.inspect(connection).get_columns("pod")}:
        connection.exec_driver_sql("ALTER TABLE pod ADD COLUMN recovery_tried_at BIGINT")
    op.execute("UPDATE schema_version SET version = 31")

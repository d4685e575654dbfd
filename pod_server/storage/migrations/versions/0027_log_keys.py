"""Which key of the host each log has told of last."""

from __future__ import annotations

import sqlalchemy
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column where it is missing: every log there is begins under the first key. Say that this is version 27."""
    connection = op.get_bind()
    if "key_number" not in {column["name"] for column in sqlalchemy.inspect(connection).get_columns("log_tree")}:
        connection.exec_driver_sql("ALTER TABLE log_tree ADD COLUMN key_number BIGINT NOT NULL DEFAULT 1")
    op.execute("UPDATE schema_version SET version = 27")

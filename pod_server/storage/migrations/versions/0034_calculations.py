"""What calculation services answered, and until when they asked to be left alone."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables where they are missing; this is version 34."""
    connection = op.get_bind()
    for _file, statement in schema_statements():
        if "TABLE IF NOT EXISTS calculation" in statement:
            connection.exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 34")

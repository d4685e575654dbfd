"""Whose admissions of partners a host takes, and the partners that came by one."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables where they are missing, and say that this is version 24."""
    connection = op.get_bind()
    for file, statement in schema_statements():
        if file == "federation.sql":
            connection.exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 24")

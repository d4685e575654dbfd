"""Deliveries that partners named, so that one that was cut goes on; a new database has the tables already."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables where they are missing, and say that this is version 25."""
    for _file, statement in schema_statements():
        if "CREATE TABLE IF NOT EXISTS bulk_" in statement:
            op.get_bind().exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 25")

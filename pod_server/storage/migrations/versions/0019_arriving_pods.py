"""Pods that are being brought in from another host; a new database has the table from the first revision already."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table where it is missing, and say that this is version 19."""
    for _file, statement in schema_statements():
        if "CREATE TABLE IF NOT EXISTS arriving_pod" in statement:
            op.get_bind().exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 19")

"""What municipalities offer, published by themselves; a new database has the table already."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table where it is missing; this is version 37."""
    connection = op.get_bind()
    for file, statement in schema_statements():
        if file == "offers.sql":
            connection.exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 37")

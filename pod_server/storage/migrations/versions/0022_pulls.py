"""Sources that are asked for data, and citizens' connections to them; a new database has the tables already."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables where they are missing, and say that this is version 22."""
    for file, statement in schema_statements():
        if file == "pulls.sql":
            op.get_bind().exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 22")

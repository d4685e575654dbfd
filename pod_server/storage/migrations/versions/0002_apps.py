"""The tables of apps that sign in with a WebID; a new database has them from the first revision already."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of schema/apps.sql where they are missing, and say that this is version 2."""
    for file, statement in schema_statements():
        if file == "apps.sql":
            op.get_bind().exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 2")

"""Who may act for which partner; a new database has the table already."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table where it is missing, and say that this is version 32."""
    for _file, statement in schema_statements():
        if "CREATE TABLE IF NOT EXISTS acting_partner" in statement:
            op.get_bind().exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 32")

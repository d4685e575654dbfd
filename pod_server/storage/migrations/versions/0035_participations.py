"""In which challenges citizens take part."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table where it is missing; this is version 35."""
    connection = op.get_bind()
    for _file, statement in schema_statements():
        if "TABLE IF NOT EXISTS participation (" in statement:
            connection.exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 35")

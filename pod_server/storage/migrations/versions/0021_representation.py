"""Who may answer for whom; a new database has the table from the first revision already."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and its index where they are missing, and say that this is version 21."""
    connection = op.get_bind()
    for _file, statement in schema_statements():
        if "EXISTS representation" in statement:
            connection.exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 21")

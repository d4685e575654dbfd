"""Webhooks that outlive processes, and pods whose documents are being moved after a change of rules.

A database made today has both tables from the first revision already.
"""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of schema/notifications.sql and schema/settling.sql where they are missing; this is version 9."""
    for file, statement in schema_statements():
        if file in {"notifications.sql", "settling.sql"}:
            op.get_bind().exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 9")

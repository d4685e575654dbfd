"""Reminders of consents that end soon or lie unused.

A database made today has the table from the first revision already, since that one carries out the schema files as they
are.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is missing, and say that this is version 8."""
    connection = op.get_bind()
    if not inspect(connection).has_table("consent_reminder"):
        for file, statement in schema_statements():
            if file == "grants.sql" and "CREATE TABLE consent_reminder " in statement:
                connection.exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 8")

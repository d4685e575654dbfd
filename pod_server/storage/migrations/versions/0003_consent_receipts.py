"""Receipts of consent events, the texts that citizens were shown, and who made each event happen.

A database made today has them from the first revision already, since that one carries out the schema files as they are.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NEW = ("consent_receipt", "consent_receipt_waiting", "consent_notice")


def upgrade() -> None:
    """Add what is missing, and say that this is version 3."""
    connection = op.get_bind()
    found = inspect(connection)
    if not found.has_table("consent_receipt"):
        for file, statement in schema_statements():
            if file == "grants.sql" and any(f" {name} " in statement for name in _NEW):
                connection.exec_driver_sql(statement)
    if "actor" not in {column["name"] for column in found.get_columns("consent_event")}:
        connection.exec_driver_sql("ALTER TABLE consent_event ADD COLUMN actor TEXT NOT NULL DEFAULT 'citizen'")
    op.execute("UPDATE schema_version SET version = 3")

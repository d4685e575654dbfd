"""Longer documents in parts, so that adding to one costs what is added; a new database has the table already."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table where it is missing, and say that this is version 10. Documents move when they are next put."""
    connection = op.get_bind()
    if not inspect(connection).has_table("document_part"):
        for file, statement in schema_statements():
            if file == "documents.sql" and "CREATE TABLE document_part " in statement:
                connection.exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 10")

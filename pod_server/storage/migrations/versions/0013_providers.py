"""Providers that citizens sign in with, their links, and what signs them out there; a new database has them already."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is missing, and say that this is version 13."""
    connection = op.get_bind()
    for file, statement in schema_statements():
        if file == "sign_in.sql":
            connection.exec_driver_sql(statement)
    if "sealed_hint" not in {column["name"] for column in inspect(connection).get_columns("session")}:
        connection.exec_driver_sql("ALTER TABLE session ADD COLUMN sealed_hint BLOB")
    op.execute("UPDATE schema_version SET version = 13")

"""What came of one code, and which browser opened a question; a new database has both from the first revision already."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is missing, and say that this is version 15."""
    connection = op.get_bind()
    for file, statement in schema_statements():
        if file == "authorization_server.sql" and "CREATE TABLE IF NOT EXISTS question_browser" in statement:
            connection.exec_driver_sql(statement)
    if "family" not in {column["name"] for column in inspect(connection).get_columns("refresh_token")}:
        connection.exec_driver_sql("ALTER TABLE refresh_token ADD COLUMN family TEXT NOT NULL DEFAULT ''")
    op.execute("UPDATE schema_version SET version = 15")

"""Which apps a citizen uses lies hashed and sealed; a new database has it so from the first revision already.

The rows before were plain, and a migration holds no key to seal them with: they are ended, and apps ask anew.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TABLES = ("app_question", "app_connection", "app_code", "app_refresh_token")


def upgrade() -> None:
    """Make the four tables anew where they are of the old form, and say that this is version 16."""
    connection = op.get_bind()
    if "client_id" in {column["name"] for column in inspect(connection).get_columns("app_connection")}:
        for table in _TABLES:
            connection.exec_driver_sql(f"DROP TABLE {table}")
        for file, statement in schema_statements():
            if file == "apps.sql" and "app_registration" not in statement:
                connection.exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 16")

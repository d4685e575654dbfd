"""Large binaries in files of their own, and the running sum of what each pod's documents take.

A database made today has them from the first revision already, since that one carries out the schema files as they are.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NEW = ("storage_use", "upload")


def upgrade() -> None:
    """Add what is missing, count what is there, and say that this is version 5."""
    connection = op.get_bind()
    found = inspect(connection)
    if "binary_name" not in {column["name"] for column in found.get_columns("document")}:
        connection.exec_driver_sql("ALTER TABLE document ADD COLUMN binary_name BLOB")
    if not found.has_table("storage_use"):
        for file, statement in schema_statements():
            if file == "documents.sql" and any(f"CREATE TABLE {name} " in statement for name in _NEW):
                connection.exec_driver_sql(statement)
        # 512 is quota.DOCUMENT_BYTES as it was when this revision was written.
        connection.exec_driver_sql(
            "INSERT INTO storage_use (pod_id, used_bytes) "
            "SELECT pod_id, SUM(size_bytes) + 512 * COUNT(*) FROM document GROUP BY pod_id"
        )
    op.execute("UPDATE schema_version SET version = 5")

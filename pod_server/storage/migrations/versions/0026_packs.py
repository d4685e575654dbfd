"""Small deliveries that were merged lie in one row; and indexes for what is looked for beside them."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

INDEXES = ("segment_to_pack", "segment_pack_to_pack", "consent_by_end", "consent_by_change")


def upgrade() -> None:
    """Add what is missing, and say that this is version 26."""
    connection = op.get_bind()
    if "first_ordinal" not in {column["name"] for column in inspect(connection).get_columns("segment")}:
        connection.exec_driver_sql("ALTER TABLE segment ADD COLUMN first_ordinal BIGINT NOT NULL DEFAULT 0")
    for _file, statement in schema_statements():
        if any(f"INDEX IF NOT EXISTS {name} ON" in statement for name in INDEXES):
            connection.exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 26")

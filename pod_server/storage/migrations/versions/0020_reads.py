"""How often a consent was read, beside how much was delivered under it.

A database made today has the columns from the first revision already.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add consent_use.reads and last_read_at where they are missing; this is version 20."""
    connection = op.get_bind()
    present = {column["name"] for column in inspect(connection).get_columns("consent_use")}
    if "reads" not in present:
        connection.exec_driver_sql("ALTER TABLE consent_use ADD COLUMN reads BIGINT NOT NULL DEFAULT 0")
        connection.exec_driver_sql("ALTER TABLE consent_use ADD COLUMN last_read_at BIGINT")
    op.execute("UPDATE schema_version SET version = 20")

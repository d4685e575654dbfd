"""A partner's signature kept with each delivery that it sealed itself."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is missing, and say that this is version 12."""
    connection = op.get_bind()
    if "signature" not in {column["name"] for column in inspect(connection).get_columns("sealed_delivery")}:
        connection.exec_driver_sql("ALTER TABLE sealed_delivery ADD COLUMN signature TEXT NOT NULL DEFAULT ''")
    op.execute("UPDATE schema_version SET version = 12")

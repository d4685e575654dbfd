"""How sources' calls find their citizens; a new database has the columns already."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_COLUMNS = {"user_key": "TEXT NOT NULL DEFAULT ''", "hurried_until": "BIGINT NOT NULL DEFAULT 0"}


def upgrade() -> None:
    """Add what is missing, and say that this is version 23."""
    connection = op.get_bind()
    present = {column["name"] for column in inspect(connection).get_columns("pull")}
    for name, kind in _COLUMNS.items():
        if name not in present:
            connection.exec_driver_sql(f"ALTER TABLE pull ADD COLUMN {name} {kind}")
    connection.exec_driver_sql("CREATE INDEX IF NOT EXISTS pull_user ON pull (slug, user_key)")
    op.execute("UPDATE schema_version SET version = 23")

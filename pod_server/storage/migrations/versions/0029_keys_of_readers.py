"""Which key a refresh token is bound to, for apps that read under a consent and have no key of their own registered."""

from __future__ import annotations

import sqlalchemy
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column where it is missing: partners' tokens are bound to none, since partners sign for themselves."""
    connection = op.get_bind()
    if "dpop_jkt" not in {column["name"] for column in sqlalchemy.inspect(connection).get_columns("refresh_token")}:
        connection.exec_driver_sql("ALTER TABLE refresh_token ADD COLUMN dpop_jkt TEXT NOT NULL DEFAULT ''")
    op.execute("UPDATE schema_version SET version = 29")

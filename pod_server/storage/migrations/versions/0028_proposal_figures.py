"""What a proposal rests on lies apart from what is proposed, under the key that ends with each erasure."""

from __future__ import annotations

import sqlalchemy
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns where they are missing; the twin moves the figures of older proposals. This is version 28."""
    connection = op.get_bind()
    present = {column["name"] for column in sqlalchemy.inspect(connection).get_columns("proposal")}
    if "figures" not in present:
        connection.exec_driver_sql("ALTER TABLE proposal ADD COLUMN figures_epoch BIGINT")
        blob = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
        connection.exec_driver_sql(f"ALTER TABLE proposal ADD COLUMN figures {blob}")
    op.execute("UPDATE schema_version SET version = 28")

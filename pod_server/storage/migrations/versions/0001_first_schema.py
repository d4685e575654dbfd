"""The first schema: every file of pod_server/storage/schema."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table, and say that this is version 1."""
    for _file, statement in schema_statements():
        # Not op.execute: SQLAlchemy would take a colon in a comment for a parameter.
        op.get_bind().exec_driver_sql(statement)
    op.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
    op.execute("INSERT INTO schema_version (version) VALUES (1)")

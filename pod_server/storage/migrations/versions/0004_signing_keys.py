"""The issuer's signing keys, so that they can be changed, and which algorithm an app wants its ID tokens signed with.

A database made today has both from the first revision already.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of schema/signing_keys.sql where it is missing, the column of apps.sql, and say that this is version 4."""
    for file, statement in schema_statements():
        if file == "signing_keys.sql":
            op.get_bind().exec_driver_sql(statement)
    if "id_token_algorithm" not in {
        column["name"] for column in inspect(op.get_bind()).get_columns("app_refresh_token")
    }:
        op.execute("ALTER TABLE app_refresh_token ADD COLUMN id_token_algorithm TEXT NOT NULL DEFAULT 'ES256'")
    op.execute("UPDATE schema_version SET version = 4")

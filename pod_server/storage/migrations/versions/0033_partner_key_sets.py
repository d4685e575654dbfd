"""When a partner's keys were fetched from its own address; a new database has the table already."""

from __future__ import annotations

from alembic import op

from pod_server.storage.schema_version import schema_statements

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table where it is missing: each address is asked when its partner signs something next."""
    for _file, statement in schema_statements():
        if "CREATE TABLE IF NOT EXISTS partner_key_set" in statement:
            op.get_bind().exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 33")

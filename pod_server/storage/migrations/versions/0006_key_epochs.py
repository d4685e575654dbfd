"""Epochs of every key in the rows they seal, the intent to seal history anew, and deliveries that wait for locked pods."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pod_server.storage.schema_version import schema_statements

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COLUMNS = {
    "pod": ("own_epoch BIGINT NOT NULL DEFAULT 1", "own_oldest_epoch BIGINT NOT NULL DEFAULT 1"),
    "household": ("epoch BIGINT NOT NULL DEFAULT 1",),
    "document": ("epoch BIGINT NOT NULL DEFAULT 1",),
    "proposal": ("epoch BIGINT NOT NULL DEFAULT 1",),
    "log_tree": ("epoch BIGINT NOT NULL DEFAULT 1",),
    "log_leaf": ("epoch BIGINT NOT NULL DEFAULT 1", "sealed_hash BLOB"),
}


def upgrade() -> None:
    """Add what is missing, and say that this is version 6."""
    connection = op.get_bind()
    found = inspect(connection)
    for table, columns in _COLUMNS.items():
        present = {column["name"] for column in found.get_columns(table)}
        for column in columns:
            if column.split()[0] not in present:
                connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column}")
    if "epoch" in found.get_pk_constraint("partial")["constrained_columns"]:
        # Sums are one a grant and month, whatever key they are sealed under; there was one epoch a grant so far.
        connection.exec_driver_sql("ALTER TABLE partial RENAME TO partial_before")
        for file, statement in schema_statements():
            if file == "twin.sql" and "CREATE TABLE partial " in statement:
                connection.exec_driver_sql(statement)
        columns_of_partial = "pod_id, grant_id, epoch, month, version, sealed"
        connection.exec_driver_sql(
            f"INSERT INTO partial ({columns_of_partial}) SELECT {columns_of_partial} FROM partial_before"
        )
        connection.exec_driver_sql("DROP TABLE partial_before")
    for file, statement in schema_statements():
        if file == "vault.sql":
            connection.exec_driver_sql(statement)
    op.execute("UPDATE schema_version SET version = 6")

"""The data folder: made where it is missing, and brought to this program's schema. Loads little, so that a start is quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pod_server.storage.copying import make_folder
from pod_server.storage.schema_version import SCHEMA_VERSION
from pod_server.storage.sqlite import schema_version_of

if TYPE_CHECKING:
    from tvilling.settings import Settings

DATABASE_FILE = "tvilling.sqlite"


def make_folders_of(settings: Settings) -> None:
    """The data folder and what lies in it, for its owner alone."""
    for folder in (settings.data, settings.run_folder, settings.data / "keys"):
        make_folder(folder)
        folder.chmod(0o700)


def migrate_data_folder(settings: Settings) -> None:
    """Make the data folder where it is missing, and bring its schema up to date. For commands, never for workers.

    Raises:
        DataFolderTooNew: a newer version wrote the folder.
    """
    make_folders_of(settings)
    database = settings.data / DATABASE_FILE
    if settings.database_url is None and schema_version_of(database) == SCHEMA_VERSION:
        return
    from pod_server.storage.migrate import migrate, migrate_postgresql  # noqa: PLC0415 - Alembic is large

    if settings.database_url is not None:
        migrate_postgresql(settings.database_url)
    else:
        migrate(database)

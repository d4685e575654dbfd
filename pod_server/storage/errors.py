"""What can go wrong with storage, and which problems these are over HTTP."""

from __future__ import annotations

from pod_server import problems


class StorageError(Exception):
    """The storage engine could not do what was asked; nothing of the transaction stands."""


class StorageFull(StorageError):
    """The disk is full: nothing was written, what was acknowledged before stands."""

    def __init__(self) -> None:
        super().__init__(
            "The host's storage is full. Nothing of this request was kept; send it again when the operator has made room."
        )


class StorageBusy(StorageError):
    """No turn to write came within the time-out.

    Attributes:
        retry_after: Whole seconds after which to try again.
    """

    retry_after = 1

    def __init__(self) -> None:
        super().__init__("Other writers held the storage for too long. Nothing was kept; try again in a moment.")


class StorageDamaged(StorageError):
    """The engine reports a damaged file or a failing device."""

    def __init__(self) -> None:
        super().__init__("The storage engine reports a damaged file or a failing device. The operator must look at it.")


class StorageConflict(StorageBusy):
    """Two transactions waited for each other, and this one was ended; it may be done again at once."""


def is_doubled(error: BaseException) -> bool:
    """Whether an engine refused a row because there is one of that name; each engine has an error of its own for it."""
    return any(each.__name__ == "IntegrityError" for each in type(error).__mro__)


class StorageUnavailable(StorageBusy):
    """The database server cannot be reached, or the connection to it broke.

    Attributes:
        retry_after: Whole seconds after which to try again.
    """

    retry_after = 3

    def __init__(self) -> None:
        StorageError.__init__(
            self,
            "The host's database cannot be reached just now. What was acknowledged before is safe; send the request "
            "again in a moment: what was kept already is recognised and counts once.",
        )


class TextUnstorable(StorageError):
    """A text holds the character U+0000, which the storage cannot hold, so nothing stored can be meant by it."""

    def __init__(self) -> None:
        super().__init__("A text of the request holds the character U+0000, which no text here may hold. Leave it out.")


class DatabaseAddressInvalid(StorageError):
    """The address of the database cannot be read. The message does not repeat it: it may hold a password."""

    def __init__(self) -> None:
        super().__init__(
            "The database's address must look like postgresql://USER@HOST:5432/DATABASE; give a password in a "
            "password file (PGPASSFILE), not in the address."
        )


class DataFolderUnready(StorageError):
    """The data folder's schema is not the one this program works with."""


class DataFolderTooNew(DataFolderUnready):
    """A newer version of the program wrote this data folder."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"This data folder was written by a newer version of Tvilling (its schema is version {found}; this program "
            f"knows versions up to {known}). Use that newer version, or restore a backup made with this one."
        )
        self.found = found
        self.known = known


class DataFolderTooOld(DataFolderUnready):
    """The data folder has no schema yet, or one that must be migrated first."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"This data folder has schema version {found}; this program works with version {known}. Any `tvilling` "
            "command migrates it at its start; a library user calls pod_server.storage.migrate.migrate(path)."
        )
        self.found = found
        self.known = known


problems.declare(StorageFull, "storage-full", "The storage is full", 507)
problems.declare(StorageBusy, "storage-busy", "The storage is busy", 503)
problems.declare(StorageDamaged, "storage-damaged", "The storage has failed", 500)
problems.declare(StorageUnavailable, "storage-unavailable", "The storage cannot be reached", 503)
problems.declare(TextUnstorable, "text-unstorable", "A text holds a character that cannot be stored", 400)
problems.declare(DatabaseAddressInvalid, "database-address-invalid", "The database's address cannot be read", 500)
problems.declare(DataFolderUnready, "data-folder-unready", "The data folder is of another version", 503)

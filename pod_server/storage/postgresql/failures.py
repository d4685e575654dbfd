"""What the server or libpq says went wrong, in the house's words."""

from __future__ import annotations

import psycopg
from psycopg import errors

from pod_server.storage.errors import (
    StorageBusy,
    StorageConflict,
    StorageDamaged,
    StorageFull,
    StorageUnavailable,
)

_FULL = (errors.DiskFull,)
CONFLICT = (errors.SerializationFailure, errors.DeadlockDetected)
_BUSY = (
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.TooManyConnections,
    errors.OutOfMemory,
)
_DAMAGED = (errors.DataCorrupted, errors.IndexCorrupted, errors.IoError)
_GONE = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.InvalidPassword,
    errors.InvalidAuthorizationSpecification,
    errors.InvalidCatalogName,
)


def translate(error: Exception, *, writing: bool = False) -> Exception:
    """The house's error for one of PostgreSQL's; an error of ours in the SQL itself stays what it is."""
    if isinstance(error, _FULL):
        return StorageFull()
    if isinstance(error, CONFLICT):
        return StorageConflict()
    if isinstance(error, _BUSY):
        return StorageBusy()
    if isinstance(error, _DAMAGED):
        return StorageDamaged()
    if isinstance(error, _GONE):
        return StorageUnavailable()
    if writing and isinstance(error, errors.ReadOnlySqlTransaction):
        return StorageUnavailable()  # a standby, or a primary that was just replaced
    # Without a state of its own it is libpq's: the connection broke, or was never made.
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return StorageUnavailable()
    return error

"""Once more, where two transactions stood in each other's way and the engine ended this one.

Only for what may be done again from its beginning: a function that opens its own transaction and keeps nothing of a
failed try. Where there is one writer (SQLite) it never happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pod_server.storage.errors import StorageConflict

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

TRIES = 5


def again_after_conflict(work: Callable[[], Result]) -> Result:
    """Do a piece of work until no conflict ends it.

    Raises:
        StorageConflict: five tries met one.
    """
    for _ in range(TRIES - 1):
        try:
            return work()
        except StorageConflict:
            continue
    return work()

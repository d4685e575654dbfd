"""A database and a key store whose disk refuses a sync, and a process that ends right after it.

python -m faults.harness.refused FOLDER
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from faults.harness.recorder import FAULTS, Recorder
from hosts import NOON, key_store_in

from pod_server.clock import SetClock
from pod_server.identifiers import PodId
from pod_server.storage.errors import StorageError
from pod_server.storage.migrate import migrate
from pod_server.storage.sqlite import SqliteStorage
from pod_server.vault.errors import VaultError
from pod_server.vault.slots import Slot


def main(folder: Path) -> None:
    """One row and one vault that were acknowledged, and of each one that was refused."""
    recorder = Recorder()
    migrate(folder / "data.sqlite")
    storage = SqliteStorage(folder / "data.sqlite")
    keys = key_store_in(folder / "keys", clock=SetClock(NOON))
    refused = []
    for number, handle in enumerate(("before", "refused"), 1):
        slot = Slot("custodian", "", b"salt", b"sealed")
        for urgent in (True, False) if number > 1 else (True,):
            recorder.arm(FAULTS["sync"] if number > 1 else 0, 0)
            with contextlib.suppress(StorageError), storage.write(urgent=urgent) as tx:
                tx.execute("INSERT INTO retired_handle (handle, retired) VALUES (?, 0)", (handle,))
            refused.append(recorder.struck())
        recorder.arm(FAULTS["sync"] if number > 1 else 0, 0)
        try:
            keys.create(PodId(number), [slot], [])
        except VaultError:
            if number == 1:
                raise
        refused.append(recorder.struck())
    assert list(map(bool, refused)) == [False, False, True, True, True], refused
    os._exit(0)  # as a process that is killed: nobody closes the databases


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""A pod with a log in a database of its own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from diaries import Diary
from hosts import key_store_in

from pod_server.log import ledger
from pod_server.storage.migrate import migrate
from pod_server.storage.sqlite import SqliteStorage
from pod_server.vault.host_key import HostKey
from pod_server.vault.vault import create_vault


@pytest.fixture
def diary(tmp_path):
    migrate(tmp_path / "tvilling.sqlite")
    storage = SqliteStorage(tmp_path / "tvilling.sqlite")
    key_store = key_store_in(tmp_path)
    host_key = HostKey(bytes(range(32)))
    # A locked pod: everything here is written without its vault.
    new = create_vault(host_key, key_store, 7, custodian=False)
    with storage.write() as tx:
        ledger.create_tree(tx, 7, new.log_public_key)
    yield Diary(
        storage, new.vault, SimpleNamespace(base_url="https://pods.example", host_key=host_key, key_store=key_store)
    )
    storage.close()
    key_store.close()

"""A key store that goes into a database from a file of an older format."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from hosts import host_key_in, key_store_in

from pod_server.clock import SystemClock
from pod_server.lasting_keys import list_lasting, rotate_lasting
from pod_server.vault.key_store_postgresql import PostgresqlKeyStore, copy_in
from pod_server.vault.vault import create_vault


def test_a_file_from_before_lasting_keys_goes_in_and_leaves_no_other_stores_keys(tmp_path, databases):
    url = databases.new()
    store = key_store_in(tmp_path)
    host_key = host_key_in(tmp_path, store)
    create_vault(host_key, store, 7)
    there = PostgresqlKeyStore(url, store.epoch_keys)
    rotate_lasting(host_key, there, "log", at=SystemClock().now())
    assert [key.number for key in list_lasting(host_key, there, "log")] == [1, 2]
    store.close()
    with closing(sqlite3.connect(tmp_path / "keys.sqlite")) as file, file:
        file.execute("DROP TABLE lasting_key")
        file.execute("PRAGMA user_version = 3")
    copy_in(tmp_path / "keys.sqlite", url, store.epoch_keys)
    assert there.lasting_keys("log") == []
    assert there.slot_kinds(7) == {"recovery", "custodian"}
    there.close()

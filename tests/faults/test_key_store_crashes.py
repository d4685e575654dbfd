"""The key store when a process dies in the middle, many start at once, or the log cannot be truncated."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from ending import kill_and_wait
from hosts import host_key_in, key_store_in

from pod_server.vault.envelope import OWN, Scope
from pod_server.vault.errors import KeyStoreUnavailable
from pod_server.vault.host_key import HostKey
from pod_server.vault.vault import create_vault, unlock_with_custodian

PREAMBLE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from hosts import host_key_in, key_store_in
from pod_server.vault.envelope import OWN, Scope
from pod_server.vault.host_key import HostKey
from pod_server.vault.vault import create_vault
folder = Path(sys.argv[1])
"""
WRITER = """
host_key, store = HostKey(bytes(32)), key_store_in(folder)
grant = Scope("grant", "g-1", 1)
for pod_id in range(100000):
    vault = create_vault(host_key, store, pod_id).vault
    vault.create_scope(grant)
    print("made", pod_id, flush=True)
    if pod_id % 2:
        vault.destroy_scope(grant)
        print("erased", pod_id, flush=True)
"""


def start(program, folder):
    return subprocess.Popen([sys.executable, "-c", PREAMBLE + program, folder], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("after_seconds", [0.05, 0.11, 0.17])
def test_after_kill_9_every_vault_is_whole_and_everything_told_holds(tmp_path, after_seconds):
    child = start(WRITER, tmp_path)
    told = [child.stdout.readline()]
    time.sleep(after_seconds)
    os.kill(child.pid, signal.SIGKILL)
    told += child.stdout.read().splitlines()
    kill_and_wait(child)
    host_key, store = HostKey(bytes(32)), key_store_in(tmp_path)
    grant = Scope("grant", "g-1", 1)
    told = [tuple(line.split()) for line in told if line.count(" ") == 1 and line.split()[1]]
    assert told
    # The last line may have been cut off by the end; what it names is left out.
    for word, number in told[:-1]:
        vault = unlock_with_custodian(host_key, store, int(number))
        assert vault.keys(OWN)
        if word == "erased":
            assert not vault.has_scope(grant)
    for pod_id in range(int(told[-1][1]) + 3):
        kinds = store.slot_kinds(pod_id)
        assert kinds in ({"recovery", "custodian"}, frozenset())
        assert bool(kinds) == (len(store.keyring(pod_id)) >= 4)
    store.close()


def test_processes_that_start_at_once_on_an_empty_folder_agree(tmp_path):
    program = """
store = key_store_in(folder)
host_key = host_key_in(folder, store)
create_vault(host_key, store, int(sys.argv[2]))
print(host_key.fingerprint)
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + program, tmp_path, str(number)], stdout=subprocess.PIPE, text=True
        )
        for number in range(6)
    ]
    try:
        answers = [child.communicate(timeout=60)[0] for child in children]
    finally:
        for child in children:
            kill_and_wait(child)
    assert [child.returncode for child in children] == [0] * 6
    assert len(set(answers)) == 1
    store = key_store_in(tmp_path)
    host_key = host_key_in(tmp_path, store)
    assert all(unlock_with_custodian(host_key, store, number).keys(OWN) for number in range(6))
    store.close()


def test_an_erasure_whose_log_is_held_open_says_so_and_is_finished_by_the_next_try(tmp_path, monkeypatch):
    monkeypatch.setattr("pod_server.vault.key_store._TRUNCATION_SECONDS", 0.05)
    monkeypatch.setattr("pod_server.vault.key_store._BUSY_MILLISECONDS", 50)
    store = key_store_in(tmp_path)
    vault = create_vault(HostKey(bytes(32)), store, 7).vault
    scope = Scope("grant", "g-1", 1)
    vault.create_scope(scope)
    with closing(sqlite3.connect(tmp_path / "keys.sqlite")) as file:
        ((wrapped,),) = file.execute("SELECT wrapped FROM keyring WHERE grant_id = 'g-1'")
    reader = key_store_in(tmp_path)
    connection = reader._connection()
    connection.execute("BEGIN")
    connection.execute("SELECT COUNT(*) FROM keyring").fetchone()
    with pytest.raises(KeyStoreUnavailable, match="held open"):
        store.destroy_grant(7, "g-1")
    assert store.wrapped_secret(7, scope) is None
    connection.execute("COMMIT")
    assert store.destroy_grant(7, "g-1") == 0
    assert not any(wrapped in path.read_bytes() for path in tmp_path.glob("keys.sqlite*"))
    reader.close()
    store.close()

"""The key store: durable, whole, and able to forget."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hosts import key_store_in

from pod_server.vault.envelope import Place, Scope
from pod_server.vault.errors import KeyStoreTooNew, KeyStoreUnavailable
from pod_server.vault.slots import Slot

TESTS = str(Path(__file__).parents[2])


def files_of(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_destroyed_key_is_in_none_of_the_files(house):
    vault = house.vault().vault
    scopes = [Scope("grant", f"g-{number}", 1) for number in range(40)]
    for scope in scopes:
        vault.create_scope(scope)
    before = house.stored()
    assert len(before) > 40
    assert all(secret in files_of(house.folder) for secret in before)
    for scope in scopes[::2]:
        house.key_store.destroy_scope(7, scope)
    left = files_of(house.folder)
    # Not only the destroyed ones: the pod got a new cover, and all that lay under the old one went with it.
    assert not any(secret in left for secret in before)
    assert all(secret in left for secret in house.stored())
    assert [house.key_store.wrapped_secret(7, scope) is None for scope in scopes] == [True, False] * 20


def test_a_replaced_or_removed_slot_is_in_none_of_the_files(house):
    house.vault()
    old = house.stored()
    house.key_store.put_slot(7, Slot("custodian", "host x", b"", os.urandom(100)))
    assert not any(sealed in files_of(house.folder) for sealed in old)
    newer = house.stored()
    assert house.key_store.remove_slot(7, "custodian")
    assert not house.key_store.remove_slot(7, "custodian")
    assert not any(sealed in files_of(house.folder) for sealed in newer)


def test_a_removed_vault_leaves_only_tombstones(house):
    vault = house.vault().vault
    sealed = vault.seal(Scope("own"), Place("document", b"x"), b"mine")
    secrets = house.stored()
    house.key_store.destroy_vault(7)
    left = files_of(house.folder)
    assert not any(secret in left for secret in secrets)
    assert set(house.key_store.keyring(7).values()) == {None}
    assert house.key_store.slot_kinds(7) == frozenset()
    assert sealed not in left


def test_no_root_key_passphrase_or_recovery_code_is_in_the_files(house):
    new = house.vault(passphrase="fire ord om katten")
    left = files_of(house.folder)
    for secret in (
        new.vault.root_key,
        b"fire ord",
        new.recovery_code.encode(),
        new.recovery_code.replace("-", "").encode(),
    ):
        assert secret not in left


def test_the_files_are_the_hosts_alone(house):
    for path in (house.folder / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name


def test_a_batch_is_all_or_nothing(house):
    def broken_batch():
        with house.key_store.batch():
            house.vault(1)
            house.vault(2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken_batch()
    assert house.key_store.slot_kinds(1) == house.key_store.slot_kinds(2) == frozenset()
    with house.key_store.batch():
        house.vault(1)
        house.vault(2)
    assert house.key_store.slot_kinds(2) == {"recovery", "custodian"}


def test_another_process_sees_a_scope_at_once_and_its_erasure(house):
    vault = house.vault().vault
    vault.create_scope(Scope("grant", "g-1", 1))
    program = (
        f"import sys; sys.path.insert(0, {TESTS!r}); from pathlib import Path; from hosts import key_store_in;"
        "from pod_server.vault.envelope import Scope; store = key_store_in(Path(sys.argv[1]));"
        "print(store.destroy_scope(7, Scope('grant', 'g-1', 1)))"
    )
    path = str(house.folder / "keys")
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert not vault.has_scope(Scope("grant", "g-1", 1))


def test_a_store_of_a_newer_version_is_left_alone(tmp_path):
    path = tmp_path / "keys.sqlite"
    key_store_in(tmp_path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 5")
    connection.close()
    with pytest.raises(KeyStoreTooNew, match="format 5"):
        key_store_in(tmp_path)


def test_a_damaged_store_is_an_error_of_ours(tmp_path):
    path = tmp_path / "keys.sqlite"
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(KeyStoreUnavailable):
        key_store_in(tmp_path)


def test_a_full_disk_makes_no_half_vault(house):
    """The file-size limit of a child process stands in for the full disk."""
    program = f"""
import resource, signal, sys
sys.path.insert(0, {TESTS!r})
from pathlib import Path
from hosts import host_key_in, key_store_in
from pod_server.vault.errors import KeyStoreUnavailable
from pod_server.vault.vault import create_vault
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
store = key_store_in(folder)
host_key = host_key_in(folder, store)
resource.setrlimit(resource.RLIMIT_FSIZE, (160 * 1024, 160 * 1024))
made = 0
try:
    for pod_id in range(100, 1000):
        create_vault(host_key, store, pod_id)
        made += 1
except KeyStoreUnavailable:
    print(made, flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(house.folder / "keys")], capture_output=True, text=True, check=True
    )
    made = int(done.stdout)
    assert 0 < made < 900
    whole = [pod_id for pod_id in range(100, 1000) if house.key_store.slot_kinds(pod_id)]
    assert len(whole) == made
    assert all(len(house.key_store.keyring(pod_id)) == 4 for pod_id in whole)
    assert house.vault(5000).vault.has_scope(Scope("own"))


def test_closing_while_other_threads_read_ends_no_process(tmp_path):
    # A process of its own: a connection closed under a running statement is a segmentation fault, not an exception.
    script = """
import sys, threading
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from hosts import key_store_in
store = key_store_in(Path(sys.argv[3]))
ended = threading.Event()
def read():
    while not ended.is_set():
        store.pods_with_keys()
threads = [threading.Thread(target=read) for _ in range(4)]
[each.start() for each in threads]
for _ in range(100):
    store.close()
ended.set()
[each.join() for each in threads]
"""
    arguments = [sys.executable, "-c", script, TESTS, str(Path(TESTS).parent), str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")

"""Tending the epochs and exchanging the host key's file, cut off at each step; a second call finishes both."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hosts import NOON, host_key_in, key_store_in

from pod_server.clock import SetClock
from pod_server.vault import epoch_keys as epoch_keys_module
from pod_server.vault import host_key_rotation
from pod_server.vault.envelope import OWN, Place, Scope
from pod_server.vault.epoch_keys import EpochKeys, next_host_key_path
from pod_server.vault.errors import EpochKeysMissing, HostKeyMismatch, HostKeyMissing
from pod_server.vault.host_key import HostKey, HostKeyFile, open_host_key
from pod_server.vault.key_store import KeyStore
from pod_server.vault.vault import create_vault, unlock_with_custodian

PLACE = Place("document", b"x")
PODS = range(1, 6)


class PowerCut(BaseException):
    """Nothing in the program catches it."""


def cut_at(monkeypatch, number):
    """The machine stops at the `number`-th durable step: a file written, a folder synced, a commit."""
    steps = 0

    def step():
        nonlocal steps
        steps += 1
        if steps == number:
            raise PowerCut

    def before(module, name):
        real = getattr(module, name)

        def replaced(*arguments, **named):
            step()
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, replaced)

    for module, name in (
        (epoch_keys_module, "write_durably"),
        (epoch_keys_module, "sync_folder_of"),
        (host_key_rotation, "sync_folder_of"),
        (EpochKeys, "destroy"),
        (EpochKeys, "seal_to"),
        (KeyStore, "add_host_key"),
        (KeyStore, "keep_host_key_of"),
        (KeyStore, "_move_cover"),
        (KeyStore, "_truncate_log"),
    ):
        before(module, name)
    return lambda: steps


def cut(*_, **__):
    raise PowerCut


@pytest.fixture
def clock():
    return SetClock(NOON)


def filled(folder, clock):
    store = key_store_in(folder, clock=clock)
    host_key = host_key_in(folder, store)
    sealed = {pod: create_vault(host_key, store, pod).vault.seal(OWN, PLACE, b"mine") for pod in PODS}
    return store, host_key, sealed


def opens(folder, clock, sealed):
    """Whether everything opens for a process that starts now; returns its host key's fingerprint."""
    store = key_store_in(folder, clock=clock)
    store.require_epoch_keys()
    host_key = host_key_in(folder, store)
    for pod, envelope in sealed.items():
        assert unlock_with_custodian(host_key, store, pod).open(OWN, PLACE, envelope) == b"mine"
    store.close()
    return host_key.fingerprint


@pytest.mark.parametrize("number", range(1, 40))
def test_tending_that_is_cut_off_anywhere_loses_nothing_and_is_finished_by_the_next(
    tmp_path, clock, monkeypatch, number
):
    store, host_key, sealed = filled(tmp_path, clock)
    for _ in range(29):
        clock.advance(timedelta(days=1))
        store.epoch_keys.make(store.epoch() + 1)
        with closing(sqlite3.connect(tmp_path / "keys.sqlite")) as file, file:
            file.execute("UPDATE epoch SET current = current + 1")
    clock.advance(timedelta(days=1))
    with monkeypatch.context() as patched:
        done = cut_at(patched, number)
        try:
            store.renew_epoch()
        except PowerCut:
            pass
        else:
            assert number > done(), "every step was gone through"
            assert number > 8, "the test must cut somewhere"
    store.close()
    assert opens(tmp_path, clock, sealed) == host_key.fingerprint
    again = key_store_in(tmp_path, clock=clock)
    again.renew_epoch()
    assert again.epochs_in_use() == [31]
    assert again.epoch_keys.epochs()[0].number == 2
    assert again.renew_epoch() == (31, False, 0, ())
    again.close()
    assert opens(tmp_path, clock, sealed) == host_key.fingerprint


def test_what_a_crash_left_of_making_a_key_does_not_outlive_the_key(tmp_path, clock, monkeypatch):
    """A draft holds the key as well as the file does: the next tending destroys it."""
    store, _, sealed = filled(tmp_path, clock)
    clock.advance(timedelta(days=1))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", cut)
        with pytest.raises(PowerCut):
            store.renew_epoch()
    (draft,) = (tmp_path / "epochs").glob(".epoch-00000002.key.*")
    held = draft.open("rb")
    assert store.renew_epoch().begun
    assert not draft.exists()
    assert set(held.read()) == {0}, "its bytes were overwritten, not only its name taken away"
    held.close()
    store.close()
    opens(tmp_path, clock, sealed)


@pytest.mark.parametrize("last", ["renamed", "overwritten"])
def test_a_key_half_destroyed_stops_nothing_and_is_destroyed_by_the_next_tending(tmp_path, clock, monkeypatch, last):
    store, _, sealed = filled(tmp_path, clock)
    clock.advance(timedelta(days=1))
    store.renew_epoch()
    clock.advance(timedelta(days=30))
    with monkeypatch.context() as patched:
        place, name = (epoch_keys_module, "_wipe") if last == "renamed" else (Path, "unlink")
        patched.setattr(place, name, cut)
        with pytest.raises(PowerCut):
            store.renew_epoch()
    assert opens(tmp_path, clock, sealed)
    store.renew_epoch()
    assert not [path for path in (tmp_path / "epochs").iterdir() if "00000001" in path.name]
    store.close()
    opens(tmp_path, clock, sealed)


@pytest.mark.parametrize("number", range(1, 16))
def test_an_exchange_that_is_cut_off_anywhere_leaves_one_file_that_opens_everything(
    tmp_path, clock, monkeypatch, number
):
    store, host_key, sealed = filled(tmp_path, clock)
    path = tmp_path / "host.key"
    old = HostKeyFile.load(path)
    with monkeypatch.context() as patched:
        done = cut_at(patched, number)
        try:
            host_key_rotation.rotate(path, store, store.epoch_keys)
        except PowerCut:
            pass
        else:
            assert number > done() > 5
    store.close()
    assert opens(tmp_path, clock, sealed) == host_key.fingerprint
    again = key_store_in(tmp_path, clock=clock)
    if next_host_key_path(path).exists():
        host_key_rotation.rotate(path, again, again.epoch_keys)
    else:
        host_key_rotation.finish(path, again, again.epoch_keys)
    present = HostKeyFile.load(path)
    assert present.fingerprint != old.fingerprint
    assert again.host_key_files() == {present.fingerprint}
    assert not host_key_rotation.finish(path, again, again.epoch_keys)
    again.close()
    assert opens(tmp_path, clock, sealed) == host_key.fingerprint


def test_after_the_exchange_the_old_file_opens_nothing_that_comes_later(tmp_path, clock):
    store, host_key, sealed = filled(tmp_path, clock)
    path, kept = tmp_path / "host.key", tmp_path / "kept.key"
    kept.write_bytes(path.read_bytes())
    with path.open("rb") as held_open:
        host_key_rotation.rotate(path, store, store.epoch_keys)
        assert set(held_open.read()) == {0}, "the old file's bytes were overwritten, not only its name taken away"
    old = HostKeyFile.load(kept)
    with pytest.raises(HostKeyMismatch):
        open_host_key(old, store)
    with pytest.raises(EpochKeysMissing):
        EpochKeys(tmp_path / "epochs", HostKeyFile(kept, b"\x00" * 32), clock).key(1)
    # A process that started before the exchange goes on, also when an epoch begins after it.
    clock.advance(timedelta(days=1))
    assert store.renew_epoch().begun
    create_vault(host_key, store, 99)
    store.close()
    assert opens(tmp_path, clock, sealed) == host_key.fingerprint


def test_a_first_versions_file_is_exchanged_and_the_host_key_stays(tmp_path, clock):
    """Partners know citizens by names that follow from the host key: it must not change."""
    (tmp_path / "host.key").write_text("tvilling-host-key-v1 " + "A" * 43 + "=\n")
    store, host_key, sealed = filled(tmp_path, clock)
    assert host_key.fingerprint == HostKey(bytes(32)).fingerprint
    exchanged = host_key_rotation.rotate(tmp_path / "host.key", store, store.epoch_keys)
    assert not exchanged.is_the_host_key
    assert exchanged.fingerprint != host_key.fingerprint
    store.close()
    assert opens(tmp_path, clock, sealed) == host_key.fingerprint


def test_a_file_that_cannot_be_exchanged_is_told_and_stays(tmp_path, clock):
    store, _, _ = filled(tmp_path, clock)
    next_host_key_path(tmp_path / "host.key").write_text("something else")
    with pytest.raises(HostKeyMissing):
        host_key_rotation.rotate(tmp_path / "host.key", store, store.epoch_keys)
    store.close()


def test_writers_go_on_while_epochs_begin_and_the_file_is_exchanged(tmp_path, clock):
    store, host_key, sealed = filled(tmp_path, clock)
    writer = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from hosts import host_key_in, key_store_in
from pod_server.vault.envelope import Scope
from pod_server.vault.vault import create_vault
folder = Path(sys.argv[1])
store = key_store_in(folder)
host_key = host_key_in(folder, store)
print("ready", flush=True)
pod = 99
while not (folder / "enough").exists():
    pod += 1
    vault = create_vault(host_key, store, pod).vault
    vault.create_scope(Scope("grant", "g-1", 1))
    if pod % 2:
        vault.destroy_scope(Scope("grant", "g-1", 1))
    print(pod, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", writer, tmp_path], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        made, fingerprints = [], set()
        reading = threading.Thread(target=lambda: made.extend(child.stdout.read().split()))
        reading.start()
        for _ in range(4):
            clock.advance(timedelta(days=1))
            store.renew_epoch()
            fingerprints.add(host_key_rotation.rotate(tmp_path / "host.key", store, store.epoch_keys).fingerprint)
            time.sleep(0.02)
        (tmp_path / "enough").touch()
        reading.join()
    assert child.returncode == 0
    assert len(made) > 3, "the writer must have written while the file was exchanged"
    assert len(fingerprints) == 4
    assert opens(tmp_path, clock, sealed) == host_key.fingerprint
    fresh = key_store_in(tmp_path, clock=clock)
    for pod in range(100, 100 + len(made)):
        vault = unlock_with_custodian(host_key, fresh, pod)
        assert vault.has_scope(Scope("grant", "g-1", 1)) == (pod % 2 == 0)
    assert fresh.damaged_rows(range(100, 100 + len(made))) == []
    fresh.close()
    store.close()

"""The storage port on SQLite: whole transactions, durable commits, snapshots, one writer at a time."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import sqlite3
import threading
import time

import pytest
from ending import forked, outcome_of

from pod_server.storage.errors import StorageBusy, StorageDamaged
from pod_server.storage.migrate import migrate
from pod_server.storage.sqlite import SqliteStorage


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tvilling.sqlite"
    migrate(path)
    return path


@pytest.fixture
def storage(path):
    storage = SqliteStorage(path, timeout_seconds=0.3)
    yield storage
    storage.close()


def retire(tx, handle: str) -> int:
    return tx.execute("INSERT INTO retired_handle (handle, retired) VALUES (?, 0)", (handle,))


def handles(storage) -> list[str]:
    with storage.read() as tx:
        return [row[0] for row in tx.all("SELECT handle FROM retired_handle ORDER BY handle")]


def test_a_finished_block_is_committed_and_seen_by_others(path, storage):
    with storage.write() as tx:
        assert retire(tx, "kari") == 1
    assert handles(SqliteStorage(path)) == ["kari"]


def test_a_block_that_raises_leaves_nothing(storage):
    with pytest.raises(RuntimeError), storage.write() as tx:  # noqa: PT012 - the whole block is one attempt
        retire(tx, "kari")
        raise RuntimeError
    assert handles(storage) == []


def test_after_a_failed_block_the_next_writer_has_its_turn(storage):
    with pytest.raises(sqlite3.IntegrityError), storage.write() as tx:  # noqa: PT012 - the whole block is one attempt
        retire(tx, "kari")
        retire(tx, "kari")
    with storage.write() as tx:
        retire(tx, "ola")
    assert handles(storage) == ["ola"]


def test_a_reader_cannot_write(storage):
    with pytest.raises(sqlite3.OperationalError, match="readonly"), storage.read() as tx:
        retire(tx, "kari")


def test_a_reader_keeps_its_snapshot_while_others_write(storage):
    with storage.read() as reader:
        assert reader.one("SELECT COUNT(*) FROM retired_handle") == (0,)
        with storage.write() as tx:
            retire(tx, "kari")
        assert reader.one("SELECT COUNT(*) FROM retired_handle") == (0,)
    assert handles(storage) == ["kari"]


def test_every_connection_syncs_its_log_at_each_commit(storage):
    with storage.write() as tx:
        assert tx.one("PRAGMA synchronous") == (2,)
        assert tx.one("PRAGMA journal_mode") == ("wal",)


def test_a_second_writer_waits_and_then_gives_up(storage):
    with storage.write() as tx:
        retire(tx, "kari")
        with pytest.raises(StorageBusy), storage.write():
            pytest.fail("two writers at once")
    with storage.write() as tx:
        retire(tx, "ola")
    assert handles(storage) == ["kari", "ola"]


def test_an_urgent_writer_that_gives_up_lets_the_others_pass(storage):
    with storage.write(), pytest.raises(StorageBusy), storage.write(urgent=True):
        pytest.fail("two writers at once")
    with storage.write() as tx:
        retire(tx, "kari")
    assert handles(storage) == ["kari"]


def is_held(lock: int) -> bool:
    """Whether somebody holds a lock file exclusively."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(lock, fcntl.LOCK_UN)
    return False


@pytest.mark.parametrize("urgent", [True, False])
def test_a_writer_interrupted_while_it_waits_holds_nobody_up(storage, monkeypatch, urgent):
    from pod_server.storage import turnstile

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    elsewhere = SqliteStorage(storage.path)
    with elsewhere.write(), monkeypatch.context() as patched:
        patched.setattr(turnstile.time, "sleep", interrupt)
        with pytest.raises(KeyboardInterrupt), storage.write(urgent=urgent):
            pytest.fail("two writers at once")
    with storage.write() as tx:
        retire(tx, "kari")
    with storage.write(urgent=True) as tx:
        retire(tx, "ola")
    assert handles(storage) == ["kari", "ola"]


def test_nobody_enters_before_a_waiting_urgent_writer(path):
    """While one bulk writer is inside and an urgent one waits, a hundred attempts of others do not get in first."""
    storage = SqliteStorage(path)
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first():
        with storage.write():
            inside.set()
            leave.wait(30)
            order.append("first")

    def urgent():
        with storage.write(urgent=True):
            order.append("urgent")

    def bulk():
        with storage.write():
            order.append("bulk")

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert inside.wait(30)
    waiting = threading.Thread(target=urgent)
    waiting.start()
    probe = os.open(path.parent / "writers.turnstile", os.O_RDWR)
    while not is_held(probe):  # until the urgent writer stands in the turnstile
        time.sleep(0.001)
    threads += [waiting, *(threading.Thread(target=bulk) for _ in range(6))]
    for thread in threads[2:]:
        thread.start()
    time.sleep(0.05)
    leave.set()
    for thread in threads:
        thread.join(30)
    assert order[:2] == ["first", "urgent"]
    assert order.count("bulk") == 6


def test_threads_that_count_together_lose_no_count(path):
    storage = SqliteStorage(path)
    with storage.write() as tx:
        tx.execute("INSERT INTO retired_handle (handle, retired) VALUES ('n', 0)")

    def count():
        for _ in range(25):
            with storage.write() as tx:
                (number,) = tx.one("SELECT retired FROM retired_handle")
                tx.execute("UPDATE retired_handle SET retired = ?", (number + 1,))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with storage.read() as tx:
        assert tx.one("SELECT retired FROM retired_handle") == (100,)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_uses_connections_of_its_own(storage):
    with storage.write() as tx:
        retire(tx, "parent")

    def retire_in_the_child() -> None:
        with storage.write() as tx:
            retire(tx, "child")

    with forked(retire_in_the_child) as child:
        assert outcome_of(child) == 0
    with storage.write() as tx:
        retire(tx, "parent-again")
    assert handles(storage) == ["child", "parent", "parent-again"]


def test_a_file_that_is_no_database_is_named_damaged(tmp_path):
    path = tmp_path / "tvilling.sqlite"
    path.write_bytes(b"not a database, and long enough to be looked at" * 40)
    with pytest.raises(StorageDamaged):
        SqliteStorage(path)


def test_a_storage_that_is_dropped_without_close_leaves_no_descriptor(path):
    storage = SqliteStorage(path)
    with storage.write() as tx:
        retire(tx, "kari")
    turnstile = storage._writers[0].turnstile
    held = {number: os.fstat(number).st_ino for number in (turnstile._room, turnstile._turnstile, turnstile._queue)}
    assert len(set(held.values())) == 3
    del storage, turnstile, tx
    gc.collect()
    left = []
    for number, inode in held.items():
        with contextlib.suppress(OSError):  # closed, or another file's by now
            left += [number] if os.fstat(number).st_ino == inode else []
    assert left == []
    again = SqliteStorage(path)
    assert handles(again) == ["kari"]
    again.close()
    again.close()

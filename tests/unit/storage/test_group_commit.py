"""Writers that stand in line are committed together: one sync for all, each whole by itself, nobody told too early."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest

from pod_server.storage.errors import StorageDamaged, StorageFull
from pod_server.storage.migrate import migrate
from pod_server.storage.sqlite import SqliteStorage


@pytest.fixture
def storage(tmp_path):
    migrate(tmp_path / "tvilling.sqlite")
    storage = SqliteStorage(tmp_path / "tvilling.sqlite", timeout_seconds=5)
    yield storage
    storage.close()


def handles(storage) -> set[str]:
    with storage.read() as tx:
        return {handle for (handle,) in tx.all("SELECT handle FROM retired_handle")}


class Line:
    """Threads that write one after another while the first still holds the door."""

    def __init__(self, storage) -> None:
        self.storage = storage
        self.errors: dict[str, BaseException] = {}
        self.acknowledged: list[tuple[str, set[str]]] = []
        self._inside, self._go_on = threading.Event(), threading.Event()

    def write(self, handle: str, *, fail: bool = False, hold: bool = False) -> None:
        try:
            with self.storage.write() as tx:
                if hold:
                    self._inside.set()
                    assert self._go_on.wait(30)
                tx.execute("INSERT INTO retired_handle (handle, retired) VALUES (?, 0)", (handle,))
                if fail:
                    raise LookupError(handle)  # noqa: TRY301 - the failing block is what is tested
            self.acknowledged.append((handle, handles(self.storage)))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.errors[handle] = error

    def run(self, *writers: tuple[str, bool]) -> None:
        """The first holds the door until all others wait behind it."""
        (first, fails), *others = writers
        threads = [threading.Thread(target=self.write, args=(first,), kwargs={"fail": fails, "hold": True})]
        threads[0].start()
        assert self._inside.wait(30)
        for handle, fails in others:
            threads.append(threading.Thread(target=self.write, args=(handle,), kwargs={"fail": fails}))
            threads[-1].start()
        until = time.monotonic() + 60
        while self.storage._line.waiting < len(others):
            assert time.monotonic() < until
            time.sleep(0.001)
        self._go_on.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture
def patient(monkeypatch):
    """A group stays open for as long as the test needs."""
    monkeypatch.setattr("pod_server.storage.sqlite._GROUP_SECONDS", 30.0)


@pytest.fixture
def commits(storage):
    """Every COMMIT that SQLite is told."""
    said: list[str] = []
    with storage.write():
        pass
    storage._writers[0].connection.set_trace_callback(lambda sql: said.append(sql) if sql == "COMMIT" else None)
    return said


def test_five_writers_in_line_are_committed_with_one_sync_and_told_after_it(storage, patient, commits):
    line = Line(storage)
    line.run(*((f"writer-{number}", False) for number in range(5)))
    assert not line.errors
    assert len(commits) == 1
    everybody = {f"writer-{number}" for number in range(5)}
    # Whoever was told, whenever that was, finds all that was committed with him.
    assert [seen for _, seen in line.acknowledged] == [everybody] * 5


@pytest.mark.parametrize("failing", range(4))
def test_a_member_that_fails_takes_back_its_own_writes_alone(storage, patient, failing):
    line = Line(storage)
    line.run(*((f"writer-{number}", number == failing) for number in range(4)))
    assert {name: type(error) for name, error in line.errors.items()} == {f"writer-{failing}": LookupError}
    assert handles(storage) == {f"writer-{number}" for number in range(4) if number != failing}


def test_a_statement_that_breaks_a_rule_takes_back_its_member_alone(storage, patient):
    line = Line(storage)
    line.run(("same", False), ("same", False), ("other", False))
    assert [type(error) for error in line.errors.values()] == [sqlite3.IntegrityError]
    assert handles(storage) == {"same", "other"}


def test_a_commit_that_fails_is_told_to_every_member(storage, patient, monkeypatch):
    class Failing:
        def __init__(self, connection) -> None:
            self._connection = connection

        def __getattr__(self, name):
            return getattr(self._connection, name)

        def execute(self, sql, *rest):
            if sql == "COMMIT":
                error = sqlite3.OperationalError("the disk is gone")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR
                raise error
            return self._connection.execute(sql, *rest)

    with storage.write():
        pass
    storage._writers[0].connection = Failing(storage._writers[0].connection)
    line = Line(storage)
    line.run(("kari", False), ("ola", False), ("per", False))
    assert {type(error) for error in line.errors.values()} == {StorageDamaged}
    assert len(line.errors) == 3
    assert handles(storage) == set()
    storage._writers.clear()
    with storage.write() as tx:
        tx.execute("INSERT INTO retired_handle (handle, retired) VALUES ('kari', 0)")
    assert handles(storage) == {"kari"}


def test_when_sqlite_rolled_everything_back_the_earlier_members_learn_it(storage, patient):
    """A full disk may end the whole transaction in the middle of the second member."""
    line = Line(storage)
    original = line.write

    def write(handle, **options):
        if handle != "second":
            original(handle, **options)
            return
        try:
            with storage.write() as tx:
                tx._connection.execute("ROLLBACK")
                raise LookupError  # noqa: TRY301 - as above
        except LookupError as error:
            line.errors[handle] = error

    line.write = write
    line.run(("first", False), ("second", False))
    assert {name: type(error) for name, error in line.errors.items()} == {"first": StorageFull, "second": LookupError}
    assert handles(storage) == set()


def test_nobody_joins_while_an_urgent_writer_waits(storage, patient, commits):
    urgent_done: list[set[str]] = []

    def urgent():
        with storage.write(urgent=True):
            urgent_done.append(handles(storage))

    waiting = threading.Thread(target=urgent)
    line = Line(storage)
    original = line._go_on.set

    def let_the_urgent_one_come_first():
        waiting.start()
        time.sleep(0.05)
        original()

    line._go_on.set = let_the_urgent_one_come_first
    line.run(("first", False), ("second", False), ("third", False))
    waiting.join(30)
    assert urgent_done == [{"first"}]
    assert handles(storage) == {"first", "second", "third"}


def test_the_next_in_line_who_gives_up_leaves_nobody_uncommitted(storage, patient, monkeypatch):
    """The first leaves its group to the second, who does not come: the first commits by itself."""
    storage._line.waiting = 1  # somebody who is counted, and never comes
    with storage.write() as tx:
        tx.execute("INSERT INTO retired_handle (handle, retired) VALUES ('kari', 0)")
    assert handles(storage) == {"kari"}


def test_the_write_ahead_log_is_moved_beside_the_writers(tmp_path, monkeypatch):
    """Here no commit does it, and the database has what was written all the same."""
    monkeypatch.setattr("pod_server.storage.sqlite._COMMITS_A_CHECKPOINT", 4)
    monkeypatch.setattr(
        "pod_server.storage.sqlite._PRAGMAS", ("PRAGMA synchronous = FULL", "PRAGMA wal_autocheckpoint = 0")
    )
    path = tmp_path / "tvilling.sqlite"
    migrate(path)
    storage = SqliteStorage(path, timeout_seconds=5)
    before = path.stat().st_mtime_ns
    for number in range(4):
        with storage.write() as tx:
            tx.execute("INSERT INTO retired_handle (handle, retired) VALUES (?, 0)", (f"writer-{number}",))
    until = time.monotonic() + 60
    while path.stat().st_mtime_ns == before:
        assert time.monotonic() < until
        time.sleep(0.01)
    thread = storage._checkpointer._thread
    storage.close()
    assert not thread.is_alive()
    with storage.write() as tx:
        tx.execute("INSERT INTO retired_handle (handle, retired) VALUES ('after', 0)")
    assert len(handles(storage)) == 5
    storage.close()

"""The storage port, as both engines keep it: whole transactions, snapshots, and a writer alone with what it reads."""

from __future__ import annotations

import contextlib
import sqlite3
import threading

import hosts
import psycopg
import pytest
from ending import forked, outcome_of

from pod_server.storage.errors import StorageBusy
from pod_server.storage.migrate import migrate, migrate_postgresql
from pod_server.storage.postgresql.engine import PostgresqlStorage
from pod_server.storage.sqlite import SqliteStorage

POD = (
    "INSERT INTO pod (pod_id, handle, created, state, area, simulated, figures_epoch, log_public_key) "
    "VALUES (?, ?, 0, 'open', '', 0, 1, ?)"
)


@pytest.fixture
def opened(tmp_path, engine):
    """Open the engine's storage, again and again."""
    made = []

    def open_storage(timeout_seconds: float = 5.0):
        url = hosts.database_url_for(tmp_path)
        if url is None:
            migrate(tmp_path / "tvilling.sqlite")
            made.append(SqliteStorage(tmp_path / "tvilling.sqlite", timeout_seconds=timeout_seconds))
        else:
            migrate_postgresql(url)
            made.append(PostgresqlStorage(url, timeout_seconds=timeout_seconds))
        return made[-1]

    yield open_storage
    for storage in made:
        storage.close()


@pytest.fixture
def storage(opened):
    return opened()


def retire(tx, handle: str) -> int:
    return tx.execute("INSERT INTO retired_handle (handle, retired) VALUES (?, 0)", (handle,))


def handles(storage) -> list[str]:
    with storage.read() as tx:
        return [row[0] for row in tx.all("SELECT handle FROM retired_handle ORDER BY handle")]


def test_a_finished_block_is_committed_and_seen_by_others(storage, opened):
    with storage.write() as tx:
        assert retire(tx, "kari") == 1
    assert handles(opened()) == ["kari"]


def test_a_block_that_raises_leaves_nothing(storage):
    with pytest.raises(LookupError), storage.write() as tx:  # noqa: PT012 - the whole block is one attempt
        retire(tx, "kari")
        tx.send("INSERT INTO retired_handle (handle, retired) VALUES ('ola', 0)")
        raise LookupError
    assert handles(storage) == []


def test_a_row_that_is_there_already_fails_the_whole_block_and_not_the_next(storage):
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)), storage.write() as tx:  # noqa: PT012 - as above
        retire(tx, "kari")
        retire(tx, "kari")
    with storage.write() as tx:
        retire(tx, "ola")
    assert handles(storage) == ["ola"]


def test_what_is_sent_without_waiting_fails_the_block_at_the_latest_at_its_end(storage):
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)), storage.write() as tx:  # noqa: PT012 - as above
        for _ in range(2):
            tx.send("INSERT INTO retired_handle (handle, retired) VALUES (?, 0)", ("kari",))
    assert handles(storage) == []


def test_an_error_caught_inside_the_block_commits_nothing_half(storage):
    """On PostgreSQL the transaction is lost then; whoever goes on all the same is told, not left to believe."""
    try:
        with storage.write() as tx:
            retire(tx, "kari")
            with contextlib.suppress(sqlite3.IntegrityError, psycopg.IntegrityError):
                retire(tx, "kari")
    except (RuntimeError, psycopg.Error):
        assert handles(storage) == []
    else:
        assert handles(storage) == ["kari"]


def test_a_reader_cannot_write(storage):
    with pytest.raises((sqlite3.OperationalError, psycopg.Error), match=r"read.?only"), storage.read() as tx:
        retire(tx, "kari")
    assert handles(storage) == []


def test_a_reader_keeps_its_snapshot_while_others_write(storage):
    with storage.read() as reader:
        assert reader.one("SELECT COUNT(*) FROM retired_handle") == (0,)
        with storage.write() as tx:
            retire(tx, "kari")
        assert reader.one("SELECT COUNT(*) FROM retired_handle") == (0,)
    assert handles(storage) == ["kari"]


def test_values_come_back_as_they_went_in(storage):
    values = (2**62, "å ✓ '?' $1 %s", bytes(range(256)), b"")
    with storage.write() as tx:
        tx.execute(POD, (values[0], values[1], values[2]))
        tx.execute(POD, (-(2**62), "none", values[3]))
    with storage.read() as tx:
        assert tx.all("SELECT pod_id, handle, log_public_key FROM pod ORDER BY pod_id") == [
            (-(2**62), "none", b""),
            (values[0], values[1], values[2]),
        ]
        assert tx.one("SELECT SUM(pod_id), NULL, COUNT(*), MAX(handle) FROM pod") == (0, None, 2, "å ✓ '?' $1 %s")
        assert tx.one("SELECT SUM(pod_id) FROM pod WHERE pod_id = ?", (values[0],)) == (2**62,)
        assert tx.one("SELECT handle FROM pod WHERE handle = ?", ("a\0b",)) is None


def test_texts_are_ordered_by_their_bytes(storage):
    """Not by a language's rules, which differ from machine to machine and would let an index miss its rows."""
    with storage.write() as tx:
        for handle in ("b", "B", "a", "å", "A", "z"):
            retire(tx, handle)
    assert handles(storage) == ["A", "B", "a", "b", "z", "å"]


def test_many_rows_at_once(storage):
    with storage.write() as tx:
        tx.execute_many(
            "INSERT INTO retired_handle (handle, retired) VALUES (?, ?)", ((f"h{n:04}", n) for n in range(900))
        )
    with storage.read() as tx:
        assert tx.one("SELECT COUNT(*), SUM(retired) FROM retired_handle") == (900, sum(range(900)))


def test_what_was_foreseen_is_forgotten_when_it_is_changed(storage):
    question = ("SELECT head FROM feed WHERE pod_id = ?", (7,))
    other = ("SELECT handle FROM pod WHERE pod_id = ?", (7,))
    with storage.write() as tx:
        tx.execute(POD, (7, "kari", b""))
        tx.execute(
            "INSERT INTO feed (pod_id, head, cursor, waiting_since, claimed_by, claimed_until) VALUES (7, 1, 0, 0, '', 0)"
        )
    with storage.write() as tx:
        tx.foresee([question, other, question])
        assert (tx.one(*question), tx.one(*other)) == ((1,), ("kari",))
        tx.send("UPDATE feed SET head = head + 1 WHERE pod_id = ?", (7,))
        assert (tx.one(*question), tx.all(*other)) == ((2,), [("kari",)])


def test_what_was_foreseen_of_a_table_without_pods_is_forgotten_too(storage):
    question = ("SELECT COUNT(*) FROM retired_handle WHERE retired > ?", (0,))
    with storage.write() as tx:
        tx.foresee([question])
        assert tx.one(*question) == (0,)
        tx.send("INSERT INTO retired_handle (handle, retired) VALUES ('kari', 1)")
        assert tx.one(*question) == (1,)


class TooLate(Exception):
    """Raised by `must_change` in these tests."""


CHANGE = "UPDATE retired_handle SET retired = retired + 1 WHERE handle = ?"


def test_a_statement_that_must_change_something_and_does_not_lets_nothing_stand(storage):
    with storage.write() as tx:
        tx.execute("INSERT INTO retired_handle (handle, retired) VALUES ('kari', 0)")
        tx.must_change(CHANGE, ("kari",), TooLate())
    for ask in (False, True):
        with pytest.raises(TooLate), storage.write() as tx:  # noqa: PT012 - the block is one attempt
            tx.must_change(CHANGE, ("kari",), AssertionError())
            tx.send("INSERT INTO retired_handle (handle, retired) VALUES ('before', 0)")
            tx.must_change(CHANGE, ("nobody",), TooLate())
            tx.send("INSERT INTO retired_handle (handle, retired) VALUES ('after', 0)")
            if ask:
                tx.one("SELECT COUNT(*) FROM retired_handle")
    with storage.read() as tx:
        assert tx.all("SELECT handle, retired FROM retired_handle") == [("kari", 1)]


def test_an_error_of_the_block_is_not_replaced_by_what_must_have_changed(storage):
    """The end of the block may have to read answers, where as much was sent as may wait at once."""
    with storage.write() as tx:
        tx.execute("INSERT INTO retired_handle (handle, retired) VALUES ('kari', 0)")
    with pytest.raises(KeyError), storage.write() as tx:  # noqa: PT012 - the block is one attempt
        for _ in range(212):
            tx.send("DELETE FROM retired_handle WHERE retired = 7")
        tx.must_change(CHANGE, ("kari",), TooLate())
        raise KeyError
    with storage.read() as tx:
        assert tx.one("SELECT retired FROM retired_handle") == (0,)


def count_together(storages, change) -> None:
    """Four threads that read, decide and write, 25 times each."""

    def count(storage):
        for _ in range(25):
            with storage.write() as tx:
                change(tx)

    threads = [threading.Thread(target=count, args=(storage,)) for storage in storages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_writers_of_one_pod_that_count_together_lose_no_count(storage, opened):
    with storage.write() as tx:
        tx.execute(POD, (7, "kari", b""))

    def change(tx):
        (count,) = tx.one("SELECT created FROM pod WHERE pod_id = ?", (7,))
        tx.send("UPDATE pod SET created = ? WHERE pod_id = ?", (count + 1, 7))

    count_together([storage, storage, opened(), opened()], change)
    with storage.read() as tx:
        assert tx.one("SELECT created FROM pod") == (100,)


def test_writers_of_a_table_without_pods_that_count_together_lose_no_count(storage, opened):
    with storage.write() as tx:
        retire(tx, "n")

    def change(tx):
        (count,) = tx.one("SELECT retired FROM retired_handle WHERE handle = 'n'")
        tx.send("UPDATE retired_handle SET retired = ? WHERE handle = 'n'", (count + 1,))

    count_together([storage, storage, opened(), opened()], change)
    with storage.read() as tx:
        assert tx.one("SELECT retired FROM retired_handle") == (100,)


def test_a_code_shown_twice_at_once_is_used_once(storage, opened):
    """Read and marked in two statements: between them no other may read (RFC 6749, section 4.1.2)."""
    with storage.write() as tx:
        tx.execute("INSERT INTO sign_in_link (link_hash, pod_id, expires_at) VALUES ('code', 0, 0)")
    barrier, used = threading.Barrier(6), []

    def use(storage):
        barrier.wait(30)
        with storage.write() as tx:
            (expires,) = tx.one("SELECT expires_at FROM sign_in_link WHERE link_hash = 'code'")
            if expires == 0:
                tx.send("UPDATE sign_in_link SET expires_at = 1 WHERE link_hash = 'code'")
                used.append(1)

    threads = [threading.Thread(target=use, args=(opened(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert used == [1]


def test_a_second_writer_of_the_same_waits_and_then_gives_up(opened):
    first, second = opened(), opened(timeout_seconds=0.3)
    with first.write() as tx:
        retire(tx, "kari")
        with pytest.raises(StorageBusy) as refused, second.write() as other:
            retire(other, "ola")
        assert refused.value.retry_after >= 1
    with second.write() as tx:
        retire(tx, "ola")
    assert handles(first) == ["kari", "ola"]


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


def test_a_closed_storage_opens_again_when_it_is_used(storage):
    with storage.write() as tx:
        retire(tx, "kari")
    storage.close()
    assert handles(storage) == ["kari"]

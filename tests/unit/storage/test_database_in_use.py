"""Who uses a PostgreSQL database holds a lock: it is taken again when its connection broke, or the process ends."""

from __future__ import annotations

import time

import psycopg
import pytest

from tvilling import in_use
from tvilling.errors import FolderInUse

HOLDERS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"


@pytest.fixture
def url(databases):
    return databases.new()


@pytest.fixture
def ended(monkeypatch):
    """How often the process was told to end."""
    times: list[int] = []
    monkeypatch.setattr(in_use, "end_process", lambda: times.append(1))
    return times


def holders(url: str) -> set[int]:
    with psycopg.connect(url, autocommit=True) as connection:
        return {pid for (pid,) in connection.execute(HOLDERS).fetchall()}


def cut(url: str) -> set[int]:
    """Cut the holders' connections, as a restarted server does; who they were."""
    cut_off = holders(url)
    with psycopg.connect(url, autocommit=True) as connection:
        for pid in cut_off:
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    return cut_off


def wait_for(met) -> None:
    deadline = time.monotonic() + 30
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_whose_connection_was_cut_holds_the_database_again(url, ended, monkeypatch):
    in_use.hold_database(url)
    before = cut(url)
    assert len(before) == 1
    wait_for(lambda: holders(url) - before)
    with pytest.raises(FolderInUse), in_use.database_alone(url):
        pass
    assert not ended

    def refuse(_address: str) -> None:
        raise FolderInUse("a restore is under way")

    monkeypatch.setattr(in_use, "_hold_shared", refuse)
    cut(url)
    wait_for(lambda: ended)  # and its watch with it


def test_a_process_whose_database_was_taken_meanwhile_ends(url, ended, monkeypatch):
    real, taken = in_use._hold_shared, []
    in_use.hold_database(url)

    def hold_after_the_restore(address: str):
        """The restore comes first: it takes the database before this process asks again."""
        if not taken:
            taken.append(in_use.database_alone(address))
            taken[0].__enter__()
        return real(address)

    monkeypatch.setattr(in_use, "_hold_shared", hold_after_the_restore)
    cut(url)
    wait_for(lambda: ended)
    taken[0].__exit__(None, None, None)

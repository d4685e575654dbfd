"""T1 on PostgreSQL: a thief with every file of the database server, its write-ahead log and its logs reads nothing personal."""

from __future__ import annotations

import hosts
import pytest
from postgresql_server import Databases, PostgresqlServer
from test_t01_stolen_data_folder import CANARY, every_file, filled, needles

__all__ = ["filled"]


@pytest.fixture
def server():
    """A server that writes down every statement with its parameters, as a careless operator sets it."""
    server = PostgresqlServer(
        "logging_collector=on", "log_directory=logged", "log_statement=all", "log_min_messages=log"
    )
    yield server
    server.stop()


@pytest.fixture
def engine(server, monkeypatch):
    """The house on this server, its keys too."""
    monkeypatch.setattr(hosts, "database_url_for", Databases(server).url_for)
    return "postgresql"


def test_no_file_of_the_server_holds_a_canary_while_running_or_stopped(server, host, filled):
    running = every_file(server.folder)
    host.storage.close()
    server.halt()
    stopped = every_file(server.folder)
    for files in (running, stopped):
        assert any("pg_wal/" in name for name in files)
        assert any(b"INSERT INTO segment" in content for name, content in files.items() if "/logged/" in name)
        assert any(b"kari" in content for content in files.values()), "the search would not find what is there"
        for name, content in files.items():
            for needle in needles(CANARY):
                assert needle not in content, name

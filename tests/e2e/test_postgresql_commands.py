"""A host on PostgreSQL from the command line: enrolled, moved there and back, backed up under writers, restored, looked at."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import psycopg
import pytest
from click.testing import CliRunner
from deliveries import CITIZEN, deliver, granted, permit_again, reading, readings
from hosts import make_host

from pod_server import grants
from pod_server.activities import count_records
from pod_server.authorization.enforcement import require_owner
from pod_server.log.ledger import read_events
from pod_server.log.verification import verify_stored
from pod_server.opening import open_pod
from pod_server.pods import create_pod, list_pods
from pod_server.vault.vault import unlock_with_custodian
from tvilling.app import create_host
from tvilling.cli import main
from tvilling.in_use import database_used
from tvilling.settings import Settings

PASSPHRASE = "four good words here\n"


@pytest.fixture
def tvilling(tmp_path, databases):
    """Run a command on a data folder and two databases of the test's own."""

    def run(*arguments: str, stdin: str = "", code: int = 0, data: str = "data"):
        done = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path / data), "--json"], input=stdin)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.stderr + done.stdout
        return json.loads(done.stdout) if done.stdout else done.stderr

    return run


def opened(folder):
    return create_host(Settings.from_file(folder / "run" / "settings.json"))


def closed(host) -> None:
    host.storage.close()
    host.key_store.close()


def records_of(host, pod_id) -> int:
    vault = unlock_with_custodian(host.host_key, host.key_store, pod_id)
    open_pod(host, require_owner(vault))
    with host.storage.read() as tx:
        verify_stored(tx, pod_id)
        return count_records(tx, pod_id)


def test_commands_work_on_a_database_and_remember_it_once_the_host_has_run(tvilling, databases, tmp_path):
    urls = ("--database-url", databases.new(), "--keys-url", databases.new())
    added = tvilling("citizen", "add", "kari", "--passphrase-file", "-", *urls, stdin=PASSPHRASE)
    assert added["webid"].endswith("/kari/profile/card#me")
    assert [one["handle"] for one in tvilling("citizen", "list", *urls)] == ["kari"]
    assert tvilling("log", "verify", "kari", *urls)["size"] >= 1
    assert tvilling("citizen", "list", data="elsewhere") == [], "without the address it is the folder's own database"
    assert not (tmp_path / "data" / "tvilling.sqlite").exists()
    assert not (tmp_path / "data" / "keys" / "keys.sqlite").exists()
    wrong = [one for one in tvilling("doctor", *urls)["findings"] if one["level"] == "wrong"]
    assert wrong == []


def test_data_and_keys_in_one_database_are_refused(tvilling, databases):
    url = databases.new()
    refused = tvilling("citizen", "list", "--database-url", url, "--keys-url", url, code=1)
    assert "a database of their own" in refused


def test_a_house_moves_to_the_database_and_back_with_everything_in_it(tvilling, databases, tmp_path, clock):
    host = make_host(tmp_path / "data", clock)
    pod = create_pod(host, "kari")
    partner = granted(host, pod.pod_id)
    assert deliver(host, partner.permit, readings(0, 50)) == ["accepted"] * 50
    closed(host)
    database, keys = databases.new(), databases.new()
    done = tvilling("move", "--to-database", database, "--to-keys", keys)
    assert done["pods"] == 1
    assert all((tmp_path / "data" / name).exists() for name in ("tvilling.sqlite.moved", "keys/keys.sqlite.moved"))

    host = opened(tmp_path / "data")  # the folder's settings name the database from now on
    assert not host.storage.is_embedded
    assert records_of(host, pod.pod_id) == 50
    again = permit_again(host, partner.partner, partner.grant)
    assert deliver(host, again, [reading(49), reading(50)]) == ["duplicate", "accepted"]
    refused = tvilling("move", "--to-database", databases.new(), code=1)
    assert "already" in refused
    with database_used(database):
        assert "stop it first" in tvilling("move", "--to-files", code=1)
    closed(host)

    assert tvilling("move", "--to-files")["pods"] == 1
    host = opened(tmp_path / "data")
    assert host.storage.is_embedded
    assert records_of(host, pod.pod_id) == 51
    closed(host)
    assert "holds pods already" in tvilling("move", "--to-database", database, code=1)


def test_a_backup_under_writers_is_restored_and_what_was_erased_since_stays_dead(tvilling, databases, tmp_path, clock):
    database, keys = databases.new(), databases.new()
    urls = ("--database-url", database, "--keys-url", keys)
    tvilling("citizen", "add", "kari", *urls)
    host = create_host(_settings(tmp_path / "data", database, keys))
    (kari,) = list_pods(host)
    power, shop = (granted(host, kari.pod_id, name=name) for name in ("Strømmen AS", "Butikken AS"))
    assert deliver(host, shop.permit, readings(0, 20, meter="shop")) == ["accepted"] * 20
    stop, taken = threading.Event(), [0]

    def write() -> None:
        while not stop.is_set():
            assert deliver(host, power.permit, [reading(taken[0])]) == ["accepted"]
            taken[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        before = taken[0]
        made = tvilling("backup", str(tmp_path / "backup"), "--with-host-key", *urls)
        during = taken[0]
    finally:
        stop.set()
        writer.join(30)
    assert set(made["files"]) >= {"data/tvilling.sqlite", "keys/keys.sqlite"}
    grants.erase(host, kari.pod_id, shop.grant, actor=CITIZEN)
    closed(host)

    assert "--force" in tvilling("restore", str(tmp_path / "backup"), *urls, code=1)
    with database_used(database):
        assert "another machine" in tvilling("restore", str(tmp_path / "backup"), "--force", *urls, code=1)
    done = tvilling("restore", str(tmp_path / "backup"), "--force", *urls)
    assert done["pods"] == 1
    assert not (tmp_path / "data" / "tvilling.sqlite").exists(), "the files of the restore are gone again"

    host = create_host(_settings(tmp_path / "data", database, keys))
    assert grants.find_grant(host, kari.pod_id, shop.grant).state == "erased"
    vault = unlock_with_custodian(host.host_key, host.key_store, kari.pod_id)
    with host.storage.read() as tx:
        assert tx.all("SELECT seq FROM segment WHERE pod_id = ? AND grant_id = ?", (kari.pod_id, shop.grant)) == []
        assert "restored-from" in {one.event.action for one in read_events(tx, vault, kari.pod_id, limit=1000)}
    assert before <= records_of(host, kari.pod_id) <= during + 1
    again = permit_again(host, power.partner, power.grant)
    assert set(deliver(host, again, readings(0, taken[0]))) <= {"duplicate", "accepted"}
    assert records_of(host, kari.pod_id) == taken[0]
    closed(host)


def test_the_doctor_finds_a_server_that_is_away_or_does_not_sync(tvilling, databases, tmp_path):
    database = databases.new()
    tvilling("citizen", "add", "kari", "--database-url", database)
    name = database.rpartition("/")[2].partition("?")[0]
    databases.server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    found = tvilling("doctor", "--database-url", database, code=1)["findings"]
    assert [one["check"] for one in found if one["level"] == "wrong"] == ["database-server"]
    away = tvilling("doctor", "--database-url", "postgresql://x@127.0.0.1:1/x?connect_timeout=2", code=1)["findings"]
    assert "cannot be reached" in next(one["what"] for one in away if one["check"] == "database")


def test_another_programs_tables_in_the_same_database_are_left_alone(tvilling, databases):
    database = databases.new()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE somebody_elses (x int)")
        connection.execute("INSERT INTO somebody_elses VALUES (1)")
    tvilling("citizen", "add", "kari", "--database-url", database)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT x FROM somebody_elses").fetchall() == [(1,)]


def _settings(folder, database, keys) -> Settings:
    from tvilling.commands.frame import Frame

    return replace(Frame(folder, None, True, database, keys).settings())

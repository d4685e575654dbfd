"""T1: a stolen database does not tell which apps a citizen uses, where they send her, or what they asked with."""

from __future__ import annotations

import sqlite3

import pytest
from solid_app import SolidApp, make_town

from pod_server.storage.migrate import migrate
from pod_server.storage.schema_version import SCHEMA_VERSION

NAME = "Migrenedagboken"
BACK = "https://migrene.example/tilbake"
TABLES = ("app_question", "app_connection", "app_code", "app_refresh_token")


@pytest.fixture
def town(city):
    return make_town(city)


def test_nothing_in_a_pods_rows_names_an_app(town):
    kari, ola = town.citizen("kari"), town.citizen("ola")
    app = SolidApp(town.host, client=town.stranger())
    app.register(client_name=NAME, redirect_uris=[BACK])
    asked = {"redirect_uri": BACK, "state": "hemmelig-tilstand", "nonce": "hemmelig-nonce"}
    for browser in (kari, ola):
        code = app.code_from(browser, **asked)
        assert app.redeem(code, redirect_uri=BACK).status_code == 200
    app.ask(kari, **asked)
    with town.host.storage.read() as tx:
        rows = {table: tx.all(f"SELECT * FROM {table}", ()) for table in TABLES}
        apps = tx.all("SELECT app FROM app_connection", ())
    assert all(rows.values())
    for word in (NAME, BACK, "migrene", app.client_id, "hemmelig"):
        assert word not in str(rows), word
    assert len(set(apps)) == 2, "the same app has another name in every pod: nobody can count who uses it"


def test_the_citizen_still_sees_and_ends_it(town):
    kari = town.citizen("kari")
    app = SolidApp(town.host, client=town.stranger())
    app.register(client_name=NAME)
    token = app.let_in(kari)["access_token"]
    assert NAME in kari.get("/-/my-data", headers={"Accept": "text/html"}).text
    page = kari.get("/-/security", headers={"Accept": "text/html"}).text
    assert NAME in page
    assert app.use("GET", "/kari/", token).status_code == 200


def test_a_row_moved_to_another_connection_lets_nobody_in(town):
    """T2: the sealed name belongs to its own row."""
    kari = town.citizen("kari")
    app = SolidApp(town.host, client=town.stranger())
    app.register()
    token = app.let_in(kari)["access_token"]
    with town.host.storage.write() as tx:
        (sealed,) = tx.one("SELECT sealed FROM app_connection", ())
        tx.execute("UPDATE app_connection SET sealed = ?", (sealed[:-4] + "AAAA",))
    assert app.use("GET", "/kari/", token).status_code == 500


def test_an_older_database_loses_its_plain_rows(tmp_path):
    """What lay plain cannot be sealed by a migration, which holds no key: apps ask anew."""
    path = tmp_path / "old.sqlite"
    assert migrate(path) == SCHEMA_VERSION
    with sqlite3.connect(path) as database:
        for table in TABLES:
            database.execute(f"DROP TABLE {table}")
        database.executescript(
            "CREATE TABLE app_question (question_id TEXT PRIMARY KEY, kind TEXT, client_id TEXT, document TEXT, "
            "expires_at BIGINT, answered_at BIGINT);"
            "CREATE TABLE app_connection (pod_id BIGINT, connection_id TEXT PRIMARY KEY, client_id TEXT, name TEXT, "
            "modes TEXT, given_at BIGINT, ended_at BIGINT);"
            "CREATE TABLE app_code (pod_id BIGINT, code_hash TEXT PRIMARY KEY, client_id TEXT, document TEXT);"
            "CREATE TABLE app_refresh_token (pod_id BIGINT, token_hash TEXT PRIMARY KEY, client_id TEXT, "
            "id_token_algorithm TEXT);"
            "INSERT INTO app_connection VALUES (1, 'c-1', 'app-1', 'Migrenedagboken', 'read', 0, NULL);"
        )
        before = database.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        database.execute("UPDATE alembic_version SET version_num = ?", (f"{number_of_the_change() - 1:04d}",))
        database.execute("UPDATE schema_version SET version = ?", (number_of_the_change() - 1,))
    database.close()
    assert migrate(path) == SCHEMA_VERSION
    with sqlite3.connect(path) as database:
        columns = {row[1] for row in database.execute("PRAGMA table_info(app_connection)")}
        assert "sealed" in columns
        assert "name" not in columns
        assert database.execute("SELECT COUNT(*) FROM app_connection").fetchone() == (0,)
        assert database.execute("SELECT version_num FROM alembic_version").fetchone()[0] == before
    database.close()


def number_of_the_change():
    from pathlib import Path

    from pod_server.storage.migrations import versions

    (file,) = Path(versions.__file__).parent.glob("*_sealed_apps.py")
    return int(file.name[:4])

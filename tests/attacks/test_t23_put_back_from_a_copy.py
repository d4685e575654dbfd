"""T23: whatever is changed, exchanged, put back from a copy or taken away at rest is found, and named for what it is."""

from __future__ import annotations

import pytest
from deliveries import CITIZEN, deliver, granted, readings
from flask import Flask
from solid_door import Door

import pod_server.routes
from pod_server import grants, http_problems, integrity
from pod_server.integrity import Damage
from twin_agent.worker import run_until_idle


@pytest.fixture
def kari(city, host, monkeypatch):
    """Kari's pod with deliveries, sums, figures and documents that went through the Solid door."""
    made = city.citizen("kari")
    partner = granted(host, made.pod_id)
    for first in (0, 10):
        assert deliver(host, partner.permit, readings(first, 10)) == ["accepted"] * 10
    run_until_idle(host)
    app = Flask("pods", static_folder=None)
    app.config["HOST"] = host
    http_problems.register(app, host)
    pod_server.routes.register(app, host)
    door = Door(app.test_client(), monkeypatch)
    assert door.put("letters/one.txt", "the first words", type_="text/plain").status_code == 201
    assert door.put("letters/two.txt", "other words", type_="text/plain").status_code == 201
    return made, partner, door


def examined(host, made):
    return integrity.examine(host, made.vault, made.pod_id)


def rows(host, table, pod_id):
    with host.storage.read() as tx:
        return tx.all(f"SELECT * FROM {table} WHERE pod_id = ? ORDER BY 1, 2", (pod_id,))


def put_back(host, table, pod_id, copy):
    """Make a table's rows of one pod what a copy of the file had."""
    with host.storage.write() as tx:
        tx.execute(f"DELETE FROM {table} WHERE pod_id = ?", (pod_id,))
        for row in copy:
            tx.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def change(host, sql, *parameters):
    with host.storage.write() as tx:
        assert tx.execute(sql, parameters)


def test_an_untouched_pod_has_no_damage_whatever_was_done_in_it(host, kari):
    made, partner, door = kari
    assert examined(host, made).damages == ()
    assert examined(host, made).objects > 15
    door.put("letters/one.txt", "newer words", type_="text/plain")
    door("DELETE", "letters/two.txt")
    assert door.put("letters/two.txt", "again", type_="text/plain").status_code == 201
    door("DELETE", "letters/one.txt")
    grants.erase(host, made.pod_id, partner.grant, actor=CITIZEN)
    assert examined(host, made).damages == ()


def test_an_older_document_put_back_whole_is_named_rolled_back(host, kari):
    """Every byte is as it once was written, so that it opens; the log knows that it is not the newest."""
    made, _, door = kari
    copy = rows(host, "document", made.pod_id)
    door.put("letters/one.txt", "newer words", type_="text/plain")
    put_back(host, "document", made.pod_id, copy)
    assert door.get("letters/one.txt").text == "the first words", "the door itself cannot know"
    assert examined(host, made).damages == (Damage("rolled-back", "document", "letters/one.txt"),)


def test_a_deleted_document_that_comes_back_and_one_that_goes_are_named(host, kari):
    made, _, door = kari
    copy = rows(host, "document", made.pod_id)
    door("DELETE", "letters/two.txt")
    put_back(host, "document", made.pod_id, copy)
    assert examined(host, made).damages == (Damage("came-back", "document", "letters/two.txt"),)
    door("DELETE", "letters/two.txt")
    assert examined(host, made).damages == ()
    with host.storage.read() as tx:
        newest = tx.one("SELECT MAX(version) FROM document WHERE pod_id = ?", (made.pod_id,))[0]
    door.put("letters/three.txt", "words", type_="text/plain")
    change(host, "DELETE FROM document WHERE pod_id = ? AND version > ?", made.pod_id, newest)
    assert examined(host, made).damages == (Damage("missing", "document", "letters/three.txt"),)


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ("segment", "delivery"),
        ("partial", "sum"),
        ("figures", "figures"),
        ("twin_event", "event"),
        ("household", "household"),
    ],
)
@pytest.mark.parametrize("damage", [lambda sealed: sealed[:-1], lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1])])
def test_a_changed_or_truncated_value_of_any_table_is_named(host, kari, table, what, damage):
    made, *_ = kari
    (first, *_), columns = rows(host, table, made.pod_id), "sealed"
    with host.storage.read() as tx:
        sealed = bytes(tx.one(f"SELECT {columns} FROM {table} WHERE pod_id = ? ORDER BY 1 LIMIT 1", (made.pod_id,))[0])
    assert first
    change(host, f"UPDATE {table} SET sealed = ? WHERE pod_id = ? AND sealed = ?", damage(sealed), made.pod_id, sealed)
    found = {(each.kind, each.what) for each in examined(host, made).damages}
    assert ("unreadable", what) in found
    assert found <= {("unreadable", what), ("rolled-back", "delivery")}


@pytest.mark.parametrize("column", ["sealed_head", "sealed_body"])
def test_a_damaged_document_is_named_by_its_path_where_that_can_be_read(host, kari, column):
    made, *_ = kari
    copy = {row[4]: row for row in rows(host, "document", made.pod_id)}
    newest = max(copy)
    with host.storage.read() as tx:
        sealed = bytes(
            tx.one(f"SELECT {column} FROM document WHERE pod_id = ? AND version = ?", (made.pod_id, newest))[0]
        )
    change(
        host,
        f"UPDATE document SET {column} = ? WHERE pod_id = ? AND version = ?",
        sealed[:-1],
        made.pod_id,
        newest,
    )
    damages = examined(host, made).damages
    if column == "sealed_body":
        assert damages == (Damage("unreadable", "document", "letters/two.txt"),)
    else:
        assert {(each.kind, each.what) for each in damages} == {("unreadable", "document"), ("missing", "document")}


def test_swapped_figures_of_two_citizens_and_an_older_sum_are_named(host, city, kari):
    made, partner, _ = kari
    older = rows(host, "partial", made.pod_id)
    deliver(host, partner.permit, readings(30, 5))
    run_until_idle(host)
    with host.storage.read() as tx:
        columns = tx.one("SELECT version FROM partial WHERE pod_id = ?", (made.pod_id,))
    change(host, "UPDATE partial SET sealed = ? WHERE pod_id = ?", older[0][-1], made.pod_id)
    assert columns
    assert examined(host, made).damages == (Damage("unreadable", "sum", f"{partner.grant} 2026-11"),)


def test_deliveries_rolled_back_and_a_broken_log_are_named(host, kari):
    made, partner, _ = kari
    copy = rows(host, "segment", made.pod_id)
    deliver(host, partner.permit, readings(30, 5))
    put_back(host, "segment", made.pod_id, copy)
    (damage,) = examined(host, made).damages
    assert (damage.kind, damage.what) == ("rolled-back", "delivery")
    assert "entry" in damage.where
    change(host, "DELETE FROM log_leaf WHERE pod_id = ? AND leaf_index = 2", made.pod_id)
    (damage,) = examined(host, made).damages
    assert (damage.kind, damage.what) == ("log", "log")
    assert "Entry 2" in damage.where

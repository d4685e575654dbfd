"""Every statement on citizens' data carries its pod, every such table leads with it, and both are read off the text."""

from __future__ import annotations

import re

import pytest
from statements_across_pods import ALLOWED, why_not

from pod_server.storage.schema_version import schema_statements, tables_of_pods
from pod_server.storage.statements import REACHED_BY_ANOTHER_NAME, READ_BY_EVERYBODY, subject_of

_COMMENT = re.compile(r"--[^\n]*")
NO_KEY_OF_ITS_OWN = {"segment": "appended by rowid on SQLite; its unique indexes lead with pod_id"}


def tables() -> dict[str, str]:
    """The columns of each table, without comments."""
    found = {}
    for _, statement in schema_statements():
        made = re.match(r"\s*CREATE TABLE (?:IF NOT EXISTS )?(\w+) \((.*)\)", _COMMENT.sub("", statement), re.DOTALL)
        if made:
            found[made.group(1)] = made.group(2)
    assert len(found) > 40
    return found


def leading_column(columns: str) -> str | None:
    together = re.search(r"PRIMARY KEY \((\w+)", columns)
    alone = re.search(r"(\w+) [A-Z]+(?: NOT NULL)? PRIMARY KEY", columns)
    return together.group(1) if together else alone.group(1) if alone else None


def test_every_table_of_citizens_data_leads_with_the_pod_or_says_why_not():
    for table, columns in tables().items():
        if table not in tables_of_pods() or table in REACHED_BY_ANOTHER_NAME:
            continue
        if table in NO_KEY_OF_ITS_OWN:
            indexes = [
                statement
                for _, statement in schema_statements()
                if re.search(rf"CREATE UNIQUE INDEX (?:IF NOT EXISTS )?\w+ ON {table}\b", statement)
            ]
            assert indexes
            assert all(re.search(rf"ON {table} \(pod_id\b", index) for index in indexes)
        else:
            assert leading_column(columns) == "pod_id", table


def test_the_lists_of_exceptions_name_tables_that_are_there():
    assert set(REACHED_BY_ANOTHER_NAME) <= set(tables_of_pods())
    assert set(READ_BY_EVERYBODY) <= set(tables()) - set(tables_of_pods())
    for table in REACHED_BY_ANOTHER_NAME:
        assert not re.search(r"\b(segment|document|household|partial|figures|log_leaf|twin_event)\b", table)


@pytest.mark.parametrize(
    ("sql", "parameters", "pods"),
    [
        ("SELECT 1 FROM feed WHERE pod_id = ?", (5,), [5]),
        ("SELECT 1 FROM feed WHERE head > ? AND pod_id = ? AND cursor < ?", (1, 5, 2), [5]),
        ("SELECT 1 FROM feed WHERE claimed_by = '?' AND pod_id = ?", (5,), [5]),
        ("UPDATE feed SET head = ? WHERE pod_id IN (?, ?,?)", (9, 7, 5, 7), [5, 7]),
        ("INSERT INTO feed (head, pod_id, cursor) VALUES (?, ?, 0)", (1, 5), [5]),
        ("INSERT INTO feed (head, pod_id) VALUES (COALESCE(?, ?), ?)", (1, 2, 5), [5]),
        ("INSERT INTO feed (head, pod_id) SELECT ?, 1 FROM pod WHERE pod.pod_id = ?", (1, 5), [5]),
        ("SELECT pod_id FROM pod WHERE handle = ?", ("kari",), []),
        ("INSERT INTO outbox (pod_id, message_id) VALUES (?, ?)", (0, "m"), []),
    ],
)
def test_the_pods_of_a_statement_are_read_off_its_text(sql, parameters, pods):
    assert subject_of(sql).pods_named(parameters) == pods


@pytest.mark.parametrize(
    ("sql", "takes"),
    [
        ("SELECT 1 FROM feed WHERE pod_id = ?", ()),
        ("SELECT name FROM partner WHERE client_id = ?", (("partner", "shared"),)),
        ("UPDATE partner SET name = ? WHERE client_id = ?", (("partner", "alone"),)),
        ("SELECT pod_id FROM session WHERE session_hash = ?", (("session", "alone"),)),
        ("DELETE FROM session WHERE pod_id = ?", (("session", "alone"),)),
        ("SELECT MAX(sequence) FROM outbox WHERE client_id = ?", (("outbox", "alone"),)),
        ("SELECT pod_id FROM feed WHERE head > cursor FOR UPDATE SKIP LOCKED", ()),
        ("INSERT INTO grant_route (grant_id, pod_id) VALUES (?, ?)", ()),
    ],
)
def test_a_writer_takes_the_tables_that_are_not_reached_by_pod(sql, takes):
    assert subject_of(sql).takes == takes


def test_a_statement_on_citizens_data_without_its_pod_is_refused_by_every_test():
    assert "names no pod" in why_not("SELECT sealed FROM segment WHERE seq = ?")
    assert "names no pod" in why_not("SELECT a.sealed FROM household a JOIN figures b ON a.pod_id = b.pod_id")
    assert "names no pod" in why_not("UPDATE figures SET sealed = ?")
    assert why_not("SELECT sealed FROM segment WHERE pod_id = ?") is None
    assert why_not("SELECT 1 FROM partner") is None


def test_the_guard_stands_in_front_of_the_engines(host):
    with pytest.raises(AssertionError, match="names no pod"), host.storage.read() as tx:
        eval(
            compile("ask('SELECT sealed FROM figures WHERE epoch = 1')", "/house/pod_server/x.py", "eval"),
            {"ask": tx.all},
        )


def test_every_exception_has_a_reason():
    assert all(len(reason) > 20 for reason in ALLOWED.values())

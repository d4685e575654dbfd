"""After a change of rules, documents move between the scopes in small steps; whoever asks meanwhile gets the rules' answer."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from solid_door import KARI, OLA

from pod_server import settling
from pod_server.storage.sqlite import SqliteStorage

PREFIXES = "@prefix acl: <http://www.w3.org/ns/auth/acl#> . @prefix foaf: <http://xmlns.com/foaf/0.1/> .\n"
MINE = f"[] a acl:Authorization ; acl:agent <{KARI}> ; acl:accessTo <./> ; acl:default <./> ; acl:mode acl:Read, acl:Write, acl:Control .\n"
OPEN = (
    PREFIXES
    + MINE
    + "[] a acl:Authorization ; acl:agentClass foaf:Agent ; acl:accessTo <./> ; acl:default <./> ; acl:mode acl:Read ."
)
CLOSED = PREFIXES + MINE
DOCUMENTS = [f"box/{name}" for name in ("a", "b", "deep/c", "deep/er/d")]
SECRET = "box/secret"


@pytest.fixture
def box(door):
    """A closed container with documents in three levels, one description and one document with rules of its own."""
    door.put("box/.acl", CLOSED) if door.put("box/", "").status_code == 201 else None
    for path in (*DOCUMENTS, SECRET):
        assert door.put(path, f"<> <urn:p> '{path}' .").status_code == 201
    door.put("box/a.meta", "<a> <urn:q> 1 .")
    door.put(SECRET + ".acl", CLOSED.replace("<./>", "<secret>"))
    return door


@pytest.fixture
def cut_short(monkeypatch):
    """Each request moves one document and leaves the rest."""
    monkeypatch.setattr(settling, "STEP_SECONDS", 1e-9)
    monkeypatch.setattr(settling, "REQUEST_SECONDS", 0)


def scopes(city, pod):
    with city.host.storage.read() as tx:
        return [
            scope for (scope,) in tx.all("SELECT scope FROM document WHERE pod_id = ? ORDER BY version", (pod.pod_id,))
        ]


def marks(city):
    with city.host.storage.read() as tx:
        return tx.all("SELECT pod_id FROM unsettled_pod")


def lock(city, kari):
    with city.host.storage.write() as tx:
        tx.execute("UPDATE pod SET state = 'locked' WHERE pod_id = ?", (kari.pod_id,))
    city.host.key_store.remove_slot(kari.pod_id, "custodian")


def finish(city):
    seen = settling.settle_left_over(city.host, {})
    settling.settle_left_over(city.host, seen)


def seen_by_strangers(door):
    return {
        path: door.get(path, as_=None).status_code for path in (*DOCUMENTS, SECRET, "box/", "box/deep/", "box/a.meta")
    }


OPENED = {**dict.fromkeys((*DOCUMENTS, "box/", "box/deep/", "box/a.meta"), 200), SECRET: 401}
SHUT = dict.fromkeys((*DOCUMENTS, SECRET, "box/", "box/deep/", "box/a.meta"), 401)


def test_what_is_opened_is_served_while_the_pod_is_locked_and_what_is_closed_is_not(box, city, kari):
    assert box.put("box/.acl", OPEN).status_code == 204
    assert not marks(city)
    assert seen_by_strangers(box) == OPENED
    assert box.put("box/deep/.acl", CLOSED).status_code == 201
    lock(city, kari)
    hidden = {"box/deep/c": 401, "box/deep/er/d": 401, "box/deep/": 401}
    assert seen_by_strangers(box) == OPENED | hidden
    assert box.members("box/", as_=None) == {"box/a", "box/b"}


def test_the_rules_hold_from_their_commit_on_however_little_has_moved(box, city, cut_short):
    box.put("box/.acl", OPEN)
    assert marks(city)
    assert scopes(city, city_pod(city)).count("public") < 2 + len(OPENED)
    assert seen_by_strangers(box) == OPENED
    assert box.members("box/", as_=None) == {"box/a", "box/b", "box/deep/"}, "and no name of what stays closed"
    assert SECRET in box.members("box/", as_=OLA)
    query = "sparql?query=SELECT%20%3Fo%20%7B%3Fs%20%3Curn%3Ap%3E%20%3Fo%7D"
    found = box.get(query, as_=None, Accept="text/csv").text.split()
    assert set(found[1:]) == set(DOCUMENTS)
    box.put("box/.acl", CLOSED)
    assert seen_by_strangers(box) == SHUT


def city_pod(city):
    from pod_server.opening import find_pod

    with city.host.storage.read() as tx:
        return find_pod(tx, "kari")


def test_what_was_left_is_finished_later(box, city, kari, cut_short):
    box.put("box/.acl", OPEN)
    finish(city)
    assert not marks(city)
    lock(city, kari)
    assert seen_by_strangers(box) == OPENED


def test_a_locked_pod_that_is_not_settled_shows_strangers_nothing(box, city, kari, monkeypatch):
    box.put("box/.acl", OPEN)
    monkeypatch.setattr(settling, "STEP_SECONDS", 1e-9)
    monkeypatch.setattr(settling, "REQUEST_SECONDS", 0)
    box.put("box/.acl", CLOSED)
    assert "public" in scopes(city, city_pod(city))
    lock(city, kari)
    assert seen_by_strangers(box) == SHUT
    assert box.get("profile/card", as_=None).status_code == 401


def test_locking_a_pod_settles_it_first(box, city, kari, monkeypatch):
    from pod_server.pods import lock_pod
    from pod_server.vault.key_derivation import Argon2Cost, Passphrase

    box.put("box/.acl", OPEN)
    monkeypatch.setattr(settling, "STEP_SECONDS", 1e-9)
    monkeypatch.setattr(settling, "REQUEST_SECONDS", 0)
    box.put("box/.acl", CLOSED)
    assert marks(city)
    lock_pod(
        city.host, kari.vault, Passphrase("en lang passfrase"), cost=Argon2Cost(memory_kib=8, iterations=1, lanes=1)
    )
    assert not marks(city)
    assert seen_by_strangers(box) == SHUT
    assert box.get("profile/card", as_=None).status_code == 200


def test_a_second_change_of_rules_leaves_nothing_of_the_first_behind(box, city, kari, cut_short, monkeypatch):
    box.put("box/.acl", OPEN)
    monkeypatch.setattr(settling, "REQUEST_SECONDS", 10)
    box.put("profile/.acl", OPEN)
    assert not marks(city)
    lock(city, kari)
    assert seen_by_strangers(box) == OPENED


def test_moving_changes_no_version(box):
    before = {path: box.get(path).headers["ETag"] for path in DOCUMENTS}
    box.put("box/.acl", OPEN)
    assert {path: box.get(path).headers["ETag"] for path in DOCUMENTS} == before


def test_no_transaction_moves_for_long(box, city, monkeypatch):
    """However much there is to move: what is moved in one transaction is bounded by time."""
    for number in range(40):
        box.put(f"box/many/{number}", "<> <urn:p> 1 .")
    monkeypatch.setattr(settling, "STEP_SECONDS", 1e-9)
    writes = []
    real = SqliteStorage.write

    @contextmanager
    def counted(storage, **options):
        with real(storage, **options) as tx:
            before = len(scopes_in(tx))
            yield tx
            writes.append(abs(len(scopes_in(tx)) - before))

    monkeypatch.setattr(SqliteStorage, "write", counted)
    box.put("box/.acl", OPEN)
    assert max(writes) == 1
    assert sum(writes) > 40


def scopes_in(tx):
    return tx.all("SELECT 1 FROM document WHERE scope = 'public'")

"""A locked pod: what is public is served without any key of the citizen's; of all else a stranger learns nothing."""

from __future__ import annotations

import pytest
from solid_door import KARI, OLA

EVERYONE = (
    "@prefix acl: <http://www.w3.org/ns/auth/acl#> . @prefix foaf: <http://xmlns.com/foaf/0.1/> .\n"
    "[] a acl:Authorization ; acl:agentClass foaf:Agent ; acl:accessTo <{0}> ; acl:default <{0}> ; acl:mode acl:Read .\n"
    f"[] a acl:Authorization ; acl:agent <{KARI}> ; acl:accessTo <{{0}}> ; acl:default <{{0}}> ; acl:mode acl:Read, acl:Write, acl:Control .\n"
)


@pytest.fixture
def lock(city, kari):
    def now():
        with city.host.storage.write() as tx:
            tx.execute("UPDATE pod SET state = 'locked' WHERE pod_id = ?", (kari.pod_id,))
        city.host.key_store.remove_slot(kari.pod_id, "custodian")

    return now


def test_the_card_and_the_public_container_are_served(door, lock):
    door.put("public/notes/a.ttl", "<> <urn:p> 1 .")
    lock()
    assert door.get("profile/card", as_=None).status_code == 200
    assert len(door.triples("public/notes/a.ttl", as_=None)) == 1
    assert door.members("public/", as_=None) == {"public/notes/"}


@pytest.mark.parametrize(
    "path", ["", ".acl", "private/", "private/a", "private/none", "public/.acl", "profile/", "activities/"]
)
def test_everything_else_existing_or_not_answers_a_stranger_alike(door, lock, path):
    door.put("private/a", "<> <urn:p> 1 .")
    lock()
    refused = door.get(path, as_=None)
    assert refused.status_code == 401
    assert refused.json["type"].endswith("/problems/not-signed-in")


@pytest.mark.parametrize("who", [KARI, OLA])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_whoever_is_known_learns_that_the_pod_is_locked(door, lock, who, method):
    lock()
    refused = door(method, "private/a", "INSERT DATA {}", type_="application/sparql-update", as_=who)
    assert refused.json["type"].endswith("/problems/pod-locked")


def test_a_document_leaves_the_public_scope_with_its_rules(door, lock):
    door.put("private/a", "<> <urn:p> 1 .")
    door.put("private/b/c", "<> <urn:p> 1 .")
    door.put("private/a.acl", EVERYONE.format("a"))
    door.put("private/b/.acl", EVERYONE.format("./"))
    door.put("public/a", "<> <urn:p> 1 .")
    door.put("public/b/c", "<> <urn:p> 1 .")
    door.put("public/.acl", EVERYONE.format("./").split("\n", 2)[0] + "\n" + EVERYONE.format("./").splitlines()[2])
    lock()
    for path in ("private/a", "private/b/", "private/b/c"):
        assert door.get(path, as_=None).status_code == 200, path
    for path in ("public/", "public/a", "public/b/", "public/b/c"):
        assert door.get(path, as_=None).status_code == 401, path


def test_taking_the_rules_away_takes_the_document_back(door, lock):
    door.put("private/a", "<> <urn:p> 1 .")
    door.put("private/a.acl", EVERYONE.format("a"))
    assert door.get("private/a", as_=None).status_code == 200
    door("DELETE", "private/a.acl")
    assert door.get("private/a", as_=None).status_code == 401
    lock()
    assert door.get("private/a", as_=None).status_code == 401

"""Web Access Control, sections 4.1 and 5: groups of agents, and rules that hold for pages of some origins only."""

from __future__ import annotations

import pytest
from solid_door import KARI, OLA, ROOT, TestAgent

DOC, GROUP = "private/doc", "private/friends"
PREFIXES = "@prefix acl: <http://www.w3.org/ns/auth/acl#> . @prefix foaf: <http://xmlns.com/foaf/0.1/> .\n"
OWNER = (
    f"[] a acl:Authorization ; acl:agent <{KARI}> ; acl:accessTo <doc> ; acl:mode acl:Read, acl:Write, acl:Control .\n"
)
MEMBERS = "@prefix vcard: <http://www.w3.org/2006/vcard/ns#> .\n<{0}> a vcard:Group ; vcard:hasMember <{1}> ."
PAGE = "https://page.example"


def rule(who, modes="acl:Read"):
    return f"{PREFIXES}{OWNER}[] a acl:Authorization ; {who} ; acl:accessTo <doc> ; acl:mode {modes} ."


@pytest.fixture
def shared(door):
    def give(who, modes="acl:Read"):
        assert door.put(DOC, "<> <urn:p> 1 .").status_code in {201, 204}
        assert door.put(DOC + ".acl", rule(who, modes)).status_code in {201, 204}
        return door

    return give


def read(door, who=OLA, **headers):
    return door.get(DOC, as_=who, **headers).status_code


def test_members_of_a_group_may_and_others_may_not(shared):
    door = shared(f"acl:agentGroup <{ROOT}{GROUP}#all>", "acl:Read, acl:Append")
    assert read(door) == 403
    door.put(GROUP, MEMBERS.format("#all", OLA))
    assert read(door) == 200
    assert door.put(DOC, "", as_=OLA).status_code == 403
    assert read(door, "https://elsewhere.example/eva#me") == 403
    assert read(door, None) == 401


def test_a_member_who_is_taken_out_is_out_at_once(shared):
    door = shared(f"acl:agentGroup <{ROOT}{GROUP}#all>")
    door.put(GROUP, MEMBERS.format("#all", OLA))
    assert read(door) == 200
    door("DELETE", GROUP)
    assert read(door) == 403


def test_membership_is_of_the_one_group_that_is_named(shared):
    door = shared(f"acl:agentGroup <{ROOT}{GROUP}#all>")
    door.put(GROUP, MEMBERS.format("#others", OLA))
    assert read(door) == 403


def test_a_group_that_the_owner_may_not_read_gives_nobody_anything(shared):
    door = shared(f"acl:agentGroup <{ROOT}{GROUP}#all>")
    door.put(GROUP, MEMBERS.format("#all", OLA))
    door.put(GROUP + ".acl", PREFIXES)
    assert read(door) == 403


def test_a_group_cannot_open_its_own_document(shared):
    """Deciding whether the group may be read looks at no groups, so there is no circle."""
    door = shared(f"acl:agentGroup <{ROOT}{DOC}#all>")
    door.put(DOC, MEMBERS.format("#all", OLA))
    assert read(door) == 200
    door.put(
        DOC + ".acl",
        f"{PREFIXES}[] a acl:Authorization ; acl:agentGroup <doc#all> ; acl:accessTo <doc> ; acl:mode acl:Read .",
    )
    assert read(door) == 403


@pytest.mark.parametrize(("place", "answer"), [("public/friends", 200), ("private/friends", 403)])
def test_a_group_in_another_pod_of_this_host_counts_where_everyone_may_read_it(shared, city, door, place, answer):
    from pod_server import documents
    from pod_server.authorization.enforcement import require_owner
    from pod_server.opening import custodian_vault, open_pod

    other = city.citizen("ola", name="Ola")
    vault = custodian_vault(city.host, other.pod_id)
    opened = open_pod(city.host, require_owner(vault), vault=vault)
    members = MEMBERS.format(f"{place}#all", OLA).encode()
    with city.host.storage.write() as tx:
        documents.put(
            tx, opened, place, "text/turtle", members, public=place.startswith("public/"), at=city.clock.now()
        )
    shared(f"acl:agentGroup <http://localhost:8080/ola/{place}#all>")
    assert read(door) == answer


@pytest.mark.parametrize(
    "group",
    [
        "https://elsewhere.example/group#all",
        "http://localhost:8080/nobody/group#all",
        "http://localhost:8080/",
        "http://localhost:8080/kari/../x#all",
        "http://localhost:8080/kari/private/%00#all",
        "http://localhost:8080/kari/activities/#all",
    ],
)
def test_groups_that_cannot_be_read_here_give_nobody_anything(shared, group):
    assert read(shared(f"acl:agentGroup <{group}>")) == 403


@pytest.mark.parametrize(
    ("origin", "answer"), [(PAGE, 200), ("https://evil.example", 403), (f"{PAGE}.evil.example", 403), ("null", 403)]
)
def test_a_rule_that_names_an_origin_holds_for_pages_of_that_origin(shared, origin, answer):
    assert read(shared(f"acl:agent <{OLA}> ; acl:origin <{PAGE}>"), Origin=origin) == answer


def test_a_rule_that_names_an_origin_holds_for_programs_that_are_no_pages(shared):
    assert read(shared(f"acl:agent <{OLA}> ; acl:origin <{PAGE}>")) == 200


def test_a_rule_for_everyone_on_one_origin_is_not_public(shared):
    door = shared(f"acl:agentClass foaf:Agent ; acl:origin <{PAGE}>")
    assert read(door, None, Origin=PAGE) == 200
    assert read(door, None, Origin="https://evil.example") == 401
    answer = door.get(DOC, as_=TestAgent(None, origin=PAGE))
    assert answer.headers["WAC-Allow"] == 'user="read",public=""'
    assert answer.headers["Cache-Control"].startswith("private")


def test_an_origin_alone_names_nobody(shared):
    assert read(shared(f"acl:origin <{PAGE}>"), Origin=PAGE) == 403

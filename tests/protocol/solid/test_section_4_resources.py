"""Solid Protocol, section 4: the storage, containers, and the access rules that belong to a resource."""

from __future__ import annotations

import pytest
from pyoxigraph import Literal, NamedNode, Triple
from solid_door import KARI, ROOT

TYPE = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
STORAGE = NamedNode("http://www.w3.org/ns/pim/space#Storage")


def links(response):
    return [link for value in response.headers.getlist("Link") for link in value.split(", ")]


def test_a_new_pod_holds_a_card_that_everyone_may_read(door):
    card = door.triples("profile/card", as_=None)
    assert Triple(NamedNode(KARI), NamedNode("http://xmlns.com/foaf/0.1/name"), Literal("Kari")) in card
    issuer = NamedNode("http://www.w3.org/ns/solid/terms#oidcIssuer")
    assert Triple(NamedNode(KARI), issuer, NamedNode("http://localhost:8080")) in card
    assert Triple(NamedNode(KARI), NamedNode("http://www.w3.org/ns/pim/space#storage"), NamedNode(ROOT)) in card


def test_the_root_is_a_storage_and_says_so_in_link_and_body(door):
    response = door.get("")
    assert f'<{STORAGE.value}>; rel="type"' in links(response)
    assert Triple(NamedNode(ROOT), TYPE, STORAGE) in door.triples("")
    assert door.members("") == {"activities/", "calculations/", "private/", "profile/", "public/"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_root_links_to_its_owner_and_nothing_else_does(door, method):
    owner = f'<{KARI}>; rel="http://www.w3.org/ns/solid/terms#owner"'
    assert owner in links(door(method, ""))
    assert owner not in links(door(method, "private/"))


def test_the_storage_description_is_open_to_everyone(door):
    assert Triple(NamedNode(ROOT), TYPE, STORAGE) in door.triples(".well-known/solid", as_=None)
    (description,) = [link for link in links(door.get("public/", as_=None)) if "storageDescription" in link]
    assert description.startswith(f"<{ROOT}.well-known/solid>")


@pytest.mark.parametrize("path", ["", "public/", "profile/card"])
def test_every_resource_links_to_its_access_rules(door, path):
    assert f'<{ROOT}{path}.acl>; rel="acl"' in links(door.get(path))


def test_access_rules_have_no_access_rules_and_are_not_members(door):
    assert not any('rel="acl"' in link for link in links(door.get("public/.acl")))
    assert door.members("public/") == set()


def test_a_container_lists_its_members_with_type_size_and_time(door):
    door.put("public/notes/a.txt", "hello", type_="text/plain")
    door.put("public/notes/deeper/b.ttl", "<> <urn:p> 1 .")
    listing = door.triples("public/notes/")
    document = NamedNode(ROOT + "public/notes/a.txt")
    size = NamedNode("http://www.w3.org/ns/posix/stat#size")
    assert door.members("public/notes/") == {"public/notes/a.txt", "public/notes/deeper/"}
    assert (
        Triple(document, size, Literal("5", datatype=NamedNode("http://www.w3.org/2001/XMLSchema#integer"))) in listing
    )
    assert Triple(document, TYPE, NamedNode("http://www.w3.org/ns/iana/media-types/text/plain#Resource")) in listing
    assert (
        Triple(NamedNode(ROOT + "public/notes/deeper/"), TYPE, NamedNode("http://www.w3.org/ns/ldp#Container"))
        in listing
    )


def test_what_a_container_holds_is_stated_by_the_server_alone(door):
    stated = "<> <http://www.w3.org/ns/ldp#contains> <stolen> ."
    assert door.put("private/new/", stated).status_code == 409
    assert (
        door("PATCH", "private/", f"INSERT DATA {{ {stated} }}", type_="application/sparql-update").status_code == 409
    )


def test_a_container_keeps_what_its_owner_says_about_it(door):
    door.put("private/box/", '<> <http://purl.org/dc/terms/title> "My box" .')
    title = Triple(NamedNode(ROOT + "private/box/"), NamedNode("http://purl.org/dc/terms/title"), Literal("My box"))
    assert title in door.triples("private/box/")


def test_a_container_with_members_is_not_deleted(door):
    door.put("private/box/a", "x", type_="text/plain")
    refused = door("DELETE", "private/box/")
    assert refused.status_code == 409
    assert refused.json["type"].endswith("/problems/container-not-empty")
    assert door("DELETE", "private/box/a").status_code == 204
    assert door("DELETE", "private/box/").status_code == 204
    assert door.get("private/box/").status_code == 404


@pytest.mark.parametrize("path", ["", ".acl"])
def test_the_root_and_its_access_rules_cannot_be_deleted(door, path):
    refused = door("DELETE", path)
    assert refused.status_code == 405
    assert "DELETE" not in refused.headers["Allow"]
    assert door.get(path).status_code == 200


def test_access_rules_go_with_their_resource(door):
    door.put("private/a", "x", type_="text/plain")
    rule = (
        f"[] a <http://www.w3.org/ns/auth/acl#Authorization> ; <http://www.w3.org/ns/auth/acl#agent> <{KARI}> ; "
        "<http://www.w3.org/ns/auth/acl#accessTo> <a> ; <http://www.w3.org/ns/auth/acl#mode> "
        "<http://www.w3.org/ns/auth/acl#Read>, <http://www.w3.org/ns/auth/acl#Write> ."
    )
    assert door.put("private/a.acl", rule).status_code == 201
    assert door("DELETE", "private/a").status_code == 204
    assert door.get("private/a.acl").status_code == 404


def test_access_rules_for_nothing_are_refused(door):
    assert door.put("private/nothing.acl", "").status_code == 409
    assert door.put("private/.acl/", "").status_code == 409

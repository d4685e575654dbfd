"""Auxiliary resources (Solid Protocol, section 4.3): rules and descriptions belong to a subject and go with it."""

from __future__ import annotations

import pytest
from solid_door import KARI, OLA, ROOT

DOC = "private/box/doc"
RULES = (
    "@prefix acl: <http://www.w3.org/ns/auth/acl#> .\n"
    f"[] a acl:Authorization ; acl:agent <{OLA}> ; acl:accessTo <doc> ; acl:mode acl:{{0}} .\n"
    f"[] a acl:Authorization ; acl:agent <{KARI}> ; acl:accessTo <doc> ; acl:mode acl:Read, acl:Write, acl:Control ."
)
ABOUT = "<doc> <http://purl.org/dc/terms/title> 'A document' ."


@pytest.fixture
def described(door):
    assert door.put(DOC, "<> <urn:p> 1 .").status_code == 201
    assert door.put(DOC + ".meta", ABOUT).status_code == 201
    return door


def links(response):
    return ", ".join(response.headers.getlist("Link"))


@pytest.mark.parametrize("path", ["", "private/", DOC])
def test_every_resource_links_to_its_description(described, path):
    assert f'<{ROOT}{path}.meta>; rel="describedby"' in links(described("HEAD", path))


def test_a_description_links_to_its_subject_and_to_nothing_of_its_own(described):
    said = links(described("HEAD", DOC + ".meta"))
    assert f'<{ROOT}{DOC}>; rel="describes"' in said
    assert "describedby" not in said
    assert 'rel="acl"' not in said


def test_a_description_is_read_changed_and_deleted_like_a_document(described):
    assert {triple.subject.value for triple in described.triples(DOC + ".meta")} == {ROOT + DOC}
    assert (
        described(
            "PATCH", DOC + ".meta", "INSERT DATA { <doc> <urn:q> 1 }", type_="application/sparql-update"
        ).status_code
        == 204
    )
    assert len(described.triples(DOC + ".meta")) == 2
    assert described("DELETE", DOC + ".meta").status_code == 204
    assert described.get(DOC + ".meta").status_code == 404
    assert described.get(DOC).status_code == 200


def test_a_description_is_no_member_of_the_container(described):
    assert described.members("private/box/") == {DOC}


def test_a_description_goes_with_its_subject(described):
    assert described("DELETE", DOC).status_code == 204
    assert described.get(DOC + ".meta").status_code == 404
    described.put(DOC, "<> <urn:p> 2 .")
    assert described.get(DOC + ".meta").status_code == 404


@pytest.mark.parametrize(
    ("path", "type_", "status"),
    [
        ("private/none.meta", "text/turtle", 409),
        (DOC + ".meta.meta", "text/turtle", 409),
        (DOC + ".meta.acl", "text/turtle", 409),
        (DOC + ".acl.meta", "text/turtle", 409),
        ("private/x.meta/y", "text/turtle", 409),
        (DOC + ".meta", "text/plain", 415),
    ],
)
def test_a_description_is_rdf_about_something_that_is_there(described, path, type_, status):
    assert described.put(path, ABOUT, type_=type_).status_code == status


@pytest.mark.parametrize(
    ("mode", "read", "add", "write"), [("Read", 200, 403, 403), ("Append", 403, 204, 403), ("Write", 403, 204, 204)]
)
def test_a_description_has_the_modes_of_its_subject(described, mode, read, add, write):
    described.put(DOC + ".acl", RULES.format(mode))
    path = DOC + ".meta"
    assert described.get(path, as_=OLA).status_code == read
    added = described("PATCH", path, "INSERT DATA { <doc> <urn:q> 1 }", type_="application/sparql-update", as_=OLA)
    assert added.status_code == add
    assert described.put(path, ABOUT, as_=OLA).status_code == write
    assert described("DELETE", path, as_=OLA).status_code == write


def test_a_slug_never_makes_an_auxiliary_resource(door):
    made = door("POST", "private/", "<> <urn:p> 1 .", type_="text/turtle", Slug="doc.acl.meta")
    assert made.headers["Location"] == ROOT + "private/doc"


def test_the_host_describes_itself(door):
    answer = door.client.get("/.well-known/solid", headers={"Accept": "text/turtle"})
    assert answer.status_code == 200
    assert b"https://solidproject.org/TR/protocol" in answer.data
    assert b"solid:oidcIssuer <http://localhost:8080>" in answer.data

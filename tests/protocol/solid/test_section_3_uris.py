"""Solid Protocol, section 3: which paths name resources, and how slashes tell containers from documents."""

from __future__ import annotations

import pytest


def test_a_path_with_and_without_its_last_slash_cannot_both_exist(door):
    assert door.put("private/thing", "<> <urn:p> 1 .").status_code == 201
    refused = door.put("private/thing/")
    assert refused.status_code == 409
    assert refused.json["type"].endswith("/problems/resource-conflict")
    assert door.put("private/box/").status_code == 201
    assert door.put("private/box", "<> <urn:p> 1 .").status_code == 409


def test_nothing_can_lie_in_a_document(door):
    door.put("private/thing", "<> <urn:p> 1 .")
    assert door.put("private/thing/inner", "<> <urn:p> 1 .").status_code == 409
    assert door.put("private/thing/a/b/c", "<> <urn:p> 1 .").status_code == 409


@pytest.mark.parametrize(
    "spelling", ["private/bl%C3%A5.ttl", "private/bl%c3%a5.ttl", "private/blå.ttl", "private/%62lå.ttl"]
)
def test_all_spellings_of_a_path_name_one_resource(door, spelling):
    door.put("private/blå.ttl", "<> <urn:p> 1 .")
    assert door.get(spelling).status_code == 200
    assert door.members("private/") == {"private/bl%C3%A5.ttl"}


def test_an_unknown_pod_is_not_found_and_says_so(app):
    answer = app.test_client().get("/nobody/profile/card")
    assert answer.status_code == 404
    assert answer.json["type"].endswith("/problems/no-such-pod")


@pytest.mark.parametrize("word", ["login", "static", "-x", "Kari", "k"])
def test_words_of_the_house_and_what_is_no_handle_are_no_pods(app, word):
    assert app.test_client().get(f"/{word}/x").json["type"].endswith("/problems/no-such-page")

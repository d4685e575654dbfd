"""What the citizen chose on the page is what the app may do: method by answer, in one table."""

from __future__ import annotations

import pytest

TURTLE = {"Content-Type": "text/turtle"}
PATCH = {"Content-Type": "text/n3"}
INSERT = b"@prefix s: <http://www.w3.org/ns/solid/terms#>. _:p a s:InsertDeletePatch; s:inserts { <#a> <#b> <#c> . } ."
OPEN = (
    b"@prefix acl: <http://www.w3.org/ns/auth/acl#>. <#o> a acl:Authorization; "
    b"acl:agentClass <http://xmlns.com/foaf/0.1/Agent>; acl:accessTo <note.ttl>; acl:mode acl:Read ."
)

ROWS = [
    # method, path, body, headers, the least answer that allows it
    ("GET", "/kari/note.ttl", b"", {}, "read"),
    ("HEAD", "/kari/", b"", {}, "read"),
    ("GET", "/kari/activities/", b"", {}, "read"),
    ("POST", "/kari/", b"<#a> <#b> <#c> .", TURTLE, "add"),
    ("PUT", "/kari/new.ttl", b"<#a> <#b> <#c> .", TURTLE, "add"),
    ("PATCH", "/kari/note.ttl", INSERT, PATCH, "add"),
    ("PUT", "/kari/note.ttl", b"<#a> <#b> <#d> .", TURTLE, "change"),
    ("DELETE", "/kari/note.ttl", b"", {}, "change"),
    ("GET", "/kari/.acl", b"", {}, "everything"),
    ("PUT", "/kari/note.ttl.acl", OPEN, TURTLE, "everything"),
]
ANSWERS = ["read", "add", "change", "everything"]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("method", "path", "body", "headers", "least"), ROWS)
def test_an_app_does_what_the_citizen_chose_and_no_more(
    town, kari, registered, answer, method, path, body, headers, least
):
    owner = registered.let_in(kari)["access_token"]
    assert registered.use("PUT", "/kari/note.ttl", owner, data=b"<#a> <#b> <#c> .", headers=TURTLE).status_code == 201
    token = registered.let_in(kari, answer)["access_token"]
    response = registered.use(method, path, token, data=body, headers=headers)
    if ANSWERS.index(answer) >= ANSWERS.index(least):
        assert response.status_code < 300, response.text
    else:
        assert response.status_code == 403
        if method != "HEAD":
            assert response.json["type"].endswith("/problems/access-denied")


def test_the_answer_tells_the_app_which_modes_are_left(town, kari, registered):
    token = registered.let_in(kari, "add")["access_token"]
    allowed = registered.use("GET", "/kari/", token).headers["WAC-Allow"]
    assert 'user="append read"' in allowed or 'user="read append"' in allowed


def test_an_app_reads_what_everybody_may_read_whatever_was_chosen(town, kari, registered):
    token = registered.let_in(kari, "read")["access_token"]
    assert registered.use("GET", "/kari/profile/card", token).status_code == 200


def test_a_narrower_answer_holds_for_tokens_given_before_it(town, kari, registered):
    wide = registered.let_in(kari, "everything")["access_token"]
    registered.let_in(kari, "read")
    assert registered.use("DELETE", "/kari/profile/card", wide).status_code == 403


def test_the_log_names_the_app(town, kari, registered):
    token = registered.let_in(kari)["access_token"]
    registered.use("PUT", "/kari/x.ttl", token, data=b"<#a> <#b> <#c> .", headers=TURTLE)
    assert "Notater" in kari.get("/-/log").text

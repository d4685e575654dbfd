"""Solid Protocol, section 5: representations, methods, versions."""

from __future__ import annotations

import pytest
from pyoxigraph import Literal, NamedNode, RdfFormat, Triple, parse
from solid_door import ROOT

FACT = Triple(NamedNode(ROOT + "private/a"), NamedNode("urn:p"), Literal("x"))
BODIES = {
    "text/turtle": '<> <urn:p> "x" .',
    "application/ld+json": '{"@id": "", "urn:p": "x"}',
    "application/n-triples": f'<{ROOT}private/a> <urn:p> "x" .',
    "application/trig": '{ <> <urn:p> "x" }',
    "application/n-quads": f'<{ROOT}private/a> <urn:p> "x" .',
}
FORMATS = {
    "text/turtle": RdfFormat.TURTLE,
    "application/ld+json": RdfFormat.JSON_LD,
    "application/n-triples": RdfFormat.N_TRIPLES,
    "application/trig": RdfFormat.TRIG,
    "application/n-quads": RdfFormat.N_QUADS,
}


@pytest.mark.parametrize("written", BODIES)
@pytest.mark.parametrize("asked", FORMATS)
def test_what_is_written_in_one_form_of_rdf_is_read_in_every_other(door, written, asked):
    assert door.put("private/a", BODIES[written], type_=written).status_code == 201
    response = door.get("private/a", Accept=asked)
    assert response.headers["Content-Type"] == asked
    assert [quad.triple for quad in parse(response.data, format=FORMATS[asked])] == [FACT]


NAMED = '[{"@id": "", "urn:p": "x"}, {"@id": "#g", "@graph": [{"@id": "#a", "urn:q": "y"}]}]'


@pytest.mark.parametrize("asked", ["application/ld+json", "application/trig", "application/n-quads", "*/*"])
def test_named_graphs_are_kept_for_representations_that_have_them(door, asked):
    assert door.put("private/a", NAMED, type_="application/ld+json").status_code == 201
    response = door.get("private/a", Accept=asked)
    format_ = FORMATS[response.headers["Content-Type"]]
    named = {(str(quad.graph_name), quad.object.value) for quad in parse(response.data, format=format_)}
    assert named == {("DEFAULT", "x"), (f"<{ROOT}private/a#g>", "y")}


def test_who_asks_for_one_graph_gets_the_default_graph_and_patches_that_alone(door):
    door.put("private/a", NAMED, type_="application/ld+json")
    assert door.triples("private/a") == {FACT}
    add = "INSERT DATA { <> <urn:r> 1 }"
    assert door("PATCH", "private/a", add, type_="application/sparql-update").status_code == 204
    assert len(door.triples("private/a")) == 2
    assert '"y"' in door.get("private/a", Accept="application/trig").text
    query = door("POST", "sparql", "SELECT ?o { ?s ?p ?o }", type_="application/sparql-query", Accept="text/csv")
    assert {"x", "1"} <= set(query.text.split())
    assert "y" not in query.text.split()


@pytest.mark.parametrize("path", ["private/.acl", "private/.meta", "private/box/"])
def test_rules_descriptions_and_containers_have_no_named_graphs(door, path):
    assert door.put(path, NAMED, type_="application/ld+json").status_code == 400


def test_binary_content_comes_back_byte_for_byte(door):
    content = bytes(range(256)) * 50
    door.put("private/photo", content, type_="image/png")
    response = door.get("private/photo")
    assert (response.data, response.headers["Content-Type"]) == (content, "image/png")


def test_a_range_of_a_binary_is_sent_alone(door):
    door.put("private/photo", bytes(range(100)), type_="image/png")
    response = door.get("private/photo", Range="bytes=10-19")
    assert (response.status_code, response.data) == (206, bytes(range(10, 20)))
    assert response.headers["Content-Range"] == "bytes 10-19/100"


def test_head_is_get_without_the_body(door):
    door.put("private/a", BODIES["text/turtle"])
    get, head = door.get("private/a"), door("HEAD", "private/a")
    assert head.data == b""
    for name in ("ETag", "Content-Type", "Content-Length", "WAC-Allow", "Link", "Last-Modified"):
        assert head.headers[name] == get.headers[name]


def test_put_makes_the_containers_above(door):
    assert door.put("private/x/y/z.ttl", "").status_code == 201
    assert door.members("private/x/") == {"private/x/y/"}
    assert door.members("private/x/y/") == {"private/x/y/z.ttl"}


def test_put_says_whether_it_made_or_replaced(door):
    made = door.put("private/a", "")
    assert (made.status_code, made.headers["Location"]) == (201, ROOT + "private/a")
    assert door.put("private/a", "").status_code == 204


@pytest.mark.parametrize("type_", [None, ""])
def test_a_body_without_a_type_is_a_bad_request(door, type_):
    assert door.put("private/a", "x", type_=type_).status_code == 400
    assert door("PATCH", "private/a", "x", type_=type_).status_code == 400
    assert door("POST", "private/", "x", type_=type_).status_code == 400


@pytest.mark.parametrize(
    ("body", "type_"),
    [("<> <urn:p> ", "text/turtle"), ("{", "application/ld+json"), ("<a> <b> <c> .", "application/n-triples")],
)
def test_malformed_rdf_is_a_bad_request_and_changes_nothing(door, body, type_):
    door.put("private/a", BODIES["text/turtle"])
    refused = door.put("private/a", body, type_=type_)
    assert (refused.status_code, refused.headers["Content-Type"]) == (400, "application/problem+json")
    assert refused.json["type"].endswith("/problems/malformed-representation")
    assert door.triples("private/a") == {FACT}


def test_post_takes_the_slug_as_a_wish(door):
    first = door("POST", "private/", "one", type_="text/plain", Slug="note.txt")
    second = door("POST", "private/", "two", type_="text/plain", Slug="note.txt")
    assert (first.status_code, first.headers["Location"]) == (201, ROOT + "private/note.txt")
    assert second.status_code == 201
    assert second.headers["Location"] != first.headers["Location"]
    assert door.get("private/note.txt").data == b"one"


@pytest.mark.parametrize(
    "slug", ["../../etc/passwd", "a/b", ".acl", "x.acl", "..", "", "%2e%2e%2f", "\x00", "  ", "a?b#c"]
)
def test_a_slug_never_leaves_the_container_or_names_access_rules(door, slug):
    made = door("POST", "private/", "x", type_="text/plain", Slug=slug.replace("\x00", ""))
    assert made.status_code == 201
    name = made.headers["Location"].removeprefix(ROOT + "private/")
    assert name
    assert "/" not in name
    assert not name.endswith(".acl")
    assert door.members("private/") == {"private/" + name}


def test_relative_iris_of_what_is_posted_are_relative_to_its_new_name(door):
    door("POST", "private/", "taken", type_="text/plain", Slug="note")
    made = door("POST", "private/", "<> <urn:p> <#it> .", type_="text/turtle", Slug="note").headers["Location"]
    (triple,) = door.triples(made.removeprefix(ROOT))
    assert (triple.subject.value, triple.object.value) == (made, made + "#it")


def test_post_with_a_container_link_makes_a_container(door):
    made = door(
        "POST",
        "private/",
        type_="text/turtle",
        Slug="box",
        Link='<http://www.w3.org/ns/ldp#BasicContainer>; rel="type"',
    )
    assert made.headers["Location"] == ROOT + "private/box/"
    assert door.members("private/box/") == set()


@pytest.mark.parametrize(
    ("link", "status", "slash"),
    [
        ('<http://www.w3.org/ns/ldp#BasicContainer>; rel="type"', 201, True),
        ("<http://www.w3.org/ns/ldp#Container>;rel=type", 201, True),
        (
            '<http://www.w3.org/ns/ldp#Resource>; rel="type", <http://www.w3.org/ns/ldp#BasicContainer>; rel="type"',
            201,
            True,
        ),
        ('<http://www.w3.org/ns/ldp#BasicContainer>; title="a, b"; rel="type"', 201, True),
        ('<http://www.w3.org/ns/ldp#BasicContainer>; rel="describedby"; title="type"', 201, False),
        ('<http://www.w3.org/ns/ldp#Resource>; rel="type"', 201, False),
        ('<http://www.w3.org/ns/ldp#NonRDFSource>; rel="type"', 201, False),
        ("nonsense; type", 201, False),
        ('<http://www.w3.org/ns/ldp#DirectContainer>; rel="type"', 409, None),
    ],
)
def test_the_interaction_model_is_what_the_link_of_type_says(door, link, status, slash):
    made = door("POST", "private/", type_="text/turtle", Slug="box", Link=link)
    assert made.status_code == status
    if slash is not None:
        assert made.headers["Location"].endswith("/") == slash


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
@pytest.mark.parametrize(
    "statement",
    [
        "<{box}> <http://www.w3.org/ns/ldp#contains> <{box}other> .",
        "<{box}> <http://purl.org/dc/terms/modified> '2020' .",
        "<{box}a> <http://www.w3.org/ns/posix/stat#size> 1 .",
        "<{box}a> <http://www.w3.org/ns/posix/stat#mtime> 1 .",
    ],
)
def test_nobody_states_what_the_server_knows_of_members(door, method, statement):
    door.put("private/box/a", "x", type_="text/plain")
    listed = door.get("private/box/").data
    said = statement.format(box=f"{ROOT}private/{'made' if method == 'POST' else 'box'}/")
    if method == "POST":
        link = '<http://www.w3.org/ns/ldp#BasicContainer>; rel="type"'
        answer = door("POST", "private/", said, type_="text/turtle", Slug="made", Link=link)
    elif method == "PUT":
        answer = door.put("private/box/", said)
    else:
        answer = door("PATCH", "private/box/", N3 + f"solid:inserts {{ {said} }} .", type_="text/n3")
    assert answer.status_code == 409, answer.text
    assert door.get("private/box/").data == listed


def test_an_inbox_is_a_container_that_everyone_may_add_to(door):
    """Linked Data Notifications, section 3.4 (the receiver), which section 6 asks for."""
    acl = "@prefix acl: <http://www.w3.org/ns/auth/acl#> . @prefix foaf: <http://xmlns.com/foaf/0.1/> .\n"
    mine = f"[] a acl:Authorization ; acl:agent <{ROOT}profile/card#me> ; acl:accessTo <./> ; acl:default <./> ; acl:mode acl:Read, acl:Write, acl:Control ."
    all_may_add = "[] a acl:Authorization ; acl:agentClass foaf:Agent ; acl:accessTo <./> ; acl:mode acl:Append ."
    door.put("inbox/", "")
    door.put("inbox/.acl", acl + mine + all_may_add)
    about = '{"@context": {"as": "https://www.w3.org/ns/activitystreams#"}, "@id": "", "@type": "as:Announce"}'
    sent = door("POST", "inbox/", about, type_='application/ld+json; profile="x"', as_=None)
    assert sent.status_code == 201
    assert door("OPTIONS", "inbox/").headers["Accept-Post"] == "*/*"
    assert door.get("inbox/", as_=None).status_code == 401
    where = sent.headers["Location"].removeprefix(ROOT)
    assert door.members("inbox/") == {where}
    listed = door.get("inbox/", Accept="application/ld+json")
    assert sent.headers["Location"] in listed.text
    notification = door.get(where, Accept="application/ld+json")
    assert notification.headers["Content-Type"] == "application/ld+json"
    assert "Announce" in notification.text


def test_post_to_a_document_or_to_nothing_is_refused(door):
    door.put("private/a", "")
    assert door("POST", "private/a", "x", type_="text/plain").status_code == 405
    assert door("POST", "private/none/", "x", type_="text/plain").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": "*"}, 412),
        ({"If_Match": "*"}, 204),
        ({"If_Match": '"0.ttl"'}, 412),
        ({"If_Match": "CURRENT"}, 204),
        ({"If_None_Match": "CURRENT"}, 412),
        ({"If_None_Match": '"0.ttl"'}, 204),
    ],
)
def test_conditions_guard_what_is_there(door, headers, status):
    door.put("private/a", BODIES["text/turtle"])
    tag = door.get("private/a", Accept="application/ld+json").headers["ETag"]
    sent = {name: value.replace("CURRENT", tag) for name, value in headers.items()}
    assert door.put("private/a", "", **sent).status_code == status
    assert (door.triples("private/a") == {FACT}) == (status == 412)


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("Mon, 23 Nov 2026 11:59:59 GMT", 412),
        ("Mon, 23 Nov 2026 12:00:00 GMT", 204),
        ("Mon, 23 Nov 2026 12:00:01 GMT", 204),
        ("the other day", 204),
    ],
)
def test_a_resource_that_has_changed_since_is_not_changed(door, since, status):
    door.put("private/a", BODIES["text/turtle"])
    assert door.put("private/a", "", If_Unmodified_Since=since).status_code == status


def test_if_match_rules_out_making_something_new(door):
    assert door.put("private/new", "", If_Match="*").status_code == 412
    assert door.put("private/new", "", If_None_Match="*").status_code == 201


def test_an_unchanged_representation_is_not_sent_again(door):
    door.put("private/a", BODIES["text/turtle"])
    turtle, json_ld = (
        door.get("private/a", Accept=one).headers["ETag"] for one in ("text/turtle", "application/ld+json")
    )
    assert turtle != json_ld
    assert door.get("private/a", Accept="text/turtle", If_None_Match=turtle).status_code == 304
    assert door.get("private/a", Accept="application/ld+json", If_None_Match=turtle).status_code == 200


def test_a_containers_version_follows_its_members(door):
    door.put("private/a", "")
    before = door.get("private/").headers["ETag"]
    door.put("private/a", BODIES["text/turtle"])
    changed = door.get("private/").headers["ETag"]
    door("DELETE", "private/a")
    assert len({before, changed, door.get("private/").headers["ETag"]}) == 3


def test_what_cannot_be_made_is_not_acceptable(door):
    refused = door.get("profile/card", Accept="image/png")
    assert (refused.status_code, refused.json["available"][0]) == (406, "text/turtle")


def test_options_tells_the_methods_of_each_kind_of_resource(door):
    assert door("OPTIONS", "private/").headers["Accept-Post"] == "*/*"
    document = door("OPTIONS", "private/a")
    assert document.status_code == 204
    assert document.headers["Accept-Patch"] == "text/n3, application/sparql-update"
    assert "POST" not in document.headers["Allow"]
    assert document.headers["Accept-Put"] == "*/*"
    assert door("OPTIONS", "private/.acl").headers["Accept-Put"].startswith("text/turtle, application/ld+json")
    for path in ("", ".acl"):
        assert "DELETE" not in door.get(path).headers["Allow"]
    assert door("OPTIONS", "activities/").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_the_answer_that_nothing_is_there_says_how_it_could_be_made(door):
    missing = door("GET", "private/none.ttl")
    assert missing.status_code == 404
    assert missing.headers["Allow"] == "GET, HEAD, OPTIONS, PUT, PATCH"
    assert "application/sparql-update" in missing.headers["Accept-Patch"]
    assert missing.headers["Accept-Put"] == "*/*"
    stranger = door("GET", "private/none.ttl", as_=None)
    assert (stranger.status_code, stranger.headers.get("Accept-Patch")) == (401, None)
    assert "Accept-Put" not in door("GET", "activities/none/2026-01").headers


def test_delete_of_nothing_is_not_found(door):
    assert door("DELETE", "private/none").status_code == 404


N3 = "@prefix solid: <http://www.w3.org/ns/solid/terms#> . _:p a solid:InsertDeletePatch ; "


@pytest.mark.parametrize(
    ("type_", "patch", "status"),
    [
        ("text/n3", N3 + 'solid:inserts { <> <urn:q> "y" } .', 204),
        ("text/n3", N3 + 'solid:where { ?s <urn:p> "x" } ; solid:deletes { ?s <urn:p> "x" } .', 204),
        ("text/n3", N3 + 'solid:deletes { <> <urn:p> "z" } .', 409),
        ("text/n3", N3 + "solid:inserts { <> <urn:q> _:b } .", 422),
        ("text/n3", "@prefix", 400),
        ("application/sparql-update", 'INSERT DATA { <> <urn:q> "y" }', 204),
        ("application/sparql-update", "LOAD <http://example.org/>", 422),
        ("application/json-patch+json", "[]", 415),
        ("text/n3", N3 + "solid:where { ?s ?p ?o } .", 204),
        ("text/n3", N3 + "solid:where { ?s <urn:none> ?o } ; solid:inserts { ?s <urn:q> 1 } .", 409),
        ("text/n3", N3 + "solid:inserts { <> <urn:q> ?unbound } .", 422),
        ("text/n3", N3 + "solid:inserts { <> <urn:q> 1 } ; solid:inserts { <> <urn:q> 2 } .", 422),
        ("text/n3", N3 + "solid:inserts { <> <urn:q> { <a> <b> <c> } } .", 422),
        ("text/n3", N3 + "solid:inserts <urn:no-formula> .", 422),
        ("text/n3", N3 + "solid:inserts { <> <urn:q> 1 } . _:q a solid:InsertDeletePatch .", 422),
        ("text/n3", "@prefix solid: <http://www.w3.org/ns/solid/terms#> . _:p solid:inserts { <> <urn:q> 1 } .", 422),
    ],
)
def test_a_patch_is_carried_out_or_refused_as_the_specification_says(door, type_, patch, status):
    door.put("private/a", BODIES["text/turtle"])
    response = door("PATCH", "private/a", patch, type_=type_)
    assert response.status_code == status, response.text
    assert (door.triples("private/a") == {FACT}) == (
        status >= 400 or ("inserts" not in patch and "deletes" not in patch and "DATA" not in patch)
    )


def test_a_patch_whose_conditions_match_twice_is_a_conflict(door):
    door.put("private/a", '<> <urn:p> "x", "y" .')
    twice = N3 + "solid:where { ?s <urn:p> ?o } ; solid:inserts { ?s <urn:q> ?o } ."
    assert door("PATCH", "private/a", twice, type_="text/n3").status_code == 409
    assert len(door.triples("private/a")) == 2


def test_a_patch_that_only_asks_writes_nothing(door):
    door.put("private/a", BODIES["text/turtle"])
    tag = door.get("private/a").headers["ETag"]
    assert door("PATCH", "private/a", N3 + 'solid:where { ?s <urn:p> "x" } .', type_="text/n3").status_code == 204
    assert door.get("private/a").headers["ETag"] == tag


def test_a_patch_makes_a_document_that_is_not_there(door):
    made = door("PATCH", "private/new/a", N3 + 'solid:inserts { <> <urn:p> "x" } .', type_="text/n3")
    assert made.status_code == 201
    assert door.members("private/new/") == {"private/new/a"}


def test_what_is_not_rdf_is_not_patched(door):
    door.put("private/photo", "x", type_="image/png")
    assert door("PATCH", "private/photo", N3 + "solid:inserts { <a> <b> <c> } .", type_="text/n3").status_code == 409


def test_nothing_is_read_or_written_when_its_leaf_cannot_be_written(door, monkeypatch):
    """Point 33 of the consent checklist, at the Solid door."""
    door.put("private/a", "<> <urn:p> 1 .")
    with monkeypatch.context() as patch:
        patch.setattr("pod_server.lifecycle.append_to_log", lambda *_, **__: 1 / 0)
        answers = (
            door.get("private/a"),
            door.put("private/a", "<> <urn:p> 2 ."),
            door.put("private/b", ""),
            door("DELETE", "private/a"),
        )
    assert [answer.status_code for answer in answers] == [500] * 4
    assert all(b"urn:p" not in answer.get_data() for answer in answers)
    assert b"urn:p" in door.get("private/a").get_data()
    assert door.get("private/b").status_code == 404


def test_every_write_leaves_a_leaf_in_the_log_and_reading_ones_own_leaves_one_an_hour(door, city, kari):
    from pod_server.log.ledger import load_tree

    def leaves():
        with city.host.storage.read() as tx:
            return load_tree(tx, kari.pod_id).frontier.size

    before = leaves()
    door.put("private/a", "")
    door("POST", "private/", "", type_="text/turtle")
    door("PATCH", "private/a", "INSERT DATA { <> <urn:p> 1 }", type_="application/sparql-update")
    door("DELETE", "private/a")
    assert leaves() == before + 4
    door.get("private/")
    door.get("private/")
    assert leaves() == before + 5
    door.get("profile/card", as_=None)
    assert leaves() == before + 5
    door.get("profile/card", as_="https://elsewhere.example/ola#me")
    assert leaves() == before + 6

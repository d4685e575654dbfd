"""Web Access Control as a table: what each method answers to somebody who has these modes.

The columns are what the asker was given: before the slash on the container private/box/, after it on what lies in it (r
Read, a Append, w Write, c Control; - nothing). `doc` has rules of its own or falls under the container's defaults, `new` is
a free name under the defaults, `sub/` an empty container, `full/` one with a member. The cells:

    ok  done        no  refused (403; 401 to strangers)        404, 409  as it stands
"""

from __future__ import annotations

import pytest
from solid_door import KARI, OLA, ROOT

TABLE = """
                 -/-  -/r  -/a  -/w  -/c -/ra -/rw -/rawc r/-  r/r  a/-  a/r  a/a  w/-  w/w rw/rw rawc/rawc
GET doc           no   ok   no   no   no   ok   ok   ok   no   ok   no   ok   no   no   no   ok   ok
HEAD doc          no   ok   no   no   no   ok   ok   ok   no   ok   no   ok   no   no   no   ok   ok
GET ./            no   no   no   no   no   no   no   no   ok   ok   no   no   no   no   no   ok   ok
GET new           no  404   no   no   no  404  404  404   no  404   no  404   no   no   no  404  404
PUT doc           no   no   no   ok   no   no   ok   ok   no   no   no   no   no   no   ok   ok   ok
PUT new           no   no   no   no   no   no   no   no   no   no   ok   ok   ok   ok   ok   ok   ok
PUT ./            no   no   no   no   no   no   no   no   no   no   no   no   no   ok   ok   ok   ok
PUT made/         no   no   no   no   no   no   no   no   no   no   ok   ok   ok   ok   ok   ok   ok
PUT deep/er/new   no   no   no   no   no   no   no   no   no   no   ok   ok   ok   ok   ok   ok   ok
POST ./           no   no   no   no   no   no   no   no   no   no   ok   ok   ok   ok   ok   ok   ok
POST none/        no   no  404  404   no  404  404  404   no   no   no   no  404   no  404  404  404
insert doc        no   no   ok   ok   no   ok   ok   ok   no   no   no   no   ok   no   ok   ok   ok
insert new        no   no   no   no   no   no   no   no   no   no   ok   ok   ok   ok   ok   ok   ok
delete doc        no   no   no   no   no   no   ok   ok   no   no   no   no   no   no   no   ok   ok
where doc         no   ok   no   no   no   ok   ok   ok   no   ok   no   ok   no   no   no   ok   ok
where+insert doc  no   no   no   no   no   ok   ok   ok   no   no   no   no   no   no   no   ok   ok
where+insert new  no   no   no   no   no   no   no   no   no   no   no  409   no   no   no  409  409
update doc        no   no   ok   ok   no   ok   ok   ok   no   no   no   no   ok   no   ok   ok   ok
DELETE doc        no   no   no   no   no   no   no   no   no   no   no   no   no   no   ok   ok   ok
DELETE new        no   no   no   no   no   no   no   no   no   no   no   no   no   no   no  404  404
DELETE sub/       no   no   no   no   no   no   no   no   no   no   no   no   no   no   no   ok   ok
DELETE full/      no   no   no   no   no   no   no   no   no   no   no   no   no   no   no  409  409
DELETE ./         no   no   no   no   no   no   no   no   no   no   no   no   no   no   no   no   no
GET doc.meta      no   ok   no   no   no   ok   ok   ok   no   ok   no   ok   no   no   no   ok   ok
PUT doc.meta      no   no   no   ok   no   no   ok   ok   no   no   no   no   no   no   ok   ok   ok
insert doc.meta   no   no   ok   ok   no   ok   ok   ok   no   no   no   no   ok   no   ok   ok   ok
DELETE doc.meta   no   no   no   ok   no   no   ok   ok   no   no   no   no   no   no   ok   ok   ok
GET doc.acl       no   no   no   no   ok   no   no   ok   no   no   no   no   no   no   no   no   ok
PUT doc.acl       no   no   no   no   ok   no   no   ok   no   no   no   no   no   no   no   no   ok
insert doc.acl    no   no   no   no   ok   no   no   ok   no   no   no   no   no   no   no   no   ok
DELETE doc.acl    no   no   no   no   ok   no   no   ok   no   no   no   no   no   no   no   no   ok
GET .acl          no   no   no   no   no   no   no   no   no   no   no   no   no   no   no   no   ok
PUT .acl          no   no   no   no   no   no   no   no   no   no   no   no   no   no   no   no   ok
"""

HEAD, *LINES = [line.split() for line in TABLE.strip().splitlines()]
CELLS = {column: {" ".join(line[:2]): line[2 + number] for line in LINES} for number, column in enumerate(HEAD)}

N3 = "@prefix solid: <http://www.w3.org/ns/solid/terms#> . _:p a solid:InsertDeletePatch ; "
PATCHES = {
    "insert": N3 + "solid:inserts { <urn:new> <urn:q> 1 } .",
    "delete": N3 + "solid:deletes { <urn:old> <urn:p> 1 } .",
    "where": N3 + "solid:where { <urn:old> <urn:p> ?o } .",
    "where+insert": N3 + "solid:where { <urn:old> <urn:p> ?o } ; solid:inserts { <urn:new> <urn:q> ?o } .",
}
UPDATE = "INSERT DATA { <urn:new> <urn:q> 1 }"

MODES = {"r": "Read", "a": "Append", "w": "Write", "c": "Control"}
BOX, DOC, NEW = "private/box/", "private/box/doc", "private/box/new"
BODY = "<urn:old> <urn:p> 1 ."
PREFIXES = "@prefix acl: <http://www.w3.org/ns/auth/acl#> . @prefix foaf: <http://xmlns.com/foaf/0.1/> .\n"
GROUP = f"{ROOT}private/friends"
WHO = {
    "by name": (f"acl:agent <{OLA}>", OLA),
    "as one of a group": (f"acl:agentGroup <{GROUP}#all>", OLA),
    "as anybody who signs in": ("acl:agentClass acl:AuthenticatedAgent", OLA),
    "as a stranger": ("acl:agentClass foaf:Agent", None),
    "as the owner": (f"acl:agent <{KARI}>", KARI),
}


def rules(place, who, modes, *, relation="accessTo"):
    owner = f"[] a acl:Authorization ; acl:agent <{KARI}> ; acl:accessTo <{place}> ; acl:default <{place}> ; acl:mode acl:Read, acl:Write, acl:Control .\n"
    if not modes.strip("-"):
        return PREFIXES + owner
    named = ", ".join(f"acl:{MODES[mode]}" for mode in modes)
    return PREFIXES + owner + f"[] a acl:Authorization ; {WHO[who][0]} ; acl:{relation} <{place}> ; acl:mode {named} ."


def fill(door, column, who, *, own):
    """The container and what lies in it, as the owner makes them, under the rules of a column."""
    on_container, on_document = column.split("/")
    for path in ("sub/", "full/"):
        door.put(BOX + path, "")
    for path in ("doc", "full/one"):
        door.put(BOX + path, BODY)
    door.put(DOC + ".meta", "")
    if own:
        door.put(DOC + ".acl", rules("doc", who, on_document))
    # What has no rules of its own, like the name that is still free, falls under the defaults.
    defaults = rules("./", who, on_document, relation="default").removeprefix(PREFIXES)
    door.put(BOX + ".acl", rules("./", who, on_container) + defaults)


def undo(door, operation, answer, rules_of_doc):
    """Make good what the asker was let do."""
    verb, name = operation.split()
    if verb == "POST":
        door("DELETE", answer.headers["Location"].removeprefix(ROOT))
    elif name in {"new", "made/"}:
        door("DELETE", BOX + name)
    elif name == "deep/er/new":
        for path in ("deep/er/new", "deep/er/", "deep/"):
            door("DELETE", BOX + path)
    elif name == "sub/":
        door.put(BOX + "sub/", "")
    elif name == "doc.acl":
        door.put(DOC + ".acl", rules_of_doc)
    elif name.startswith("doc") and verb not in {"GET", "HEAD", "where"}:
        door.put(DOC, BODY)
        door.put(DOC + ".meta", "")
        if rules_of_doc is not None and name == "doc" and verb == "DELETE":
            door.put(DOC + ".acl", rules_of_doc)


def carry_out(door, operation, as_):
    verb, name = operation.split()
    path = BOX + name.removeprefix("./")
    if verb in PATCHES:
        return door("PATCH", path, PATCHES[verb], type_="text/n3", as_=as_)
    if verb == "update":
        return door("PATCH", path, UPDATE, type_="application/sparql-update", as_=as_)
    if name.endswith(".acl") and verb == "PUT":
        return door.put(path, rules("./" if name == ".acl" else "doc", "by name", "-"), as_=as_)
    body = "" if verb in {"GET", "HEAD", "DELETE"} or (verb == "PUT" and name.endswith("/")) else BODY
    return door(verb, path, body, type_="text/turtle", as_=as_)


def told(status, as_):
    if status == (401 if as_ is None else 403):
        return "no"
    return "ok" if 200 <= status < 300 else str(status)


OTHERS = [("as a stranger", True), ("as one of a group", False), ("as anybody who signs in", False)]
"""With whom a column is tried besides somebody named; False: the document's modes are its container's defaults."""

CASES = [(column, "by name", True) for column in HEAD]
CASES += [(column, *OTHERS[number % len(OTHERS)]) for number, column in enumerate(HEAD)]


@pytest.mark.parametrize(("column", "who", "own"), CASES)
def test_the_modes_decide_the_answer(door, column, who, own):
    door.put("private/friends", f"<#all> <http://www.w3.org/2006/vcard/ns#hasMember> <{OLA}> .")
    fill(door, column, who, own=own)
    as_ = WHO[who][1]
    rules_of_doc = rules("doc", who, column.split("/")[1]) if own else None
    untouched = door.get(DOC).data
    # The container's own rules come last: what they are changed to, nobody needs to make good.
    expected = {operation: cell for operation, cell in CELLS[column].items() if own or "doc.acl" not in operation}
    answers = {}
    for operation in expected:
        answer = carry_out(door, operation, as_)
        answers[operation] = told(answer.status_code, as_)
        if answers[operation] == "ok":
            undo(door, operation, answer, rules_of_doc)
    assert answers == expected
    assert door.get(DOC).data == untouched, "what was refused was not done"


def test_the_table_is_whole():
    assert len(HEAD) * len(LINES) > 500
    assert all(set(column.values()) <= {"ok", "no", "404", "409"} for column in CELLS.values())
    assert {len(line) for line in LINES} == {len(HEAD) + 2}


@pytest.mark.parametrize("operation", ["GET doc", "PUT doc", "GET doc.acl", "PUT .acl", "DELETE doc", "DELETE doc.acl"])
def test_the_owner_may_what_the_rules_let_the_owner(door, operation):
    fill(door, "-/-", "as the owner", own=True)
    assert told(carry_out(door, operation, KARI).status_code, KARI) == "ok"


def test_wac_allow_tells_the_modes_of_the_asker_and_of_everyone(door):
    fill(door, "r/ra", "as a stranger", own=True)
    assert door.get(DOC, as_=None).headers["WAC-Allow"] == 'user="read append",public="read append"'
    assert door.get(DOC, as_=KARI).headers["WAC-Allow"] == 'user="read append write control",public="read append"'


def test_authenticated_agents_are_a_class_of_their_own(door):
    door.put(DOC, "<> <urn:p> 1 .")
    rule = (
        PREFIXES
        + "[] a acl:Authorization ; acl:agentClass acl:AuthenticatedAgent ; acl:accessTo <doc> ; acl:mode acl:Read ."
    )
    door.put(DOC + ".acl", rule)
    assert [door.get(DOC, as_=who).status_code for who in (OLA, None)] == [200, 401]


def test_a_refusal_names_the_missing_mode(door):
    refused = door.put("private/x", "", as_=OLA)
    assert refused.status_code == 403
    assert refused.json["required_access"] == [{"mode": "append", "path": "private/"}]


def test_the_owner_cannot_be_locked_out(door):
    to_ola = PREFIXES + f"[] a acl:Authorization ; acl:agent <{OLA}> ; acl:accessTo <./> ; acl:mode acl:Control ."
    assert door.put(".acl", to_ola).status_code == 204
    assert door.get("profile/x").status_code == 403
    assert door.get(".acl").status_code == 200
    assert door.put(".acl", rules("./", "as the owner", "-")).status_code == 204
    assert door.get("private/").status_code == 200


@pytest.mark.parametrize(
    "body", ["", "<> <urn:p> 1 .", "[] a acl:Authorization ; acl:agent <#me> ; acl:accessTo <./> ; acl:mode acl:Read ."]
)
def test_the_roots_rules_give_control_to_somebody(door, body):
    before = door.get(".acl").data
    assert door.put(".acl", PREFIXES + body).status_code == 409
    deletes = "DELETE WHERE { ?rule <http://www.w3.org/ns/auth/acl#mode> <http://www.w3.org/ns/auth/acl#Control> }"
    assert door("PATCH", ".acl", deletes, type_="application/sparql-update").status_code == 409
    assert door.get(".acl").data == before


@pytest.mark.parametrize(
    "rule",
    [
        "[] acl:agentClass foaf:Agent ; acl:accessTo <doc> ; acl:mode acl:Read .",
        "[] a acl:Authorization ; acl:agentClass foaf:Agent ; acl:mode acl:Read .",
        "[] a acl:Authorization ; acl:agentClass foaf:Agent ; acl:accessTo <other> ; acl:mode acl:Read .",
        "[] a acl:Authorization ; acl:agentClass foaf:Agent ; acl:default <doc> ; acl:mode acl:Read .",
        '[] a acl:Authorization ; acl:agentClass "foaf:Agent" ; acl:accessTo <doc> ; acl:mode acl:Read .',
        "[] a acl:Authorization ; acl:agent foaf:Agent ; acl:accessTo <doc> ; acl:mode acl:Read .",
        "[] a acl:Authorization ; acl:agentGroup <https://evil.example/g> ; acl:accessTo <doc> ; acl:mode acl:Read .",
        "<#a> a acl:Authorization ; acl:agentClass foaf:Agent . <#b> acl:accessTo <doc> ; acl:mode acl:Read .",
    ],
)
def test_half_a_rule_gives_nobody_anything(door, rule):
    door.put(DOC, "<> <urn:p> 1 .")
    assert door.put(DOC + ".acl", PREFIXES + rule).status_code == 201
    assert door.get(DOC, as_=None).status_code == 401
    assert door.get(DOC, as_=OLA).status_code == 403

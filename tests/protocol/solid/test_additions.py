"""What a patch adds to a document is sealed beside it, and nobody can tell but by the time it takes."""

from __future__ import annotations

import pytest
from pyoxigraph import Literal, NamedNode, Triple
from solid_door import OLA, ROOT

from pod_server import documents, quota
from pod_server.authorization.enforcement import require_owner
from pod_server.opening import OpenPod
from pod_server.vault.errors import Tampered

PATH = "private/diary.ttl"
LINES = 200
EX = "http://example.org/ns#"
BEGINNING = f"@prefix ex: <{EX}> .\n" + "".join(
    f'<#d{number}> ex:text "A line of a diary that is long enough, number {number}" .\n' for number in range(LINES)
)


def adding(*names: str) -> str:
    inserted = " ".join(f'<#{name}> ex:text "{name}" .' for name in names)
    return (
        f"@prefix solid: <http://www.w3.org/ns/solid/terms#> . @prefix ex: <{EX}> ."
        f"_:p a solid:InsertDeletePatch ; solid:inserts {{ {inserted} }} ."
    )


def line(name: str, text: str | None = None) -> Triple:
    return Triple(NamedNode(f"{ROOT}{PATH}#{name}"), NamedNode(EX + "text"), Literal(text or name))


@pytest.fixture
def diary(door):
    assert door.put(PATH, BEGINNING).status_code == 201
    return door


def parts(city, kari) -> list[tuple[int, bytes]]:
    with city.host.storage.read() as tx:
        return tx.all("SELECT version, sealed FROM document_part WHERE pod_id = ? ORDER BY version", (kari.pod_id,))


def patch(door, body, type_="text/n3", **options):
    return door("PATCH", PATH, body, type_=type_, **options)


def test_additions_are_sealed_beside_the_document_and_read_with_it(diary, city, kari):
    for name in ("one", "two", "three"):
        assert patch(diary, adding(name)).status_code == 204
    assert len(parts(city, kari)) == 4
    triples = diary.triples(PATH)
    assert {line("one"), line("two"), line("three")} <= triples
    assert len(triples) == LINES + 3
    assert len(diary.get(PATH, Accept="application/ld+json").json) > LINES  # every representation is of the whole


def test_an_addition_opens_no_body(diary, city, kari, monkeypatch):
    opened = []
    original = documents._open_body
    monkeypatch.setattr(documents, "_open_body", lambda *args: opened.append(1) or original(*args))
    assert patch(diary, adding("one")).status_code == 204
    rules = len(opened)
    opened.clear()
    assert patch(diary, adding("two"), type_="text/n3").status_code == 204
    assert rules <= 1  # the access rules, which are remembered
    assert opened == []


def test_each_addition_is_a_version_of_its_own_and_conditions_hold(diary):
    tags = [diary.get(PATH).headers["ETag"]]
    for name in ("one", "two"):
        assert patch(diary, adding(name), If_Match=tags[-1]).status_code == 204
        tags.append(diary.get(PATH).headers["ETag"])
    assert len(set(tags)) == 3
    assert patch(diary, adding("late"), If_Match=tags[0]).status_code == 412
    assert patch(diary, adding("late"), If_None_Match="*").status_code == 412
    assert line("late") not in diary.triples(PATH)


def test_what_is_added_twice_is_there_once(diary):
    assert patch(diary, adding("one", "one")).status_code == 204
    assert patch(diary, adding("one")).status_code == 204
    body = diary.get(PATH, Accept="application/n-triples").data
    assert body.count(b'"one"') == 1


def test_conditions_and_deletions_see_what_was_added_and_make_the_document_one_again(diary, city, kari):
    assert patch(diary, adding("one")).status_code == 204
    changing = (
        f"@prefix solid: <http://www.w3.org/ns/solid/terms#> . @prefix ex: <{EX}> ."
        '_:p a solid:InsertDeletePatch ; solid:where { ?who ex:text "one" . } ;'
        ' solid:deletes { ?who ex:text "one" . } ; solid:inserts { ?who ex:text "changed" . } .'
    )
    assert patch(diary, changing).status_code == 204
    triples = diary.triples(PATH)
    assert line("one", "changed") in triples
    assert line("one") not in triples
    assert len(parts(city, kari)) == 1
    assert patch(diary, changing).status_code == 409  # the condition does not hold any more


def test_sparql_insertions_are_additions_and_blank_nodes_are_not(diary, city, kari):
    insert = f'INSERT DATA {{ <#sparql> <{EX}text> "sparql" . }}'
    assert patch(diary, insert, type_="application/sparql-update").status_code == 204
    assert len(parts(city, kari)) == 2
    for _ in range(2):
        insert = f'INSERT DATA {{ _:b <{EX}text> "blank" . }}'
        assert patch(diary, insert, type_="application/sparql-update").status_code == 204
    assert len(parts(city, kari)) == 1
    blank = [triple for triple in diary.triples(PATH) if triple.object == Literal("blank")]
    assert len({triple.subject for triple in blank}) == 2  # two insertions, two nodes


def test_after_many_additions_the_document_is_sealed_anew(diary, city, kari, monkeypatch):
    monkeypatch.setattr(documents, "MOST_PARTS", 5)
    for number in range(12):
        assert patch(diary, adding(f"n{number}")).status_code == 204
        assert len(parts(city, kari)) <= 5
    assert {line(f"n{number}") for number in range(12)} <= diary.triples(PATH)
    long = " ".join(f"x{number}" for number in range(4000))
    assert patch(diary, adding("half").replace('"half"', f'"{long}"')).status_code == 204
    assert len(parts(city, kari)) == 1  # more than half of what was there


@pytest.mark.parametrize("lines", [10, LINES])
def test_in_the_row_or_beside_it_a_document_is_what_was_put_and_added(door, city, kari, lines):
    beginning = "".join(BEGINNING.splitlines(keepends=True)[: lines + 1])
    assert door.put(PATH, beginning).status_code == 201
    in_parts = len(parts(city, kari))
    assert in_parts == (1 if lines == LINES else 0)
    for name in ("one", "two"):
        assert patch(door, adding(name)).status_code == 204
    assert len(parts(city, kari)) == in_parts + 2
    assert len(door.triples(PATH)) == lines + 2
    assert door.put(PATH, beginning).status_code == 204
    assert len(parts(city, kari)) == in_parts
    assert len(door.triples(PATH)) == lines


def test_very_short_documents_rules_and_containers_have_no_parts(door, city, kari):
    assert door.put("private/short.ttl", "<#a> <#b> <#c> .").status_code == 201
    assert (
        door.put("private/many/", "", Link='<http://www.w3.org/ns/ldp#BasicContainer>; rel="type"').status_code == 201
    )
    for path in ("private/short.ttl", "private/many/", ".acl"):
        assert door("PATCH", path, adding("x"), type_="text/n3").status_code == 204, path
    assert parts(city, kari) == []


def test_whoever_may_only_append_adds_and_reads_nothing(diary, city):
    city.citizen("ola")
    rules = f"""
        @prefix acl: <http://www.w3.org/ns/auth/acl#> .
        <#owner> a acl:Authorization ; acl:agent <{ROOT}profile/card#me> ; acl:accessTo <{ROOT}{PATH}> ;
            acl:mode acl:Read, acl:Write, acl:Control .
        <#ola> a acl:Authorization ; acl:agent <{OLA}> ; acl:accessTo <{ROOT}{PATH}> ; acl:mode acl:Append ."""
    assert diary.put(PATH + ".acl", rules).status_code == 201
    assert patch(diary, adding("ola"), as_=OLA).status_code == 204
    assert diary.get(PATH, as_=OLA).status_code == 403
    assert patch(diary, adding("stranger"), as_=None).status_code == 401
    assert line("ola") in diary.triples(PATH)
    assert line("stranger") not in diary.triples(PATH)


def test_the_quota_counts_what_is_added_and_nothing_is_left_when_the_document_goes(diary, city, kari):
    def counted():
        with city.host.storage.read() as tx:
            return quota.recount(tx, kari.pod_id)

    before = counted()[0]
    assert patch(diary, adding("one", "two")).status_code == 204
    running, scanned = counted()
    assert running == scanned > before
    assert diary("DELETE", PATH).status_code == 204
    assert parts(city, kari) == []
    running, scanned = counted()
    assert running == scanned
    assert diary.put(PATH, BEGINNING).status_code == 201
    assert diary.put(PATH, "<#short> <#is> <#short> .").status_code == 204
    assert parts(city, kari) == []


def test_a_part_that_is_lost_exchanged_or_older_at_rest_is_noticed(diary, city, kari):
    for name in ("one", "two"):
        assert patch(diary, adding(name)).status_code == 204
    good = parts(city, kari)
    pod = OpenPod(kari.pod, require_owner(kari.vault), kari.vault)

    def with_parts(rows):
        with city.host.storage.write() as tx:
            tx.execute("DELETE FROM document_part WHERE pod_id = ?", (kari.pod_id,))
            for version, sealed in rows:
                tx.execute(
                    "INSERT INTO document_part (pod_id, name_key, version, sealed) VALUES (?, ?, ?, ?)",
                    (kari.pod_id, name_key, version, sealed),
                )
        with city.host.storage.read() as tx:
            return documents.get(tx, pod, PATH)

    with city.host.storage.read() as tx:
        ((name_key,),) = tx.all("SELECT DISTINCT name_key FROM document_part WHERE pod_id = ?", (kari.pod_id,))
    (first, base), (second, one), (third, two) = good
    for bad in (
        [],
        good[:2],
        good[1:],
        [(first, base), (second, two), (third, one)],
        [(first, base), (second, one), (third, one)],
        [*good, (third + 1, two)],
        [(first, base), (second + 100, one), (third, two)],
        [(first, base), (second, one), (third, two[:-1] + bytes([two[-1] ^ 1]))],
    ):
        with pytest.raises(Tampered):
            with_parts(bad)
    assert with_parts(good).content.count(b"\n") >= LINES + 2

"""N3 Patch, by the sentences of the Solid Protocol, section 5.3.1."""

from __future__ import annotations

import pytest

from pod_server.representation import n3_patch, turtle
from pod_server.representation.errors import MalformedRepresentation, PatchDoesNotMatch, PatchNotProcessable
from pod_server.representation.patch import apply

BASE = "http://localhost/doc"
PREFIXES = "@prefix solid: <http://www.w3.org/ns/solid/terms#> . @prefix ex: <http://example.org/> .\n"
DOCUMENT = "@prefix ex: <http://example.org/> . ex:Kari ex:age 41 ; ex:knows ex:Ola, ex:Per . ex:Ola ex:age 41 ."


def patch(text):
    return n3_patch.read((PREFIXES + "_:patch a solid:InsertDeletePatch ; " + text).encode(), BASE)


def document(text=DOCUMENT):
    return turtle.read(text.encode(), BASE)


def after(text):
    return set(apply(document(), patch(text)).triples)


def triples(text):
    return set(document("@prefix ex: <http://example.org/> . " + text).triples)


def test_insertions_are_added():
    assert after("solid:inserts { ex:Kari ex:likes ex:tea } .") == triples(
        DOCUMENT.split(" . ", 1)[1] + " ex:Kari ex:likes ex:tea ."
    )


def test_a_variable_carries_what_the_condition_found():
    result = after(
        "solid:where { ex:Kari ex:age ?age } ; solid:deletes { ex:Kari ex:age ?age } ; solid:inserts { ex:Kari ex:was ?age } ."
    )
    assert triples("ex:Kari ex:was 41 .") <= result
    assert not triples("ex:Kari ex:age 41 .") & result
    assert triples("ex:Ola ex:age 41 .") <= result


def test_question_marks_in_strings_iris_and_comments_are_no_variables():
    changed = after('solid:inserts { ex:Kari ex:says "who is ?age" ; ex:page <http://example.org/?x=1> } . # ?not')
    assert triples('ex:Kari ex:says "who is ?age" ; ex:page <http://example.org/?x=1> .') <= changed


def test_blank_nodes_in_conditions_stand_for_anything():
    changed = after(
        "solid:where { ex:Kari ex:knows _:someone . _:someone ex:age ?age } ; solid:inserts { ex:Kari ex:met ?age } ."
    )
    assert triples("ex:Kari ex:met 41 .") <= changed


@pytest.mark.parametrize(
    "text",
    [
        "solid:where { ex:Kari ex:age 42 } .",
        "solid:where { ex:Kari ex:knows ?who } ; solid:inserts { ?who ex:age 1 } .",
        "solid:deletes { ex:Kari ex:age 42 } .",
        "solid:deletes { ex:Kari ex:age 41 . ex:Kari ex:knows ex:Nobody } .",
    ],
    ids=["no match", "two matches", "nothing to delete", "one of two to delete"],
)
def test_a_document_in_another_state_is_a_conflict_and_stays(text):
    with pytest.raises(PatchDoesNotMatch):
        apply(document(), patch(text))


@pytest.mark.parametrize(
    "text",
    [
        "solid:inserts { ex:Kari ex:knows _:b } .",
        "solid:deletes { ex:Kari ex:knows [] } .",
        "solid:inserts { ?who ex:knows ex:Kari } .",
        "solid:inserts { ex:a ex:b ex:c } , { ex:d ex:e ex:f } .",
        "solid:inserts ex:notAFormula .",
        'solid:inserts "no formula" .',
        "solid:where { ex:Kari ex:age ?age } ; solid:inserts { ?age ex:of ex:Kari } .",
        "solid:inserts { ex:a ex:b { ex:c ex:d ex:e } } .",
        "a solid:InsertDeletePatch . _:other a solid:InsertDeletePatch .",
    ],
)
def test_what_the_specification_rules_out_is_not_processable(text):
    with pytest.raises(PatchNotProcessable):
        apply(document(), patch(text))


def test_a_body_without_a_patch_is_not_processable():
    with pytest.raises(PatchNotProcessable):
        n3_patch.read(b"<#a> <#b> <#c> .", BASE)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"<a> <b> ", b"_:p a <tvilling-variable:x> ."])
def test_what_is_not_n3_is_malformed(body):
    with pytest.raises(MalformedRepresentation):
        n3_patch.read(body, BASE)


def test_a_condition_that_costs_too_much_is_given_up():
    large = document(" ".join(f"<#s{n % 60}> <#p> <#o{n}> ." for n in range(1200)))
    joins = " . ".join(f"?a{n} <#p> ?b{n}" for n in range(6))
    with pytest.raises(PatchNotProcessable, match="costly"):
        apply(large, patch(f"solid:where {{ {joins} . ?b1 <#p> ?b2 }} ."))


def test_the_patchs_own_prefix_does_not_enter_the_document():
    changed = apply(document(), patch("solid:inserts { ex:a ex:b ex:c } ."))
    assert "solid" not in changed.prefixes

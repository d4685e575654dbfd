"""What a municipality may publish: the reader of its JSON and the shape of its RDF say the same, and refuse the same."""

from __future__ import annotations

import json
from pathlib import Path

import pyshacl
import pytest
from pyld import jsonld
from rdflib import Graph

from vocab.errors import NotAProgramme
from vocab.programmes import CONTEXT, read_programme
from vocab.terms import FOLDER

SAMPLE = json.loads((Path(__file__).parents[2] / "samples" / "municipality-offer.json").read_text("utf-8"))
GONE = object()
AT_MOST = {"lessPercent": GONE, "atMost": 150}


def changed(**members):
    return {key: value for key, value in {**SAMPLE, **members}.items() if value is not GONE}


def conforms(offer):
    said = {**offer, **({"atMost": str(offer["atMost"])} if "atMost" in offer else {})}
    document = {"@context": CONTEXT, "id": "https://city.example/vocab/offers#x", "type": "Programme", **said}
    # Another library's reading than the door's.
    graph = Graph().parse(data=jsonld.to_rdf(document, {"format": "application/n-quads"}), format="nt")
    return pyshacl.validate(graph, shacl_graph=Graph().parse(FOLDER / "programmes" / "shape.ttl"))[0]


def is_read(offer):
    try:
        read_programme(json.dumps(offer).encode(), "tram-pass")
    except NotAProgramme:
        return False
    return True


SAME = {
    "as it is": ({}, True), "a bound": (AT_MOST, True), "large households": ({"householdFrom": 4}, True),
    "both bounds": ({"atMost": 150}, False), "no bound": ({"lessPercent": GONE}, False),
    "all of it": ({"lessPercent": 100}, False), "nothing less": ({"lessPercent": 0}, False),
    "a negative bound": ({**AT_MOST, "atMost": -1}, False), "no title": ({"title": GONE}, False),
    "two languages": ({"reward": {"nb": "x", "nn": "x"}}, False), "an empty title": ({"title": {**SAMPLE["title"], "en": ""}}, False),
    "a long title": ({"title": {**SAMPLE["title"], "en": "x" * 81}}, False), "another measure": ({"measure": "name"}, False),
    "another kind": ({"measuresKind": "heartbeat"}, False), "another period": ({"period": "P2M"}, False),
    "another gift": ({"gives": "money"}, False), "no days": ({"coverageDays": 0}, False),
    "a crowd": ({"householdFrom": 7}, False), "backwards": ({"closes": "2025-12-31"}, False),
    "no decision": ({"decision": GONE}, False), "no page": ({"decisionPage": GONE}, False),
    "an open page": ({"decisionPage": "http://kommune.example/1"}, False),
}  # fmt: skip


@pytest.mark.parametrize(("members", "holds"), SAME.values(), ids=SAME.keys())
def test_the_reader_and_the_shape_say_the_same(members, holds) -> None:
    assert (is_read(changed(**members)), conforms(changed(**members))) == (holds, holds)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"title": {**SAMPLE["title"], "nb": "Til 01010750160"}}, "title.nb"),
        ({"reward": {**SAMPLE["reward"], "en": "Ask ola@kommune.example"}}, "reward.en"),
        ({"title": {**SAMPLE["title"], "nn": "Gratis\u202e kort"}}, "title.nn"),
        ({**AT_MOST, "atMost": 151.5}, "atMost"),
        ({"period": "P1M"}, "coverageDays"),
        ({"closes": "2036-01-01"}, "closes"),
        ({"decision": "<b>"}, "decision"),
        ({"decisionPage": 'https://x.example/"onclick'}, "decisionPage"),
        ({"decisionPage": "https://[x"}, "decisionPage"),
        ({"lessPercent": "5"}, "lessPercent"),
        ({"kanarifugl": 1}, ""),
    ],
    ids=[
        "a person",
        "an address",
        "turned",
        "a fine bound",
        "more days than there are",
        "ten years",
        "markup",
        "a quote",
        "no host",
        "text",
        "unknown",
    ],
)
def test_what_cannot_stand_is_named_and_not_repeated(members, path) -> None:
    with pytest.raises(NotAProgramme) as refused:
        read_programme(json.dumps(changed(**members)).encode(), "tram-pass")
    assert refused.value.path == path
    assert "kanarifugl" not in str(refused.value)
    assert "01010750160" not in str(refused.value)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b"[" * 5000, b"null"], ids=["empty", "list", "bytes", "deep", "null"]
)
def test_what_is_no_offer_at_all_is_refused_clearly(body) -> None:
    with pytest.raises(NotAProgramme):
        read_programme(body, "tram-pass")


@pytest.mark.parametrize("slug", ["", "A", "x", "../x", "a" * 41])
def test_names_are_words(slug) -> None:
    with pytest.raises(NotAProgramme):
        read_programme(json.dumps(SAMPLE).encode(), slug)

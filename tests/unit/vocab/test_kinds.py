"""The kinds as a neighbour meets them: what is accepted, what is refused, and with which words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from vocab.errors import NotAnActivity
from vocab.kinds import CONTEXT_PATH, MAXIMUM_RECORD_BYTES, load_kinds
from vocab.words import LANGUAGES, load_categories

KINDS = load_kinds()
VALID = [(kind.slug, name, raw) for kind in KINDS.by_slug.values() for name, raw in kind.examples("valid").items()]
INVALID = [(kind.slug, name, raw) for kind in KINDS.by_slug.values() for name, raw in kind.examples("invalid").items()]


def reading(**changes: object) -> bytes:
    record = {
        "@id": "urn:x:1", "@type": "ElectricityReading", "start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z",
        "quantity": 1.5, "unit": "KiloW-HR",
    }  # fmt: skip
    return json.dumps({key: value for key, value in {**record, **changes}.items() if value is not ...}).encode()


def test_there_are_seven_kinds_each_with_examples_of_both_sorts() -> None:
    assert set(KINDS.by_slug) == {
        "driving-day",
        "electricity-reading",
        "grocery-line",
        "payment",
        "step-count",
        "transit-trip",
        "waste-collection",
    }
    for kind in KINDS.by_slug.values():
        assert kind.examples("valid")
        assert kind.examples("invalid")


@pytest.mark.parametrize(("slug", "name", "raw"), VALID)
def test_a_valid_example_is_accepted_as_its_kind(slug: str, name: str, raw: bytes) -> None:
    assert KINDS.decode(raw).kind == slug, name


@pytest.mark.parametrize(("slug", "name", "raw"), INVALID)
def test_an_invalid_example_is_refused(slug: str, name: str, raw: bytes) -> None:
    with pytest.raises(NotAnActivity):
        KINDS.decode(raw)


@pytest.mark.parametrize(("slug", "name", "raw"), VALID)
def test_the_canonical_form_is_a_fixed_point(slug: str, name: str, raw: bytes) -> None:
    once = KINDS.encode(KINDS.decode(raw))
    assert KINDS.encode(KINDS.decode(once)) == once
    assert list(json.loads(once)) == sorted(json.loads(once))


def test_the_same_instant_in_another_zone_is_the_same_record() -> None:
    here = KINDS.decode(reading(start="2026-11-23T11:00:00+01:00", end="2026-11-23T12:00:00.000+01:00"))
    assert KINDS.encode(here) == KINDS.encode(KINDS.decode(reading()))
    assert here.start == datetime(2026, 11, 23, 10, tzinfo=UTC)


def test_members_of_one_kind_are_attributes_in_snake_case() -> None:
    line = KINDS.decode(KINDS.by_slug["grocery-line"].examples("valid")["minced-beef"])
    assert (line.food_class, line.amount_nok, line.quantity) == ("beef-mince", 69.9, 0.4)
    assert KINDS.by_slug["grocery-line"].discriminator(line) == "beef-mince"
    assert KINDS.by_slug["electricity-reading"].discriminator(KINDS.decode(reading())) == ""


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"unit": "W-HR"}, "$.unit"),
        ({"quantity": -1}, "$.quantity"),
        ({"quantity": 2000.5}, "$.quantity"),
        ({"quantity": "1.5"}, "$.quantity"),
        ({"quantity": None}, "$.quantity"),
        ({"quantity": float("nan")}, "$"),
        ({"quantity": float("inf")}, "$"),
        ({"quantity": True}, "$.quantity"),
        ({"quantity": ...}, "$"),
        ({"start": "2026-11-23T10:00:00"}, "$.start"),
        ({"start": "2026-02-30T10:00:00Z"}, "$"),
        ({"start": "2026-11-23T12:00:00Z"}, "$"),
        ({"start": "0001-01-01T00:00:00Z"}, "$.start"),
        ({"start": 1795442400}, "$.start"),
        ({"@type": "Zeppelin"}, "$.@type"),
        ({"@type": ...}, "$"),
        ({"@id": ""}, "$.@id"),
        ({"@id": "urn:x:" + "1" * 200}, "$.@id"),
        ({"@id": "../../etc/passwd"}, "$.@id"),
        ({"@id": "a b"}, "$.@id"),
        ({"@id": "1234:5"}, "$.@id"),
        ({"@id": "a/b:c"}, "$.@id"),
        ({"@id": "urn:x:1\n"}, "$.@id"),
        ({"meter": "7070\u0000"}, "$.meter"),
        ({"meter": "m" * 41}, "$.meter"),
        ({"correction": "true"}, "$.correction"),
        ({"voltage": 230}, "$"),
        ({"@graph": []}, "$"),
        ({"@context": "https://elsewhere.example/context"}, "$.@context"),
        ({"@context": {"quantity": "https://elsewhere.example/other"}}, "$.@context"),
    ],
)
def test_a_wrong_member_is_refused_by_its_path(changes: dict[str, object], path: str) -> None:
    with pytest.raises(NotAnActivity) as refused:
        KINDS.decode(reading(**changes))
    assert refused.value.path == path


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"null", b"3", b'"ElectricityReading"', b"\xff\xfe{}", b"\x00", b"[" * 5000,
        b'{"@type":' + b'{"@type":' * 900, b'{"@id":"\\ud800","@type":"ElectricityReading"}', b"{}", b"{} {}",
    ],
)  # fmt: skip
def test_what_is_no_record_at_all_is_refused(raw: bytes) -> None:
    with pytest.raises(NotAnActivity):
        KINDS.decode(raw)


def test_a_record_beyond_the_size_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(NotAnActivity, match="at most"):
        KINDS.decode(b" " * MAXIMUM_RECORD_BYTES + reading())


def test_a_refusal_never_repeats_what_was_sent() -> None:
    for changes in (
        {"unit": "SECRET"},
        {"@type": "SECRET"},
        {"SECRET": 1},
        {"meter": "SECRET" * 9},
        {"start": "SECRET"},
    ):
        with pytest.raises(NotAnActivity) as refused:
            KINDS.decode(reading(**changes))
        assert "SECRET" not in str(refused.value)


def test_a_record_may_name_the_context_of_this_host_and_no_other() -> None:
    plain = KINDS.encode(KINDS.decode(reading()))
    assert KINDS.encode(KINDS.decode(reading(**{"@context": CONTEXT_PATH}))) == plain
    named = reading(**{"@context": "https://pods.example/vocab/context.jsonld"})
    assert KINDS.encode(KINDS.decode(named, "https://pods.example")) == plain
    for base in (None, "https://other.example"):
        with pytest.raises(NotAnActivity):
            KINDS.decode(named, base)


def test_implausible_times_are_told_from_plausible_ones() -> None:
    kind = KINDS.by_slug["electricity-reading"]
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert kind.implausible(KINDS.decode(reading()), now) is None
    assert "older" in (
        kind.implausible(KINDS.decode(reading(start="1990-01-01T00:00:00Z", end="1990-01-01T01:00:00Z")), now) or ""
    )
    assert "spans" in (kind.implausible(KINDS.decode(reading(start="2026-01-01T00:00:00Z")), now) or "")


def test_every_kind_has_its_words_in_three_languages_and_a_known_category() -> None:
    for kind in KINDS.by_slug.values():
        assert set(kind.labels) == set(LANGUAGES)
        assert all(label.title and label.description for label in kind.labels.values())
        assert kind.category in load_categories()
        assert kind.granularities
        assert kind.maximum_age > timedelta(days=365)

"""The readings of an activity agree: msgspec accepts what SHACL accepts, and pyoxigraph's quads are pyld's quads.

Both hold for records in the flat form that the house takes: each member a plain JSON value of its own type. JSON-LD has
other spellings of the same graph (a list of one, a number in quotes); the decoder refuses them before SHACL could say
anything, which tests/unit/vocab/test_kinds.py shows. How a record names itself is the decoder's rule alone.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import pyoxigraph as ox
import pyshacl
import pytest
import rdflib
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyld import jsonld

from vocab.errors import NotAnActivity
from vocab.kinds import Kind, load_kinds, shapes_graph_files
from vocab.terms import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

logging.getLogger("rdflib.term").setLevel(logging.ERROR + 1)  # it tells of every ill-typed literal, as it should

KINDS = load_kinds()
BASE = "https://pods.example/kari/activities/"

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50).filter(
    # XPath's `$` is the end of the text, Python's (pyshacl) also the place before a last line break.
    lambda text: not text.endswith("\n")
)
NUMBER = st.one_of(
    st.integers(-5, 3000),
    st.floats(-10, 3000, allow_nan=False).map(lambda value: round(value, 6)),
    st.floats(0, 100, allow_nan=False),
    st.sampled_from([0, -0.0, 5e-324, 1e22, 585.07, 0.30000000000000004, 100, 1000, 2000, 2000.0000001]),
)
INSTANT = st.one_of(
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.builds(
        lambda at, hours: f"{at.isoformat()}{hours:+03}:00",
        st.datetimes(datetime(1899, 12, 1), datetime(1901, 2, 1)) | st.datetimes(datetime(2098, 12, 1), datetime(2100, 2, 1)),
        st.integers(-14, 14),
    ),
    st.sampled_from([
        "2026-11-23T10:00:00Z", "2026-11-23T10:00:00.5Z", "2026-11-23T11:00:00+01:00", "2026-11-23T10:00:00-00:30",
        "2026-11-23T10:00:00", "2026-11-23 10:00:00Z", "2026-11-23t10:00:00z", "2026-11-23T10:00Z", "2026-13-01T00:00:00Z",
        "2026-11-23", "20261123T100000Z", "", "tomorrow",
    ]),
)  # fmt: skip


def value_for(member: Any) -> st.SearchStrategy[Any]:
    likely: st.SearchStrategy[Any]
    if member.datatype.endswith("dateTime"):
        return INSTANT
    if member.datatype.endswith("double"):
        return NUMBER
    if member.datatype.endswith("boolean"):
        return st.booleans()
    if member.allowed:
        likely = st.sampled_from(member.allowed)
    elif member.name == "gtin":
        likely = st.from_regex(r"[0-9]{7,15}", fullmatch=True)
    elif member.name in {"fromStop", "toStop"}:
        likely = st.from_regex(r"NSR:(StopPlace|Quay|Zoo):[0-9]{1,11}", fullmatch=True)
    elif member.name == "foodClass":
        likely = st.from_regex(r"[a-z]{1,9}(-[a-z]{0,9}){0,5}", fullmatch=True)
    else:
        likely = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=130)
    either = likely | TEXT if not member.allowed else likely | st.sampled_from(["bus", "KiloGM", "nothing"])
    return st.lists(either, min_size=1, max_size=3) if member.repeated else either


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    kind: Kind = draw(st.sampled_from(list(KINDS.by_slug.values())))
    record: dict[str, Any] = {
        "@id": draw(st.sampled_from(["urn:x:1", "readings/2026/1", "trip-17"])),
        "@type": kind.type_name,
    }
    usual = {
        "start": "2026-11-23T10:00:00Z",
        "end": "2026-11-23T11:00:00Z",
        "quantity": 1.5,
        "unit": kind.unit,
        "name": "MELK",
    }
    for member in kind.members:
        if member.required and draw(st.integers(0, 15)) != 0:
            record[member.name] = usual.get(member.name, member.allowed[0] if member.allowed else "x")
    changed = draw(st.lists(st.sampled_from(kind.members), max_size=3))
    for member in changed:
        record[member.name] = draw(value_for(member))
    if draw(st.integers(0, 9)) == 0:
        record["surprise"] = draw(st.booleans() | TEXT)
    return record


@cache
def shapes() -> rdflib.Graph:
    graph = rdflib.Graph()
    for file in shapes_graph_files():
        graph.parse(file, format="turtle")
    return graph


def accepted_by_shacl(record: dict[str, Any]) -> bool:
    document = {"@context": KINDS.context, **record}
    data = rdflib.Graph()
    n_triples = ox.serialize(
        ox.parse(json.dumps(document).encode(), format=ox.RdfFormat.JSON_LD, base_iri=BASE),
        format=ox.RdfFormat.N_TRIPLES,
    )
    assert n_triples is not None
    rdflib.NORMALIZE_LITERALS = False  # a pattern judges the text that was sent, not what rdflib makes of it
    try:
        data.parse(data=n_triples.decode(), format="nt")
        conforms, _graph, _text = pyshacl.validate(data, shacl_graph=shapes(), inference="none", advanced=False)
    except TypeError:
        # sh:lessThanOrEquals of two times that cannot be compared: SHACL calls that a violation, pyshacl falls over it.
        return False
    finally:
        rdflib.NORMALIZE_LITERALS = True
    return bool(conforms)


def accepted_by_msgspec(record: dict[str, Any]) -> bool:
    try:
        KINDS.decode(json.dumps(record).encode())
    except NotAnActivity:
        return False
    return True


USUAL = {"@id": "urn:x:1", "@type": "ElectricityReading", "start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z",
         "quantity": 1.5, "unit": "KiloW-HR"}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records())
@example(USUAL)
@example({**USUAL, "unit": "KiloGM"})
@example({**USUAL, "end": "2026-11-23T10:00:00+01:00"})
@example({**USUAL, "quality": "guessed"})
@example({**USUAL, "meter": None})
def test_msgspec_accepts_exactly_what_shacl_accepts(record: dict[str, Any]) -> None:
    assert accepted_by_msgspec(record) == accepted_by_shacl(record)


SLUGS = sorted(KINDS.by_slug)
FOLDERS = sorted(folder.name for folder in FOLDER.joinpath("activities").iterdir() if folder.is_dir())


def test_every_folder_of_a_kind_is_tested_below() -> None:
    assert SLUGS == FOLDERS


@pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")
@pytest.mark.parametrize("slug", SLUGS)
def test_of_every_kind_both_take_the_valid_and_neither_takes_what_is_off_in_one_place(slug: str) -> None:
    """From each valid example: every member left out, of another type, beyond each bound, of an unknown value."""
    kind = KINDS.by_slug[slug]
    taken = 0
    for raw in kind.examples("valid").values():
        valid = {name: value for name, value in json.loads(raw).items() if name != "@context"}
        for record in (valid, *near(kind, valid)):
            verdict = accepted_by_msgspec(record)
            assert verdict == accepted_by_shacl(record), record
            taken += verdict
    assert taken >= len(kind.examples("valid"))
    for raw in kind.examples("invalid").values():
        assert not accepted_by_msgspec(json.loads(raw))


def near(kind: Kind, valid: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Records that differ from a valid one in one place: at the edge of what the shape allows, and just beyond."""
    for member in kind.members:
        yield {name: value for name, value in valid.items() if name != member.name}
        values: list[Any] = []
        limits = member.constraints
        if "minInclusive" in limits:
            values += [float(limits["minInclusive"]), float(limits["minInclusive"]) - 1]
        if "maxInclusive" in limits:
            values += [float(limits["maxInclusive"]), float(limits["maxInclusive"]) * 1.001]
        if "maxLength" in limits:
            values += ["x" * int(limits["maxLength"]), "x" * (int(limits["maxLength"]) + 1), "tab\there", ""]
        if member.allowed:
            values += [*member.allowed, member.allowed[0] + "x"]
        if member.datatype.endswith("dateTime"):
            values += ["2026-11-23T10:00:00", "2026-13-01T00:00:00Z", "2026-11-23T10:00:00+01:00"]
        for value in values:
            yield valid | {member.name: [value] if member.repeated else value}


NAMES = st.one_of(
    st.from_regex(r"urn:[a-z0-9]{2,9}:[A-Za-z0-9:._~/-]{1,40}", fullmatch=True),
    st.from_regex(r"https://[a-z0-9.-]{1,12}(/[A-Za-z0-9:._~-]{1,9}){0,3}(#[A-Za-z0-9._~-]{1,5})?", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9:._~/#-]{1,24}", fullmatch=True),
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(records(), NAMES)
@example(USUAL, "urn:x:1")
@example({**USUAL, "quantity": 585.07}, "a/b/c")
@example({**USUAL, "quantity": -0.0}, "#it")
def test_any_json_ld_reader_gets_the_same_quads_from_a_stored_record(record: dict[str, Any], name: str) -> None:
    try:
        stored = KINDS.encode(KINDS.decode(json.dumps({**record, "@id": name}).encode()))
    except NotAnActivity:
        return
    ours = {str(quad) for quad in KINDS.quads(stored, BASE)}
    document = {"@context": KINDS.context, **json.loads(stored)}
    reference = jsonld.to_rdf(document, {"format": "application/n-quads", "base": BASE})
    assert ours == {str(quad) for quad in ox.parse(reference.encode(), format=ox.RdfFormat.N_QUADS)}
    assert ours


@settings(max_examples=300, deadline=None)
@given(records())
def test_what_is_accepted_writes_back_the_same_bytes(record: dict[str, Any]) -> None:
    try:
        once = KINDS.encode(KINDS.decode(json.dumps(record).encode()))
    except NotAnActivity:
        return
    assert KINDS.encode(KINDS.decode(once)) == once

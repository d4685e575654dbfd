"""Every record is a whole one: ISO/IEC TS 27560's mandatory fields, by SHACL, in whatever state the consent is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import rdflib
from pyoxigraph import RdfFormat, parse, serialize

from consent.grant import Grant, GrantState, GrantTerms
from consent.ledger import EventKind, GrantEvent, fold
from consent.record import Circumstances, Party, consent_receipt
from pod_server.signatures import data_integrity
from vocab.consent_records import CONTEXT_PATH, SHAPE_FILE, load_consent_context
from vocab.kinds import load_kinds
from vocab.purposes import load_purposes

pyshacl = pytest.importorskip("pyshacl")

BASE = "https://pods.example"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CIRCUMSTANCES = Circumstances(
    BASE,
    "s-subjectofthispartneralone",
    Party(
        f"{BASE}/vocab/consent/partners#p-1", "p-1", "Strømmen AS", "ombud@strommen.example", "Kjøpmannsgata 1, 7013"
    ),
    Party(BASE, BASE, "Kommunen", f"{BASE}/-/accessibility", "Munkegata 1, 7013 Trondheim"),
)
TERMS = GrantTerms(
    client_id="p-1",
    purpose="food-footprint",
    kinds=frozenset({"grocery-line", "transit-trip"}),
    operations=frozenset({"append"}),
    granularity="event",
    history_from=NOON - timedelta(days=365),
    expires_at=NOON + timedelta(days=365),
    valid_to=NOON + timedelta(days=200),
    quota_per_day=100,
    notice_version="1 nb",
    notice_hash="ab" * 32,
)
HISTORIES = {
    "given": ["given"],
    "refused": ["refused"],
    "paused": ["given", "paused"],
    "resumed": ["given", "paused", "resumed"],
    "renewed": ["given", "renewed"],
    "withdrawn": ["requested", "given", "withdrawn"],
    "expired": ["given", "expired"],
    "erased": ["given", "withdrawn", "erased"],
}


def receipt_of(history, terms=TERMS, circumstances=CIRCUMSTANCES):
    events = [
        GrantEvent(
            EventKind(kind),
            NOON + timedelta(days=day),
            terms.expires_at if kind in {"given", "renewed"} else None,
            "host" if kind == "expired" else "citizen",
        )
        for day, kind in enumerate(history)
    ]
    standing = fold(events)
    grant = Grant("g-1", 7, terms, standing.state or GrantState.REQUESTED, standing.version, 1, NOON, events[-1].at)
    return consent_receipt(grant, events, circumstances, at=events[-1].at)


def graph_of(receipt):
    document = {**receipt, "@context": load_consent_context()}
    quads = parse(json.dumps(document).encode(), RdfFormat.JSON_LD)
    triples = serialize((quad.triple for quad in quads), format=RdfFormat.N_TRIPLES)
    return rdflib.Graph().parse(data=triples, format="nt")


def complaints(receipt):
    shape = rdflib.Graph().parse(SHAPE_FILE, format="turtle")
    conforms, _, text = pyshacl.validate(graph_of(receipt), shacl_graph=shape, inference="none", advanced=False)
    return [] if conforms else [text]


@pytest.mark.parametrize("state", HISTORIES)
def test_a_record_in_every_state_holds_every_mandatory_field(state):
    assert complaints(receipt_of(HISTORIES[state])) == []


@pytest.mark.parametrize("purpose", sorted(load_purposes()))
def test_every_purpose_makes_a_whole_record(purpose):
    assert complaints(receipt_of(["given"], replace(TERMS, purpose=purpose))) == []


def test_every_kind_and_a_grant_to_read_make_a_whole_record():
    kinds = frozenset(load_kinds().by_slug)
    terms = replace(TERMS, kinds=kinds, operations=frozenset({"append", "read"}), granularity="P1M")
    receipt = receipt_of(["given"], terms)
    assert complaints(receipt) == []
    assert receipt["agreement"]["obligation"]["action"] == "odrl:delete"
    assert complaints(receipt_of(["given"], replace(TERMS, operations=frozenset({"read"})))) == []


def test_a_grant_to_read_figures_makes_a_whole_record_with_odrl_read_of_each():
    terms = replace(
        TERMS, kinds=frozenset(), figures=frozenset({"footprint-month", "electricity-day"}),
        operations=frozenset({"read"}), reads_per_day=4, quota_per_day=None,
    )  # fmt: skip
    for state in HISTORIES.values():
        assert complaints(receipt_of(state, terms)) == []
    receipt = receipt_of(["given"], terms)
    assert [(rule["action"], rule["target"]) for rule in receipt["agreement"]["permission"]] == [
        ("odrl:read", "https://w3id.org/tvilling/figure/electricity-day"),
        ("odrl:read", "https://w3id.org/tvilling/figure/footprint-month"),
    ]
    assert receipt["agreement"]["obligation"]["action"] == "odrl:delete"
    process = receipt["record"]["process"]
    assert process["readsPerDay"] == 4
    assert {each["granularity"] for each in process["personalData"]} == {"P1M", "P1D"}
    assert process["recipient"] == [CIRCUMSTANCES.partner.iri]


def without(member, *path):
    receipt = receipt_of(["given"])
    place = receipt
    for step in path:
        place = place[step]
    assert place.pop(member)
    return receipt


@pytest.mark.parametrize(
    "path",
    [
        ("conformsTo",),
        ("hasIdentifier",),
        ("created",),
        ("record",),
        ("conformsTo", "record"),
        ("identifier", "record"),
        ("dataSubject", "record"),
        ("identifier", "record", "dataSubject"),
        ("state", "record"),
        ("notice", "record"),
        ("language", "record", "notice"),
        ("version", "record", "notice"),
        ("dataController", "record"),
        ("name", "record", "dataController"),
        ("hasIdentifier", "record", "dataController"),
        ("contactPoint", "record", "dataController"),
        ("streetAddress", "record", "dataController", "contactPoint", 1),
        ("process", "record"),
        ("purpose", "record", "process"),
        ("broader", "record", "process", "purpose"),
        ("personalData", "record", "process"),
        ("broader", "record", "process", "personalData", 0),
        ("storageCondition", "record", "process"),
        ("location", "record", "process", "storageCondition", 0),
        ("duration", "record", "process", "storageCondition", 1),
        ("recipient", "record", "process"),
        ("legalBasis", "record", "process"),
        ("jurisdiction", "record", "process"),
        ("applicableLaw", "record", "process"),
        ("consentControl", "record", "process"),
        ("exercisedAt", "record", "process", "consentControl", 0),
        ("right", "record", "process"),
        ("consentStatus", "record"),
        ("indicatedAtTime", "record", "consentStatus", 0),
        ("duration", "record", "consentStatus", 0),
        ("indicatedBy", "record", "consentStatus", 0),
        ("type", "record", "consentStatus", 0),
        ("permission", "agreement"),
        ("assigner", "agreement"),
    ],
)
def test_the_shape_misses_each_field_that_is_taken_away(path):
    assert complaints(without(*path)) != []


def test_given_refused_withdrawn_and_expired_are_told_apart_as_events():
    told = {
        state: [status["type"][0] for status in receipt_of(HISTORIES[state])["record"]["consentStatus"]]
        for state in HISTORIES
    }
    assert told["given"] == ["dpv:ConsentGiven"]
    assert told["refused"] == ["dpv:ConsentRefused"]
    assert told["withdrawn"] == ["dpv:ConsentRequested", "dpv:ConsentGiven", "dpv:ConsentWithdrawn"]
    assert told["expired"] == ["dpv:ConsentGiven", "dpv:ConsentExpired"]


def test_a_refusal_agrees_to_nothing():
    assert "agreement" not in receipt_of(["refused"])


def test_the_agreement_ends_when_the_consent_ended():
    def end(history):
        return receipt_of(history)["agreement"]["permission"][0]["constraint"][1]["rightOperand"]["@value"]

    assert end(["given"]) == "2027-11-23T12:00:00Z"
    assert end(["given", "withdrawn"]) == "2026-11-24T12:00:00Z"
    assert end(["given", "withdrawn", "erased"]) == "2026-11-24T12:00:00Z"
    assert end(["given", "expired", "renewed"]) == "2027-11-23T12:00:00Z"
    assert end(["given", "expired", "renewed", "withdrawn"]) == "2026-11-26T12:00:00Z"


def test_a_pause_is_a_prohibition_for_as_long_as_it_lasts():
    assert receipt_of(["given", "paused"])["agreement"]["prohibition"]
    assert "prohibition" not in receipt_of(["given", "paused", "resumed"])["agreement"]


def test_the_record_names_the_exact_text_that_was_read():
    notice = receipt_of(["given"])["record"]["notice"]
    assert (notice["version"], notice["sha256"], notice["language"]) == ("1 nb", "ab" * 32, "nb")


def test_every_member_of_a_receipt_is_defined_by_its_context_and_so_signed():
    for history in HISTORIES.values():
        assert data_integrity.canonical(receipt_of(history), {BASE + CONTEXT_PATH: load_consent_context()})


def test_a_grant_to_read_documents_makes_a_whole_record_that_names_each():
    terms = replace(
        TERMS, kinds=frozenset(), documents=frozenset({"private/heating"}), operations=frozenset({"read"}),
        granularity="event",
    )  # fmt: skip
    receipt = receipt_of(["given"], terms)
    assert complaints(receipt) == []
    (data,) = receipt["record"]["process"]["personalData"]
    assert data["identifier"] == "private/heating"
    assert [rule["target"] for rule in receipt["agreement"]["permission"]] == [data["id"]]

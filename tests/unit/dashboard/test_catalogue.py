"""The catalogue of what can come into a pod: for machines as DCAT-AP-NO has it, for people in words, and both the same."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pyshacl
import pytest
from pyld import jsonld
from rdflib import DCAT, DCTERMS, FOAF, RDF, Graph, Literal, URIRef
from rdflib.compare import isomorphic

from partner_bridge.catalogue import catalogue_bytes
from partner_bridge.connectors import CALCULATORS, CONNECTORS
from vocab.terms import FOLDER

BASE = "http://localhost:8080"
HERE = URIRef(f"{BASE}/vocab/catalogue")
TODAY = date(2026, 11, 23)
SHAPE = Graph().parse(FOLDER / "catalogue-shape.ttl")


@pytest.fixture(scope="module")
def graph():
    return Graph().parse(data=catalogue_bytes(BASE, (), TODAY, "text/turtle"), format="turtle")


def conforms(graph):
    return pyshacl.validate(graph, shacl_graph=SHAPE, inference="none", advanced=False)[0]


def test_it_keeps_to_the_shapes_and_each_thing_that_they_ask_for_is_missed(graph):
    assert conforms(graph)
    missed = 0
    for subject in (
        HERE,
        HERE + "#oss-electricity-reading",
        HERE + "#door-push",
        HERE + "#contact",
        HERE + "#publisher",
    ):
        for predicate in {*graph.predicates(subject)} - {RDF.type, FOAF.homepage, FOAF.page, DCAT.themeTaxonomy}:
            # Optional are a catalogue's identifier, and how fine and how far back where nothing says so.
            if (subject == HERE and predicate == DCTERMS.identifier) or predicate in {
                DCTERMS.temporal,
                DCAT.temporalResolution,
            }:
                continue
            without = Graph()
            without += graph
            without.remove((subject, predicate, None))
            assert not conforms(without), f"{subject} without {predicate}"
            missed += 1
    assert missed > 20


def test_every_connector_and_kind_is_a_dataset_with_its_partner_and_its_doors(graph):
    datasets = set(graph.objects(HERE, DCAT.dataset))
    answers = {HERE + f"#{each}-calculation" for each in CALCULATORS}
    offered = HERE + "#municipality-offers"
    assert set(graph.objects(HERE + "#door-offers", DCAT.servesDataset)) == {offered}
    assert str(graph.value(offered, DCTERMS.accessRights)).endswith("/PUBLIC")
    assert datasets == answers | {offered} | {
        HERE + f"#{each.name}-{kind}" for each in CONNECTORS.values() for kind in each.kinds
    }
    assert set(graph.objects(HERE + "#door-calculations", DCAT.servesDataset)) == answers
    oss = HERE + "#oss-electricity-reading"
    assert graph.value(graph.value(oss, DCTERMS.publisher), FOAF.name) == Literal("Oss.no")
    assert str(graph.value(oss, DCAT.temporalResolution)) == "PT1M"
    assert str(graph.value(oss, DCTERMS.accrualPeriodicity)).endswith("/frequency/CONT")
    assert str(graph.value(oss, DCAT.theme)).endswith("/data-theme/ENER")
    begins = graph.value(graph.value(oss, DCTERMS.temporal), DCAT.startDate)
    assert begins.toPython() == TODAY - timedelta(days=1)
    served = {door: set(graph.objects(door, DCAT.servesDataset)) for door in graph.objects(HERE, DCAT.service)}
    assert set().union(*served.values()) == datasets
    assert oss in served[HERE + "#door-push"] & served[HERE + "#door-sources"]
    assert oss not in served[HERE + "#door-files"]


def test_both_forms_are_one_graph(graph):
    document = json.loads(catalogue_bytes(BASE, (), TODAY, "application/ld+json"))
    # Another library's reading than the one that wrote the Turtle.
    json_ld = Graph().parse(data=jsonld.to_rdf(document, {"format": "application/n-quads"}), format="nt")
    assert len(graph) > 300
    assert isomorphic(graph, json_ld)


@pytest.mark.parametrize(
    ("address", "accept", "mimetype"),
    [
        ("/vocab/catalogue", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("/vocab/catalogue", "*/*", "text/html"),
        ("/vocab/catalogue", "text/turtle", "text/turtle"),
        ("/vocab/catalogue", "application/ld+json", "application/ld+json"),
        ("/vocab/catalogue", "application/json", "application/ld+json"),
        ("/vocab/catalogue", "application/pdf", "text/html"),
        ("/vocab/catalogue.ttl", "text/html", "text/turtle"),
        ("/vocab/catalogue.jsonld", "text/html", "application/ld+json"),
        ("/vocab/catalogue-shape.ttl", "text/html", "text/turtle"),
    ],
)
def test_it_is_open_to_everybody_in_the_form_that_they_wish(pages, address, accept, mimetype):
    answer = pages.stranger().get(address, headers={"Accept": accept, "Origin": "https://data.norge.example"})
    assert (answer.status_code, answer.mimetype) == (200, mimetype)
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", "https://data.norge.example"}
    if address == "/vocab/catalogue":
        assert "Accept" in {each.strip() for each in answer.headers["Vary"].split(",")}


def test_whoever_has_todays_is_told_so(pages):
    stranger = pages.stranger()
    first = stranger.get("/vocab/catalogue", headers={"Accept": "text/turtle"})
    assert "public" in first.headers["Cache-Control"]
    again = stranger.get("/vocab/catalogue", headers={"Accept": "text/turtle", "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    other = stranger.get("/vocab/catalogue.jsonld", headers={"If-None-Match": first.headers["ETag"]})
    assert other.status_code == 200


def test_the_page_tells_people_all_that_the_data_do_and_where_to_go_on(pages):
    text = pages.stranger().get("/vocab/catalogue", headers={"Accept": "text/html", "Accept-Language": "en"}).text
    for connector in CONNECTORS.values():
        assert f'id="{connector.name}"' in text
        for kind in connector.kinds:
            assert f'href="/vocab/kinds/{kind}"' in text
    for told in (
        "What we guess",
        "its form is another",
        "What is left out",
        "On what terms",
        "/-/files",
        "/-/partners",
        "/-/offers",
    ):
        assert told.replace("its form", "the form") in text

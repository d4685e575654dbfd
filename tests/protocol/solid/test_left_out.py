"""A pod's own RDF says which records the figures leave out, and why: who adds the rest up comes to the page's figures."""

from __future__ import annotations

import zipfile
from datetime import timedelta

import pyoxigraph as ox
import pyshacl
import pytest
from pyoxigraph import NamedNode, RdfFormat
from rdflib import Graph
from solid_door import OLA, ROOT
from twin_activities import MIDNIGHT, electricity, groceries, payment, steps, trip
from twin_citizen import Citizen

from pod_server import grants, left_out, rectifications
from pod_server.errors import PermitExceeded
from pod_server.resources.activity_documents import documents_of
from pod_server.transfer.export import export_pod
from pod_server.transfer.rdf_archive import archive_pod
from twin_agent.recompute import differences
from vocab.queries import counting_vocabulary, query
from vocab.terms import FOLDER

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TV = "https://w3id.org/tvilling#"
REASONS = "https://w3id.org/tvilling/counting-rule/"
LEFT_OUT = f"PREFIX tv: <{TV}> SELECT ?why ?record ?under ?instead ?as WHERE {{ ?it tv:notCountedBecause ?why ; tv:leavesOut ?record OPTIONAL {{ ?it tv:countedUnder ?under }} OPTIONAL {{ ?it tv:countedInstead ?instead }} OPTIONAL {{ ?it tv:countedAs ?as }} }}"
ONE_NAME = "urn:shop:one-name-at-two-partners"


@pytest.fixture
def kari(city):
    citizen = Citizen(city, city.citizen("kari", household_size=3))
    shopped = MIDNIGHT + 15 * HOUR
    rema = {"receipt": "rema:17", "store": "REMA 1000 Ilsvika", "receiptTotalNok": 268.35}
    citizen.deliver("Rema 1000", groceries("l1", shopped, 0.4, "beef-mince", **rema))
    citizen.deliver("Rema 1000", groceries(ONE_NAME, shopped, 0.3, "milk"), groceries("odd", shopped, 9.5, "milk"))
    citizen.deliver("SpareBank 1", payment("d", shopped + DAY, 268.35, name="Rema 1000 Ilsvika", spendClass="culture"))
    citizen.deliver("Other shop", groceries(ONE_NAME, shopped, 0.7, "milk"))
    citizen.deliver("Oss", *(electricity(f"m{n}", MIDNIGHT + n * HOUR / 4, 15, 0.2) for n in range(12)))
    citizen.deliver("Strømmen", *(electricity(f"h{n}", MIDNIGHT + n * HOUR, 60, 1.0, meter="7") for n in range(2)))
    # The last hour of October, in UTC, is November's by the local clock.
    citizen.deliver("Oss", electricity("late", MIDNIGHT.replace(month=10, day=31, hour=23), 60, 4.0))
    citizen.deliver("AtB", trip("t", MIDNIGHT + 7 * HOUR, 6.0, inferred=True))
    citizen.deliver("Phone", trip("p", MIDNIGHT + 7 * HOUR, 4.2), steps("w", MIDNIGHT + HOUR, 15, 900, source="Pixel"))
    citizen.deliver("Watch", steps("g", MIDNIGHT + HOUR, 15, 950, source="Garmin"))
    say(citizen, "Rema 1000", ONE_NAME, "not-mine")
    say(citizen, "Rema 1000", "odd", "wrong")
    citizen.think()
    return citizen


def say(citizen, partner, record, claim):
    return rectifications.say(citizen.host, citizen.own(), citizen.grants[partner].grant, record, claim, tell=False)


def summed(quads):
    """What any program makes of the documents with the published query and vocabulary: the shape of the figures."""
    store = ox.Store()
    store.load(counting_vocabulary(), format=RdfFormat.TURTLE)
    store.extend(quads)
    found = {}
    for row in store.query(query("sum-of-a-pod")):
        amounts = [float(row[name].value) for name in ("low", "mean", "high", "amount")]
        found.setdefault(row["month"].value, {})[row["category"].value] = amounts
    return found


def documents(door):
    """The documents of activities, found from the pod's root and read one by one, as an app does it."""
    quads = []
    for container in door.members("activities/"):
        for document in door.members(container):
            graph = NamedNode(ROOT + document)
            quads += [ox.Quad(each.subject, each.predicate, each.object, graph) for each in door.triples(document)]
    return quads


def is_the_pages(citizen, quads):
    return differences(citizen.figures()["months"], summed(quads)) == []


def reasons(quads, citizen):
    store = ox.Store()
    store.extend(ox.Quad(each.subject, each.predicate, each.object) for each in quads)
    partners = {f"{ROOT}activities/{given.grant}/": name for name, given in citizen.grants.items()}
    return {
        row["record"].value.rpartition("/")[2]: (
            row["why"].value.removeprefix(REASONS),
            partners.get(row["under"].value, "") if row["under"] else "",
            (row["instead"].value.rpartition("/")[2] if row["instead"] else row["as"].value if row["as"] else ""),
        )
        for row in store.query(LEFT_OUT)
    }


def test_an_app_that_adds_up_the_documents_comes_to_the_pages_figures(kari, door):
    quads = documents(door)
    assert is_the_pages(kari, quads)
    without = [each for each in quads if each.predicate.value != f"{TV}leavesOut"]
    assert not is_the_pages(kari, without), "the reasons make a difference here"


def test_each_record_left_out_names_its_reason_and_what_counts_instead(kari, door):
    assert reasons(documents(door), kari) == {
        "d": ("receipt-and-debit", "Rema 1000", "rema:17"),
        **{f"m{n}": ("electricity-hour-once", "Strømmen", "") for n in range(8)},
        "t": ("trip-told-twice", "Phone", "p"),
        "w": ("walk-once", "Watch", "Garmin"),
        ONE_NAME: ("said-not-mine", "", ""),
        "odd": ("said-wrong", "", ""),
    }


def test_what_the_citizen_said_stands_there_with_its_trail(kari, door):
    kari.deliver("Rema 1000", groceries("odd", MIDNIGHT + 15 * HOUR, 0.95, "milk", correction=True))
    kari.think()
    quads = documents(door)
    assert is_the_pages(kari, quads)
    assert "odd" not in reasons(quads, kari)
    store = ox.Store()
    store.extend(ox.Quad(each.subject, each.predicate, each.object) for each in quads)
    rows = store.query(
        f"PREFIX tv: <{TV}> SELECT ?claim ?state (GROUP_CONCAT(?what) AS ?steps) "
        "WHERE { ?it tv:claimed ?claim ; tv:rectificationState ?state ; tv:step/tv:stepWhat ?what } GROUP BY ?it ?claim ?state"
    )
    told = {(row["claim"].value.removeprefix(REASONS), row["state"].value, row["steps"].value) for row in rows}
    assert {(claim, state, frozenset(steps.split())) for claim, state, steps in told} == {
        ("said-not-mine", "open", frozenset({"not-mine"})),
        ("said-wrong", "corrected", frozenset({"wrong", "corrected"})),
    }


def test_when_one_side_is_erased_the_other_is_left_out_no_more(kari, door):
    grants.erase(kari.host, kari.pod_id, kari.grants["Rema 1000"].grant, actor=kari.own().permit.actor)
    kari.think()
    quads = documents(door)
    assert "d" not in reasons(quads, kari)
    assert is_the_pages(kari, quads)


def test_a_query_over_the_pod_sees_the_same(kari, door):
    query_text = "SELECT ?why (COUNT(*) AS ?n) WHERE { ?it <" + TV + "notCountedBecause> ?why } GROUP BY ?why"
    answer = door(
        "POST", "sparql", query_text, type_="application/sparql-query", Accept="application/sparql-results+json"
    )
    assert {row["why"]["value"].removeprefix(REASONS): int(row["n"]["value"]) for row in answer.json["results"]["bindings"]} == {
        "electricity-hour-once": 8, "receipt-and-debit": 1, "trip-told-twice": 1, "walk-once": 1, "said-not-mine": 1, "said-wrong": 1,
    }  # fmt: skip


def test_the_archive_and_the_export_add_up_to_the_figures_too(kari, tmp_path):
    archive_pod(kari.host, kari.own(), tmp_path / "rdf.zip")
    with zipfile.ZipFile(tmp_path / "rdf.zip") as file:
        assert is_the_pages(kari, list(ox.parse(file.read("pod.nq"), format=RdfFormat.N_QUADS)))
    export_pod(kari.host, kari.own(), tmp_path / "pod.zip")
    with zipfile.ZipFile(tmp_path / "pod.zip") as file:
        quads = list(ox.parse(file.read("counting.nq"), format=RdfFormat.N_QUADS))
        for name in file.namelist():
            if name.startswith("activities/") and name.endswith(".nq"):
                graph = NamedNode(ROOT + name.removesuffix(".nq"))
                found = ox.parse(file.read(name), format=RdfFormat.N_QUADS)
                quads += [ox.Quad(each.subject, each.predicate, each.object, graph) for each in found]
    assert is_the_pages(kari, quads)


def test_the_documents_hold_to_the_published_shapes(kari):
    """The kinds' shapes, which are closed, and the shape of what stands beside the records."""
    data = Graph()
    for content in documents_of(kari.host, kari.own(), ROOT).values():
        data.parse(data=content, format="nt")
    for file in ("counting-rules.ttl", "ontology/tvilling.ttl"):
        data.parse(FOLDER / file)
    shape = Graph().parse(FOLDER / "counting-shape.ttl")
    for file in ("electricity-reading", "payment"):
        shape.parse(FOLDER / "activities" / file / "shape.ttl")
    shape.parse(FOLDER / "activities" / "common.ttl")
    conforms, _, text = pyshacl.validate(data, shacl_graph=shape, inference="none", advanced=False)
    assert conforms, text
    data.update(f"DELETE {{ ?it <{TV}notCountedBecause> ?why }} WHERE {{ ?it <{TV}notCountedBecause> ?why }}")
    assert not pyshacl.validate(data, shacl_graph=shape, inference="none", advanced=False)[0]


def test_who_reads_under_a_consent_is_told_nothing_of_what_the_citizen_said(kari, door):
    assert door.get(f"activities/{kari.grants['Phone'].grant}/2026-11", as_=OLA).status_code == 403
    with kari.host.storage.read() as tx, pytest.raises(PermitExceeded):
        rectifications.said_in(tx, kari.as_twin())
    with pytest.raises(PermitExceeded):
        left_out.counting_of(kari.host, kari.as_twin(), [])

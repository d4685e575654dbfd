"""A pod as RDF in three forms: each says the same to an independent reader, to the last character of a literal."""

from __future__ import annotations

import json
import zipfile

import pyoxigraph
import pytest
from deliveries import deliver, granted, owner_permit, reading, readings
from pyoxigraph import BlankNode, RdfFormat

from pod_server import documents
from pod_server.errors import PermitExceeded
from pod_server.pods import OpenPod, create_pod
from pod_server.representation import stored, turtle
from pod_server.transfer.errors import PodFileInvalid
from pod_server.transfer.rdf_archive import archive_pod

HERE = "http://localhost:8080"
NOTES = b"""@prefix ex: <https://example.org/> .
<#mine> ex:weight 70.123456789012345E0, 007, 1.10, true, "a\\"b\\nc"@nb, "x"^^ex:own ; ex:knows [ ex:name "Ola" ] .
"""


@pytest.fixture
def opened(city):
    made = create_pod(city.host, "kari", name="Kari Nordmann")
    partner = granted(city.host, made.pod_id, name="Strømmen AS")
    deliver(city.host, partner.permit, readings(0, 30, quantity=0.1 + 0.2))
    deliver(city.host, partner.permit, [reading(-400, 1e-7)])
    opened = OpenPod(made.pod, owner_permit(made.vault), made.vault)
    root = made.pod.root(HERE)
    with city.host.storage.write() as tx:
        at = city.host.clock.now()
        for path in ("private/notes", "private/notes.meta", "private/other"):
            content = stored.write(turtle.read(NOTES, f"{root}{path}"), root)
            documents.put(tx, opened, path, "text/turtle", content, public=False, at=at)
        documents.put(tx, opened, "private/notes.ttl", "image/png", b"\0\xff", public=False, at=at)
    return opened


def canonical(quads):
    found = pyoxigraph.Dataset(quads)
    found.canonicalize(pyoxigraph.CanonicalizationAlgorithm.RDFC_1_0)
    return {str(quad) for quad in found}


def test_every_graph_is_the_same_in_all_three_forms_and_as_it_is_stored(city, opened, tmp_path):
    archived = archive_pod(city.host, opened, tmp_path / "kari.zip")
    with zipfile.ZipFile(tmp_path / "kari.zip") as file:
        files = {name: file.read(name) for name in file.namelist()}
    manifest = json.loads(files["manifest.json"])
    dataset = pyoxigraph.Dataset(pyoxigraph.parse(files["pod.nq"], format=RdfFormat.N_QUADS))
    root = opened.pod.root(HERE)
    assert archived.graphs == len(set(manifest["graphs"].values())) >= 10
    assert archived.triples == len(dataset)
    for name, iri in manifest["graphs"].items():
        quads = list(dataset.quads_for_graph_name(pyoxigraph.NamedNode(iri)))
        flat = canonical([pyoxigraph.Quad(*quad.triple) for quad in quads])
        # Not pyld, which writes every double anew.
        read = pyoxigraph.parse(files[name], format=RdfFormat.TURTLE if name.endswith(".ttl") else RdfFormat.JSON_LD)
        assert canonical([pyoxigraph.Quad(*quad.triple) for quad in read]) == flat, name
    # And what is in it is what was put, the description too; blank nodes of two documents do not meet.
    for path in ("private/notes", "private/notes.meta"):
        put = canonical([pyoxigraph.Quad(*triple) for triple in turtle.read(NOTES, root + path).triples])
        kept = dataset.quads_for_graph_name(pyoxigraph.NamedNode(root + path))
        assert canonical([pyoxigraph.Quad(*quad.triple) for quad in kept]) == put
    nodes = {}
    for quad in dataset:
        if isinstance(quad.subject, BlankNode):
            nodes.setdefault(quad.subject.value, set()).add(quad.graph_name)
    assert len(nodes) >= 3
    assert all(len(graphs) == 1 for graphs in nodes.values())
    assert manifest["others"].pop("documents/private/notes.ttl~2") == f"{root}private/notes.ttl"
    (receipt,) = manifest["others"]  # signed, and so kept to the letter
    assert json.loads(files[receipt])["@context"]
    assert files["documents/private/notes.ttl~2"] == b"\0\xff"
    assert len([iri for iri in set(manifest["graphs"].values()) if "/activities/" in iri]) == 2


def test_an_archive_is_the_owners_and_never_written_over(city, opened, tmp_path):
    from dataclasses import replace

    with pytest.raises(PermitExceeded):
        archive_pod(city.host, replace(opened, permit=replace(opened.permit, authority="app")), tmp_path / "x.zip")
    (tmp_path / "x.zip").write_text("mine")
    with pytest.raises(PodFileInvalid, match="is there already"):
        archive_pod(city.host, opened, tmp_path / "x.zip")
    assert [each.name for each in tmp_path.glob("*.zip")] == ["x.zip"]
    assert (tmp_path / "x.zip").read_text() == "mine"

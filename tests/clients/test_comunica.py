"""Comunica over a pod of a running host: documents, the pod's own endpoint, and updates."""

from __future__ import annotations

from pyoxigraph import Literal, NamedNode, RdfFormat, parse


def test_comunica_queries_and_changes_a_pod(running, program):
    citizen = running.citizen("comunica")
    engine = program(
        "comunica.mjs",
        issuer=running.base_url,
        pod=citizen.pod,
        client_id=citizen.client_id,
        client_secret=citizen.client_secret,
    )
    found = engine.next()["found"]
    two = f"{citizen.pod}private/venner/to.ttl#it"
    updated = parse(found.pop("updated"), format=RdfFormat.TURTLE, base_iri=two)
    foaf = "http://xmlns.com/foaf/0.1/"
    assert {(str(quad.predicate), quad.object) for quad in updated} == {
        (str(NamedNode(f"{foaf}name")), Literal("Åse", language="nb")),
        (str(NamedNode(f"{foaf}nick")), Literal("Å")),
        (str(NamedNode(f"{foaf}age")), Literal(51)),
    }
    assert found == {
        "documents": ["Berit", "Åse"],
        "endpoint": ["Berit", "Åse"],
        "ask": True,
        "constructed": [[two.replace("to.ttl", "en.ttl"), "Berit"], [two, "Åse"]],
        "fresh": ["Ny"],
        "stranger": "401",
    }

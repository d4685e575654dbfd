"""PUT and DELETE /bridge/offers/<name>: a municipality publishes what it offers, replaces it and ends it; everybody reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from pyld import jsonld
from rdflib import Graph, Literal, Namespace
from rdflib.compare import isomorphic
from twin_proposals import SAMPLE

from partner_bridge.connectors import MUNICIPALITY
from partner_bridge.connectors.declaration import require_sound
from partner_bridge.connectors.municipality import Municipality
from partner_bridge.errors import DeclarationInvalid
from pod_server.partners import remove_partner

TV = Namespace("https://w3id.org/tvilling#")
ROLE = {"about": {"role": "municipality"}}


class Publisher:
    def __init__(self, door, name="Trondheim kommune", **options):
        self.client = door.partner(name, **(options or ROLE))

    def ask(self, method, slug="tram-pass", body=b"", mimetype="application/json"):
        address = f"{self.client.base_url}/bridge/offers/{slug}"
        proof = self.client._proof(method, address, self.client._access_token(None, ""))
        return self.client._http.request(method, address, content=body, headers={"Content-Type": mimetype, **proof})

    def put(self, slug="tram-pass", **members):
        return self.ask("PUT", slug, json.dumps({**json.loads(SAMPLE), **members}).encode())


@pytest.fixture
def city_hall(door):
    return Publisher(door)


def listed(door, accept="application/ld+json"):
    return door.app.test_client().get("/vocab/offers", headers={"Accept": accept})


def test_a_municipality_declares_itself_like_every_connector_and_reads_its_sample() -> None:
    require_sound(MUNICIPALITY)
    assert MUNICIPALITY.read_offer(SAMPLE, "tram-pass").less_percent == 5
    mixed = replace(MUNICIPALITY.declaration, channels=("offers", "push"))
    with pytest.raises(DeclarationInvalid, match="stand alone"):
        require_sound(type("Mixed", (Municipality,), {"declaration": mixed})())


def test_an_offer_is_published_once_replaced_with_its_past_kept_and_ended(door, city_hall) -> None:
    first, again = city_hall.put().json(), city_hall.put().json()
    assert (first["version"], first["state"]) == (1, "standing")
    assert again == first
    second = city_hall.put(lessPercent=6).json()
    assert (second["version"], second["state"]) == (2, "standing")
    (shown,) = listed(door).get_json(force=True)["@graph"]
    assert (shown["version"], shown["lessPercent"], shown["publisher"]) == (2, 6, "Trondheim kommune")
    with door.host.storage.read() as tx:
        rows = tx.all("SELECT version, state FROM published_offer ORDER BY version")
    assert [tuple(row) for row in rows] == [(1, "replaced"), (2, "standing")]
    assert city_hall.ask("DELETE").json()["state"] == "withdrawn"
    assert city_hall.ask("DELETE").status_code == 200
    assert listed(door).get_json(force=True)["@graph"] == []
    assert city_hall.put().json()["version"] == 3


def test_both_forms_are_one_graph_that_says_the_rule(door, city_hall) -> None:
    city_hall.put("power", lessPercent=None, atMost=150.0, measuresKind="electricity-reading")
    city_hall.put()
    turtle = Graph().parse(data=listed(door, "text/turtle").data, format="turtle")
    quads = jsonld.to_rdf(listed(door).get_json(force=True), {"format": "application/n-quads"})
    assert isomorphic(turtle, Graph().parse(data=quads, format="nt"))
    assert set(turtle.objects(None, TV.lessPercent)) == {Literal(5)}
    assert door.app.test_client().get("/vocab/offers.ttl").mimetype == "text/turtle"


def test_an_offer_ends_with_its_last_day_and_with_its_municipality(door, city_hall, clock) -> None:
    city_hall.put(closes="2026-12-31")
    city_hall.put("power", closes="2027-12-31")
    assert len(listed(door).get_json(force=True)["@graph"]) == 2
    clock.advance(timedelta(days=60))
    assert len(listed(door).get_json(force=True)["@graph"]) == 1
    remove_partner(door.host, city_hall.client.client_id)
    assert listed(door).get_json(force=True)["@graph"] == []


def test_nobody_but_a_municipality_publishes_and_none_in_anothers_name(door, city_hall) -> None:
    refused = Publisher(door, "Oss.no", about={}).put()
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (403, "not-a-publisher")
    city_hall.put()
    other = Publisher(door, "Malvik kommune")
    assert {other.put().status_code, other.ask("DELETE").status_code} == {404}
    assert (
        door.app.test_client().put("/bridge/offers/tram-pass", data=SAMPLE, content_type="application/json").status_code
        == 401
    )


def test_many_bounds_on_one_kind_and_many_offers_are_refused(door, city_hall) -> None:
    """With a bound at every per cent, claims would tell how much somebody throws away."""
    for percent in (5, 10, 15):
        assert city_hall.put(f"waste-{percent}", lessPercent=percent).status_code == 200
    full = city_hall.put("waste-20", lessPercent=20)
    assert (full.status_code, full.json()["type"].rpartition("/")[2]) == (409, "offers-full")
    assert city_hall.put("waste-15", lessPercent=20).status_code == 200
    assert city_hall.put("power", measuresKind="electricity-reading").status_code == 200


def test_what_cannot_be_published_is_a_clear_problem_and_changes_nothing(door, city_hall) -> None:
    large = b'"' + b"x" * 20_000 + b'"'
    for body, mimetype, status in (
        (b"{", "application/json", 422),
        (SAMPLE, "text/plain", 415),
        (large, "application/json", 413),
    ):
        answer = city_hall.ask("PUT", body=body, mimetype=mimetype)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert listed(door).get_json(force=True)["@graph"] == []

"""A citizen's own Solid client reads the activities as RDF; nobody else does, and nobody writes them here."""

from __future__ import annotations

import json

import pytest
from deliveries import deliver, granted, reading, readings
from msgspec.structs import replace
from pyoxigraph import NamedNode
from solid_door import KARI, OLA

from pod_server import activities

TYPE = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
ACTIVITY = NamedNode("https://w3id.org/peco#EmissionGenerationActivity")
QUANTITY = NamedNode("https://w3id.org/tvilling#quantity")
HOURS_OF_NOVEMBER_SO_FAR = 22 * 24


def activities_of(door, path):
    return {triple.subject for triple in door.triples(path) if triple.predicate == TYPE and triple.object == ACTIVITY}


@pytest.fixture
def grant(city, kari):
    given = granted(city.host, kari.pod_id)
    assert set(deliver(city.host, given.permit, [*readings(-5, 5), *readings(0, 10)])) == {"accepted"}
    return given


def test_containers_lead_from_the_pod_by_grant_and_month_to_every_activity(door, grant):
    assert "activities/" in door.members("")
    (by_grant,) = door.members("activities/")
    assert by_grant == f"activities/{grant.grant}/"
    months = door.members(by_grant)
    assert months == {f"{by_grant}2026-10", f"{by_grant}2026-11"}
    assert sorted(len(activities_of(door, month)) for month in months) == [5, 10]


def test_listing_opens_no_delivery_whose_month_is_plain(door, city, kari, monkeypatch):
    given = granted(city.host, kari.pod_id)
    for start in range(-3, 4):
        deliver(city.host, given.permit, readings(start * 2, 2))
    opened = []
    real = activities._open_segment
    monkeypatch.setattr(activities, "_open_segment", lambda pod, row: opened.append(row) or real(pod, row))
    place = f"activities/{given.grant}/"
    assert door.members("activities/") == {place}
    months = door.members(place)
    assert months == {f"{place}2026-10", f"{place}2026-11"}
    assert len(opened) <= 2, "at most the delivery that reaches over the end of the month, once a listing"
    assert sum(len(activities_of(door, month)) for month in months) == 14


def test_a_month_that_corrections_have_emptied_is_an_empty_document(door, city, kari):
    given = granted(city.host, kari.pod_id)
    deliver(city.host, given.permit, [reading(-5), reading(0)])
    was, other = (json.loads(one.raw) for one in (reading(-5, correction=True), reading(1)))
    raw = json.dumps({**was, "start": other["start"], "end": other["end"]}, sort_keys=True).encode()
    moved = replace(reading(1, correction=True), id=was["@id"], raw=raw)
    deliver(city.host, given.permit, [moved])
    for month in door.members(f"activities/{given.grant}/"):
        assert door.get(month).status_code == 200


def test_a_correction_replaces_what_it_corrects(door, city, grant):
    deliver(city.host, grant.permit, [reading(3, 7.5, correction=True)])
    month = f"activities/{grant.grant}/2026-11"
    quantities = [float(triple.object.value) for triple in door.triples(month) if triple.predicate == QUANTITY]
    assert sorted(quantities) == [1.0] * 9 + [7.5]


@pytest.mark.parametrize("accept", ["text/turtle", "application/ld+json", "application/n-triples"])
def test_each_form_of_rdf_can_be_had(door, grant, accept):
    response = door.get(f"activities/{grant.grant}/2026-11", Accept=accept)
    assert (response.status_code, response.headers["Content-Type"]) == (200, accept)


@pytest.mark.parametrize(
    "path", ["activities/g-none/", "activities/{grant}/2026-09", "activities/{grant}/2026-13", "activities/x"]
)
def test_what_is_not_there_is_not_found(door, grant, path):
    assert door.get(path.format(grant=grant.grant)).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path", ["activities/", "activities/mine.ttl", "activities/.acl", "activities/{grant}/2026-11"]
)
def test_nobody_writes_here_not_even_the_owner(door, grant, method, path):
    refused = door(method, path.format(grant=grant.grant), "<> <urn:p> 1 .", type_="text/turtle")
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_a_pod_that_is_opened_to_all_does_not_open_its_activities(door, grant):
    acl = "@prefix acl: <http://www.w3.org/ns/auth/acl#> . @prefix foaf: <http://xmlns.com/foaf/0.1/> .\n"
    everything = "[] a acl:Authorization ; acl:agentClass foaf:Agent ; acl:accessTo <./> ; acl:default <./> ; acl:mode acl:Read, acl:Write ."
    mine = f"[] a acl:Authorization ; acl:agent <{KARI}> ; acl:accessTo <./> ; acl:mode acl:Control ."
    assert door.put(".acl", acl + everything + mine).status_code == 204
    assert door.get("private/", as_=OLA).status_code == 200
    for path in ("activities/", f"activities/{grant.grant}/", f"activities/{grant.grant}/2026-11"):
        assert door.get(path, as_=OLA).status_code == 403
        assert door.get(path, as_=None).status_code == 401
    assert "activities/" not in door.members("", as_=None)

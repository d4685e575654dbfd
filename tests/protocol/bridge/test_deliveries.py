"""POST /bridge/activities and /bridge/connectors/<name> (DESIGN.md section 11)."""

from __future__ import annotations

import json

import httpx
import pytest

from pod_server import grants
from pod_server.identifiers import Actor

ACTIVITIES = "/bridge/activities"


def post(door, client, body: bytes, media_type: str = "application/x-ndjson", path: str = ACTIVITIES) -> httpx.Response:
    address = door.host.base_url + path
    token = client._access_token(None, "")
    return client._http.post(
        address, content=body, headers={"Content-Type": media_type, **client._proof("POST", address, token)}
    )


@pytest.fixture
def street(city, door):
    """Kari, and a partner she lets deliver."""
    client = door.partner()
    pod = city.citizen("kari")
    return client, door.grant(pod.pod_id, client), pod.pod_id


def test_each_item_is_answered_in_order_with_200(door, street, reading):
    client, grant, _ = street
    items = [{"grant": grant, "activity": reading(1)}, {"grant": "g-none", "activity": reading(2)}]
    answered = client.deliver(ACTIVITIES, [*items, items[0]])
    assert answered.http_status == 200
    assert [(each["status"], each["id"]) for each in answered.answers] == [
        ("accepted", "reading:1"),
        ("refused", "reading:2"),
        ("duplicate", "reading:1"),
    ]
    assert answered.answers[1]["problem"]["type"] == "http://localhost:8080/problems/no-such-grant"


def test_a_json_array_says_the_same_as_lines(door, street, reading):
    client, grant, _ = street
    items = [{"grant": grant, "activity": reading(number)} for number in range(3)]
    as_array = post(door, client, json.dumps(items).encode(), "application/json")
    as_lines = post(door, client, b"\n".join(json.dumps(each).encode() for each in items) + b"\n\n")
    assert [each["status"] for each in as_array.json()] == ["accepted"] * 3
    assert [each["status"] for each in as_lines.json()] == ["duplicate"] * 3


@pytest.mark.parametrize("line", [b"{", b"[]", b"null", b'{"grant": 1}', b'{"grant": "g"}', b"\xff", b"[" * 50_000])
def test_a_broken_line_is_that_items_problem(door, street, reading, line):
    client, grant, _ = street
    good = json.dumps({"grant": grant, "activity": reading(1)}).encode()
    answer = post(door, client, line + b"\n" + good)
    assert answer.status_code == 200
    assert [each["status"] for each in answer.json()] == ["refused", "accepted"]
    assert answer.json()[0]["problem"]["type"].endswith("/problems/broken-item")


@pytest.mark.parametrize(
    ("sent", "status", "slug"),
    [
        ((b"", "application/x-ndjson"), 400, "body-unreadable"),
        ((b"\n\n", "application/x-ndjson"), 400, "body-unreadable"),
        ((b"{}", "application/json"), 400, "body-unreadable"),
        ((b"[]", "application/json"), 400, "body-unreadable"),
        ((b"[{]", "application/json"), 400, "body-unreadable"),
        ((b"x", "text/plain"), 415, "media-type-unknown"),
        ((b"x", "application/x-www-form-urlencoded"), 415, "media-type-unknown"),
        ((b"[" + b"1," * 10_000 + b"1]", "application/json"), 413, "delivery-too-large"),
    ],
)
def test_a_body_that_is_no_delivery_is_refused_as_a_whole(door, street, sent, status, slug):
    body, media_type = sent
    answer = post(door, street[0], body, media_type)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.json()["type"].endswith(f"/problems/{slug}")


def test_without_a_token_nothing_is_taken(door, street, reading):
    client, grant, _ = street
    body = json.dumps({"grant": grant, "activity": reading(1)}).encode()
    answer = client._http.post(
        door.host.base_url + ACTIVITIES, content=body, headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("DPoP")


def test_a_replayed_proof_is_refused(door, street, reading):
    client, grant, _ = street
    address = door.host.base_url + ACTIVITIES
    headers = {"Content-Type": "application/x-ndjson", **client._proof("POST", address, client._access_token(None, ""))}
    body = json.dumps({"grant": grant, "activity": reading(1)}).encode()
    told = [client._http.post(address, content=body, headers=headers).status_code for _ in range(2)]
    assert told == [200, 401]


def test_the_next_write_after_a_withdrawal_is_refused_while_the_token_is_fresh(door, street, reading):
    client, grant, pod_id = street
    assert client.deliver(ACTIVITIES, [{"grant": grant, "activity": reading(1)}]).count("accepted") == 1
    grants.withdraw(door.host, pod_id, grant, actor=Actor("citizen"))
    answered = client.deliver(ACTIVITIES, [{"grant": grant, "activity": reading(2)}])
    assert answered.http_status == 200
    assert answered.count("refused") == 1
    assert answered.problem["type"].endswith("/problems/consent-withdrawn")
    assert answered.problem["detail"]


def test_a_connector_answers_for_each_activity_in_a_payload_and_names_the_payload(door, street):
    client, grant, _ = street
    telemetry = [
        {"timestamp": f"2026-11-23T10:0{minute}:00Z", "activePower": {"input": {"avg": 1200}}} for minute in range(3)
    ]
    items = [
        {"grant": grant, "payload": {"meterNumber": "707057500000000001", "telemetry": telemetry}},
        {"grant": grant, "payload": {"meterNumber": 5}},
        {"grant": grant, "payload": {"meterNumber": "1", "telemetry": []}},
    ]
    answered = client.deliver("/bridge/connectors/oss", items)
    assert [(each["status"], each["payload"]) for each in answered.answers] == [
        ("accepted", 0),
        ("accepted", 0),
        ("accepted", 0),
        ("refused", 1),
        ("refused", 2),
    ]


def test_a_text_connector_takes_the_file_as_a_json_string(door, street):
    client, grant, _ = street
    answered = client.deliver(
        "/bridge/connectors/hourly-csv", [{"grant": grant, "payload": "start,value\n2026-11-22T00:00:00Z,0.5\n"}]
    )
    assert answered.count("accepted") == 1


def test_an_unknown_connector_is_404_and_lists_those_there_are(door, street):
    answered = street[0].deliver("/bridge/connectors/elsewhere", [{"grant": "g", "payload": 1}])
    assert answered.http_status == 404
    assert "rema1000" in answered.problem["detail"]


def test_a_locked_pods_items_wait_and_the_others_are_taken(door, street, reading, city):
    client, grant, _ = street
    locked = city.citizen("ola", custodian=False)
    olas = door.grant(locked.pod_id, client, vault=locked.vault)
    items = [{"grant": olas, "activity": reading(1)}, {"grant": grant, "activity": reading(1)}]
    answered = client.deliver(ACTIVITIES, items)
    assert [each["status"] for each in answered.answers] == ["pending", "accepted"]
    assert answered.problem is None

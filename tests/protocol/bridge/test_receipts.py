"""Each delivery has a receipt that proves it offline."""

from __future__ import annotations

import base64
import json

import pytest

from partner_bridge.errors import ReceiptInvalid
from partner_bridge.receipts import verify_receipt
from pod_server.signing_keys import published_jwks

ACTIVITIES = "/bridge/activities"


@pytest.fixture
def delivered(city, door, reading):
    client = door.partner()
    grant = door.grant(city.citizen("kari").pod_id, client)
    items = [{"grant": grant, "activity": reading(1)}, {"grant": grant, "activity": reading(2, quantity=-1)}]
    body = b"".join(json.dumps(item).encode() + b"\n" for item in items)
    address = door.host.base_url + ACTIVITIES
    headers = {"Content-Type": "application/x-ndjson", **client._proof("POST", address, client._access_token(None, ""))}
    answer = client._http.post(address, content=body, headers=headers)
    receipt = answer.links["http://localhost:8080/vocab/bridge#receipt"]["url"]
    return client, grant, body, answer.content, receipt


def test_a_receipt_says_what_was_taken_under_which_grant_and_verifies_offline(door, delivered):
    client, grant, request, response, address = delivered
    signed = client.fetch(address, accept="application/jose").text
    told = verify_receipt(signed, published_jwks(door.host), request=request, response=response)
    assert (told["items"], told["accepted"], told["refused"], told["aud"]) == (2, 1, 1, client.client_id)
    assert [(each["grant"], each["accepted"]) for each in told["grants"]] == [(grant, 1)]
    assert told["grants"][0]["logIndex"] > 0


def test_a_receipt_of_another_body_does_not_verify(door, delivered):
    client, _, request, response, address = delivered
    signed = client.fetch(address, accept="application/jose").text
    keys = published_jwks(door.host)
    with pytest.raises(ReceiptInvalid, match="another request"):
        verify_receipt(signed, keys, request=request + b" ", response=response)
    with pytest.raises(ReceiptInvalid, match="another response"):
        verify_receipt(signed, keys, request=request, response=b"[]")


def test_a_changed_receipt_does_not_verify(door, delivered):
    client, *_, address = delivered
    header, payload, signature = client.fetch(address, accept="application/jose").text.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["accepted"] = 2
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    with pytest.raises(ReceiptInvalid):
        verify_receipt(f"{header}.{forged}.{signature}", published_jwks(door.host))


def test_a_receipt_is_shown_to_its_own_partner_alone(door, delivered):
    client, *_, address = delivered
    assert client.fetch(address).status_code == 200
    assert client.fetch(f"{door.host.base_url}/bridge/receipts").json()["receipts"] == [address]
    stranger = door.partner("Oss.no")
    assert stranger.fetch(address).status_code == 404
    assert stranger.fetch(f"{door.host.base_url}/bridge/receipts").json()["receipts"] == []


def test_a_receipt_names_no_citizen(door, delivered):
    client, *_, address = delivered
    _, payload, _ = client.fetch(address, accept="application/jose").text.split(".")
    assert "kari" not in base64.urlsafe_b64decode(payload + "==").decode()

"""The citizen's own copies of receipts are documents of the pod: the owner reads them, nobody else does."""

from __future__ import annotations

import json

import pytest
from deliveries import granted
from solid_door import OLA

from pod_server import consent_receipts


@pytest.fixture
def receipt(host, kari, door):
    return f"consents/{granted(host, kari.pod_id).grant}.jsonld"


def test_the_owner_reads_the_signed_receipt_byte_for_byte(host, door, receipt):
    answer = door.get(receipt)
    assert answer.status_code == 200
    verified = consent_receipts.verify(answer.text, consent_receipts.issuer_document(host))
    assert verified["record"]["state"] == "active"
    assert receipt.rsplit("/", 1)[1] in door.get("consents/").text


@pytest.mark.parametrize("stranger", [None, OLA])
def test_nobody_else_reads_it_nor_learns_that_it_is_there(door, receipt, stranger):
    there, not_there = (door.get(path, as_=stranger) for path in (receipt, "consents/g-none.jsonld"))
    assert (there.status_code, there.status_code) == (not_there.status_code, 401 if stranger is None else 403)


def test_a_receipt_is_json_for_any_client(door, receipt):
    assert json.loads(door.get(receipt, Accept="application/json").data)["type"] == "ConsentReceipt"

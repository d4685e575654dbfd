"""The key of the receipts changes, and every receipt that was good stays so, unless the key came into other hands."""

from __future__ import annotations

import json

import pytest
from deliveries import CITIZEN, granted

from pod_server import consent_receipts, documents, grants
from pod_server.authorization.enforcement import require_owner
from pod_server.opening import open_pod
from pod_server.signatures import SignatureInvalid


@pytest.fixture
def kari(city):
    return city.citizen("kari")


def receipt(host, kari, grant):
    with host.storage.read() as tx:
        return json.dumps(consent_receipts.latest(host, tx, kari.pod_id, grant))


def own_copy(host, kari, grant):
    with host.storage.read() as tx:
        return documents.get(
            tx, open_pod(host, require_owner(kari.vault)), consent_receipts.path_of(grant)
        ).content.decode()


def signer(text):
    return json.loads(text)["proof"]["verificationMethod"]


def test_receipts_of_the_old_key_and_of_the_new_one_verify_with_what_the_issuer_says_now(host, kari):
    given = granted(host, kari.pod_id)
    first = receipt(host, kari, given.grant)
    before = consent_receipts.issuer_document(host)
    assert consent_receipts.rotate_key(host).number == 2
    grants.pause(host, kari.pod_id, given.grant, actor=CITIZEN)
    second, issuer = receipt(host, kari, given.grant), consent_receipts.issuer_document(host)
    assert signer(first) != signer(second)
    assert issuer["assertionMethod"] == [signer(first), signer(second)]
    for text in (first, second):
        consent_receipts.verify(text, issuer)
    consent_receipts.verify(first, before)
    with pytest.raises(SignatureInvalid, match="not known"):
        consent_receipts.verify(second, before)
    assert consent_receipts.sign_anew(host, kari.pod_id) == 0


def test_a_key_in_other_hands_asserts_nothing_and_the_latest_receipts_are_signed_anew(host, kari):
    given = granted(host, kari.pod_id)
    stolen = receipt(host, kari, given.grant)
    consent_receipts.rotate_key(host, compromised=True)
    issuer = consent_receipts.issuer_document(host)
    assert [("revoked" in each, each["id"] in issuer["assertionMethod"]) for each in issuer["verificationMethod"]] == [
        (True, False),
        (False, True),
    ]
    with pytest.raises(SignatureInvalid):
        consent_receipts.verify(stolen, issuer)
    assert consent_receipts.sign_anew(host, kari.pod_id) == 1
    assert consent_receipts.sign_anew(host, kari.pod_id) == 0
    for text in (receipt(host, kari, given.grant), own_copy(host, kari, given.grant)):
        told = consent_receipts.verify(text, issuer)
        assert told == {name: value for name, value in json.loads(stolen).items() if name != "proof"}

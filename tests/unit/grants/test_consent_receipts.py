"""Receipts: signed in the event's own transaction, for both parties, checked by anybody offline."""

from __future__ import annotations

import contextlib
import json

import pytest
import zstandard
from deliveries import CITIZEN, granted
from oauth_client import new_key

from pod_server import consent_receipts, documents, grants, outbox, partners
from pod_server.authorization.enforcement import require_owner
from pod_server.authorization.errors import NoSuchGrant
from pod_server.authorization_server import grant_management
from pod_server.authorization_server.tokens import AuthenticatedPartner
from pod_server.identifiers import Actor
from pod_server.opening import open_pod
from pod_server.signatures import SignatureInvalid


@pytest.fixture
def kari(city):
    return city.citizen("kari")


@pytest.fixture
def listening(host):
    return partners.add_partner(
        host,
        name="Lyttende AS",
        jwks={"keys": [new_key().as_dict(private=False)]},
        webhook="https://partner.example/hook",
        about={"contact": "ombud@lyttende.example", "address": "Storgata 1, 7010 Trondheim"},
    )


def filed(host, kari, grant_id):
    own = open_pod(host, require_owner(kari.vault), vault=kari.vault)
    with host.storage.read() as tx:
        return documents.get(tx, own, f"consents/{grant_id}.jsonld")


def state_filed(host, kari, grant_id):
    return verified(host, filed(host, kari, grant_id).content.decode())["record"]["state"]


def verified(host, text):
    return consent_receipts.verify(text, consent_receipts.issuer_document(host))


def waiting(host):
    with host.storage.read() as tx:
        return tx.one("SELECT COUNT(*) FROM consent_receipt WHERE filed = 0")[0]


def test_each_act_files_its_receipt_in_the_pod_and_sends_the_same_to_the_partner(host, kari, listening):
    given = granted(host, kari.pod_id, partner=listening)
    acts = {"active": None, "paused": grants.pause, "withdrawn": grants.withdraw, "erased": grants.erase}
    for state, act in acts.items():
        if act is not None:
            act(host, kari.pod_id, given.grant, actor=CITIZEN)
        assert state_filed(host, kari, given.grant) == state
        with host.storage.read() as tx:
            newest = outbox.messages(tx, client_id=listening.client_id)[0]
            sent = outbox.read_body(host.host_key, tx, newest)
        assert sent["receipt"] == json.loads(filed(host, kari, given.grant).content)
    told = verified(host, filed(host, kari, given.grant).content.decode())
    assert [status["type"][0] for status in told["record"]["consentStatus"]] == [
        "dpv:ConsentGiven",
        "dpv:ConsentStatusInvalidForProcessing",
        "dpv:ConsentWithdrawn",
        "dpv:ConsentInvalidated",
    ]


def test_a_refusal_has_a_receipt_for_the_citizen_and_tells_the_partner_nothing(host, kari, listening):
    terms = granted(host, kari.pod_id, partner=listening).permit.terms
    with host.storage.read() as tx:
        before = len(outbox.messages(tx, client_id=listening.client_id))
    refused = grants.refuse(host, kari.pod_id, terms, actor=CITIZEN)
    assert state_filed(host, kari, refused.id) == "refused"
    with host.storage.read() as tx:
        assert len(outbox.messages(tx, client_id=listening.client_id)) == before


def test_the_receipt_names_the_citizen_by_the_pairwise_subject_alone(host, kari, listening):
    given = granted(host, kari.pod_id, partner=listening)
    with host.storage.read() as tx:
        receipt = consent_receipts.latest(host, tx, kari.pod_id, given.grant)
    text = json.dumps(receipt)
    assert receipt["record"]["dataSubject"]["identifier"].startswith("s-")
    assert "kari" not in text.lower()
    other = granted(host, kari.pod_id, name="En annen AS")
    with host.storage.read() as tx:
        second = consent_receipts.latest(host, tx, kari.pod_id, other.grant)
    assert second["record"]["dataSubject"] != receipt["record"]["dataSubject"]


def test_a_locked_pod_withdraws_and_its_copy_is_filed_when_it_is_opened(host, kari):
    given = granted(host, kari.pod_id)
    host.key_store.remove_slot(kari.pod_id, "custodian")
    grants.withdraw(host, kari.pod_id, given.grant, actor=CITIZEN)
    assert waiting(host) == 1
    assert consent_receipts.resume_filing(host) == 0
    assert consent_receipts.file_if_open(host, kari.pod_id, kari.vault)
    assert (state_filed(host, kari, given.grant), waiting(host)) == ("withdrawn", 0)


def test_a_copy_that_a_crash_left_unfiled_is_filed_on_resuming(host, kari, monkeypatch):
    given = granted(host, kari.pod_id)

    def crash(*_):
        raise RuntimeError("the machine stopped after the commit")

    with monkeypatch.context() as patch:
        patch.setattr(consent_receipts, "file_if_open", crash)
        with pytest.raises(RuntimeError):
            grants.withdraw(host, kari.pod_id, given.grant, actor=CITIZEN)
    assert (state_filed(host, kari, given.grant), waiting(host)) == ("active", 1)
    assert consent_receipts.resume_filing(host) == 1
    assert (state_filed(host, kari, given.grant), waiting(host)) == ("withdrawn", 0)


def test_no_event_without_its_receipt(host, kari, monkeypatch):
    given = granted(host, kari.pod_id)
    monkeypatch.setattr(consent_receipts, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        grants.withdraw(host, kari.pod_id, given.grant, actor=CITIZEN)
    assert grants.find_grant(host, kari.pod_id, given.grant).state == "active"


def test_the_record_says_who_made_each_event(host, kari):
    given = granted(host, kari.pod_id)
    grants.pause(host, kari.pod_id, given.grant, actor=Actor("operator-assisted"))
    grants.withdraw(host, kari.pod_id, given.grant, actor=Actor("partner", "p-1", "AS"))
    with host.storage.read() as tx:
        statuses = consent_receipts.latest(host, tx, kari.pod_id, given.grant)["record"]["consentStatus"]
    assert [status["indicatedBy"].rsplit("#", 1)[1] for status in statuses[:2]] == ["subject", "subject"]
    assert "operator" in statuses[1]["indicationMethod"]
    assert statuses[2]["indicatedBy"].endswith(f"#{given.partner.client_id}")


def test_a_consent_that_ran_out_unnoticed_expired_before_it_was_withdrawn(host, kari, city):
    given = granted(host, kari.pod_id)
    city.clock.advance(given.permit.terms.expires_at - host.clock.now())
    assert grants.expire_due(host) == 1
    assert state_filed(host, kari, given.grant) == "expired"


def test_another_host_s_receipt_and_every_changed_one_is_refused(host, kari, tmp_path, clock):
    from hosts import make_host

    given = granted(host, kari.pod_id)
    text = filed(host, kari, given.grant).content.decode()
    other = make_host(tmp_path / "other", clock)
    with pytest.raises(SignatureInvalid):
        verified(other, text)
    for was, becomes in (
        ("dpv:ConsentGiven", "dpv:ConsentWithdrawn"),
        ("odrl:read", "odrl:use"),
        ('"dpv:Optional"', '"dpv:Required"'),
        ('"type": "ConsentReceipt",', '"type": "ConsentReceipt", "extra": "unsigned",'),
        ('"type": "ConsentReceipt",', '"type": "ConsentReceipt", "type": "ConsentReceipt",'),
    ):
        assert was in text
        with pytest.raises(SignatureInvalid):
            verified(host, text.replace(was, becomes, 1))
    for junk in ("", "{}", "[]", "null", "not JSON", '{"type": "ConsentReceipt"}', "{" * 5000, text + " " * 300_000):
        with pytest.raises(SignatureInvalid):
            verified(host, junk)


def test_the_partner_gets_the_receipt_at_grant_management_and_nobody_else_does(host, kari):
    given = granted(host, kari.pod_id)
    asking = AuthenticatedPartner(client_id=given.partner.client_id, name="x", grant=None, jkt="")
    told = grant_management.query(host, asking, given.grant)
    assert verified(host, json.dumps(told["receipt"]))["record"]["state"] == "active"
    stranger = granted(host, kari.pod_id, name="En annen AS").partner
    with pytest.raises(NoSuchGrant):
        grant_management.query(host, AuthenticatedPartner(stranger.client_id, "y", None, ""), given.grant)


def test_a_stolen_database_shows_no_receipt(host, kari):
    granted(host, kari.pod_id, name="Strømmen AS")
    with host.storage.read() as tx:
        (sealed,) = tx.one("SELECT receipt FROM consent_receipt")
    assert len(sealed) > 500, "there is a receipt to be read"
    for word in ("ConsentReceipt", "Strømmen", "electricity-reading", "grocery-line"):
        assert word.encode() not in bytes(sealed)
    for start in range(len(sealed)):  # compressed is not sealed
        with contextlib.suppress(zstandard.ZstdError):
            assert not zstandard.ZstdDecompressor().decompressobj().decompress(bytes(sealed[start:]))

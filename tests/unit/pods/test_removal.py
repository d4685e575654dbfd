"""A citizen who is deleted leaves nothing, and gets a receipt that anybody can check."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from deliveries import CITIZEN, deliver, granted, owner_permit, readings

from pod_server import documents, grants, outbox, removal
from pod_server.authentication.session import create_session, load_session
from pod_server.authorization_server.apps import App
from pod_server.authorization_server.connections import connect
from pod_server.errors import HandleTaken, NoSuchPod
from pod_server.identifiers import ClientId
from pod_server.log.ledger import load_tree
from pod_server.opening import open_pod
from pod_server.pods import create_pod
from pod_server.signatures import SignatureInvalid
from pod_server.signing_keys import historical_jwks
from pod_server.storage.schema_version import tables_of_pods
from pod_server.vault.key_store import KeyStore
from tvilling.doctor import _erasures
from twin_agent.worker import run_until_idle


@pytest.fixture
def lived(city, host):
    """Kari, with something in every part of the house, and ola beside her."""
    kari, ola = city.citizen("kari", passphrase=None), city.citizen("ola")
    partner = granted(host, kari.pod_id)
    granted(host, ola.pod_id, partner=partner.partner)
    with host.storage.write() as tx:
        tx.execute("UPDATE partner SET webhook = 'https://partner.example/hook'")
    assert deliver(host, partner.permit, readings(0, 30)) == ["accepted"] * 30
    run_until_idle(host)
    cookie = create_session(host, kari.pod_id, kari.vault)
    own = open_pod(host, owner_permit(kari.vault), vault=kari.vault)
    with host.storage.write() as tx:
        documents.put(tx, own, "letters/one.txt", "text/plain", b"dear", public=False, at=host.clock.now())
        app = App(ClientId("app-1"), "Notater", ("https://app.example/back",), (), has_secret=False)
        connect(host, tx, kari.pod_id, app, "everything")
    return kari, ola, partner, cookie


def rows_of(host, pod_id):
    with host.storage.read() as tx:
        counts = {
            table: tx.one(f"SELECT COUNT(*) FROM {table} WHERE pod_id = ?", (pod_id,))[0] for table in tables_of_pods()
        }
    return {table: count for table, count in counts.items() if count}


def test_nothing_is_left_of_the_citizen_and_the_receipt_says_what_was(host, lived):
    kari, ola, _, cookie = lived
    before, others = rows_of(host, kari.pod_id), rows_of(host, ola.pod_id)
    assert {"segment", "document", "consent", "log_leaf", "session", "app_connection", "figures"} <= before.keys()
    with host.storage.read() as tx:
        size = load_tree(tx, kari.pod_id).frontier.size
    removed = removal.remove_citizen(host, kari.pod_id, actor=CITIZEN)
    assert rows_of(host, kari.pod_id) == {}
    assert rows_of(host, ola.pod_id) == others, "nobody else is touched"
    assert host.key_store.slot_kinds(kari.pod_id) == frozenset()
    assert set(host.key_store.keyring(kari.pod_id).values()) == {None}
    assert load_session(host, cookie) is None

    says = removal.verify_receipt(removed.receipt, json.loads(json.dumps(historical_jwks(host))))
    assert says == removed.says
    assert says["sub"] == "http://localhost:8080/kari/profile/card#me"
    assert says["keysDestroyed"] >= 5
    assert says["rowsDeleted"].items() >= {"segment": before["segment"], "document": before["document"]}.items()
    assert says["partnersTold"] == ["Strømmen AS"]
    assert says["log"]["size"] == size + 1, "the withdrawal was the log's last entry"
    assert says["copiesOfKeysDieBy"].startswith("2026-12-23")
    assert removal.find_receipt(host, "kari") == removed.receipt
    assert removal.find_receipt(host, "ola") is None
    header, payload, signature = removed.receipt.split(".")
    with pytest.raises(SignatureInvalid):
        removal.verify_receipt(f"{header}.{payload[:-4]}AAAA.{signature}", historical_jwks(host))


def test_the_partner_is_still_told_that_its_consent_ended_and_nothing_more(host, lived):
    kari, _, partner, _ = lived
    removal.remove_citizen(host, kari.pod_id, actor=CITIZEN)
    with host.storage.read() as tx:
        waiting = [each for each in outbox.messages(tx, client_id=partner.partner.client_id) if each.state == "waiting"]
        bodies = {
            each.kind: outbox.read_body(host.host_key, tx, each) for each in waiting if each.pod_id == outbox.NO_POD
        }
    assert bodies["consent-withdrawn"]["grant"] == partner.grant
    assert all(b"kari" not in json.dumps(body).encode() for body in bodies.values())


def test_what_was_allowed_before_is_refused_after(host, lived):
    kari, _, partner, _ = lived
    removal.remove_citizen(host, kari.pod_id, actor=CITIZEN)
    assert deliver(host, partner.permit, readings(100, 1)) == ["refused"]
    assert rows_of(host, kari.pod_id) == {}
    with pytest.raises(NoSuchPod):
        removal.remove_citizen(host, kari.pod_id, actor=CITIZEN)
    with pytest.raises(HandleTaken):
        create_pod(host, "kari")


@pytest.mark.parametrize("cut", ["withdraw", "destroy_vault", "remove_pod", "tables_of_pods", "sign_jws"])
def test_a_removal_that_is_cut_off_is_finished_by_the_agent(host, lived, monkeypatch, cut):
    kari, ola, *_ = lived

    class PowerCut(BaseException):
        pass

    def stop(*_arguments, **_named):
        raise PowerCut

    where = {
        "withdraw": (grants, "withdraw"),
        "destroy_vault": (KeyStore, "destroy_vault"),
        "remove_pod": (type(host.binaries), "remove_pod"),
        "tables_of_pods": (removal, "tables_of_pods"),
        "sign_jws": (removal, "sign_jws"),
    }[cut]
    with monkeypatch.context() as patched:
        patched.setattr(*where, stop)
        with pytest.raises(PowerCut):
            removal.remove_citizen(host, kari.pod_id, actor=CITIZEN)
    assert removal.find_receipt(host, "kari") is None
    assert any("removal" in finding.what for finding in _erasures(host, []))
    (done,) = removal.resume_removals(host)
    assert done.handle == "kari"
    assert rows_of(host, kari.pod_id) == {}
    assert removal.verify_receipt(removal.find_receipt(host, "kari"), historical_jwks(host))["keysDestroyed"] >= 5
    assert removal.resume_removals(host) == []
    assert rows_of(host, ola.pod_id)
    assert not list(_erasures(host, []))


def test_a_locked_pod_is_deleted_without_its_key(host, lived):
    kari, *_ = lived
    host.key_store.remove_slot(kari.pod_id, "custodian")
    fresh = replace(host)
    removal.remove_citizen(fresh, kari.pod_id, actor=CITIZEN)
    assert rows_of(host, kari.pod_id) == {}

"""Deliveries that partners seal themselves: over HTTP, with the library they are given, until the final receipt."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest

from partner_bridge import merging, receipts
from partner_bridge.errors import InboxNotTrusted
from partner_bridge.sealing import read_inbox, seal_delivery, sign_delivery
from pod_server import grants, inboxes, outbox, partner_standing, pods, signing_keys
from pod_server.activities import read_activities
from pod_server.authorization.enforcement import require_owner
from pod_server.grants import list_grants
from pod_server.identifiers import Actor
from pod_server.opening import open_pod
from pod_server.partner_standing import By
from pod_server.partners import Limits
from pod_server.signatures import base64url
from pod_server.vault.inbox import InboxKey, seal_to
from pod_server.vault.key_derivation import Argon2Cost, Passphrase

WORDS, CHEAP = Passphrase("tolv små katter"), Argon2Cost(64, 1, 1)


def send(client, method, address, content=b"", content_type="application/json"):
    """A request behind the partners' door, as the partner itself."""
    token = client._access_token(None, "")
    headers = {"Content-Type": content_type, **client._proof(method, address, token)}
    return client._http.request(method, address, content=content, headers=headers)


class Sealing:
    """One partner, one locked pod, and the consent between them."""

    def __init__(self, door, city) -> None:
        self.door, self.host = door, city.host
        made = city.citizen("kari")
        self.pod_id, self.vault = made.pod_id, made.vault
        self.client = door.partner(webhook="https://partner.example/messages")
        self.grant = door.grant(made.pod_id, self.client)
        self.key = self.client.key.as_dict(private=True)
        self.pinned = read_inbox(self.statement()["statement"], pinned=None).citizen_key
        self.lock()

    def lock(self) -> None:
        self.vault = pods.lock_pod(self.host, self.vault, WORDS, cost=CHEAP).vault

    def statement(self) -> dict:
        return self.get(f"/bridge/grants/{self.grant}/inbox").json()

    def get(self, path: str):
        return send(self.client, "GET", f"{self.host.base_url}{path}")

    def sealed(self, *activities, sequence=1, key="first", **changes):
        inbox = read_inbox(self.statement()["statement"], pinned=self.pinned)
        return seal_delivery(
            inbox, activities, sequence=sequence, idempotency_key=key, sign_with=changes.get("sign_with", self.key)
        )

    def post(self, body, content_type="application/json"):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return send(self.client, "POST", f"{self.host.base_url}/bridge/sealed-deliveries", content, content_type)

    def merge(self):
        return merging.merge_waiting(self.host, self.vault)

    def raws(self) -> list[dict]:
        own = open_pod(self.host, require_owner(self.vault), vault=self.vault)
        return [json.loads(one.raw) for one in read_activities(self.host, own)]

    def counts(self) -> tuple[int, int, int]:
        (view,) = list_grants(self.host, self.pod_id)
        return view.accepted, view.duplicates, view.refused


@pytest.fixture
def sealing(door, city):
    return Sealing(door, city)


def slug(answer) -> str:
    return answer.json()["type"].rpartition("/")[2]


def test_the_host_keeps_what_it_cannot_read_and_the_citizen_finds_it(sealing, reading):
    answer = sealing.post(sealing.sealed(reading(1, source="kanarifugl"), reading(2)))
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    where = answer.headers["Location"].removeprefix(sealing.host.base_url)
    assert sealing.get(where).json() == {"status": "pending", "grant": sealing.grant, "sequence": 1}
    everything = b"".join(path.read_bytes() for path in sealing.host.data_folder.rglob("*") if path.is_file())
    assert b"kanarifugl" not in everything
    assert sealing.counts() == (2, 0, 0)
    assert sealing.merge() == (1, 2, 0)
    assert [one["@id"] for one in sealing.raws()] == ["reading:1", "reading:2"]
    assert sealing.get(where).json() == {
        "status": "merged",
        "grant": sealing.grant,
        "sequence": 1,
        "accepted": 2,
        "duplicate": 0,
        "refused": 0,
    }


def test_records_are_checked_when_the_pod_is_opened_and_the_final_receipt_names_the_refused(sealing, reading):
    wrong = [
        reading(2, unit="KiloGM"),
        reading(3, start="2010-01-01T00:00:00Z", end="2010-01-01T01:00:00Z"),
        {**reading(4), "start": "2099-01-01T00:00:00Z", "end": "2099-01-01T01:00:00Z"},
        reading(1),
        {"@type": "PaymentMade"},
    ]
    sealing.post(sealing.sealed(reading(1), *wrong))
    assert sealing.merge() == (1, 1, 0)
    assert sealing.counts() == (1, 1, 4)
    (address,) = sealing.get("/bridge/receipts").json()["receipts"]
    signed = sealing.client.fetch(address).json()
    receipt = receipts.verify_receipt(signed["receipt"], signing_keys.historical_jwks(sealing.host))
    assert (receipt["accepted"], receipt["duplicate"], receipt["refused"]) == (1, 1, 4)
    told = {item["item"]: item["problem"]["type"].rpartition("/")[2] for item in receipt["refusedItems"]}
    assert told == {1: "not-an-activity", 2: "outside-window", 3: "in-the-future", 5: "not-an-activity"}
    with sealing.host.storage.read() as tx:
        kinds = [message.kind for message in outbox.messages(tx, pod_id=sealing.pod_id)]
    assert "delivery-merged" in kinds


def test_the_same_delivery_again_is_recognised_before_and_after_the_merge_and_another_is_refused(sealing, reading):
    body = sealing.sealed(reading(1))
    assert sealing.post(body).status_code == 202
    assert sealing.post(body).json()["status"] == "pending"
    assert sealing.merge() == (1, 1, 0)
    again = sealing.post(body)
    assert (again.status_code, again.json()["status"], again.json()["accepted"]) == (200, "merged", 1)
    for sequence, key in ((1, "other"), (2, "first")):
        answer = sealing.post(sealing.sealed(reading(2), sequence=sequence, key=key))
        assert (answer.status_code, slug(answer)) == (409, "sequence-used")
    assert sealing.post(sealing.sealed(reading(2), sequence=7, key="seventh")).status_code == 202
    answer = sealing.post(sealing.sealed(reading(3), sequence=5, key="fifth"))
    assert slug(answer) == "sequence-used"
    assert sealing.statement()["last_sequence"] == 7
    assert sealing.merge() == (1, 1, 0)
    assert sealing.counts() == (2, 0, 0)


def test_sealed_and_open_deliveries_are_merged_in_the_order_in_which_they_came(sealing, reading):
    sealing.post(sealing.sealed(reading(1)))
    sealing.client.deliver("/bridge/activities", [{"grant": sealing.grant, "activity": reading(2)}])
    sealing.post(sealing.sealed(reading(1, quantity=2.0, correction=True), sequence=2, key="second"))
    assert sealing.merge().deliveries == 3
    assert {one["@id"]: one["quantity"] for one in sealing.raws()} == {"reading:1": 2.0, "reading:2": 1.5}


def test_a_partner_refuses_an_inbox_that_the_citizens_key_did_not_sign(sealing):
    """A host that puts in a key of its own cannot sign for it as the citizen."""
    public_key = InboxKey(bytes(range(32))).public_key
    forged = inboxes.sign_statement(bytes(32), sealing.grant, 2, public_key)
    assert read_inbox(forged, pinned=None).public_key == public_key
    with pytest.raises(InboxNotTrusted, match="Another key"):
        read_inbox(forged, pinned=sealing.pinned)
    genuine = sealing.statement()["statement"]
    assert read_inbox(genuine, pinned=sealing.pinned).epoch == 2
    head, _, signature = genuine.split(".")
    payload = base64url.write(
        json.dumps({"grant": sealing.grant, "epoch": 2, "inbox": base64url.write(public_key)}).encode()
    )
    for broken in (f"{head}.{payload}.{signature}", "", "a.b.c", genuine[:-4], "e30.e30.e30"):
        with pytest.raises(InboxNotTrusted):
            read_inbox(broken, pinned=sealing.pinned)


def test_the_citizens_key_stays_over_new_keys_and_differs_from_partner_to_partner(sealing):
    sealing.lock()
    assert read_inbox(sealing.statement()["statement"], pinned=sealing.pinned).epoch == 3
    other = sealing.door.partner("AtB")
    grant = sealing.door.grant(sealing.pod_id, other, vault=sealing.vault)
    answer = send(other, "GET", f"{sealing.host.base_url}/bridge/grants/{grant}/inbox").json()
    assert read_inbox(answer["statement"], pinned=None).citizen_key != sealing.pinned


def test_a_delivery_sealed_to_an_older_key_is_refused_with_what_to_do(sealing, reading):
    body = sealing.sealed(reading(1))
    sealing.lock()
    answer = sealing.post(body)
    assert (answer.status_code, slug(answer)) == (409, "inbox-key-outdated")
    assert "Fetch the inbox's statement again" in answer.json()["detail"]
    assert sealing.post(sealing.sealed(reading(1))).status_code == 202


def changed(body, sealing, **members):
    payload = json.loads(base64url.read(body["signature"].split(".")[1])) | members
    return {"sealed": body["sealed"], "signature": sign_delivery(payload, sealing.key)}


CHANGED = (
    (lambda body, _: {**body, "sealed": body["sealed"][:-4] + "AAAA"}, "other sealed bytes"),
    (lambda body, _: {**body, "sealed": "not base64url!"}, "no sealed delivery"),
    (lambda body, _: {**body, "signature": body["signature"][:-4] + "AAAA"}, "signature does not hold"),
    (lambda body, _: {**body, "signature": "abc"}, "no sealed delivery"),
    (lambda body, _: {**body, "extra": 1}, "no sealed delivery"),
    (lambda body, _: {"sealed": body["sealed"]}, "no sealed delivery"),
    (lambda body, _: b"[" * 100_000, "no sealed delivery"),
    (lambda body, _: b"", "no sealed delivery"),
    (lambda body, _: b"\xff\xfe", "no sealed delivery"),
    (lambda body, s: changed(body, s, records=0), "1 to 2000"),
    (lambda body, s: changed(body, s, records=10**9), "1 to 2000"),
    (lambda body, s: changed(body, s, sequence=0), "count from 1"),
    (lambda body, s: changed(body, s, sequence=2**70), ""),
    (lambda body, s: changed(body, s, idempotency_key=""), "idempotency key"),
    (lambda body, s: changed(body, s, idempotency_key="x" * 500), "idempotency key"),
    (lambda body, s: changed(body, s, idempotency_key="a\x00b"), "idempotency key"),
    (lambda body, s: changed(body, s, records="2"), "does not hold"),
    (lambda body, s: changed(body, s, unheard=2), "does not hold"),
)


def test_a_delivery_that_does_not_hold_is_refused_and_nothing_is_kept(sealing, reading):
    good = sealing.sealed(reading(1))
    for change, words in CHANGED:
        answer = sealing.post(change(good, sealing))
        assert (answer.status_code, slug(answer)) == (422, "sealed-delivery-invalid"), words
        assert words in answer.json()["detail"]
    assert slug(sealing.post(good, "text/plain")) == "media-type-unknown"
    with sealing.host.storage.read() as tx:
        assert inboxes.count_waiting(tx, sealing.pod_id) == (0, 0, 0)


def test_another_partners_signature_or_grant_is_refused(sealing, reading):
    stranger = sealing.door.partner("Stranger")
    theirs = stranger.key.as_dict(private=True)
    assert slug(sealing.post(sealing.sealed(reading(1), sign_with=theirs))) == "sealed-delivery-invalid"
    body = sealing.sealed(reading(1), sign_with=theirs)
    answer = send(stranger, "POST", f"{sealing.host.base_url}/bridge/sealed-deliveries", json.dumps(body).encode())
    assert slug(answer) == "no-such-grant"
    for path in (f"/bridge/grants/{sealing.grant}/inbox", f"/bridge/sealed-deliveries/{sealing.grant}/1"):
        answer = send(stranger, "GET", f"{sealing.host.base_url}{path}")
        assert slug(answer) in {"no-such-grant", "no-such-sealed-delivery"}


def test_what_opens_to_garbage_is_told_to_the_partner_and_lost_to_nobody_else(sealing, reading):
    """Sealed to another key, or no activities at all: only the partner can have done that."""
    inbox = read_inbox(sealing.statement()["statement"], pinned=sealing.pinned)
    elsewhere = seal_to(
        InboxKey(bytes(range(32))).public_key, b"{}", inboxes.context("partner", inbox.grant, inbox.epoch, 1)
    )
    payload = {
        "grant": inbox.grant,
        "epoch": inbox.epoch,
        "sequence": 1,
        "idempotency_key": "a",
        "records": 1,
        "sha256": base64url.write(hashlib.sha256(elsewhere).digest()),
    }
    assert (
        sealing.post(
            {"sealed": base64url.write(elsewhere), "signature": sign_delivery(payload, sealing.key)}
        ).status_code
        == 202
    )
    assert sealing.post(sealing.sealed(reading(1), sequence=2, key="b")).status_code == 202
    assert sealing.merge() == (1, 1, 1)
    assert sealing.get(f"/bridge/sealed-deliveries/{sealing.grant}/1").json()["status"] == "unreadable"
    assert sealing.counts() == (1, 0, 1)


def test_more_records_than_were_signed_for_are_refused(sealing, reading):
    inbox = read_inbox(sealing.statement()["statement"], pinned=sealing.pinned)
    body = seal_delivery(
        inbox, [reading(n) for n in range(1, 6)], sequence=1, idempotency_key="a", sign_with=sealing.key
    )
    sealing.post(changed(body, sealing, records=2))
    assert sealing.merge() == (1, 2, 0)
    assert sealing.counts() == (2, 0, 3)


def test_withdrawn_after_it_was_acknowledged_merges_and_erased_does_not(sealing, reading):
    citizen = Actor("citizen")
    sealing.post(sealing.sealed(reading(1)))
    grants.withdraw(sealing.host, sealing.pod_id, sealing.grant, actor=citizen)
    late = send(sealing.client, "GET", f"{sealing.host.base_url}/bridge/grants/{sealing.grant}/inbox")
    assert slug(late) == "consent-withdrawn"
    assert sealing.merge() == (1, 1, 0)
    assert [one["@id"] for one in sealing.raws()] == ["reading:1"]
    grants.erase(sealing.host, sealing.pod_id, sealing.grant, actor=citizen)
    assert sealing.raws() == []
    assert slug(sealing.get(f"/bridge/sealed-deliveries/{sealing.grant}/1")) == "no-such-sealed-delivery"


def test_the_backlog_and_the_days_quota_hold_for_sealed_deliveries(sealing, reading, monkeypatch):
    monkeypatch.setattr(inboxes, "RECORDS_OF_A_GRANT", 2)
    assert sealing.post(sealing.sealed(reading(1), reading(2))).status_code == 202
    answer = sealing.post(sealing.sealed(reading(3), sequence=2, key="b"))
    assert (answer.status_code, slug(answer)) == (507, "backlog-full")
    monkeypatch.undo()
    few = sealing.door.grant(sealing.pod_id, sealing.client, vault=sealing.vault, quota_per_day=1)
    sealing.grant, sealing.pinned = few, None
    answer = sealing.post(sealing.sealed(reading(1), reading(2)))
    assert slug(answer) == "quota-exceeded"


def test_an_open_pods_partner_may_seal_too_and_the_agent_merges(sealing, reading):
    pods.leave_pod_open(sealing.host, sealing.vault)
    assert sealing.post(sealing.sealed(reading(1))).status_code == 202
    from dashboard.unlocking import tend_open_pods

    assert tend_open_pods(sealing.host) == 1
    assert [one["@id"] for one in sealing.raws()] == ["reading:1"]
    assert tend_open_pods(sealing.host) == 0


def test_the_municipalitys_limit_on_kinds_reaches_what_nobody_could_read_on_the_way(door, city, sealing, reading):
    sealing.grant = door.grant(
        sealing.pod_id, sealing.client, kinds=frozenset({"electricity-reading", "transit-trip"}),
        vault=sealing.vault,
    )  # fmt: skip
    sealing.pinned = read_inbox(sealing.statement()["statement"], pinned=None).citizen_key
    partner_id = sealing.client.client_id
    statement = sealing.sealed(reading(1), sequence=1)
    other = sealing.sealed(reading(2), sequence=2, key="second")
    assert sealing.post(statement).status_code == 202
    by = By("operator", "Kommunen")
    partner_standing.limit(sealing.host, partner_id, Limits(kinds=frozenset({"transit-trip"})), by=by)
    merged = sealing.merge()
    assert merged == (1, 0, 0), "it was accepted before, and what it holds may be taken in no more"
    assert sealing.raws() == []
    partner_standing.limit(sealing.host, partner_id, Limits(kinds=frozenset({"waste-collection"})), by=by)
    refused = sealing.post(other)
    assert (refused.status_code, slug(refused)) == (403, "kind-barred")


def test_the_library_needs_no_server_to_be_loaded():
    """What a partner installs: sealing.py alone brings in neither the web framework nor the database."""
    program = (
        "import sys, partner_bridge.sealing;"
        "print([name for name in ('flask', 'sqlite3', 'granian', 'pyld', 'pyoxigraph') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

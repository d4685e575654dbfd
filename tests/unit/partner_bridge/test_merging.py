"""Deliveries to a locked pod: accepted, recognised, and merged when it opens, in order and once."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import get_args

import msgspec
import pytest
from deliveries import (
    CITIZEN,
    GrantedPartner,
    add_partner,
    deliver,
    granted,
    owner_permit,
    permit_again,
    reading,
    readings,
)

from consent.grant import GrantTerms
from partner_bridge.merging import merge_waiting
from pod_server import feed, grants, inboxes, merging, pods, resealing
from pod_server.activities import Delivery, SegmentBody, append, read_activities, read_segments
from pod_server.errors import BacklogFull
from pod_server.inboxes import Inbox
from pod_server.log import ledger
from pod_server.log.verification import verify_segments
from pod_server.opening import open_pod
from pod_server.vault.inbox import InboxKey
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from pod_server.vault.vault import unlock_with_passphrase

WORDS, CHEAP = Passphrase("tolv små katter"), Argon2Cost(64, 1, 1)


class Died(BaseException):
    """As if the process ended here."""


class Locked:
    """A pod with some history under two grants, locked."""

    def __init__(self, city) -> None:
        self.host, self.clock = city.host, city.clock
        made = city.citizen("kari")
        self.pod_id, self.vault = made.pod_id, made.vault
        self.power, self.bus = granted(self.host, self.pod_id), granted(self.host, self.pod_id, name="AtB")
        assert deliver(self.host, self.power.permit, readings(0, 3)) == ["accepted"] * 3
        self.vault = pods.lock_pod(self.host, self.vault, WORDS, cost=CHEAP).vault

    def deliver(self, *records, partner=None) -> list[str]:
        partner = partner or self.power
        return deliver(self.host, permit_again(self.host, partner.partner, partner.grant), list(records))

    def merge(self, **options: object):
        return merge_waiting(self.host, self.vault, **options)

    def own(self):
        return open_pod(self.host, owner_permit(self.vault), vault=self.vault)

    def raws(self) -> list[bytes]:
        return [one.raw for one in read_activities(self.host, self.own())]

    def waiting(self) -> int:
        with self.host.storage.read() as tx:
            return inboxes.count_waiting(tx, self.pod_id).records

    def agrees(self) -> int:
        with self.host.storage.read() as tx:
            return verify_segments(tx, self.vault, self.pod_id)

    def actions(self) -> list[tuple[str, str, int]]:
        with self.host.storage.read() as tx:
            entries = [entry.event for entry in ledger.all_events(tx, self.vault, self.pod_id)][::-1]
        return [(event.action, event.outcome, event.count) for event in entries]


@pytest.fixture
def kari(city):
    return Locked(city)


def test_a_delivery_to_a_locked_pod_waits_and_duplicates_conflicts_and_corrections_are_recognised(kari):
    """Against what lay in the pod, against what waits, and within one delivery."""
    assert kari.deliver(reading(2), reading(3), reading(3), reading(1, 9.0)) == [
        "duplicate",
        "pending",
        "duplicate",
        "conflict",
    ]
    assert kari.deliver(reading(3), reading(3, 4.0), reading(3, 5.0, correction=True)) == [
        "duplicate",
        "conflict",
        "pending",
    ]
    assert kari.deliver(reading(3), reading(3, 5.0, correction=True)) == ["duplicate", "duplicate"]
    assert kari.waiting() == 2
    assert kari.actions().count(("append", "pending", 1)) == 2
    assert kari.agrees() == 1


def test_what_waits_is_merged_in_order_once_with_the_feed_the_log_and_corrections(kari):
    for number in range(3, 50):
        assert kari.deliver(reading(number)) == ["pending"]
    assert kari.deliver(reading(1, 9.0, correction=True)) == ["pending"]
    assert kari.deliver(reading(0, meter="bus"), partner=kari.bus) == ["pending"]
    with kari.host.storage.read() as tx:
        before = feed.position(tx, kari.pod_id)
    assert kari.merge() == merging.Merged(49, 49, 0)
    assert kari.merge() == merging.Merged()
    assert kari.waiting() == 0
    assert len(kari.raws()) == 51
    assert reading(1, 9.0, correction=True).raw in kari.raws()
    assert reading(1).raw not in kari.raws()
    assert kari.agrees() == 50
    with kari.host.storage.read() as tx:
        assert feed.position(tx, kari.pod_id) == (before[0], before[1] + 49)
        ordinals = [
            ordinal
            for (ordinal,) in tx.all("SELECT ordinal FROM segment WHERE grant_id = ? ORDER BY seq", (kari.power.grant,))
        ]
    assert ordinals == list(range(1, 50))
    merged = [count for action, outcome, count in kari.actions() if (action, outcome) == ("merge", "done")]
    assert sum(merged) == 49
    assert len(merged) < 8, "one leaf a run, not one a delivery"
    received = {segment.received for segment in read_segments(kari.host, kari.own())}
    assert received == {kari.clock.now()}
    assert kari.deliver(reading(7), reading(1)) == ["duplicate", "duplicate"]


@pytest.mark.parametrize("step", get_args(merging.Step))
@pytest.mark.parametrize("time", [1, 2])
def test_a_merge_that_stops_at_any_step_is_finished_by_the_next(kari, step, time):
    for number in range(3, 40):
        kari.deliver(reading(number))
    count = 0

    def die(at: str) -> None:
        nonlocal count
        count += at == step
        if count == time:
            raise Died

    with pytest.raises(Died):
        kari.merge(at_step=die)
    kari.merge()
    assert kari.waiting() == 0
    assert len(kari.raws()) == 40
    assert kari.agrees() == 38


def test_two_sessions_that_merge_at_once_merge_each_delivery_once(kari):
    for number in range(3, 60):
        kari.deliver(reading(number))
    other = unlock_with_passphrase(kari.host.host_key, kari.host.key_store, kari.pod_id, WORDS)
    done = []
    sessions = [
        threading.Thread(target=lambda vault=vault: done.append(merge_waiting(kari.host, vault)))
        for vault in (kari.vault, other)
    ]
    for session in sessions:
        session.start()
    for session in sessions:
        session.join()
    kari.merge()
    assert sum(each.deliveries for each in done) <= 57
    assert len(kari.raws()) == 60
    assert kari.agrees() == 58


def test_what_was_acknowledged_before_a_withdrawal_is_merged_and_nothing_after_it_comes_in(kari):
    assert kari.deliver(reading(3)) == ["pending"]
    grants.withdraw(kari.host, kari.pod_id, kari.power.grant, actor=CITIZEN)
    assert deliver(kari.host, kari.power.permit, [reading(4)]) == ["refused"]
    kari.merge()
    assert reading(3).raw in kari.raws()
    assert reading(4).raw not in kari.raws()


def test_an_erasure_drops_what_waits_at_once_and_without_the_citizens_keys(kari):
    kari.deliver(reading(3), reading(4))
    kari.deliver(reading(0, meter="bus"), partner=kari.bus)
    grants.erase(kari.host, kari.pod_id, kari.power.grant, actor=CITIZEN)
    with kari.host.storage.read() as tx:
        assert tx.all("SELECT grant_id FROM pending_delivery") == [(kari.bus.grant,)]
        assert inboxes.find_inbox(tx, kari.pod_id, kari.power.grant) is None
    kari.merge()
    assert kari.raws() == [reading(0, meter="bus").raw]


def test_an_erasure_in_the_middle_of_a_merge_leaves_nothing_of_the_partner(kari):
    kari.deliver(reading(3))

    def erase(step: str) -> None:
        if step == "opened":
            grants.erase(kari.host, kari.pod_id, kari.power.grant, actor=CITIZEN)

    kari.merge(at_step=erase)
    assert kari.raws() == []
    with kari.host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM segment") == (0,)


@pytest.mark.parametrize(
    ("limit", "value"), [("RECORDS_OF_A_GRANT", 3), ("BYTES_OF_A_GRANT", 300), ("BYTES_OF_A_POD", 300)]
)
def test_a_full_backlog_refuses_the_delivery_whole_and_a_merge_makes_room(kari, monkeypatch, limit, value):
    monkeypatch.setattr(inboxes, limit, value)
    assert kari.deliver(reading(3), reading(4)) == ["pending"] * 2
    permit = permit_again(kari.host, kari.power.partner, kari.power.grant)
    (outcome,) = append(kari.host, [Delivery(permit, readings(5, 20))])
    assert isinstance(outcome.refusal, BacklogFull)
    assert {record.status for record in outcome.records} == {"refused"}
    assert kari.actions()[-1] == ("append", "backlog-full", 20)
    assert kari.waiting() == 2
    kari.merge()
    monkeypatch.undo()
    assert kari.deliver(*readings(5, 20)) == ["pending"] * 20


def test_the_days_quota_holds_for_what_waits_too(kari):
    small = given_while_locked(kari, quota_per_day=3)
    assert kari.deliver(*readings(0, 5), partner=small) == ["pending"] * 3 + ["refused"] * 2
    kari.merge()
    assert kari.deliver(reading(3), partner=small) == ["refused"]
    kari.clock.advance(timedelta(days=1))
    assert kari.deliver(reading(3), partner=small) == ["pending"]


def test_after_the_pod_was_left_open_what_waits_comes_first(kari):
    """A correction must not come before what it corrects."""
    assert kari.deliver(reading(3)) == ["pending"]
    pods.leave_pod_open(kari.host, kari.vault)
    assert kari.deliver(reading(3, 5.0, correction=True)) == ["pending"]
    kari.merge()
    assert kari.deliver(reading(4)) == ["accepted"]
    assert reading(3, 5.0, correction=True).raw in kari.raws()
    assert len(kari.raws()) == 5
    assert kari.agrees() == 4


def test_deliveries_beside_locking_merging_and_sealing_anew_are_each_there_once(kari):
    """A partner delivers without pause while its citizen locks, opens, renews keys and signs in."""
    pods.leave_pod_open(kari.host, kari.vault)
    stop, failures, answered = threading.Event(), [], []

    def write() -> None:
        number = 100
        try:
            while not stop.is_set():
                number += 1
                answered.append((number, *kari.deliver(reading(number))))
        except BaseException as failure:  # noqa: BLE001 - told below
            failures.append(failure)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2):
            kari.vault = pods.lock_pod(kari.host, kari.vault, WORDS, cost=CHEAP).vault
            kari.merge()
            resealing.reseal(kari.host, kari.vault, rest=lambda _: None)
            pods.leave_pod_open(kari.host, kari.vault)
            kari.merge()
    finally:
        stop.set()
        writer.join()
    kari.merge()
    assert failures == []
    assert len(answered) > 5
    assert {status for _, status in answered} <= {"accepted", "pending"}
    raws = kari.raws()
    assert len(raws) == len(set(raws)) == 3 + len(answered)
    assert kari.agrees() == 1 + len(answered)


def test_a_row_slipped_into_an_inbox_is_set_aside_and_named(kari):
    """HPKE lets anybody seal who has the public key; the log's entry tells which delivery was acknowledged."""
    kari.deliver(reading(3))
    with kari.host.storage.write() as tx:
        inbox = inboxes.find_inbox(tx, kari.pod_id, kari.power.grant)
        # Well formed, and sealed with the right key: only the log knows that nobody delivered it.
        body = msgspec.msgpack.encode(SegmentBody(["electricity-reading"], [0], [reading(99).raw]))
        forged = inboxes.seal_for(inbox, 2, body)
        tx.execute("UPDATE pending_delivery SET sealed = ?", (forged,))
    kari.deliver(reading(4))
    assert kari.merge() == merging.Merged(1, 1, 1)
    assert reading(4).raw in kari.raws()
    assert reading(99).raw not in kari.raws()
    assert ("merge", "unreadable-data", 1) in kari.actions()
    assert kari.merge() == merging.Merged()
    with kari.host.storage.read() as tx:
        assert inboxes.count_waiting(tx, kari.pod_id).unreadable == 1


def test_an_inbox_key_put_in_by_somebody_else_takes_nothing_from_the_pod_unnoticed(kari):
    """The host's own row was changed: what was sealed to it opens with none of the pod's keys."""
    with kari.host.storage.write() as tx:
        tx.execute(
            "UPDATE grant_inbox SET public_key = ? WHERE grant_id = ?",
            (InboxKey(bytes(range(32))).public_key, kari.power.grant),
        )
    assert kari.deliver(reading(3)) == ["pending"]
    assert kari.merge() == merging.Merged(0, 0, 1)
    assert ("merge", "unreadable-data", 1) in kari.actions()


def given_while_locked(kari, **options):
    """A consent that the signed-in citizen of a locked pod gives."""
    partner, now = add_partner(kari.host, "New"), kari.host.clock.now()
    terms = GrantTerms(
        client_id=partner.client_id,
        purpose="personal-footprint",
        kinds=frozenset({"electricity-reading"}),
        operations=frozenset({"append"}),
        granularity="event",
        history_from=now - timedelta(days=800),
        expires_at=now + timedelta(days=300),
        **options,
    )
    grant = grants.give(kari.host, kari.pod_id, terms, actor=CITIZEN, vault=kari.vault)
    permit = permit_again(kari.host, partner, grant.id)
    return GrantedPartner(partner, grant.id, permit)


def test_consents_given_while_the_pod_is_locked_take_deliveries_in_too(kari):
    assert kari.deliver(reading(3), partner=given_while_locked(kari)) == ["pending"]
    assert kari.merge().records == 1


def test_a_pod_closed_by_its_operator_takes_deliveries_in_too(city):
    made = city.citizen("ola", passphrase=WORDS)
    partner = granted(city.host, made.pod_id)
    pods.close_to_host(city.host, made.pod_id)
    assert deliver(city.host, partner.permit, [reading(0)]) == ["pending"]
    assert merge_waiting(city.host, made.vault).records == 1


def test_what_was_sealed_to_an_older_inbox_key_is_merged_after_new_keys(kari):
    assert kari.deliver(reading(3)) == ["pending"]
    kari.vault = pods.renew_keys(kari.host, kari.vault, WORDS, cost=CHEAP).vault
    assert kari.deliver(reading(4)) == ["pending"]
    resealing.reseal(kari.host, kari.vault, rest=lambda _: None)
    kari.clock.advance(resealing.KEPT_FOR * 2)
    resealing.retire_due(kari.host)
    assert kari.merge() == merging.Merged(2, 2, 0)
    assert {reading(3).raw, reading(4).raw} <= set(kari.raws())
    assert resealing.retire_due(kari.host) > 0


def test_an_inbox_prints_no_private_key():
    assert "private" not in repr(Inbox(1, "g", 1, b"", "", 0, 0))

"""Taking activities in: what is new, what is there already, what contradicts, and what the law says in the transaction."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from deliveries import CITIZEN, add_partner, deliver, granted, owner_permit, reading, readings

from pod_server import feed, grants
from pod_server.activities import RECORDS_PER_SEGMENT, Delivery, append, count_records, read_activities, read_segments
from pod_server.authorization import enforcement
from pod_server.authorization.errors import (
    ConsentChanged,
    ConsentErased,
    ConsentPaused,
    ConsentWithdrawn,
    QuotaExceeded,
)
from pod_server.errors import PermitExceeded, RecordConflict
from pod_server.log import ledger
from pod_server.log.verification import verify_stored
from pod_server.opening import OpenPod, custodian_vault, open_pod
from pod_server.vault.errors import PodLocked


@pytest.fixture
def kari(city):
    return city.citizen("kari")


@pytest.fixture
def strommen(host, kari):
    return granted(host, kari.pod_id)


def stored(host, pod, **choice) -> list[bytes]:
    opened = open_pod(host, owner_permit(pod.vault), vault=pod.vault)
    return [activity.raw for activity in read_activities(host, opened, **choice)]


def log_of(host, pod) -> list[tuple[str, str, int]]:
    """(action, outcome, count) of the log's events, the oldest first."""
    with host.storage.read() as tx:
        events = ledger.read_events(tx, pod.vault, pod.pod_id, limit=100)
    return [(logged.event.action, logged.event.outcome, logged.event.count) for logged in reversed(events)]


def use_of(host, pod, grant) -> tuple[int, int, int]:
    with host.storage.read() as tx:
        return tx.one(
            "SELECT SUM(accepted), SUM(duplicates), SUM(refused) FROM consent_use WHERE pod_id = ? AND grant_id = ?",
            (pod.pod_id, grant),
        )


def test_what_is_delivered_is_read_back_byte_for_byte(host, kari, strommen):
    records = readings(0, 24)
    assert deliver(host, strommen.permit, records) == ["accepted"] * 24
    assert stored(host, kari) == [record.raw for record in records]


def test_the_same_content_again_is_a_duplicate_and_writes_no_segment(host, kari, strommen):
    deliver(host, strommen.permit, readings(0, 5))
    log_before = log_of(host, kari)
    assert deliver(host, strommen.permit, readings(0, 5)) == ["duplicate"] * 5
    assert len(stored(host, kari)) == 5
    assert log_of(host, kari) == log_before
    assert use_of(host, kari, strommen.grant) == (5, 5, 0)


def test_the_same_id_with_other_content_is_a_conflict_and_the_earlier_stands(host, kari, strommen):
    deliver(host, strommen.permit, [reading(0, 1.0)])
    (outcome,) = append(host, [Delivery(strommen.permit, [reading(0, 9.0), reading(1)])])
    assert [record.status for record in outcome.records] == ["conflict", "accepted"]
    assert isinstance(outcome.records[0].error, RecordConflict)
    assert stored(host, kari) == [reading(0, 1.0).raw, reading(1).raw]
    assert log_of(host, kari)[-1] == ("append", "record-conflict", 1)
    assert use_of(host, kari, strommen.grant) == (2, 0, 1)


def test_a_declared_correction_replaces_for_readers_and_is_itself_idempotent(host, kari, strommen):
    deliver(host, strommen.permit, [reading(0, 1.0)])
    corrected = reading(0, 2.5, correction=True)
    assert deliver(host, strommen.permit, [corrected]) == ["accepted"]
    assert deliver(host, strommen.permit, [corrected]) == ["duplicate"]
    assert stored(host, kari) == [corrected.raw]


def test_what_was_corrected_is_still_known_when_it_is_sent_again(host, kari, strommen):
    """A partner that replays its whole stream in order must not meet a conflict, nor undo its correction."""
    stream = [reading(0, 1.0), reading(0, 2.0, correction=True), reading(0, 3.0, correction=True)]
    for record in stream:
        assert deliver(host, strommen.permit, [record]) == ["accepted"]
    for record in stream:
        assert deliver(host, strommen.permit, [record]) == ["duplicate"]
    assert deliver(host, strommen.permit, stream) == ["duplicate"] * 3
    assert stored(host, kari) == [stream[2].raw]


def test_the_same_holds_for_a_process_that_starts_anew(host, kari, strommen):
    """What a process knows of a grant it can read again from the segments alone."""
    from pod_server import activities

    stream = [reading(0, 1.0), reading(1, 1.0), reading(0, 2.0, correction=True)]
    assert deliver(host, strommen.permit, stream) == ["accepted"] * 3
    activities._known_of.clear()
    again = [*stream, reading(1, 7.0), reading(2)]
    assert deliver(host, strommen.permit, again) == ["duplicate"] * 3 + ["conflict", "accepted"]


def test_within_one_delivery_later_records_see_the_earlier_ones(host, kari, strommen):
    records = [reading(0, 1.0), reading(0, 1.0), reading(0, 2.0), reading(0, 2.0, correction=True), reading(0, 1.0)]
    assert deliver(host, strommen.permit, records) == ["accepted", "duplicate", "conflict", "accepted", "duplicate"]
    assert stored(host, kari) == [records[3].raw]


def test_two_deliveries_of_one_grant_in_one_call_count_once(host, kari, strommen):
    first, second = append(host, [Delivery(strommen.permit, readings(0, 3)), Delivery(strommen.permit, readings(1, 3))])
    assert [record.status for record in first.records] == ["accepted"] * 3
    assert [record.status for record in second.records] == ["duplicate", "duplicate", "accepted"]
    assert len(stored(host, kari)) == 4


def test_the_same_id_under_two_grants_is_two_records(host, kari, strommen):
    other = granted(host, kari.pod_id, name="Nettselskapet")
    assert deliver(host, strommen.permit, [reading(0)]) == ["accepted"]
    assert deliver(host, other.permit, [reading(0)]) == ["accepted"]
    assert len(stored(host, kari)) == 2


def test_another_writer_of_the_same_grant_is_noticed_inside_the_transaction(host, kari, strommen):
    """Two processes prepared the same records; the one that comes second learns of the first before it writes."""
    from weakref import WeakKeyDictionary

    from pod_server import activities

    deliver(host, strommen.permit, [reading(0)])
    other_process = WeakKeyDictionary()
    mine = activities._known_of

    def other_delivers_first(step):
        if step != "sealed":
            return
        activities._known_of = other_process
        try:
            assert deliver(host, strommen.permit, [reading(1), reading(2, 5.0)]) == ["accepted"] * 2
        finally:
            activities._known_of = mine

    records = [reading(1), reading(2, 6.0), reading(3)]
    assert deliver(host, strommen.permit, records, at_step=other_delivers_first) == [
        "duplicate",
        "conflict",
        "accepted",
    ]
    assert stored(host, kari) == [reading(0).raw, reading(1).raw, reading(2, 5.0).raw, reading(3).raw]


def test_a_great_delivery_becomes_several_segments_with_one_outcome(host, kari, strommen):
    count = RECORDS_PER_SEGMENT * 2 + 10
    (outcome,) = append(host, [Delivery(strommen.permit, readings(0, count))])
    assert outcome.count("accepted") == len(outcome.records) == count
    opened = open_pod(host, owner_permit(kari.vault))
    segments = read_segments(host, opened)
    assert [len(segment.records) for segment in segments] == [RECORDS_PER_SEGMENT, RECORDS_PER_SEGMENT, 10]
    assert outcome.segment_seq == segments[-1].seq


def test_an_empty_delivery_is_nothing(host, kari, strommen):
    (outcome,) = append(host, [Delivery(strommen.permit, [])])
    assert outcome.records == ()
    assert outcome.segment_seq is None
    assert append(host, []) == []


@pytest.mark.parametrize(
    ("change", "error"), [("withdraw", ConsentWithdrawn), ("pause", ConsentPaused), ("erase", ConsentErased)]
)
def test_a_permit_made_before_the_citizen_changed_her_mind_writes_nothing(host, kari, strommen, change, error):
    deliver(host, strommen.permit, [reading(0)])
    getattr(grants, change)(host, kari.pod_id, strommen.grant, actor=CITIZEN)
    before = stored(host, kari)
    (outcome,) = append(host, [Delivery(strommen.permit, readings(1, 2))])
    assert [record.status for record in outcome.records] == ["refused", "refused"]
    assert isinstance(outcome.refusal, error)
    assert all(record.error is outcome.refusal for record in outcome.records)
    assert stored(host, kari) == before
    assert log_of(host, kari)[-1][::2] == ("append", 2)
    assert log_of(host, kari)[-1][1].startswith("consent-")


def test_a_permit_made_before_the_consent_was_narrowed_writes_nothing_and_the_next_one_does(host, kari, strommen):
    grants.narrow(host, kari.pod_id, strommen.grant, actor=CITIZEN, kinds=frozenset({"electricity-reading"}))
    (outcome,) = append(host, [Delivery(strommen.permit, readings(1, 2))])
    assert isinstance(outcome.refusal, ConsentChanged)
    anew = enforcement.require_grant(
        host, strommen.partner, strommen.grant, {"electricity-reading"}, "append", host.clock.now()
    )
    assert deliver(host, anew, [reading(1)]) == ["accepted"]


def test_after_its_expiry_a_grant_takes_nothing_in(host, city, kari, strommen):
    city.clock.advance(timedelta(days=301))
    assert deliver(host, strommen.permit, [reading(0)]) == ["refused"]


def test_one_refused_grant_does_not_hold_up_its_neighbours(host, city, kari, strommen):
    ola = city.citizen("ola")
    other = granted(host, ola.pod_id, partner=strommen.partner)
    grants.withdraw(host, kari.pod_id, strommen.grant, actor=CITIZEN)
    outcomes = append(host, [Delivery(strommen.permit, [reading(0)]), Delivery(other.permit, [reading(0)])])
    assert [outcome.records[0].status for outcome in outcomes] == ["refused", "accepted"]


def test_the_days_quota_takes_what_fits_and_refuses_the_rest(host, city, kari):
    small = granted(host, kari.pod_id, quota_per_day=5)
    assert deliver(host, small.permit, readings(0, 3)) == ["accepted"] * 3
    (outcome,) = append(host, [Delivery(small.permit, [reading(0), *readings(3, 4)])])
    statuses = [record.status for record in outcome.records]
    assert statuses == ["duplicate", "accepted", "accepted", "refused", "refused"]
    assert isinstance(outcome.records[-1].error, QuotaExceeded)
    assert log_of(host, kari)[-1] == ("append", "quota-exceeded", 2)
    city.clock.advance(timedelta(days=1))
    assert deliver(host, small.permit, readings(5, 2)) == ["accepted"] * 2
    assert len(stored(host, kari)) == 7


def test_nothing_is_taken_in_when_its_leaf_cannot_be_written(host, kari, strommen, monkeypatch):
    """Point 33 of the consent checklist, at the partners' door."""
    deliver(host, strommen.permit, [reading(0)])
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "append", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            append(host, [Delivery(strommen.permit, [reading(1)])])
    assert len(stored(host, kari)) == 1
    assert use_of(host, kari, strommen.grant) == (1, 0, 0)
    assert deliver(host, strommen.permit, [reading(1)]) == ["accepted"]


def test_a_locked_pod_refuses_and_its_log_says_so(host, kari, strommen):
    deliver(host, strommen.permit, [reading(0)])
    host.key_store.remove_slot(kari.pod_id, "custodian")
    (outcome,) = append(host, [Delivery(strommen.permit, [reading(1)])])
    assert isinstance(outcome.refusal, PodLocked)
    assert log_of(host, kari)[-1] == ("append", "pod-locked", 1)
    assert len(stored(host, kari)) == 1


@pytest.mark.parametrize("change", [{"authority": "owner"}, {"grant": None}, {"operations": frozenset({"read"})}])
def test_only_a_grants_permit_to_append_appends(host, strommen, change):
    with pytest.raises(PermitExceeded):
        append(host, [Delivery(replace(strommen.permit, **change), [reading(0)])])


def test_a_kind_outside_the_permit_stops_the_call_before_anything_is_written(host, city, kari):
    groceries = granted(host, kari.pod_id, kinds=frozenset({"grocery-line"}))
    with pytest.raises(PermitExceeded):
        append(host, [Delivery(groceries.permit, [reading(0)])])
    assert stored(host, kari) == []


def test_the_leaf_commits_to_the_segments_ciphertext(host, kari, strommen):
    (outcome,) = append(host, [Delivery(strommen.permit, readings(0, 3))])
    with host.storage.read() as tx:
        sealed, log_index = tx.one("SELECT sealed, log_index FROM segment WHERE pod_id = ?", (kari.pod_id,))
        logged = ledger.read_events(tx, kari.vault, kari.pod_id, limit=1)[0]
        verify_stored(tx, kari.pod_id)
    assert logged.index == log_index == outcome.log_index
    assert logged.event.detail["sha256"] == hashlib.sha256(sealed).hexdigest()
    assert (logged.event.count, logged.event.grant) == (3, strommen.grant)
    assert logged.event.actor.name == "Strømmen AS"


def test_what_is_taken_in_is_on_the_feed_and_announced(host, kari, strommen):
    with host.signal.listen() as ear:
        deliver(host, strommen.permit, [reading(0)])
        assert ear.wait(30) == {kari.pod_id}
        deliver(host, strommen.permit, [reading(0)])
        assert ear.wait(0.05) == set()
    with host.storage.read() as tx:
        cursor, head = feed.position(tx, kari.pod_id)
        assert head > cursor
        assert count_records(tx, kari.pod_id) == 1


def test_keys_kept_in_memory_do_not_outlive_the_custodian_slot(host, kari):
    vault = custodian_vault(host, kari.pod_id)
    assert custodian_vault(host, kari.pod_id) is vault
    host.key_store.remove_slot(kari.pod_id, "custodian")
    with pytest.raises(PodLocked):
        custodian_vault(host, kari.pod_id)
    assert isinstance(OpenPod(kari.pod, owner_permit(kari.vault), kari.vault).pod_id, int)


def test_a_delivery_for_another_partners_grant_has_no_permit_to_come_with(host, kari, strommen):
    from pod_server.authorization import enforcement
    from pod_server.authorization.errors import NoSuchGrant

    stranger = add_partner(host, "En annen")
    with pytest.raises(NoSuchGrant):
        enforcement.require_grant(host, stranger, strommen.grant, (), "append", host.clock.now())

"""Reading activities: who sees which grant's, corrections across periods, segments that were meddled with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from deliveries import CITIZEN, FIRST_HOUR, deliver, granted, owner_permit, reading, readings

from pod_server import grants
from pod_server.activities import Record, previous_version, read_activities, read_segments
from pod_server.authorization import enforcement
from pod_server.errors import NoSuchPod, PermitExceeded
from pod_server.opening import OpenPod, open_pod
from pod_server.vault.errors import Tampered


@pytest.fixture
def kari(city):
    return city.citizen("kari")


@pytest.fixture
def opened(host, kari):
    return open_pod(host, owner_permit(kari.vault), vault=kari.vault)


def moved(record: Record, hours: int) -> Record:
    """A correction that says the same happened at another time."""
    start, end = record.start + timedelta(hours=hours), record.end + timedelta(hours=hours)
    members = json.loads(record.raw) | {"start": start.isoformat(), "end": end.isoformat(), "correction": True}
    return Record(record.id, json.dumps(members).encode(), record.kind, start, end, correction=True)


def test_activities_come_in_order_of_their_start(host, kari, opened):
    partner = granted(host, kari.pod_id)
    for number in (5, 1, 3):
        deliver(host, partner.permit, [reading(number)])
    assert [activity.raw for activity in read_activities(host, opened)] == [reading(n).raw for n in (1, 3, 5)]


def test_a_period_holds_what_starts_in_it(host, kari, opened):
    partner = granted(host, kari.pod_id)
    deliver(host, partner.permit, readings(0, 100))
    chosen = read_activities(host, opened, start=FIRST_HOUR + timedelta(hours=30), end=FIRST_HOUR + timedelta(hours=33))
    assert [activity.raw for activity in chosen] == [reading(n).raw for n in (30, 31, 32)]
    assert list(read_activities(host, opened, kind="grocery-line")) == []


def test_a_correction_that_moves_a_record_moves_it_out_of_its_old_period(host, kari, opened):
    partner = granted(host, kari.pod_id)
    deliver(host, partner.permit, readings(0, 3))
    late = moved(reading(1), 24 * 40)
    assert deliver(host, partner.permit, [late]) == ["accepted"]
    first_day = read_activities(host, opened, start=FIRST_HOUR, end=FIRST_HOUR + timedelta(days=1))
    assert [activity.raw for activity in first_day] == [reading(0).raw, reading(2).raw]
    later = list(read_activities(host, opened, start=FIRST_HOUR + timedelta(days=40)))
    assert [activity.raw for activity in later] == [late.raw]


def test_the_previous_version_is_what_a_correction_replaced(host, kari, opened):
    partner = granted(host, kari.pod_id)
    deliver(host, partner.permit, [reading(0, 1.0), reading(1)])
    deliver(host, partner.permit, [reading(0, 2.0, correction=True)])
    last = read_segments(host, opened)[-1]
    with host.storage.read() as tx:
        before = previous_version(tx, opened, partner.grant, reading(0).id, last.seq)
        assert before is not None
        assert before.raw == reading(0, 1.0).raw
        assert previous_version(tx, opened, partner.grant, "reading/unknown", last.seq) is None


def test_segments_are_read_on_from_a_place_in_the_feed(host, kari, opened):
    partner = granted(host, kari.pod_id)
    for number in range(4):
        deliver(host, partner.permit, [reading(number)])
    first = read_segments(host, opened, limit=3)
    rest = read_segments(host, opened, after_seq=first[-1].seq)
    assert [segment.records[0].id for segment in [*first, *rest]] == [reading(n).id for n in range(4)]
    assert rest[0].received == host.clock.now()


def test_a_partner_who_may_read_sees_its_own_grant_alone(host, kari):
    mine, other = granted(host, kari.pod_id), granted(host, kari.pod_id, name="Nettselskapet")
    deliver(host, mine.permit, [reading(0, meter="mine")])
    deliver(host, other.permit, [reading(0, meter="other")])
    opened = open_pod(host, mine.permit)
    assert [record.id for segment in read_segments(host, opened) for record in segment.records] == ["reading/mine/0"]
    assert [activity.grant for activity in read_activities(host, opened)] == [mine.grant]
    with pytest.raises(PermitExceeded):
        read_segments(host, opened, grant=other.grant)


def test_a_permit_for_public_documents_reads_no_activities(host, kari):
    opened = open_pod(host, enforcement.require_public(kari.pod))
    with pytest.raises(PermitExceeded):
        read_segments(host, opened)
    with pytest.raises(PermitExceeded):
        list(read_activities(host, opened))


def test_an_erased_partners_activities_are_gone_and_the_others_stay(host, kari, opened):
    mine, other = granted(host, kari.pod_id), granted(host, kari.pod_id, name="Nettselskapet")
    deliver(host, mine.permit, [reading(0, meter="mine")])
    deliver(host, other.permit, [reading(0, meter="other")])
    grants.erase(host, kari.pod_id, mine.grant, actor=CITIZEN)
    fresh = open_pod(host, opened.permit)
    assert [activity.grant for activity in read_activities(host, fresh)] == [other.grant]


def test_a_segment_whose_key_is_gone_is_left_out_before_its_row_is(host, kari):
    """Between the two steps of an erasure: the keys are destroyed, the rows still lie there."""
    mine = granted(host, kari.pod_id)
    deliver(host, mine.permit, [reading(0)])
    host.key_store.destroy_grant(kari.pod_id, mine.grant)
    from pod_server.vault.vault import unlock_with_custodian

    vault = unlock_with_custodian(host.host_key, host.key_store, kari.pod_id)
    assert read_segments(host, OpenPod(kari.pod, owner_permit(vault), vault)) == []


@pytest.mark.parametrize(
    "meddling",
    [
        "UPDATE segment SET sealed = (SELECT sealed FROM segment WHERE ordinal = 2) WHERE ordinal = 1",
        "UPDATE segment SET ordinal = 3 - ordinal + 10",
        "UPDATE segment SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE ordinal = 1",
    ],
)
def test_segments_swapped_renumbered_or_cut_at_rest_do_not_open(host, kari, opened, meddling):
    partner = granted(host, kari.pod_id)
    deliver(host, partner.permit, [reading(0)])
    deliver(host, partner.permit, [reading(1)])
    with host.storage.write() as tx:
        assert tx.execute(meddling) > 0
    with pytest.raises(Tampered):
        read_segments(host, opened)


def test_another_pods_segment_does_not_open_in_mine(host, city, kari, opened):
    ola = city.citizen("ola")
    mine, his = granted(host, kari.pod_id), granted(host, ola.pod_id, name="Nettselskapet")
    deliver(host, mine.permit, [reading(0)])
    deliver(host, his.permit, [reading(1)])
    with host.storage.write() as tx:
        tx.execute(
            "UPDATE segment SET sealed = (SELECT sealed FROM segment WHERE pod_id = ?) WHERE pod_id = ?",
            (ola.pod_id, kari.pod_id),
        )
    with pytest.raises(Tampered):
        read_segments(host, opened)


def test_a_vault_of_another_pod_opens_nothing_here(host, city, kari):
    ola = city.citizen("ola")
    with pytest.raises(PermitExceeded):
        open_pod(host, owner_permit(kari.vault), vault=ola.vault)
    with pytest.raises(NoSuchPod):
        open_pod(host, replace(owner_permit(kari.vault), pod_id=5))

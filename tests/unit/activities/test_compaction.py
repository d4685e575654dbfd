"""Small deliveries merged into packs: every reader sees what it saw before, and nobody gets more or less."""

from __future__ import annotations

import msgspec
import pytest
from deliveries import CITIZEN, deliver, granted, owner_permit, reading, readings
from unit.activities.test_reading import moved

from pod_server import activities, compaction, feed, grants, pods, resealing
from pod_server.activities import (
    Delivery,
    SegmentBody,
    SegmentRow,
    append,
    insert_segment,
    previous_version,
    read_activities,
    read_segments,
    seal_segment,
    segments_after,
)
from pod_server.authorization import enforcement
from pod_server.compaction import compact, compact_block
from pod_server.errors import PermitExceeded
from pod_server.identifiers import Actor
from pod_server.integrity import examine
from pod_server.known_records import KnownRecords
from pod_server.log import ledger
from pod_server.log.errors import LogBroken
from pod_server.log.event import LogEvent
from pod_server.log.verification import verify_segments, verify_stored
from pod_server.merging import run_detail
from pod_server.opening import open_pod
from pod_server.storage.schema_version import columns_of
from pod_server.vault.envelope import Scope

BLOCK = ledger.RUN_LENGTH


def never_rest(_seconds: float) -> None:
    """The test has no neighbours to be kind to."""


@pytest.fixture
def kari(city):
    return city.citizen("kari")


@pytest.fixture
def opened(host, kari):
    return open_pod(host, owner_permit(kari.vault), vault=kari.vault)


@pytest.fixture
def partner(host, kari):
    return granted(host, kari.pod_id)


def one_by_one(host, permit, first: int, count: int) -> None:
    """So many deliveries of one record each, some calls for all: a chunk holds a grant once."""
    append(host, [Delivery(permit, [reading(number)]) for number in range(first, first + count)])


def as_if_merged(host, kari, partner, count: int) -> None:
    """So many deliveries of one record each in one transaction, told of block by block, as a merge at unlock does."""
    scope = Scope("grant", partner.grant, 1)
    with host.storage.write() as tx:
        for first in range(1, count + 1, BLOCK):
            sealed = {}
            for ordinal in range(first, first + BLOCK):
                one = reading(ordinal)
                body = msgspec.msgpack.encode(SegmentBody([one.kind], [0], [one.raw]))
                sealed[ordinal] = seal_segment(kari.vault, scope, ordinal, body, records=1)
            event = LogEvent(
                at=host.clock.now(),
                actor=Actor("host"),
                action="merge",
                grant=partner.grant,
                count=BLOCK,
                detail=run_detail(list(sealed.items())),
            )
            leaf = ledger.append(tx, kari.pod_id, event)
            for ordinal, one in sealed.items():
                place = (kari.pod_id, partner.grant, 1, ordinal, 0, 20_000, 20_000, 1, 0, leaf, b"", one)
                insert_segment(tx, SegmentRow(*place), seq=feed.next_seq(tx, kari.pod_id, host.clock.now()))


def taken_in(host, pod_id) -> None:
    """As when the agent has summed everything."""
    with host.storage.write() as tx:
        cursor, head = feed.position(tx, pod_id)
        feed.advance(tx, pod_id, head, after=cursor)


def rows(host, pod_id) -> list[tuple[int, int, int]]:
    with host.storage.read() as tx:
        return tx.all(
            "SELECT first_ordinal, ordinal, records FROM segment WHERE pod_id = ? ORDER BY grant_id, ordinal", (pod_id,)
        )


def forget_marks() -> None:
    """As a process that has just started."""
    for storage in list(activities._known_of):
        activities._known_of[storage] = KnownRecords()


def seen(host, opened):
    """What each reader gets: deliveries with their numbers and times, activities as they stand, the months."""
    segments = read_segments(host, opened, limit=10_000)
    in_order = sorted(
        (each.seq, each.grant, each.received, [(r.kind, r.raw) for r in each.records]) for each in segments
    )
    return in_order, list(read_activities(host, opened)), activities.list_months(host, opened)


def test_readers_see_the_same_before_and_after_and_everything_verifies(host, kari, opened, partner):
    other = granted(host, kari.pod_id, name="Kiwi AS")
    for start in range(0, BLOCK, 8):  # two grants whose deliveries alternate in the feed
        one_by_one(host, partner.permit, start, 8)
        one_by_one(host, other.permit, 100 + start, 8)
    assert deliver(host, partner.permit, [moved(reading(3), 24 * 40)]) == ["accepted"]  # in the next block
    one_by_one(host, partner.permit, 40, 5)
    before = seen(host, opened)
    taken_in(host, kari.pod_id)
    assert compact(host, rest=never_rest) == (2 * BLOCK, 2)
    assert [row for row in rows(host, kari.pod_id) if row[0]] == [(1, BLOCK, BLOCK)] * 2
    assert seen(host, opened) == before
    assert examine(host, kari.vault, kari.pod_id).damages == ()
    with host.storage.read() as tx:
        assert verify_stored(tx, kari.pod_id).size > BLOCK
        assert verify_segments(tx, kari.vault, kari.pod_id) == 2 + 6
        newest = ledger.read_events(tx, kari.vault, kari.pod_id, limit=1)[0].event
    assert newest.action == "compact"
    assert (newest.detail["first"], newest.detail["last"], newest.count) == (1, BLOCK, BLOCK)
    assert compact(host, rest=never_rest) == (0, 0), "what is packed is not packed again"


def test_what_was_delivered_is_known_and_corrected_after_the_packing_as_before(host, kari, opened, partner):
    one_by_one(host, partner.permit, 0, BLOCK - 1)
    assert deliver(host, partner.permit, [moved(reading(0), 1)]) == ["accepted"]
    taken_in(host, kari.pod_id)
    assert compact(host, rest=never_rest).packs == 1
    for forgotten in (False, True):
        if forgotten:
            forget_marks()
        assert deliver(host, partner.permit, readings(0, BLOCK - 1)) == ["duplicate"] * (BLOCK - 1)
        assert deliver(host, partner.permit, [moved(reading(0), 1)]) == ["duplicate"]
    correction = moved(reading(5), 2)
    assert deliver(host, partner.permit, [correction]) == ["accepted"]
    newest = read_segments(host, opened, limit=1000)[-1]
    with host.storage.read() as tx:
        assert previous_version(tx, opened, partner.grant, correction.id, newest.seq).raw == reading(5).raw
        # Within a pack, too: what the record said before its correction there.
        corrected_at = next(
            each.seq for each in segments_after(tx, opened, limit=1000) for r in each.records if r.correction
        )
        assert previous_version(tx, opened, partner.grant, reading(0).id, corrected_at).raw == reading(0).raw


def test_the_agent_finds_everything_that_it_has_not_taken_in(host, kari, opened, partner):
    one_by_one(host, partner.permit, 0, BLOCK)
    assert compact(host, rest=never_rest) == (0, 0), "the agent has not seen them"
    taken_in(host, kari.pod_id)
    one_by_one(host, partner.permit, BLOCK, 2)
    with host.storage.read() as tx:
        cursor, _ = feed.position(tx, kari.pod_id)
    assert compact(host, rest=never_rest).packs == 1
    with host.storage.read() as tx:
        assert [len(each.records) for each in segments_after(tx, opened, after_seq=cursor)] == [1, 1]


def test_a_pack_holds_one_grants_records_of_one_epoch_in_whole_blocks(host, kari, partner):
    one_by_one(host, partner.permit, 0, BLOCK - 1)
    taken_in(host, kari.pod_id)
    assert compact(host, rest=never_rest) == (0, 0), "the block is not full"
    renewed = pods.renew_keys(host, kari.vault, None).vault
    one_by_one(host, partner.permit, BLOCK - 1, 1)
    taken_in(host, kari.pod_id)
    assert compact(host, rest=never_rest) == (0, 0), "two epochs"
    assert resealing.reseal(host, renewed, rest=never_rest)
    assert compact(host, rest=never_rest) == (BLOCK, 1)
    again = pods.renew_keys(host, renewed, None).vault
    one_by_one(host, partner.permit, BLOCK, 1)
    assert resealing.reseal(host, again, rest=never_rest), "a pack is sealed anew like any delivery"
    assert examine(host, again, kari.pod_id).damages == ()
    opened = open_pod(host, owner_permit(again), vault=again)
    assert len(list(read_activities(host, opened))) == BLOCK + 1


def test_large_deliveries_stay_as_they_are(host, kari, partner, monkeypatch):
    monkeypatch.setattr(compaction, "MOST_RECORDS", BLOCK)
    one_by_one(host, partner.permit, 0, BLOCK - 1)
    assert set(deliver(host, partner.permit, readings(100, 2))) == {"accepted"}
    taken_in(host, kari.pod_id)
    assert compact(host, rest=never_rest) == (0, 0)


def test_packs_are_packed_once_more(host, kari, opened, partner):
    """Of single readings a thousand become one row."""
    as_if_merged(host, kari, partner, BLOCK * BLOCK)
    before = seen(host, opened)[1]
    assert len(before) == BLOCK * BLOCK
    assert examine(host, kari.vault, kari.pod_id).damages == ()
    taken_in(host, kari.pod_id)
    assert compact(host, rest=never_rest) == (BLOCK * BLOCK + BLOCK, BLOCK + 1)
    assert rows(host, kari.pod_id) == [(1, BLOCK * BLOCK, BLOCK * BLOCK)]
    assert seen(host, opened)[1] == before
    assert examine(host, kari.vault, kari.pod_id).damages == ()


def test_a_locked_pod_and_an_erased_consent_are_left_alone(host, kari, partner):
    one_by_one(host, partner.permit, 0, BLOCK)
    taken_in(host, kari.pod_id)
    slot = host.key_store.slot(kari.pod_id, "custodian")
    host.key_store.remove_slot(kari.pod_id, "custodian")
    assert compact(host, rest=never_rest) == (0, 0), "nobody but its citizen can open what is in it"
    host.key_store.put_slot(kari.pod_id, slot)
    grants.withdraw(host, kari.pod_id, partner.grant, actor=CITIZEN)
    assert compact(host, rest=never_rest) == (BLOCK, 1), (
        "what was acknowledged before a withdrawal stays, packed or not"
    )
    grants.erase(host, kari.pod_id, partner.grant, actor=CITIZEN)
    assert rows(host, kari.pod_id) == []
    assert compact_block(host, kari.pod_id, partner.grant, 1, BLOCK) == 0


def test_a_partner_reads_its_own_packs_alone(host, kari, partner):
    other = granted(host, kari.pod_id, name="Kiwi AS")
    one_by_one(host, partner.permit, 0, BLOCK)
    one_by_one(host, other.permit, 500, BLOCK)
    taken_in(host, kari.pod_id)
    assert compact(host, rest=never_rest).packs == 2
    permit = enforcement.require_grant(host, other.partner, other.grant, (), "read", host.clock.now())
    own = open_pod(host, permit, vault=kari.vault)
    assert {each.grant for each in read_segments(host, own, limit=1000)} == {other.grant}
    with pytest.raises(PermitExceeded):
        read_segments(host, own, grant=partner.grant)


@pytest.mark.parametrize("change", ["first_ordinal = 2", "ordinal = 33", "first_ordinal = 0"])
def test_a_pack_whose_row_says_another_place_does_not_open(host, kari, partner, change):
    one_by_one(host, partner.permit, 0, BLOCK)
    taken_in(host, kari.pod_id)
    compact(host, rest=never_rest)
    with host.storage.write() as tx:
        tx.execute(f"UPDATE segment SET {change} WHERE pod_id = ?", (kari.pod_id,))
    assert next(each.kind for each in examine(host, kari.vault, kari.pod_id).damages) == "unreadable"


def test_deliveries_that_come_back_in_place_of_their_pack_are_noticed(host, kari, partner):
    """A copy of the rows from before the packing, put back: each opens at its place, and the log knows better."""
    one_by_one(host, partner.permit, 0, BLOCK)
    taken_in(host, kari.pod_id)
    with host.storage.read() as tx:
        names = ", ".join(column.name for column in columns_of("segment"))
        kept = tx.all(f"SELECT {names} FROM segment WHERE pod_id = ?", (kari.pod_id,))
    compact(host, rest=never_rest)
    with host.storage.write() as tx:
        tx.execute("DELETE FROM segment WHERE pod_id = ?", (kari.pod_id,))
        tx.execute_many(f"INSERT INTO segment ({names}) VALUES ({', '.join('?' * len(kept[0]))})", kept)
    with host.storage.read() as tx, pytest.raises(LogBroken):
        verify_segments(tx, kari.vault, kari.pod_id)

"""The quota: a running sum that no race passes, on both engines."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from deliveries import owner_permit

from pod_server import documents, quota
from pod_server.opening import open_pod

ROOM = 100_000


@pytest.fixture
def own(city, host):
    made = city.citizen("kari")
    return open_pod(host, owner_permit(made.vault), vault=made.vault)


def use_of(host, own) -> quota.Use:
    with host.storage.read() as tx:
        use = quota.use_of(tx, own.pod_id, host.quota_bytes)
        assert quota.recount(tx, own.pod_id) == (use.used_bytes, use.used_bytes)
    return use


def test_many_writers_at_once_fill_the_pod_exactly(host, own):
    before = use_of(host, own)
    allowed = before.used_bytes + 3 * quota.count_document(ROOM) + 5
    with host.storage.write() as tx:
        quota.set_quota(tx, own.pod_id, allowed)
    content = random.Random(1).randbytes(ROOM)

    def put(number: int) -> bool:
        try:
            with host.storage.write() as tx:
                then = quota.use_of(tx, own.pod_id, host.quota_bytes)
                documents.put(tx, own, f"f{number}", "text/plain", content, public=False, at=host.clock.now())
                quota.require_room(tx, own.pod_id, host.quota_bytes, then)
        except quota.PodFull:
            return False
        return True

    with ThreadPoolExecutor(8) as writers:
        assert sum(writers.map(put, range(12))) == 3
    assert use_of(host, own).used_bytes == before.used_bytes + 3 * quota.count_document(ROOM)


def test_many_uploads_at_once_reserve_no_more_than_there_is(host, own):
    allowed = use_of(host, own).used_bytes + 3 * ROOM + 5
    with host.storage.write() as tx:
        quota.set_quota(tx, own.pod_id, allowed)

    def reserve(number: int) -> bool:
        try:
            with host.storage.write() as tx:
                quota.reserve(tx, own.pod_id, bytes([number]) * 16, ROOM, host.quota_bytes)
        except quota.PodFull:
            return False
        return True

    with ThreadPoolExecutor(8) as uploads:
        assert sum(uploads.map(reserve, range(12))) == 3
    assert use_of(host, own).reserved_bytes == 3 * ROOM


def test_one_upload_reserves_again_and_again_and_counts_once(host, own):
    name = b"n" * 16
    with host.storage.write() as tx:
        quota.set_quota(tx, own.pod_id, quota.use_of(tx, own.pod_id, 0).used_bytes + ROOM)
        for size in (10, 1000, ROOM):
            quota.reserve(tx, own.pod_id, name, size, 0)
    assert use_of(host, own).reserved_bytes == ROOM
    with pytest.raises(quota.PodFull) as refused, host.storage.write() as tx:
        quota.reserve(tx, own.pod_id, name, ROOM + 1, 0)
    assert refused.value.needed_bytes == ROOM + 1
    assert use_of(host, own).reserved_bytes == ROOM, "a refusal leaves what was reserved"
    with host.storage.write() as tx:
        quota.release(tx, own.pod_id, name)
        quota.release(tx, own.pod_id, name)
    assert use_of(host, own).reserved_bytes == 0


def test_a_large_row_travels_whole_on_either_engine(host, own):
    """More than a socket takes at once."""
    content = random.Random(2).randbytes(3_000_000)
    with host.storage.write() as tx:
        documents.put(tx, own, "big", "application/octet-stream", content, public=False, at=host.clock.now())
    with host.storage.read() as tx:
        assert documents.get(tx, own, "big").content == content

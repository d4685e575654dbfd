"""A full disk: the write is refused by name, what was acknowledged stands, and room brings it back to work."""

from __future__ import annotations

import os
import resource
import subprocess

import pytest
from deliveries import CITIZEN, deliver, granted, owner_permit, permit_again, readings
from ending import forked, outcome_of
from hosts import make_host

from pod_server import grants, upkeep
from pod_server.activities import count_records, read_activities
from pod_server.log.verification import verify_stored
from pod_server.opening import custodian_vault, open_pod
from pod_server.pods import create_pod, list_pods
from pod_server.problems import problem_details
from pod_server.storage.errors import StorageFull
from pod_server.vault.errors import KeyStoreFull


def fill(host, permit, *, until_number: int = 400_000) -> int:
    """Deliver until the storage is full; how many records were acknowledged."""
    acknowledged = 0
    with pytest.raises(StorageFull) as caught:  # noqa: PT012 - the whole block is one attempt
        while acknowledged < until_number:
            statuses = deliver(host, permit, readings(acknowledged, 500))
            assert set(statuses) == {"accepted"}
            acknowledged += 500
    assert problem_details(caught.value, "http://localhost")["status"] == 507
    return acknowledged


def check(host, pod_id, acknowledged: int) -> None:
    opened = open_pod(host, owner_permit(custodian_vault(host, pod_id)))
    assert len(list(read_activities(host, opened))) == acknowledged
    with host.storage.read() as tx:
        verify_stored(tx, pod_id)
        assert count_records(tx, pod_id) == acknowledged


def test_a_database_that_may_not_grow_refuses_and_recovers(city, host):
    pod = city.citizen("kari")
    partner = granted(host, pod.pod_id)
    deliver(host, partner.permit, readings(0, 1))
    writer = host.storage._writers[-1].connection
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages + 8}")
    acknowledged = 1
    with pytest.raises(StorageFull):  # noqa: PT012 - the whole block is one attempt
        while True:
            deliver(host, partner.permit, readings(acknowledged, 500))
            acknowledged += 500
    check(host, pod.pod_id, acknowledged)
    with pytest.raises(StorageFull):  # noqa: PT012 - the whole block is one attempt
        for number in range(100):
            create_pod(host, f"neighbour-{number}")
    writer.execute("PRAGMA max_page_count = 4294967294")
    statuses = deliver(host, partner.permit, readings(0, acknowledged + 500))
    assert statuses == ["duplicate"] * acknowledged + ["accepted"] * 500
    check(host, pod.pod_id, acknowledged + 500)


def test_a_key_store_that_may_not_grow_says_that_there_is_no_room_and_with_room_goes_on(city, host):
    keys = host.key_store._connection()
    (pages,) = keys.execute("PRAGMA page_count").fetchone()
    keys.execute(f"PRAGMA max_page_count = {pages}")
    made = 0
    with pytest.raises(KeyStoreFull) as caught:  # noqa: PT012 - the whole block is one attempt
        for made in range(100):
            create_pod(host, f"neighbour-{made}")
    details = problem_details(caught.value, "http://localhost")
    assert (details["status"], details["type"].rpartition("/")[2]) == (507, "storage-full")
    keys.execute("PRAGMA max_page_count = 4294967294")
    assert create_pod(host, f"neighbour-{made}").pod.handle == f"neighbour-{made}"
    assert len(list_pods(host)) == made + 1


def test_an_erasure_that_found_no_room_is_finished_by_the_running_host(city, host, monkeypatch):
    """Its intent stands from the first commit on; nobody has to start anything anew for the rest."""
    pod = city.citizen("kari")
    partner = granted(host, pod.pod_id)
    deliver(host, partner.permit, readings(0, 5))

    def full(*_):
        raise StorageFull

    with monkeypatch.context() as patched:
        patched.setattr(grants.figures, "forget_grant", full)
        with pytest.raises(StorageFull):
            grants.erase(host, pod.pod_id, partner.grant, actor=CITIZEN)
    upkeep.tend(host)
    with host.storage.read() as tx:
        assert tx.one("SELECT erasure_pending FROM consent WHERE pod_id = ?", (pod.pod_id,)) == (0,)
        assert count_records(tx, pod.pod_id) == 0
    assert not [scope for scope, key in host.key_store.keyring(pod.pod_id).items() if key and scope.grant]


def test_a_pod_that_found_no_room_leaves_no_keys_and_its_handle_free(city, host):
    city.citizen("kari")
    writer = host.storage._writers[-1].connection
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")
    made = 0
    with pytest.raises(StorageFull):  # noqa: PT012 - the whole block is one attempt
        for made in range(100):
            create_pod(host, f"neighbour-{made}")
    writer.execute("PRAGMA max_page_count = 4294967294")
    assert create_pod(host, f"neighbour-{made}").pod.handle == f"neighbour-{made}"
    assert len(list_pods(host)) == made + 2


def test_a_file_size_limit_counts_as_full(tmp_path, clock):
    """A quota reaches SQLite as a failed write of the write-ahead log, not as a full disk."""
    folder = tmp_path / "data"
    host = make_host(folder, clock)
    pod = create_pod(host, "kari")
    partner = granted(host, pod.pod_id)
    listening, telling = os.pipe()

    def work() -> None:
        fresh = make_host(folder, clock)
        permit = permit_again(fresh, partner.partner, partner.grant)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
        os.write(telling, fill(fresh, permit).to_bytes(4, "big"))

    with forked(work) as child:
        os.close(telling)
        with os.fdopen(listening, "rb") as pipe:
            acknowledged = int.from_bytes(pipe.read(), "big")
        assert outcome_of(child) == 0
    assert acknowledged > 0
    check(host, pod.pod_id, acknowledged)
    assert set(deliver(host, partner.permit, readings(0, acknowledged))) == {"duplicate"}
    assert deliver(host, partner.permit, readings(acknowledged, 1)) == ["accepted"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root; the two tests above need not")
def test_a_real_disk_without_room_refuses_and_recovers(tmp_path, clock):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        host = make_host(disk / "data", clock)
        pod = create_pod(host, "kari")
        partner = granted(host, pod.pod_id)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(1_000_000))
        acknowledged = fill(host, partner.permit)
        assert acknowledged > 0
        check(host, pod.pod_id, acknowledged)
        ballast.unlink()
        assert deliver(host, partner.permit, readings(acknowledged, 10)) == ["accepted"] * 10
        check(host, pod.pod_id, acknowledged + 10)
        host.storage.close()
        host.key_store.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)

"""The database server dies, by kill -9 of all its processes or of one, or stops at once, under load: what was acknowledged is there, once.

Beside it what a lost server is to those who ask: problem `storage-unavailable` with Retry-After, and nothing else.
"""

from __future__ import annotations

import os
import threading
import time

import pytest
from deliveries import deliver, granted, owner_permit, permit_again, reading, readings
from hosts import make_host

from pod_server import problems
from pod_server.activities import read_activities
from pod_server.log.verification import verify_stored
from pod_server.opening import custodian_vault, open_pod
from pod_server.pods import create_pod
from pod_server.storage.errors import StorageBusy, StorageUnavailable

RUNS = int(os.environ.get("TVILLING_FAULT_RUNS", "6")) // 6

pytestmark = pytest.mark.xdist_group("postgresql-crashes")


@pytest.fixture
def own_server(monkeypatch):
    """A server that this test alone may kill."""
    import hosts
    from postgresql_server import Databases, PostgresqlServer

    server = PostgresqlServer()
    monkeypatch.setattr(hosts, "database_url_for", Databases(server).url_for)
    yield server
    server.stop()


def stored(host, pod_id) -> list[str]:
    opened = open_pod(host, owner_permit(custodian_vault(host, pod_id)))
    with host.storage.read() as tx:
        verify_stored(tx, pod_id)
    ids = [activity.raw for activity in read_activities(host, opened)]
    assert len(set(ids)) == len(ids), "something is counted twice"
    return ids


def _all_at_once(server) -> None:
    server.kill()
    server.start()


def _immediately(server) -> None:
    server.stop_at_once()
    server.start()


ENDINGS = (_all_at_once, lambda server: server.kill_one(), _immediately)
"""Kill -9 of every process, of one that serves us, and `pg_ctl stop -m immediate`."""


@pytest.mark.parametrize("run", range(max(1, RUNS)))
def test_kill_nine_of_the_server_loses_nothing_acknowledged(own_server, tmp_path, clock, run):
    host = make_host(tmp_path / "data", clock)
    pods = [create_pod(host, f"citizen-{number}") for number in range(3)]
    first = granted(host, pods[0].pod_id)
    partners = [first, *(granted(host, pod.pod_id, partner=first.partner) for pod in pods[1:])]
    acknowledged: dict[int, int] = dict.fromkeys(range(len(pods)), 0)
    stop, lost = threading.Event(), []

    def write(number: int) -> None:
        """Deliver in order; after a failure the same again, as a partner does."""
        while not stop.is_set():
            try:
                answer = deliver(host, partners[number].permit, [reading(acknowledged[number])])
            except StorageBusy as error:
                lost.append(type(error))
                time.sleep(0.02)
            else:
                # After a lost answer the record may be there already: then it is a duplicate, never a second one.
                assert answer in (["accepted"], ["duplicate"])
                acknowledged[number] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(pods))]
    for thread in threads:
        thread.start()
    try:
        for turn in range(2):
            before = dict(acknowledged)
            until = time.monotonic() + 60
            while any(acknowledged[n] < before[n] + 5 for n in before) and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.02 * (run % 7))
            ENDINGS[(run + turn) % len(ENDINGS)](own_server)
        before = dict(acknowledged)
        until = time.monotonic() + 60
        while any(acknowledged[n] == before[n] for n in before) and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert StorageUnavailable in lost, "nobody met the dead server, so the test has shown nothing"
    fresh = make_host(tmp_path / "data", clock)
    for number, pod in enumerate(pods):
        assert acknowledged[number] > before[number] or acknowledged[number] > 5
        assert len(stored(fresh, pod.pod_id)) == acknowledged[number]
        again = permit_again(fresh, partners[number].partner, partners[number].grant)
        assert set(deliver(fresh, again, readings(0, acknowledged[number]))) == {"duplicate"}
    fresh.storage.close()


def test_a_server_that_is_away_is_a_problem_with_a_time_to_come_back(own_server, tmp_path, clock):
    host = make_host(tmp_path / "data", clock)
    pod = create_pod(host, "kari")
    partner = granted(host, pod.pod_id)
    own_server.kill()
    with pytest.raises(StorageUnavailable) as caught:
        deliver(host, partner.permit, [reading(0)])
    details = problems.problem_details(caught.value, host.base_url)
    assert (details["type"].rpartition("/")[2], details["status"]) == ("storage-unavailable", 503)
    assert caught.value.retry_after > 0
    assert "postgres" not in str(caught.value).lower(), "nothing of the server's address is told"
    own_server.start()
    assert deliver(host, partner.permit, [reading(0)]) == ["accepted"], "no process needs to be started anew"
    host.storage.close()


def test_a_connection_lost_in_mid_transaction_leaves_nothing_of_it(own_server, tmp_path, clock):
    host = make_host(tmp_path / "data", clock)
    with pytest.raises(StorageUnavailable), host.storage.write() as tx:  # noqa: PT012 - the block is one attempt
        tx.execute("INSERT INTO retired_handle (handle, retired) VALUES ('kari', 0)")
        own_server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'city%'")
        tx.execute("INSERT INTO retired_handle (handle, retired) VALUES ('ola', 0)")
    with host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM retired_handle") == (0,)
    host.storage.close()


def test_what_a_crash_of_the_server_made_it_forget_is_not_accepted_again(own_server, tmp_path, clock):
    """The replay store is not durable: after a crash it knows nothing, so whatever was issued before is refused."""
    from datetime import timedelta

    host = make_host(tmp_path / "data", clock)
    issued, expires = clock.now(), clock.now() + timedelta(minutes=5)
    assert host.replay.covers(issued)
    assert host.replay.first_use("dpop k 1", expires)
    assert not host.replay.first_use("dpop k 1", expires)
    own_server.kill()
    own_server.start()
    clock.advance(timedelta(seconds=2))
    assert not host.replay.first_use("dpop k 1", expires), "the same proof is not new because the server forgot it"
    assert not host.replay.covers(issued)
    assert host.replay.covers(clock.now())
    assert host.replay.first_use("dpop k 2", clock.now() + timedelta(minutes=5))
    host.storage.close()

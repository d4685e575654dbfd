"""The database server dies, by kill -9 of all its processes or of one, or stops at once, under load: what was acknowledged is there, once.

And at each wait of each kind of write, before what was said reached it and after, the acts being alone: then the whole act stands,
or as much of it as had its own commit, or nothing, and it is done again to its end.

Beside it what a lost server is to those who ask: problem `storage-unavailable` with Retry-After, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

import pytest
from deliveries import CITIZEN, GrantedPartner, deliver, granted, owner_permit, permit_again, reading, readings
from hosts import make_host

from pod_server import documents, feed, grants, integrity, problems
from pod_server.activities import read_activities
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.log.verification import verify_stored
from pod_server.opening import custodian_vault, open_pod
from pod_server.pods import create_pod
from pod_server.storage.errors import StorageBusy, StorageUnavailable
from pod_server.storage.postgresql.connection import PipelinedConnection
from pod_server.storage.postgresql.transaction import PostgresqlTransaction

RUNS = int(os.environ.get("TVILLING_FAULT_RUNS", "6")) // 6

pytestmark = pytest.mark.xdist_group("postgresql-crashes")


@pytest.fixture(scope="module")
def mortal():
    """A server that the tests of this module may kill, one after the other, and its databases."""
    from postgresql_server import Databases, PostgresqlServer

    server = PostgresqlServer()
    yield server, Databases(server)
    server.stop()


@pytest.fixture
def own_server(mortal, monkeypatch):
    """The server, alive, with hosts of this test in it."""
    import hosts

    server, databases = mortal
    monkeypatch.setattr(hosts, "database_url_for", databases.url_for)
    yield server
    if server.process.poll() is not None:  # the test failed between a killing and a start
        server.start()
    databases.give_back()


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


class Act:
    """One kind of write by Kari, or by her partner, that is done again after the server was lost in it."""

    def __init__(self, host, made, partner) -> None:
        self.host, self.made, self.partner = host, made, partner
        self.pod_id, self.grant = made.pod_id, partner.grant

    def again(self, host) -> Act:
        """The same after a restart: nothing of the old process is left."""
        return Act(host, self.made, GrantedPartner(self.partner.partner, self.grant, self.partner.permit))

    def deliver(self) -> bool:
        return deliver(self.host, self.partner.permit, readings(50, 3)) in (["accepted"] * 3, ["duplicate"] * 3)

    def put(self) -> bool:
        opened = open_pod(self.host, owner_permit(self.made.vault))
        at = self.host.clock.now()
        with self.host.storage.write() as tx:
            documents.put(tx, opened, "notes/a", "text/plain", b"a", public=False, at=at)
            ledger.append(tx, self.pod_id, LogEvent(at=at, actor=CITIZEN, action="write-document"))
        with self.host.storage.read() as tx:
            found = documents.get(tx, opened, "notes/a")
        return found is not None and found.content == b"a"

    def change(self, to: str) -> bool:
        {"pause": grants.pause, "withdraw": grants.withdraw, "erase": grants.erase}[to](
            self.host, self.pod_id, self.grant, actor=CITIZEN
        )
        state = grants.find_grant(self.host, self.pod_id, self.grant).state
        return state == {"pause": "paused", "withdraw": "withdrawn", "erase": "erased"}[to]

    def pause(self) -> bool:
        return self.change("pause")

    def withdraw(self) -> bool:
        return self.change("withdraw")

    def erase(self) -> bool:
        return self.change("erase")

    def note(self) -> bool:
        """The agent's step: the cursor, whose answer comes with the COMMIT."""
        with self.host.storage.read() as tx:
            cursor, head = feed.position(tx, self.pod_id)
        if cursor < head:
            with self.host.storage.write() as tx:
                feed.advance(tx, self.pod_id, head, after=cursor)
        with self.host.storage.read() as tx:
            cursor, head = feed.position(tx, self.pod_id)
        return cursor == head


KINDS = ("deliver", "put", "pause", "withdraw", "erase", "note")
BRIEF = (("deliver", 2, True),)
"""Kind of write, which wait, and whether what was sent still reached the server before it died."""

CUTS = [(kind, wait, reached) for kind in KINDS for wait in range(1, 7) for reached in (False, True)]


def everything(host) -> dict[str, list[tuple]]:
    """Every row of the database."""
    with host.storage.connect() as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"'))) for (name,) in names}


@pytest.mark.parametrize(("kind", "wait", "reached"), CUTS if RUNS > 1 else BRIEF, ids=str)
def test_a_server_killed_at_any_wait_of_any_kind_of_write_keeps_all_of_it_or_nothing(
    own_server, monkeypatch, tmp_path, clock, kind, wait, reached
):
    host = make_host(tmp_path / "data", clock)
    made = create_pod(host, "kari")
    act = Act(host, made, granted(host, made.pod_id))
    assert deliver(host, act.partner.permit, readings(0, 5)) == ["accepted"] * 5
    before, waits, last_words = everything(host), [], []
    sync, send = PipelinedConnection.sync, PostgresqlTransaction._send

    def told(transaction, sql, parameters):
        last_words.append(sql)
        send(transaction, sql, parameters)

    def dies(connection):
        waits.append("COMMIT" in last_words)
        if len(waits) == wait and not reached:
            own_server.kill()
        sync(connection)
        if len(waits) == wait and reached:
            own_server.kill()

    with monkeypatch.context() as patched:
        patched.setattr(PipelinedConnection, "sync", dies)
        patched.setattr(PostgresqlTransaction, "_send", told)
        acknowledged = False
        with contextlib.suppress(StorageUnavailable):
            acknowledged = getattr(act, kind)()
    if len(waits) < wait:
        assert acknowledged, "an act of fewer waits is over, and nothing has died in it"
        host.storage.close()
        return
    own_server.start()
    fresh = make_host(tmp_path / "data", clock)
    committed = any(waits[: wait if reached else wait - 1])
    assert committed or everything(fresh) == before, "no COMMIT was sent, and something stands"
    grants.resume_erasures(fresh)
    again = act.again(fresh)
    if kind == "deliver":
        again.partner = GrantedPartner(
            act.partner.partner, act.grant, permit_again(fresh, act.partner.partner, act.grant)
        )
    assert getattr(again, kind)(), "what was lost is done again, and what was not is recognised"
    examined = integrity.examine(fresh, custodian_vault(fresh, made.pod_id), made.pod_id)
    assert examined.damages == ()
    if kind != "erase":
        assert len(stored(fresh, made.pod_id)) == 5 + (3 if kind == "deliver" else 0)
    fresh.storage.close()
    host.storage.close()


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

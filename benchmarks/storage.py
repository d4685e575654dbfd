"""SQLite and PostgreSQL side by side: every kind of transaction, four writing processes, a withdrawal beside bulk writers.

    python benchmarks/storage.py [--seconds 2] [--json] [--only WORD]

Beside each rate stands the processor time of a step, of this process and of the database server; before the table stand
the floors of the same run: what an answer from another process costs through libpq alone, and a commit of one row.

Everything is real but the network between partner and host: sealing, log leaves, synced commits (SQLite: WAL,
synchronous=FULL; PostgreSQL: fsync and synchronous_commit on, over a Unix socket on the same machine). Each measure is
taken on one engine and at once on the other, in fresh databases, so that both meet the same neighbours.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psutil

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

import hosts
from deliveries import CITIZEN, add_partner, granted, owner_permit, permit_again, readings
from ending import family_of
from hosts import NOON, make_host
from machine import describe, percentile
from postgresql_server import Databases, PostgresqlServer

from pod_server import documents, feed, grants, outbox
from pod_server.activities import Delivery, append, read_activities
from pod_server.asking_ahead import ask_ahead
from pod_server.authentication.session import create_session, load_session
from pod_server.clock import SetClock
from pod_server.household import Household
from pod_server.identifiers import Handle
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.opening import find_pod, open_pod
from pod_server.pods import NewCitizen, create_pod, create_pods

PODS = 128
WRITERS = 4
WITHDRAWALS = 120


@dataclass
class Town:
    """A host with pods, each with one consent."""

    engine: str
    folder: Path
    host: Any
    clock: SetClock
    partner: Any
    pods: list[Any] = field(default_factory=list)
    granted: list[Any] = field(default_factory=list)
    count: int = 0
    readings: int = 0

    def settle(self, number: int) -> None:
        for _ in range(number):
            pod = create_pod(self.host, f"citizen-{len(self.pods)}")
            self.pods.append(pod)
            self.granted.append(granted(self.host, pod.pod_id, partner=self.partner))

    def next(self) -> int:
        self.count += 1
        return self.count

    def opened(self, number: int) -> Any:
        return open_pod(self.host, owner_permit(self.pods[number % len(self.pods)].vault))

    def opened_in(self, tx: Any, number: int, **ahead: Any) -> Any:
        one = self.pods[number % len(self.pods)]
        ask_ahead(self.host, tx, one.pod.handle, **ahead)
        return open_pod(self.host, owner_permit(one.vault), pod=find_pod(tx, one.pod.handle))


@contextmanager
def towns(databases: Databases) -> Iterator[list[Town]]:
    """The same town twice, once on each engine."""
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for engine in ("sqlite", "postgresql"):
            place = Path(folder) / engine
            hosts.database_url_for = databases.url_for if engine == "postgresql" else lambda _folder: None
            clock = SetClock(NOON)
            host = make_host(place, clock)
            town = Town(engine, place, host, clock, add_partner(host))
            town.settle(PODS)
            made.append(town)
        yield made
        for town in made:
            town.host.storage.close()
            town.host.key_store.close()
        databases.give_back()


def in_town(town: Town, databases: Databases) -> None:
    """Let `make_host` find this town's database, here and in forked children."""
    hosts.database_url_for = databases.url_for if town.engine == "postgresql" else lambda _folder: None


class Pace(NamedTuple):
    """How fast something went.

    Attributes:
        rate: Done a second.
        here: Microseconds of this process's processor time a step, system calls included.
        server: The same of the database server's processes; 0 where there is none.
        whole: Microseconds a step took.
    """

    rate: float
    here: float
    server: float
    whole: float


def pace(step: Callable[[], int], seconds: float, server: PostgresqlServer | None = None) -> Pace:
    """How fast steps go, after a warm-up."""
    for _ in range(3):
        step()
    done, steps = 0, 0
    of_server, here, began = server_seconds(server), time.process_time(), time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        done += step()
        steps += 1
    here, of_server = time.process_time() - here, server_seconds(server) - of_server
    return Pace(done / spent, here / steps * 1e6, of_server / steps * 1e6, spent / steps * 1e6)


def server_seconds(server: PostgresqlServer | None) -> float:
    """Processor time of a server's living processes."""
    if server is None or server.process is None:
        return 0.0
    times = [one.cpu_times() for one in (psutil.Process(server.process.pid), *family_of(server.process.pid))]
    return sum(one.user + one.system for one in times)


def show_floors(towns: list[Town], server: PostgresqlServer, seconds: float) -> float:
    """Print what nothing on this machine goes below; returns microseconds of one answer from the server."""
    sqlite, other = towns
    connection = other.host.storage.connect()
    question, begin, change, commit = (
        b"question",
        b"BEGIN",
        b"UPDATE retired_handle SET retired = retired + 1",
        b"COMMIT",
    )
    connection.pgconn.prepare(question, b"SELECT 1")
    for town in towns:
        with town.host.storage.write() as tx:
            tx.send("INSERT INTO retired_handle (handle, retired) VALUES ('floor', 0)")

    def ask() -> int:
        connection.pgconn.exec_prepared(question, [])
        return 1

    def ask_here() -> int:
        with sqlite.host.storage.look() as tx:
            tx.one("SELECT 1")
        return 1

    def commit_bare() -> int:
        connection.pgconn.exec_(b"; ".join((begin, change, commit)))
        return 1

    def commit_here() -> int:
        with sqlite.host.storage.write() as tx:
            tx.send(change.decode())
        return 1

    waits = pace(ask, seconds, server)
    for name, here, there in (
        ("SELECT 1", pace(ask_here, seconds), waits),
        ("a commit of one row", pace(commit_here, seconds), pace(commit_bare, seconds, server)),
    ):
        show(f"floor: {name}", "a second", {"sqlite": here, "postgresql": there})
    connection.close()
    return waits.whole


# One measure each: what a step does, and how many it did


def deliver(batch: int, at_once: int) -> Callable[[Town], int]:
    def step(town: Town) -> int:
        first = town.next() * at_once
        chosen = [town.granted[(first + each) % len(town.granted)].permit for each in range(at_once)]
        number = town.readings
        town.readings += batch
        outcomes = append(town.host, [Delivery(permit, readings(number, batch)) for permit in chosen])
        assert all(outcome.count("accepted") == batch for outcome in outcomes)
        return batch * at_once

    return step


def read_a_pod(town: Town) -> int:
    return len(list(read_activities(town.host, town.opened(town.next() % 8))))


def put_document(town: Town) -> int:
    """As a request does it: the pod is found and opened in the transaction that writes."""
    number = town.next()
    at = town.clock.now()
    with town.host.storage.write() as tx:
        around = (f"notes/n{number % 50}", "notes/")
        opened = town.opened_in(tx, number, paths=around, writing=True)
        documents.look_up(tx, opened, around)
        documents.put(tx, opened, f"notes/n{number % 50}", "text/turtle", b"x" * 2000, public=False, at=at)
        ledger.append(tx, opened.pod_id, LogEvent(at=at, actor=CITIZEN, action="write-document"))
    return 1


def read_document(town: Town) -> int:
    """As a request does it: the pod is found and opened in the snapshot that is read."""
    with town.host.storage.read() as tx:
        opened = town.opened_in(tx, town.next() % 8, body_of="profile/card")
        assert documents.get(tx, opened, "profile/card") is not None
    return 1


def append_to_log(town: Town) -> int:
    pod_id = town.pods[town.next() % PODS].pod_id
    with town.host.storage.write() as tx:
        ledger.append(tx, pod_id, LogEvent(at=town.clock.now(), actor=CITIZEN, action="unlock"))
    return 1


def read_log(town: Town) -> int:
    pod = town.pods[town.next() % 8]
    with town.host.storage.read() as tx:
        return len(ledger.read_events(tx, pod.vault, pod.pod_id, limit=50))


def follow_feed(town: Town) -> int:
    """A change of ten pods, claimed and taken in."""
    pods = [town.pods[(town.next() * 7) % PODS].pod_id for _ in range(10)]
    for pod_id in set(pods):
        with town.host.storage.write() as tx:
            feed.tell_change(tx, pod_id, "grant", "", at=town.clock.protocol_now())
    claims = feed.claim(town.host, "worker", 64)
    for claim in claims:
        with town.host.storage.write() as tx:
            feed.advance(tx, claim.pod_id, claim.head, after=claim.cursor)
    return len(claims)


def send_message(town: Town) -> int:
    """A message put down, taken and marked as delivered."""
    number = town.next()
    pod_id, now = town.pods[number % PODS].pod_id, town.clock.protocol_now()
    client_id = f"p-{number % 5}"
    with town.host.storage.write() as tx:
        outbox.enqueue(
            town.host, tx, pod_id=pod_id, client_id=client_id, kind="claim", body={}, idempotency_key=str(number)
        )
    with town.host.storage.read() as tx:
        waiting = outbox.first_waiting(tx)
    for message in waiting:
        with town.host.storage.write() as tx:
            assert outbox.lease(tx, message, now, now + timedelta(seconds=30))
        with town.host.storage.write() as tx:
            outbox.mark_delivered(tx, message, "answered 202", now)
    return len(waiting)


def give_and_withdraw(town: Town) -> int:
    pod_id = town.pods[town.next() % PODS].pod_id
    again = granted(town.host, pod_id, partner=town.partner)
    grants.withdraw(town.host, pod_id, again.grant, actor=CITIZEN)
    return 1


def sign_in(town: Town) -> int:
    """A session made and looked up five times."""
    pod = town.pods[town.next() % PODS]
    cookie = create_session(town.host, pod.pod_id, pod.vault)
    assert all(load_session(town.host, cookie) is not None for _ in range(5))
    return 1


def enrol(town: Town) -> int:
    create_pod(town.host, f"new-{town.next()}")
    return 1


def enrol_many(town: Town) -> int:
    """Fifty pods a commit, as a municipality enrols."""
    citizens = [NewCitizen(Handle(f"bulk-{town.next()}"), Household("Kari")) for _ in range(50)]
    return len(create_pods(town.host, citizens))


MEASURES: dict[str, tuple[str, Callable[[Town], int]]] = {
    "append, 64 pods x 24 a call": ("activities/s", deliver(24, 64)),
    "append, 16 pods x 1000 a call": ("activities/s", deliver(1000, 16)),
    "append, 64 pods x 1 a call": ("activities/s", deliver(1, 64)),
    "append, one record a call": ("commits/s", deliver(1, 1)),
    "read a pod's activities": ("activities/s", read_a_pod),
    "put a document": ("commits/s", put_document),
    "read a document": ("reads/s", read_document),
    "append to the log": ("commits/s", append_to_log),
    "read the log, 50 entries": ("entries/s", read_log),
    "follow the feed": ("pods/s", follow_feed),
    "send messages": ("messages/s", send_message),
    "give and withdraw a consent": ("pairs/s", give_and_withdraw),
    "sign in, five requests": ("sessions/s", sign_in),
    "enrol": ("pods/s", enrol),
    "enrol, 50 a commit": ("pods/s", enrol_many),
}


# Several processes


def bulk_writer(town: Town, number: int, of: int, batch: int, stop: Any, told: Any) -> None:
    """Deliver to this writer's share of the pods until told to stop; tells how many activities were taken in."""
    host = make_host(town.folder, town.clock)
    mine = town.granted[number::of]
    permits = [permit_again(host, one.partner, one.grant) for one in mine]
    first, done = (number + 1) * 10_000_000, 0
    told.put("ready")
    began = time.perf_counter()
    while not stop.is_set():
        outcomes = append(host, [Delivery(permit, readings(first, batch)) for permit in permits])
        first += batch
        done += sum(outcome.count("accepted") for outcome in outcomes)
    told.put((done, time.perf_counter() - began))


def start_writers(town: Town, count: int, share_of: int, batch: int) -> tuple[list[Any], Any, Any]:
    fork = multiprocessing.get_context("fork")
    stop, told = fork.Event(), fork.Queue()
    town.host.storage.close()
    town.host.key_store.close()
    writers = [
        fork.Process(target=bulk_writer, args=(town, number if share_of > 1 else 0, share_of, batch, stop, told))
        for number in range(count)
    ]
    for writer in writers:
        writer.start()
    for _ in writers:
        assert told.get() == "ready"
    return writers, stop, told


def four_writers(town: Town, batch: int, seconds: float) -> float:
    """Activities a second of four processes together, each with pods of its own."""
    writers, stop, told = start_writers(town, WRITERS, WRITERS, batch)
    time.sleep(seconds)
    stop.set()
    results = [told.get() for _ in writers]
    for writer in writers:
        writer.join()
    return sum(done / spent for done, spent in results)


def withdrawals(town: Town) -> tuple[list[float], list[float]]:
    """Milliseconds of withdrawals beside two bulk writers of the same pods; and until another process refuses."""
    writers, stop, told = start_writers(town, 2, 1, 24)
    time.sleep(0.3)
    took, felt = [], []
    other = make_host(town.folder, town.clock)  # connections of its own, as another process has
    try:
        for number in range(WITHDRAWALS):
            one = town.granted[number]
            pod_id = town.pods[number].pod_id
            began = time.perf_counter()
            grants.withdraw(town.host, pod_id, one.grant, actor=CITIZEN)
            took.append((time.perf_counter() - began) * 1000)
            (outcome,) = append(other, [Delivery(one.permit, readings(5, 1))])
            felt.append((time.perf_counter() - began) * 1000)
            assert outcome.refusal is not None
            time.sleep(0.005)
    finally:
        stop.set()
        for _ in writers:
            told.get()
        for writer in writers:
            writer.join()
        other.storage.close()
    return took, felt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    print(describe(), flush=True)
    server = PostgresqlServer()
    databases = Databases(server)
    try:
        with towns(databases) as both:
            wait = show_floors(both, server, options.seconds / 4)
            for name, (unit, step) in MEASURES.items():
                if options.only not in name:
                    continue
                figures = {}
                for town in both:
                    of = server if town.engine == "postgresql" else None
                    figures[town.engine] = pace(lambda town=town, step=step: step(town), options.seconds, of)
                results[name] = {"unit": unit, **{engine: round(figure.rate) for engine, figure in figures.items()}}
                show(name, unit, figures, wait=wait)
        if options.only in "four processes":
            for batch in (24, 1):
                with towns(databases) as both:
                    figures = {}
                    for town in both:
                        in_town(town, databases)
                        figures[town.engine] = Pace(four_writers(town, batch, options.seconds * 2), 0, 0, 0)
                name = f"four processes, batches of {batch}"
                results[name] = {
                    "unit": "activities/s",
                    **{engine: round(figure.rate) for engine, figure in figures.items()},
                }
                show(name, "activities/s", figures)
        if options.only in "withdrawal beside two bulk writers":
            with towns(databases) as both:
                for town in both:
                    in_town(town, databases)
                    took, felt = withdrawals(town)
                    figures = {
                        "withdrawal p50": percentile(took, 0.5),
                        "p99": percentile(took, 0.99),
                        "refused elsewhere p50": percentile(felt, 0.5),
                        "refused p99": percentile(felt, 0.99),
                    }
                    results[f"withdrawal beside two bulk writers, {town.engine}"] = {
                        key: round(value, 2) for key, value in figures.items()
                    }
                    print(
                        f"withdrawal beside two bulk writers, {town.engine}: "
                        + ", ".join(f"{key} {value:.1f} ms" for key, value in figures.items()),
                        flush=True,
                    )
    finally:
        server.stop()
    if options.json:
        print(json.dumps(results))


def show(name: str, unit: str, figures: dict[str, Pace], *, wait: float = 0) -> None:
    """One line; with what one wait costs, also the share that SQLite's own time with one wait on top would have."""
    sqlite, postgresql = figures["sqlite"], figures["postgresql"]
    line = f"{name:<34} SQLite {sqlite.rate:>9,.0f}   PostgreSQL {postgresql.rate:>9,.0f} {unit:<13} "
    line += f"({postgresql.rate / sqlite.rate:.2f} of SQLite)"
    if sqlite.here:
        line += f"   processor {sqlite.here:,.0f} us; {postgresql.here:,.0f} + {postgresql.server:,.0f} in the server"
    if wait:
        line += f"   with one wait and nothing else at most {sqlite.whole / (sqlite.whole + wait):.2f}"
    print(line, flush=True)


if __name__ == "__main__":
    main()

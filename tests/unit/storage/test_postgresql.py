"""What is PostgreSQL's alone: turns a pod, connections that die, several machines on one database, keys apart."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from deliveries import CITIZEN, deliver, granted, owner_permit, reading
from hosts import NOON, make_host
from structlog.testing import capture_logs

from pod_server import documents, feed, grants, opening
from pod_server.asking_ahead import ask_ahead
from pod_server.authorization_server import connections
from pod_server.authorization_server.apps import App
from pod_server.errors import FeedMoved, HandleTaken
from pod_server.identifiers import ClientId
from pod_server.opening import find_pod, open_pod
from pod_server.pods import create_pod
from pod_server.storage.errors import (
    DatabaseAddressInvalid,
    DataFolderTooNew,
    DataFolderTooOld,
    StorageBusy,
    StorageUnavailable,
    TextUnstorable,
)
from pod_server.storage.migrate import migrate_postgresql
from pod_server.storage.postgresql.connection import PipelinedConnection
from pod_server.storage.postgresql.engine import PostgresqlStorage
from pod_server.storage.schema_version import SCHEMA_VERSION
from pod_server.vault.envelope import Scope


@pytest.fixture
def engine(databases, monkeypatch):
    """Every test here is on PostgreSQL."""
    import hosts

    monkeypatch.setattr(hosts, "database_url_for", databases.url_for)
    yield "postgresql"
    databases.give_back()


@pytest.fixture
def url(databases, tmp_path, engine):
    return databases.url_for(tmp_path / "plain")


def test_writers_of_different_pods_do_not_wait_for_each_other(city, host):
    kari, ola = city.citizen("kari"), city.citizen("ola")
    entered = []

    def other() -> None:
        with host.storage.write() as tx:
            feed.note_change(tx, ola.pod_id, "grant", at=city.clock.now())
            entered.append(1)

    with host.storage.write() as tx:
        feed.note_change(tx, kari.pod_id, "grant", at=city.clock.now())
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(30)
        assert entered == [1]


def test_a_withdrawal_waits_for_the_writer_that_holds_the_pod_and_is_felt_by_the_next(city, host):
    kari = city.citizen("kari")
    partner = granted(host, kari.pod_id)
    done = []
    with host.storage.write() as tx:
        assert tx.one("SELECT state FROM consent WHERE pod_id = ?", (kari.pod_id,)) == ("active",)
        thread = threading.Thread(
            target=lambda: done.append(grants.withdraw(host, kari.pod_id, partner.grant, actor=CITIZEN))
        )
        thread.start()
        thread.join(0.3)
        assert not done, "the state that was read inside the transaction must hold until its end"
    thread.join(30)
    assert len(done) == 1
    assert deliver(host, partner.permit, [reading(0)]) == ["refused"]


def test_two_transactions_that_wait_for_each_other_are_told_to_come_again(city, host):
    kari, ola = city.citizen("kari"), city.citizen("ola")
    barrier, outcomes = threading.Barrier(2), []

    def write(first, second) -> None:
        try:
            with host.storage.write() as tx:
                feed.note_change(tx, first, "grant", at=city.clock.now())
                barrier.wait(30)
                feed.note_change(tx, second, "grant", at=city.clock.now())
            outcomes.append("written")
        except StorageBusy:
            outcomes.append("busy")

    threads = [
        threading.Thread(target=write, args=pair) for pair in ((kari.pod_id, ola.pod_id), (ola.pod_id, kari.pod_id))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["busy", "written"]


def test_whoever_waited_for_another_who_changed_nothing_for_them_never_hears_of_it(city, host):
    """The engine ends one of the two, and its statements are said again: both are written, once, in every order of locks."""
    kari = city.citizen("kari")
    for turn in range(3):  # whichever of the two the engine ends
        with host.storage.read() as tx:
            before = feed.position(tx, kari.pod_id)[1]
        barrier, outcomes = threading.Barrier(2), []

        def table_first(barrier=barrier, outcomes=outcomes) -> None:
            with host.storage.write() as tx:
                assert tx.one("SELECT 1 FROM authorization_code WHERE code_hash = 'x'") is None
                barrier.wait(30)
                feed.note_change(tx, kari.pod_id, "grant", at=city.clock.now())
            outcomes.append("table first")

        def pod_first(barrier=barrier, outcomes=outcomes, turn=turn) -> None:
            with host.storage.write() as tx:
                assert tx.one("SELECT handle FROM pod WHERE pod_id = ?", (kari.pod_id,)) == ("kari",)
                tx.send("INSERT INTO retired_handle (handle, retired) VALUES (?, 0)", (f"gone-{turn}",))
                barrier.wait(30)
                assert tx.one("SELECT 1 FROM authorization_code WHERE code_hash = 'y'") is None
            outcomes.append("pod first")

        threads = [threading.Thread(target=each) for each in (table_first, pod_first)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(outcomes) == ["pod first", "table first"]
        with host.storage.read() as tx:
            assert feed.position(tx, kari.pod_id)[1] == before + 1
            assert tx.one("SELECT COUNT(*) FROM retired_handle") == (turn + 1,)


def test_a_conflict_in_mid_pipeline_costs_no_answer_and_no_row(url):
    """Provoked by a trigger that answers 40001 once: hundreds of statements are said again in their order."""
    storage = PostgresqlStorage(url)
    with storage.connect() as connection:
        connection.execute("CREATE SEQUENCE tries")
        connection.execute(
            "CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF nextval('tries') = 1 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$"
        )
        connection.execute(
            "CREATE TRIGGER conflict BEFORE INSERT ON retired_handle FOR EACH ROW WHEN (NEW.handle = 'h-250') "
            "EXECUTE FUNCTION conflict()"
        )
    try:
        with storage.write() as tx:
            assert tx.execute("INSERT INTO retired_handle (handle, retired) VALUES ('first', 0)") == 1
            tx.execute_many(
                "INSERT INTO retired_handle (handle, retired) VALUES (?, ?)", [(f"h-{n}", n) for n in range(500)]
            )
            assert tx.one("SELECT COUNT(*) FROM retired_handle") == (501,)
        with storage.read() as tx:
            assert tx.one("SELECT COUNT(*), COUNT(DISTINCT handle) FROM retired_handle") == (501, 501)
    finally:
        with storage.connect() as connection:
            connection.execute("DROP FUNCTION conflict CASCADE")
            connection.execute("DROP SEQUENCE tries")
        storage.close()


def test_what_must_change_is_held_to_that_when_it_is_said_again(url):
    """Said first it changes a row; the conflict behind it has the row taken away before it is said again."""
    storage = PostgresqlStorage(url)
    with storage.connect() as connection:
        connection.execute("INSERT INTO retired_handle (handle, retired) VALUES ('kari', 0)")
        connection.execute("CREATE SEQUENCE tries")
        connection.execute(
            "CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF nextval('tries') = 1 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END IF; "
            "DELETE FROM retired_handle WHERE handle = 'kari'; RETURN NEW; END $$"
        )
        connection.execute(
            "CREATE TRIGGER conflict BEFORE INSERT ON retired_handle FOR EACH ROW WHEN (NEW.handle = 'other') "
            "EXECUTE FUNCTION conflict()"
        )
    try:
        with pytest.raises(FeedMoved), storage.write() as tx:  # noqa: PT012 - the block is one attempt
            tx.send("INSERT INTO retired_handle (handle, retired) VALUES ('other', 0)")
            tx.must_change("UPDATE retired_handle SET retired = 1 WHERE handle = ?", ("kari",), FeedMoved())
        with storage.read() as tx:
            assert tx.all("SELECT handle, retired FROM retired_handle") == [("kari", 0)]
    finally:
        with storage.connect() as connection:
            connection.execute("DROP FUNCTION conflict CASCADE")
            connection.execute("DROP SEQUENCE tries")
        storage.close()


def test_an_app_that_is_asked_for_in_many_places_at_once_has_one_name_in_a_pod(city, host, monkeypatch):
    """Whoever was first holds the table from its question on; the others wait for its answer, and find it."""
    kari, callers = city.citizen("kari"), 4
    asked, insert, made = threading.Barrier(callers), connections._insert, []
    monkeypatch.setattr(connections, "_insert", lambda *given: made.append(1) or insert(*given))
    for turn in range(5):
        app = App(ClientId(f"https://app{turn}.example/id"), "App", ("https://app.example/cb",), (), has_secret=False)

        def ask(app=app):
            asked.wait(30)
            return connections.party_of(host, kari.pod_id, app)

        with ThreadPoolExecutor(callers) as threads:
            names = [each.result(60) for each in [threads.submit(ask) for _ in range(callers)]]
        assert len(set(names)) == 1
        assert len(made) == turn + 1
    with host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM app_connection WHERE pod_id = ?", (kari.pod_id,)) == (5,)


def test_a_withdrawal_that_the_engine_ended_for_another_writer_is_done_again(city, host):
    """A writer holds a code's table and wants the pod; the withdrawal holds the pod and wants the table."""
    kari = city.citizen("kari")
    partner = granted(host, kari.pod_id)
    for _ in range(5):  # whichever of the two the engine ends
        holds, outcome = threading.Event(), []

        def redeem(holds=holds, outcome=outcome) -> None:
            try:
                with host.storage.write() as tx:
                    tx.one("SELECT 1 FROM authorization_code WHERE code_hash = 'x'")
                    holds.set()
                    time.sleep(0.15)
                    feed.note_change(tx, kari.pod_id, "grant", at=city.clock.now())
                outcome.append("written")
            except StorageBusy:
                outcome.append("busy")

        thread = threading.Thread(target=redeem)
        thread.start()
        assert holds.wait(30)
        withdrawn = grants.withdraw(host, kari.pod_id, partner.grant, actor=CITIZEN)
        assert withdrawn.state == "withdrawn"
        thread.join(20)
        assert outcome[0] in {"written", "busy"}
        partner = granted(host, kari.pod_id, partner=partner.partner)


def test_workers_claim_past_each_other_and_past_a_pod_that_is_being_written(city, host):
    pods = [city.citizen(f"citizen-{number}") for number in range(4)]
    for pod in pods:
        with host.storage.write() as tx:
            feed.note_change(tx, pod.pod_id, "grant", at=city.clock.protocol_now())
    with host.storage.write() as tx:
        feed.note_change(tx, pods[0].pod_id, "grant", at=city.clock.protocol_now())
        assert feed.position(tx, pods[0].pod_id)[1] > 1  # an answer: what was sent before it has been carried out
        # To wait for the writer, who is this thread, would end with StorageBusy.
        claimed = {claim.pod_id for claim in feed.claim(host, "one", 10)}
    assert claimed == {pod.pod_id for pod in pods[1:]}
    assert {claim.pod_id for claim in feed.claim(host, "two", 10)} == {pods[0].pod_id}


def test_every_commit_waits_for_the_disk(url):
    storage = PostgresqlStorage(url)
    with storage.write() as tx:
        assert tx.one("SELECT current_setting('synchronous_commit'), current_setting('fsync')") == ("on", "on")
    storage.close()


def test_a_commit_waits_for_the_disk_whatever_the_databases_default_says(url, databases):
    name = url.rpartition("/")[2].partition("?")[0]
    databases.server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    try:
        storage = PostgresqlStorage(url)
        with storage.write() as tx:
            assert tx.one("SELECT current_setting('synchronous_commit')") == ("on",)
        storage.close()
    finally:
        databases.server.execute(f"ALTER DATABASE {name} RESET synchronous_commit")


def test_a_server_that_loses_commits_is_told_of_at_the_start(url, databases):
    """The host serves, and says so in its log; the doctor calls it wrong (tests/e2e/test_postgresql_commands.py)."""
    with capture_logs() as said:
        PostgresqlStorage(url).close()
    assert not said
    databases.server.execute("ALTER SYSTEM SET full_page_writes = off")
    databases.server.execute("SELECT pg_reload_conf()")
    try:
        deadline = time.monotonic() + 20
        while not said and time.monotonic() < deadline:  # the server reads it again when it comes to it
            with capture_logs() as said:
                PostgresqlStorage(url).close()
        assert [(each["event"], each["settings"], each["log_level"]) for each in said] == [
            ("database-loses-commits", ["full_page_writes"], "warning")
        ]
    finally:
        databases.server.execute("ALTER SYSTEM RESET full_page_writes")
        databases.server.execute("SELECT pg_reload_conf()")


def test_connections_that_the_server_closed_are_replaced_unnoticed(url, databases):
    storage = PostgresqlStorage(url)
    with storage.read() as one, storage.read() as two:
        assert one.one("SELECT 1") == two.one("SELECT 1") == (1,)
    databases.server.execute("SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE datname LIKE 'city%'")
    for _ in range(3):
        with storage.write() as tx:
            tx.send("DELETE FROM retired_handle")
    storage.close()


def test_an_interrupted_wait_leaves_a_connection_that_works(url, monkeypatch):
    from pod_server.storage.postgresql import connection

    storage = PostgresqlStorage(url, timeout_seconds=2)
    with storage.read() as tx:
        tx.one("SELECT 1")
    with monkeypatch.context() as patched:

        def interrupt(*_arguments, **_options):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), storage.write() as tx:  # noqa: PT012 - the block is one attempt
            tx.send("INSERT INTO retired_handle (handle, retired) VALUES ('kari', 0)")
            patched.setattr(connection, "readable", interrupt)
            tx.one("SELECT pg_sleep(0.05)")
    with storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM retired_handle") == (0,)
        assert tx.one("SELECT 'mine'") == ("mine",)
    storage.close()


def test_a_failed_statement_does_not_spoil_those_that_were_prepared_with_it(url):
    storage = PostgresqlStorage(url)
    for _ in range(2):
        with pytest.raises(psycopg.Error), storage.write() as tx:  # noqa: PT012 - the block is one attempt
            tx.send("INSERT INTO retired_handle (handle, retired) VALUES ('x', 1 / 0)")
            tx.send("DELETE FROM retired_handle WHERE retired = ?", (1,))
            tx.one("SELECT COUNT(*) FROM retired_handle WHERE retired = ?", (2,))
    with storage.write() as tx:
        tx.send("DELETE FROM retired_handle WHERE retired = ?", (1,))
        assert tx.one("SELECT COUNT(*) FROM retired_handle WHERE retired = ?", (2,)) == (0,)
    storage.close()


def test_a_text_with_nul_is_refused_where_it_would_be_stored(url):
    storage = PostgresqlStorage(url)
    with pytest.raises(TextUnstorable), storage.write() as tx:
        tx.execute("INSERT INTO retired_handle (handle, retired) VALUES (?, 0)", ("a\0b",))
    storage.close()


@pytest.mark.parametrize(
    "address", ["", "sqlite:///x", "host=localhost", "postgresql://h:port/x", "postgresql://u:hush@h/d?nonsense=1"]
)
def test_an_address_that_is_none_is_refused_without_repeating_it(address):
    with pytest.raises(DatabaseAddressInvalid) as caught:
        PostgresqlStorage(address)
    assert "hush" not in str(caught.value)


def test_a_server_that_is_not_there_is_named_unavailable_without_its_address():
    with pytest.raises(StorageUnavailable) as caught:
        PostgresqlStorage("postgresql://kari:hush@127.0.0.1:1/city?connect_timeout=2")
    assert "hush" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


def test_a_database_without_schema_is_told_to_migrate_and_a_newer_one_left_untouched(databases):
    bare = databases.new()
    with pytest.raises(DataFolderTooOld):
        PostgresqlStorage(bare)
    results = []
    threads = [threading.Thread(target=lambda: results.append(migrate_postgresql(bare))) for _ in range(3)]
    for thread in threads:  # several machines start at once
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [SCHEMA_VERSION] * 3
    with psycopg.connect(bare, autocommit=True) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    for attempt in (PostgresqlStorage, migrate_postgresql):
        with pytest.raises(DataFolderTooNew):
            attempt(bare)


def test_a_signal_reaches_listeners_on_other_machines_and_once_on_its_own(city, tmp_path, databases):
    from pod_server.notifications.database_signal import DatabaseSignal

    here = city.host.signal
    elsewhere = DatabaseSignal(tmp_path / "other-machine", city.host.storage)
    with here.listen() as near, elsewhere.listen() as far:
        heard: set[int] = set()
        until = time.monotonic() + 60
        while not heard and time.monotonic() < until:  # the other machine's ear opens in the background
            here.notify([7, 2**62])
            heard = far.wait(0.1)
        assert heard == {7, 2**62}
        assert near.wait(30) == {7, 2**62}
        near.wait(0.3)
        elsewhere.notify([9])
        assert near.wait(30) == {9}
        assert far.wait(30) == {9}
        assert far.wait(0.3) == set(), "its own signal came back to it through the database"


def test_a_proof_used_on_one_machine_is_used_on_every_other(tmp_path, clock, databases, monkeypatch):
    import hosts

    one = make_host(tmp_path / "one", clock)
    monkeypatch.setattr(hosts, "database_url_for", lambda _folder: databases.url_for(tmp_path / "one"))
    two = make_host(tmp_path / "two", clock)
    expires = clock.now() + timedelta(minutes=5)
    assert one.replay.first_use("dpop k 1", expires)
    assert not two.replay.first_use("dpop k 1", expires)
    assert two.replay.first_use("dpop k 2", expires)
    one.storage.close()
    two.storage.close()


def test_two_machines_with_their_keys_in_a_database_serve_one_city(tmp_path, clock, databases):
    """Data and keys in two databases; the host key and the epoch keys in a folder that both see."""
    from dataclasses import replace

    from tvilling.app import create_host
    from tvilling.data_folder import migrate_data_folder
    from tvilling.settings import Listen, Settings

    keys_url = databases.new()
    shared = tmp_path / "shared"
    shared.mkdir()
    settings = Settings(
        data_folder=str(tmp_path / "one"),
        base_url="http://localhost:8080",
        live_url="http://localhost:8081",
        listen=Listen("127.0.0.1", 8080),
        live_listen=Listen("127.0.0.1", 8081),
        host_key_file=str(shared / "host.key"),
        epoch_keys_folder=str(shared / "epochs"),
        database_url=databases.url_for(tmp_path / "one"),
        keys_url=keys_url,
    )
    hosts_of_the_city = []
    for machine in ("one", "two"):
        own = replace(settings, data_folder=str(tmp_path / machine))
        migrate_data_folder(own)
        hosts_of_the_city.append(create_host(own))
    one, two = hosts_of_the_city
    pod = create_pod(one, "kari")
    partner = granted(two, pod.pod_id)
    assert deliver(one, partner.permit, [reading(0)]) == ["accepted"]
    assert deliver(two, partner.permit, [reading(0), reading(1)]) == ["duplicate", "accepted"]
    erased = grants.erase(two, pod.pod_id, partner.grant, actor=CITIZEN)
    assert erased.keys_destroyed > 0
    assert (pod.pod_id, partner.grant) not in one.key_store.grants_with_keys()
    assert not (tmp_path / "one" / "keys" / "keys.sqlite").exists()
    for host in hosts_of_the_city:
        host.storage.close()
        host.key_store.close()


def test_requests_that_write_to_different_pods_by_handle_do_not_wait_for_each_other(city, host):
    """A handle is found without holding up those who look for another one."""
    city.citizen("kari")
    city.citizen("ola")
    for forgetting in (False, True):  # with the pods met before, and as in a new process
        if forgetting:
            opening._MET_LATELY.clear()
        with host.storage.write() as tx:
            find_pod(tx, "kari")
            entered = []

            def other(entered=entered) -> None:
                with host.storage.write() as tx:
                    entered.append(find_pod(tx, "ola").handle)

            thread = threading.Thread(target=other)
            thread.start()
            thread.join(10)
            assert entered == ["ola"]


def test_two_who_make_a_pod_of_one_handle_at_once_get_one_pod(host):
    barrier, outcomes = threading.Barrier(2), []

    def make() -> None:
        barrier.wait(10)
        try:
            outcomes.append(create_pod(host, "kari").pod.handle)
        except HandleTaken:
            outcomes.append("taken")

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["kari", "taken"]
    assert len(host.key_store.pods_with_keys()) == 1, "the keys of the pod that was not made are gone"


def test_a_pod_met_before_is_found_and_its_document_read_in_one_round_trip(city, host, monkeypatch):
    kari = city.citizen("kari")

    def read() -> bytes:
        with host.storage.read() as tx:
            ask_ahead(host, tx, "kari", body_of="profile/card")
            opened = open_pod(host, owner_permit(kari.vault), pod=find_pod(tx, "kari"))
            return documents.get(tx, opened, "profile/card").content

    card = read()
    waits = []
    waiting = PipelinedConnection.read_answers
    monkeypatch.setattr(
        PipelinedConnection, "read_answers", lambda self, number: waits.append(number) or waiting(self, number)
    )
    assert read() == card
    assert len(waits) == 1
    with host.storage.write() as tx:
        put(tx, open_pod(host, owner_permit(kari.vault), pod=find_pod(tx, "kari")), "profile/card", b"<> a <x:y> .")
    assert read() == b"<> a <x:y> .", "what was remembered is where to look, never what was there"


def test_a_wrong_guess_where_a_handle_leads_costs_a_round_trip_and_nothing_else(city, host):
    kari, ola = city.citizen("kari"), city.citizen("ola")
    opening._MET_LATELY["kari"] = opening._MET_LATELY["ola"] = (ola.pod_id, [Scope("own", "", 7)])
    for handle, pod in (("kari", kari), ("ola", ola)):
        with host.storage.write() as tx:
            ask_ahead(host, tx, handle, ["profile/card"], writing=True)
            assert find_pod(tx, handle).pod_id == pod.pod_id
            opened = open_pod(host, owner_permit(pod.vault), pod=find_pod(tx, handle))
            documents.look_up(tx, opened, ["profile/card"])
            assert documents.exists(tx, opened, "profile/card")


def put(tx, opened, path: str, content: bytes) -> None:
    documents.put(tx, opened, path, "text/turtle", content, public=True, at=NOON)


def test_looking_sees_what_was_committed_when_it_asked(storage_pair):
    one, other = storage_pair
    question = ("SELECT COUNT(*) FROM signing_key",)
    with one.look() as looking, one.read() as reading:
        assert looking.one(*question) == reading.one(*question) == (0,)
        with other.write() as tx:
            tx.execute(
                "INSERT INTO consent_notice (notice_hash, version, notice, first_answered) VALUES ('a', '', '', 0)"
            )
        notices = ("SELECT COUNT(*) FROM consent_notice",)
        assert looking.one(*notices) == (1,)
        assert reading.one(*notices) == (0,)


@pytest.fixture
def storage_pair(url):
    migrate_postgresql(url)
    pair = PostgresqlStorage(url), PostgresqlStorage(url)
    yield pair
    for each in pair:
        each.close()

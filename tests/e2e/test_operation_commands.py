"""The operator's commands over a host's whole life: locking, backing up, restoring, moving, finding what is wrong."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from deliveries import CITIZEN, deliver, granted, readings
from ending import end
from hosts import make_host
from ports import free_port

from pod_server import grants, partner_standing
from pod_server.activities import read_activities
from pod_server.authorization.enforcement import require_owner
from pod_server.authorization_server.apps import App
from pod_server.authorization_server.connections import connect, disconnect
from pod_server.identifiers import ClientId
from pod_server.log.errors import LogBroken
from pod_server.log.ledger import all_events, load_tree, log_verifier_key
from pod_server.log.restoration import verify_restored
from pod_server.log.verification import verify_segments
from pod_server.opening import find_pod
from pod_server.partner_standing import By
from pod_server.partners import list_partners
from pod_server.pods import create_pod, open_pod
from pod_server.vault.vault import unlock_with_custodian
from research_views.budget import RHO_A_MONTH, charge
from tvilling.app import create_host
from tvilling.cli import main
from tvilling.commands.frame import Frame
from tvilling.in_use import hold
from tvilling.settings import Settings

PASSPHRASE = "four good words here\n"


@pytest.fixture
def tvilling(tmp_path):
    """Run a command on a data folder of the test's own; `data` names another one."""

    def run(*arguments: str, stdin: str = "", code: int = 0, data: str = "data"):
        done = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path / data), "--json"], input=stdin)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.stderr + done.stdout
        return json.loads(done.stdout) if done.stdout else done.stderr

    return run


def add_kari(tvilling, **options):
    return tvilling("citizen", "add", "kari", "--passphrase-file", "-", stdin=PASSPHRASE, **options)


def test_a_locked_pod_opens_by_its_passphrase_alone_and_the_answer_says_what_the_host_still_reads(tvilling):
    add_kari(tvilling)
    answer = tvilling("pod", "lock", "kari", "--passphrase-file", "-", stdin=PASSPHRASE)
    assert answer["state"] == "locked"
    assert answer["new_root_key"] is True
    assert len(answer["recovery_code"].replace("-", "")) >= 26
    assert any("public" in each for each in answer["host_still_reads"])
    assert "locked" in tvilling("citizen", "credentials", "kari", code=1).lower()
    assert "locked already" in tvilling("pod", "lock", "kari", code=1)
    assert "passphrase" in tvilling("pod", "unlock", "kari", "--passphrase-file", "-", stdin="not this", code=1)
    assert tvilling("pod", "unlock", "kari", "--passphrase-file", "-", stdin=PASSPHRASE)["state"] == "open"
    assert tvilling("citizen", "credentials", "kari")["client_id"]


def test_locking_and_unlocking_by_command_are_lines_in_the_citizens_log_with_who_did_it(tvilling, tmp_path):
    add_kari(tvilling)
    tvilling("pod", "lock", "kari", "--passphrase-file", "-", stdin=PASSPHRASE)
    tvilling("pod", "unlock", "kari", "--passphrase-file", "-", stdin=PASSPHRASE)
    host = create_host(Frame(data=tmp_path / "data", base_url=None, as_json=True).settings())
    with closing(host.storage), host.storage.read() as tx:
        pod = find_pod(tx, "kari")
        vault = unlock_with_custodian(host.host_key, host.key_store, pod.pod_id)
        said = [(each.event.action, each.event.actor.kind) for each in all_events(tx, vault, pod.pod_id)]
    assert ("lock-pod", "operator-assisted") in said
    assert ("leave-pod-open", "operator-assisted") in said


def test_an_operator_locks_at_once_without_the_passphrase_and_is_told_what_that_does_not_do(tvilling):
    add_kari(tvilling)
    answer = tvilling("pod", "lock", "kari")
    assert answer["new_root_key"] is False
    assert "older copy of the key store" in answer["older_copies"]
    assert tvilling("citizen", "list")[0]["state"] == "locked"
    assert tvilling("pod", "unlock", "kari", "--passphrase-file", "-", stdin=PASSPHRASE)["state"] == "open"


def test_every_way_in_is_changed_by_command_and_the_code_brings_a_lost_citizen_back(tvilling, tmp_path):
    add_kari(tvilling)
    words = tmp_path / "words"
    words.write_text("elleve blå hunder\n", encoding="utf-8")
    new, present = ("--new-passphrase-file", str(words)), ("--passphrase-file", "-")
    assert tvilling("pod", "passphrase", "kari", *new, *present, stdin=PASSPHRASE)["changed"] == "passphrase"
    assert "passphrase" in tvilling("pod", "lock", "kari", *present, stdin=PASSPHRASE, code=1)
    locked = tvilling("pod", "lock", "kari", *present, stdin="elleve blå hunder")
    code = tvilling("pod", "recovery-code", "kari", *present, stdin="elleve blå hunder")["recovery_code"]
    assert code != locked["recovery_code"]
    recover = ("pod", "recover", "kari", "--code-file", "-", *new)
    assert "recovery code" in tvilling(*recover, stdin=locked["recovery_code"], code=1)
    typo = code[:-1] + ("0" if code[-1] != "0" else "1")
    assert "mistyped" in tvilling(*recover, stdin=typo, code=1)
    again = tvilling(*recover, stdin=code.lower())["recovery_code"]
    assert again != code
    assert tvilling("citizen", "list")[0]["state"] == "locked"
    renewed = tvilling("pod", "renew-keys", "kari", *new, *present, stdin="elleve blå hunder")
    assert renewed["state"] == "locked"
    assert tvilling("pod", "unlock", "kari", *present, stdin="elleve blå hunder")["state"] == "open"
    assert tvilling("log", "verify", "kari")


def test_a_pod_without_a_passphrase_is_not_locked_away_from_its_citizen(tvilling):
    tvilling("citizen", "add", "ola")
    assert "recovery code alone" in tvilling("pod", "lock", "ola", code=1)
    assert tvilling("citizen", "list")[0]["state"] == "open"
    assert tvilling("pod", "lock", "ola", "--passphrase-file", "-", stdin=PASSPHRASE)["new_root_key"] is True


@pytest.fixture
def lived_in(tmp_path, clock):
    """A host in `data` with kari, and two partners who delivered a hundred readings each."""
    host = make_host(tmp_path / "data", clock)
    made = create_pod(host, "kari")
    power, shop = (granted(host, made.pod_id, name=name) for name in ("Strømmen AS", "Butikken AS"))
    for partner in (power, shop):
        assert deliver(host, partner.permit, readings(0, 100)) == ["accepted"] * 100
    yield SimpleNamespace(host=host, pod_id=made.pod_id, power=power, shop=shop, folder=tmp_path)
    host.storage.close()
    host.key_store.close()


def records_of(host, pod_id, grant=None):
    vault = unlock_with_custodian(host.host_key, host.key_store, pod_id)
    opened = open_pod(host, require_owner(vault), vault=vault)
    return [json.loads(one.raw)["@id"] for one in read_activities(host, opened, grant=grant)]


def opened_again(folder, clock):
    """The host of a folder as its settings say, at the test's time."""
    return replace(create_host(Settings.from_file(folder / "run" / "settings.json")), clock=clock)


def test_a_backup_under_load_is_whole_and_what_was_erased_since_stays_dead_after_the_restore(tvilling, lived_in, clock):
    host, pod_id, folder = lived_in.host, lived_in.pod_id, lived_in.folder
    acknowledged, stop = [], threading.Event()

    def write_on():
        number = 100
        while not stop.is_set():
            assert deliver(host, lived_in.shop.permit, readings(number, 5)) == ["accepted"] * 5
            acknowledged.append(number + 5)
            number += 5

    writer = threading.Thread(target=write_on)
    writer.start()
    while len(acknowledged) < 5:
        time.sleep(0.001)
    before = acknowledged[-1]
    answer = tvilling("backup", str(folder / "saved"))
    during = acknowledged[-1]
    stop.set()
    writer.join()
    assert during > before, "the writer must have gone on while the backup was taken"
    assert answer["host_key_copied"] is False
    assert sorted(answer["files"]) == ["data/binaries.txt", "data/tvilling.sqlite", "keys/keys.sqlite"]
    assert not (folder / "saved" / "keys" / "host.key").exists()
    assert "NOT in the backup" in answer["notes"][0]

    grants.erase(host, pod_id, lived_in.power.grant, actor=CITIZEN)
    grants.withdraw(host, pod_id, lived_in.shop.grant, actor=CITIZEN)
    host_key = str(folder / "data" / "keys" / "host.key")
    newest = ("--keys", str(folder / "data" / "keys"), "--host-key", host_key)
    restored = tvilling("restore", str(folder / "saved"), *newest, data="other")
    assert restored["erased_again"] == 1
    assert restored["carried_over"] is None
    states = {row["grant"]: row["state"] for row in tvilling("consent", "list", "kari", data="other")}
    assert states[lived_in.power.grant] == "erased"

    other = opened_again(folder / "other", clock)
    with other.storage.read() as tx:
        vault = unlock_with_custodian(other.host_key, other.key_store, pod_id)
        segments = tx.one("SELECT COUNT(*) FROM segment WHERE grant_id = ?", (lived_in.power.grant,))
        assert segments == (0,)
        assert verify_segments(tx, vault, pod_id) >= 2
        leaf = next(one.event for one in all_events(tx, vault, pod_id) if one.event.action == "restored-from")
        key = log_verifier_key(other, load_tree(tx, pod_id))
    verify_restored(leaf, key)
    with pytest.raises(LogBroken):
        verify_restored(replace(leaf, detail={**leaf.detail, "size": leaf.detail["size"] + 1}), key)
    kept = records_of(other, pod_id, lived_in.shop.grant)
    assert len(kept) == len(set(kept)) >= before
    assert tvilling("log", "verify", "kari", data="other")["size"] > leaf.detail["size"]
    other.storage.close()
    other.key_store.close()

    # Onto the folder itself: what the replaced database still knows of consents holds.
    stopped = next(each for each in list_partners(host) if each.active)
    partner_standing.suspend(host, stopped.client_id, "Lekkasje", by=By("operator", "Kari"))
    host.storage.close()
    host.key_store.close()
    again = tvilling("restore", str(folder / "saved"), "--force")
    assert again["key_store"] == "present"
    assert again["carried_over"] == 2
    assert (Path(again["set_aside"]) / "tvilling.sqlite").exists()
    states = {row["grant"]: row["state"] for row in tvilling("consent", "list", "kari")}
    assert states == {lived_in.power.grant: "erased", lived_in.shop.grant: "withdrawn"}
    standing = {row["client_id"]: row["state"] for row in tvilling("partner", "list")}
    assert standing[stopped.client_id] == "suspended"


def test_a_restore_refuses_what_would_harm(tvilling, lived_in, clock):
    folder = lived_in.folder
    saved, host_key = folder / "saved", folder / "data" / "keys" / "host.key"
    tvilling("backup", str(saved))
    named = ("restore", str(saved), "--host-key", str(host_key))

    assert "--host-key" in tvilling("restore", str(saved), code=1, data="empty")
    assert not (folder / "empty" / "tvilling.sqlite").exists()
    assert "--force" in tvilling("restore", str(saved), code=1)
    in_use = hold(folder / "data" / "run")
    assert "stop it first" in tvilling("restore", str(saved), "--force", code=1)
    os.close(in_use)

    create_pod(lived_in.host, "ola")
    newer_data = folder / "later"
    tvilling("backup", str(newer_data))
    older_keys = ("--keys", str(saved / "keys"), "--host-key", str(host_key))
    assert "older than the data" in tvilling("restore", str(newer_data), *older_keys, code=1, data="third")

    database = saved / "data" / "tvilling.sqlite"
    whole = database.read_bytes()
    database.write_bytes(whole[:-4096])
    assert "cut short" in tvilling(*named, code=1, data="fourth")
    database.write_bytes(whole)
    (saved / "backup.json").unlink()
    assert "no finished backup" in tvilling(*named, code=1, data="fourth")
    assert "outside the data folder" in tvilling("backup", str(folder / "data" / "inside"), code=1)
    (folder / "foreign").mkdir()
    (folder / "foreign" / "letters.txt").write_text("dear")
    assert "letters.txt" in tvilling("backup", str(folder / "foreign"), code=1)


def test_a_spent_privacy_budget_stays_spent_through_a_restore(tvilling, lived_in, clock):
    folder, host = lived_in.folder, lived_in.host
    charge(host, "2026-09", RHO_A_MONTH, at=clock.now(), details={})
    tvilling("backup", str(folder / "saved"), "--with-host-key")
    charge(host, "2026-10", RHO_A_MONTH, at=clock.now(), details={})
    host.storage.close()
    host.key_store.close()
    tvilling("restore", str(folder / "saved"), "--force")
    assert len(tvilling("research", "budget")["entries"]) == 2
    fresh = tvilling("restore", str(folder / "saved"), data="fresh")
    assert fresh["host_key"] == str(folder / "fresh" / "keys" / "host.key")
    assert len(tvilling("research", "budget", data="fresh")["entries"]) == 1
    account = folder / "data" / "keys" / "privacy-budget.jsonl"
    account.write_bytes(b"x" + account.read_bytes()[1:])
    assert "different stories" in tvilling("restore", str(folder / "saved"), "--force", code=1)


def test_an_app_that_was_ended_after_the_backup_is_not_let_in_again_by_the_restore(tvilling, lived_in):
    folder, host = lived_in.folder, lived_in.host
    app = App(ClientId("app-1"), "Notater", ("https://app.example/back",), (), has_secret=False)
    with host.storage.write() as tx:
        connection = connect(host, tx, lived_in.pod_id, app, "everything")
    tvilling("backup", str(folder / "saved"), "--with-host-key")
    assert disconnect(host, lived_in.pod_id, connection)
    host.storage.close()
    host.key_store.close()
    tvilling("restore", str(folder / "saved"), "--force")
    with closing(sqlite3.connect(folder / "data" / "tvilling.sqlite")) as database:
        held = database.execute("SELECT connection_id, ended_at IS NULL FROM app_connection").fetchall()
    # Ended, and kept: a consent that the app held names it by its connection.
    assert held == [(connection, 0)]


def test_a_restore_is_refused_while_a_server_runs_and_a_backup_is_not(tvilling, lived_in):
    folder = lived_in.folder
    ports = [str(free_port()), str(free_port())]
    server = subprocess.Popen(
        [sys.executable, "-m", "tvilling", "serve", "--data", str(folder / "data"), "--workers", "1",
         "--listen", f"127.0.0.1:{ports[0]}", "--live-listen", f"127.0.0.1:{ports[1]}", "--json"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert json.loads(server.stdout.readline())["base_url"].endswith(ports[0])
        tvilling("backup", str(folder / "saved"))
        assert "stop it first" in tvilling("restore", str(folder / "saved"), "--force", code=1)
    finally:
        end(server, grace_seconds=20)
    assert tvilling("restore", str(folder / "saved"), "--force")["pods"] == 1

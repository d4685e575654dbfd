"""The doctor finds each misconfiguration that the threat model names, and nothing else."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from connector_packages import install
from deliveries import CITIZEN, deliver, granted, readings
from hosts import key_store_in, make_host

from pod_server import grants
from pod_server.clock import SetClock, SystemClock
from pod_server.log.cosignature import witness_key
from pod_server.pods import create_pod
from pod_server.signatures import SigningKey
from pod_server.vault.host_key import HostKeyFile
from research_views.budget import RHO_A_MONTH, charge
from tvilling.cli import main
from tvilling.doctor import examine
from tvilling.settings import Listen, Settings
from twin_agent.worker import run_until_idle


@pytest.fixture
def healthy(tmp_path):
    """A lived-in folder, written by the machine's own clock, with the host key outside it."""
    folder = tmp_path / "data"
    host = make_host(folder, SetClock(SystemClock().now()))
    made = create_pod(host, "kari")
    partner = granted(host, made.pod_id)
    deliver(host, partner.permit, readings(-2000, 20))
    run_until_idle(host)
    (tmp_path / "elsewhere").mkdir()
    for name in ("host.key", "epochs"):
        (folder / "keys" / name).rename(tmp_path / "elsewhere" / name)
    host.key_store.close()
    host = replace(host, key_store=key_store_in(folder / "keys", clock=host.clock, beside=tmp_path / "elsewhere"))
    settings = Settings(
        data_folder=str(folder),
        base_url="http://localhost:8080",
        live_url="http://localhost:8081",
        listen=Listen("127.0.0.1", 8080),
        live_listen=Listen("127.0.0.1", 8081),
        host_key_file=str(tmp_path / "elsewhere" / "host.key"),
        epoch_keys_folder=str(tmp_path / "elsewhere" / "epochs"),
    )
    settings.write()
    yield settings, host, made.pod_id, partner
    host.storage.close()
    host.key_store.close()


def checks(settings, level="wrong"):
    findings = examine(settings)
    assert all(finding.mend for finding in findings)
    return {finding.check for finding in findings if finding.level == level}


def change(settings, sql, *parameters):
    with closing(sqlite3.connect(settings.data / "tvilling.sqlite")) as database, database:
        assert database.execute(sql, parameters).rowcount != 0


def doctor(settings):
    done = CliRunner().invoke(main, ["doctor", "--data", settings.data_folder, "--json"])
    return done.exit_code, json.loads(done.stdout)


def test_a_healthy_host_has_nothing_wrong(healthy):
    assert doctor(healthy[0]) == (0, {"ok": True, "findings": []})


def test_a_host_key_in_the_data_folder_is_a_warning_at_home_and_wrong_in_public(healthy):
    settings = healthy[0]
    Path(settings.host_key_file).rename(settings.data / "keys" / "host.key")
    inside = replace(settings, host_key_file=None)
    assert checks(inside, "warning") == {"host-key-place"}
    assert checks(inside) == set()
    assert checks(replace(inside, base_url="https://pods.example")) == {"host-key-place"}
    inside.write()
    code, answer = doctor(inside)
    assert (code, answer["ok"], len(answer["findings"])) == (0, True, 1)


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        ({"base_url": "http://pods.example"}, "base-url"),
        ({"base_url": "https://pods.example", "allow_outbound": ("http://127.0.0.1:9",)}, "outbound"),
        ({"host_key_file": "/nowhere/host.key"}, "host-key"),
    ],
)
def test_settings_that_open_a_door_are_found(healthy, changed, check):
    assert checks(replace(healthy[0], **changed)) == {check}


@pytest.mark.parametrize("name", ["", "keys", "run", "keys/keys.sqlite"])
def test_modes_that_let_others_in_are_found(healthy, name):
    path = healthy[0].data / name
    path.chmod(0o755 if path.is_dir() else 0o644)
    assert checks(healthy[0]) == {"modes"}
    assert doctor(healthy[0])[0] == 1


@pytest.mark.parametrize(
    ("sql", "check"),
    [
        ("UPDATE schema_version SET version = version + 1", "database"),
        ("UPDATE schema_version SET version = version - 1", "database"),
        ("UPDATE log_leaf SET event_commitment = zeroblob(32) WHERE leaf_index = 1", "logs"),
        ("DELETE FROM log_leaf WHERE leaf_index = 1", "logs"),
        ("UPDATE segment SET sealed = substr(sealed, 1, length(sealed) - 1)", "contents"),
        ("DELETE FROM segment", "contents"),
        ("UPDATE consent SET erasure_pending = 1, changed_at = changed_at - 3600000000", "erasures"),
        ("UPDATE feed SET head = head + 1, waiting_since = waiting_since - 3600000000", "agent"),
        ("UPDATE segment SET received = received + 3600000000", "clock"),
    ],
)
def test_what_is_wrong_inside_the_database_is_found(healthy, sql, check):
    change(healthy[0], sql)
    assert checks(healthy[0]) == {check}


def test_messages_that_nobody_takes_are_found(healthy):
    settings, host, pod_id, partner = healthy
    change(settings, "UPDATE partner SET webhook = 'http://127.0.0.1:1/hook'")
    grants.withdraw(host, pod_id, partner.grant, actor=CITIZEN)
    run_until_idle(host)
    assert checks(settings) == set()
    change(settings, "UPDATE outbox SET created = created - 7200000000")
    assert checks(settings) == {"outbox"}
    change(settings, "UPDATE outbox SET state = 'given-up'")
    assert checks(settings, "warning") == {"outbox"}


def test_keys_that_do_not_go_with_the_data_are_found(healthy, tmp_path):
    settings, host, pod_id, partner = healthy
    other = tmp_path / "elsewhere" / "another.key"
    HostKeyFile.load_or_create(other)
    assert checks(replace(settings, host_key_file=str(other))) == {"epoch-keys"}
    assert "right one" in examine(replace(settings, host_key_file=str(other)))[0].what
    host.key_store.destroy_grant(pod_id, partner.grant)
    assert checks(settings) == {"erased-keys"}
    host.key_store.destroy_vault(pod_id)
    assert "keys-and-data" in checks(settings)


def test_a_key_store_of_another_version_or_none_is_found(healthy):
    settings, host, *_ = healthy
    path = settings.data / "keys" / "keys.sqlite"
    with closing(sqlite3.connect(path)) as store:
        store.execute("PRAGMA user_version = 99")
    assert checks(settings) == {"key-store"}
    host.key_store.close()
    path.unlink()
    assert checks(settings) == {"key-store"}
    assert not path.exists(), "the doctor makes nothing"


def test_epoch_keys_that_lie_in_the_data_folder_are_a_warning_at_home_and_wrong_in_public(healthy):
    settings = healthy[0]
    Path(settings.epoch_keys_folder).rename(settings.data / "keys" / "epochs")
    inside = replace(settings, epoch_keys_folder=None)
    assert checks(inside, "warning") == {"epoch-keys-place"}
    assert checks(replace(inside, base_url="https://pods.example")) == {"epoch-keys-place"}
    (settings.data / "keys" / "epochs" / "epoch-00000001.key").chmod(0o644)
    assert checks(inside) == {"modes"}


def test_epoch_keys_that_are_missing_damaged_or_not_tended_are_found(healthy):
    settings, host, *_ = healthy
    folder = Path(settings.epoch_keys_folder)
    file = folder / "epoch-00000001.key"
    whole = file.read_text()
    file.write_text(whole.replace("-v1", "-v9", 1))
    assert checks(settings) == {"epoch-keys"}
    file.write_text(whole)
    file.rename(folder / "aside")
    assert checks(settings) == {"epoch-keys"}
    (folder / "aside").rename(file)
    host.clock.advance(-timedelta(days=40))
    host.key_store.epoch_keys.date_anew(1)
    assert checks(settings) == {"epochs"}
    for _ in range(2):
        host.clock.advance(timedelta(days=1))
        host.key_store.renew_epoch()
    assert {finding.what.split(" ")[0] for finding in examine(settings) if finding.check == "epochs"} == {"the"}
    assert "due to be destroyed" in " ".join(finding.what for finding in examine(settings))
    host.clock.advance(timedelta(days=38))
    host.key_store.renew_epoch()
    assert checks(settings) == set()
    host.clock.advance(timedelta(days=3))
    host.key_store.epoch_keys.date_anew(host.key_store.epoch())
    assert checks(settings) == {"clock"}


def test_an_exchange_of_the_host_keys_file_that_was_cut_off_is_found(healthy):
    settings, host, *_ = healthy
    following = Path(f"{settings.host_key_file}.next")
    HostKeyFile.load_or_create(following)
    assert checks(settings) == {"host-key"}
    following.unlink()
    host.key_store.add_host_key("00" * 8, b"sealed to the old file")
    assert checks(settings) == {"host-key"}


def test_an_older_key_store_put_back_by_hand_and_changed_rows_of_it_are_found(healthy):
    settings, host, pod_id, partner = healthy
    path = settings.data / "keys" / "keys.sqlite"
    with closing(sqlite3.connect(path)) as store:
        store.execute("VACUUM INTO ?", (str(settings.data / "older.sqlite"),))
    grants.erase(host, pod_id, partner.grant, actor=CITIZEN)
    run_until_idle(host)
    assert checks(settings) == set()
    host.key_store.close()
    for side in ("-wal", "-shm"):
        Path(f"{path}{side}").unlink(missing_ok=True)
    (settings.data / "older.sqlite").replace(path)
    path.chmod(0o600)
    assert checks(settings) == {"erased-keys"}
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("UPDATE slot SET sealed = zeroblob(length(sealed)) WHERE kind = 'recovery'")
    assert "key-store" in checks(settings)
    assert "the recovery slot of kari" in next(one.what for one in examine(settings) if one.check == "key-store")


def test_a_removal_that_was_cut_off_is_found(healthy):
    settings, *_ = healthy
    change(settings, "INSERT INTO retired_handle (handle, retired) VALUES ('kari', 0)")
    assert checks(settings) == {"erasures"}


def test_a_public_host_without_witnesses_is_told_and_one_with_them_is_not(healthy):
    settings = healthy[0]
    public = replace(settings, base_url="https://pods.example")
    assert "witnesses" in checks(public, "warning")
    key = witness_key("auditor.example/1", SigningKey.ed25519(bytes(32))).encoded()
    assert "witnesses" not in checks(replace(public, witnesses=(f"https://auditor.example {key}",)), "warning")


def test_a_shortened_budget_account_is_found(healthy):
    settings, host, *_ = healthy
    charge(host, "2026-09", RHO_A_MONTH, at=host.clock.now() - timedelta(days=1), details={})
    assert checks(settings) == set()
    (settings.data / "keys" / "privacy-budget.jsonl").write_bytes(b"")
    assert checks(settings) == {"privacy-budget"}


def test_a_damaged_database_and_an_empty_folder_are_told(healthy, tmp_path):
    settings, host, *_ = healthy
    empty = replace(settings, data_folder=str(tmp_path / "nothing"))
    assert checks(empty) == {"data-folder"}
    assert not (tmp_path / "nothing").exists()
    host.storage.close()
    (settings.data / "tvilling.sqlite").write_bytes(b"no database at all" * 1000)
    assert "database" in checks(settings)


def test_a_connector_package_that_is_left_out_is_wrong_and_one_that_is_not_allowed_is_told(
    healthy, tmp_path, monkeypatch
):
    settings, *_ = healthy
    install(tmp_path / "site", "nabo-broken", {"nabo_broken": "1/0"}, {"nabo": "nabo_broken:Meter"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (told,) = [each for each in examine(settings) if each.check == "connectors"]
    assert (told.level, "--connector-package nabo-broken" in told.mend) == ("warning", True)
    replace(settings, connector_packages=("nabo-broken",)).write()
    answer = CliRunner().invoke(main, ["doctor", "--data", settings.data_folder])
    assert answer.exit_code == 1
    assert "connector package nabo-broken is left out: nabo: it cannot be loaded: ZeroDivisionError" in answer.output
    listed = CliRunner().invoke(main, ["connector", "list", "--data", settings.data_folder, "--json"])
    answered = json.loads(listed.output)
    assert {"oss", "atb"} <= {each["name"] for each in answered["connectors"]}
    assert [each["package"] for each in answered["left_out"]] == ["nabo-broken"]

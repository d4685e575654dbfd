"""`tvilling key rotate` and `key epoch` on a folder that a server has open."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from deliveries import CITIZEN, deliver, granted, reading
from hosts import make_host

from pod_server import consent_receipts, grants, upkeep
from pod_server.clock import SetClock, SystemClock
from pod_server.log import ledger
from pod_server.opening import custodian_vault
from pod_server.pods import create_pod
from pod_server.signing_keys import historical_jwks
from pod_server.vault.host_key import HostKeyFile
from tvilling.cli import main


@pytest.fixture
def served(tmp_path):
    """A host whose processes run on while commands are given; its clock can be set ahead of the machine's."""
    clock = SetClock(SystemClock().now())
    host = make_host(tmp_path / "data", clock)
    kari = create_pod(host, "kari")
    yield host, clock, granted(host, kari.pod_id), tmp_path
    host.storage.close()
    host.key_store.close()


def tvilling(folder, *arguments, code=0):
    done = CliRunner().invoke(main, [*arguments, "--data", str(folder / "data"), "--json"])
    assert done.exit_code == code, done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


def test_the_host_key_is_exchanged_while_partners_deliver_and_their_names_for_citizens_stay(served):
    host, _, partner, folder = served
    path = Path(folder / "data" / "keys" / "host.key")
    old = HostKeyFile.load(path)
    subject = grants.subject_of(host, grants.find_grant(host, partner.permit.pod_id, partner.grant))
    assert deliver(host, partner.permit, [reading(0)]) == ["accepted"]
    answer = tvilling(folder, "key", "rotate")
    assert answer["host_key"] == HostKeyFile.load(path).fingerprint != old.fingerprint
    assert answer["epoch"] == 2
    assert "new backup" in answer["notes"][0]
    assert deliver(host, partner.permit, [reading(1)]) == ["accepted"], "the running process was told nothing"
    started_later = make_host(folder / "data", host.clock)
    found = grants.find_grant(started_later, partner.permit.pod_id, partner.grant)
    assert grants.subject_of(started_later, found) == subject
    started_later.storage.close()
    started_later.key_store.close()
    assert tvilling(folder, "log", "verify", "kari")["size"] > 3
    tvilling(folder, "backup", str(folder / "saved"), "--with-host-key")
    (folder / "data").rename(folder / "lost")
    assert tvilling(folder, "restore", str(folder / "saved"))["pods"] == 1


def test_epochs_are_tended_by_command_and_by_the_agent(served):
    host, clock, _, folder = served
    assert tvilling(folder, "key", "epoch")["begun"] is False
    answer = tvilling(folder, "key", "epoch", "--now")
    assert (answer["epoch"], answer["pods"], len(answer["kept"])) == (2, 1, 2)
    assert answer["copies_die_after_days"] == 30
    clock.advance(timedelta(days=30))
    assert upkeep.tend(host) == (3, True, 1, (1,))
    clock.advance(timedelta(days=30))
    assert upkeep.tend(host).destroyed == (2,)


def test_a_citizen_is_removed_and_the_receipt_is_checked_offline(served):
    host, _, partner, folder = served
    keys = folder / "issuer-keys.json"
    keys.write_text(json.dumps(historical_jwks(host)))
    erased = tvilling(folder, "consent", "erase", partner.grant)
    assert erased["keys_destroyed"] >= 1
    assert datetime.fromisoformat(erased["copies_die_by"]) - SystemClock().now() > timedelta(days=29)
    receipt = folder / "receipt.txt"
    answer = tvilling(folder, "citizen", "remove", "kari", "--yes", "--receipt", str(receipt))
    assert receipt.read_text().strip() == answer["receipt"]
    (folder / "elsewhere").mkdir()
    done = CliRunner().invoke(
        main,
        ["receipt", "verify", str(receipt), "--issuer-keys", str(keys), "--data", str(folder / "elsewhere"), "--json"],
    )
    assert json.loads(done.stdout)["sub"].endswith("/kari/profile/card#me")
    assert tvilling(folder, "citizen", "remove", "kari") == answer, "the receipt is given again"
    receipt.write_text(answer["receipt"][:-8] + "AAAAAAAA")
    assert "was changed" in tvilling(folder, "receipt", "verify", str(receipt), code=1)


def test_a_folder_without_its_epoch_keys_says_how_to_mend_it(served):
    *_, folder = served
    (folder / "data" / "keys" / "epochs").rename(folder / "epochs")
    assert "--epoch-keys" in tvilling(folder, "citizen", "list", code=1)
    (folder / "epochs").rename(folder / "data" / "keys" / "epochs")
    assert tvilling(folder, "citizen", "list")[0]["handle"] == "kari"


def test_a_folder_whose_key_store_is_gone_gets_no_new_one(served):
    host, *_, folder = served
    host.key_store.close()
    (folder / "data" / "keys" / "keys.sqlite").unlink()
    assert "tvilling restore" in tvilling(folder, "citizen", "list", code=1)
    assert not (folder / "data" / "keys" / "keys.sqlite").exists()


def test_the_keys_of_logs_and_receipts_change_while_the_host_runs_and_old_copies_verify(served, tmp_path):
    host, _, partner, folder = served
    pod_id = partner.permit.pod_id

    def export(name):
        vault = custodian_vault(host, pod_id)
        with host.storage.read() as tx:
            document = ledger.export(tx, host, vault, pod_id)
            receipt = consent_receipts.latest(host, tx, pod_id, partner.grant)
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
        (tmp_path / f"{name}-receipt.jsonld").write_text(json.dumps(receipt))
        return document

    before = export("before")
    answer = tvilling(folder, "key", "rotate-log")
    assert (answer["number"], answer["logs"]) == (2, 1)
    assert tvilling(folder, "key", "rotate-receipts")["number"] == 2
    assert deliver(host, partner.permit, [reading(0)]) == ["accepted"], "the running process was told nothing"
    grants.pause(host, pod_id, partner.grant, actor=CITIZEN)
    after = export("after")
    assert after["key"] != before["key"]
    for key in (before["key"], after["key"]):
        checked = tvilling(
            folder,
            "log",
            "verify",
            str(tmp_path / "after.json"),
            "--key",
            key,
            "--earlier",
            str(tmp_path / "before.json"),
        )
        assert checked["size"] == len(after["events"])
    for name in ("before", "after"):
        assert (
            tvilling(folder, "receipt", "verify", str(tmp_path / f"{name}-receipt.jsonld"))["type"] == "ConsentReceipt"
        )
    listed = {(each["use"], each.get("number")): each for each in tvilling(folder, "key", "list")}
    assert {use for use, _ in listed} == {"tokens", "log", "receipts"}
    for use in ("log", "receipts"):
        old, new = listed[use, 1], listed[use, 2]
        assert (old["state"], old["successor"], old["signs_until"]) == ("past", 2, new["signs_from"])
        assert (new["state"], new["age_days"], "successor" in new) == ("signs", 0, False)
        assert old["kid"] != new["kid"]
    assert tvilling(folder, "key", "rotate-receipts", "--compromised")["renewed"] == 1
    states = {each["number"]: each["state"] for each in tvilling(folder, "key", "list") if each["use"] == "receipts"}
    assert states == {1: "past", 2: "revoked", 3: "signs"}
    assert "not known here" in tvilling(folder, "receipt", "verify", str(tmp_path / "after-receipt.jsonld"), code=1)
    assert tvilling(folder, "receipt", "verify", str(tmp_path / "before-receipt.jsonld")), (
        "that key is in nobody's hands"
    )
    export("renewed")
    tvilling(folder, "receipt", "verify", str(tmp_path / "renewed-receipt.jsonld"))

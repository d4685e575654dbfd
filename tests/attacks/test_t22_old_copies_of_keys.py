"""T22: whoever kept copies of every file, and has every passphrase, code and host key, cannot bring an erased partner back.

The thief here has copies of the whole data folder from before and after the erasure, and a backup; the citizen's passphrase
and recovery code; the host key's file; and the epoch keys as they are on the day of the theft (they are held apart). They try
every key they can reach, through every copy, on every sealed value of every copy.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner
from deliveries import CITIZEN, deliver, granted, readings
from hosts import key_store_in, make_host
from thief import Thief

from pod_server import grants, upkeep
from pod_server.clock import SetClock, SystemClock
from pod_server.pods import create_pod
from pod_server.vault.envelope import LOG, OWN, Scope
from pod_server.vault.epoch_keys import EpochKeys
from pod_server.vault.errors import EpochKeyDestroyed
from pod_server.vault.host_key import HostKeyFile
from pod_server.vault.key_derivation import Passphrase
from tvilling.cli import main
from tvilling.settings import Listen, Settings
from twin_agent.worker import run_until_idle

WORDS = "fire ord om katten"
DAYS = 30


@pytest.fixture
def told(tmp_path):
    """A host whose epoch keys and host key lie apart; kari, two partners, and the settings."""
    clock = SetClock(SystemClock().now())
    host = make_host(tmp_path / "data", clock)
    host.key_store.close()
    (tmp_path / "apart").mkdir()
    (tmp_path / "data" / "keys" / "host.key").rename(tmp_path / "apart" / "host.key")
    host = replace(host, key_store=key_store_in(tmp_path / "data" / "keys", clock=clock, beside=tmp_path / "apart"))
    settings = Settings(
        data_folder=str(tmp_path / "data"),
        base_url="http://localhost:8080",
        live_url="http://localhost:8081",
        listen=Listen("127.0.0.1", 8080),
        live_listen=Listen("127.0.0.1", 8081),
        host_key_file=str(tmp_path / "apart" / "host.key"),
        epoch_keys_folder=str(tmp_path / "apart" / "epochs"),
    )
    settings.write()
    kari = create_pod(host, "kari", passphrase=Passphrase(WORDS))
    power, shop = (granted(host, kari.pod_id, name=name) for name in ("Strømmen AS", "Butikken AS"))
    for partner in (power, shop):
        assert deliver(host, partner.permit, readings(-300, 24)) == ["accepted"] * 24
    run_until_idle(host)
    yield host, clock, kari, power, shop
    host.storage.close()
    host.key_store.close()


def tvilling(folder, *arguments, code=0):
    done = CliRunner().invoke(main, [*arguments, "--data", str(folder)])
    assert done.exit_code == code, done.output
    return done.output


def test_no_copy_of_any_age_gives_an_erased_partners_data_back_after_thirty_days(told, tmp_path):
    host, clock, kari, power, shop = told
    data, copies, backup = tmp_path / "data", tmp_path / "copies", tmp_path / "backup"
    shutil.copytree(data, copies / "before", ignore=shutil.ignore_patterns("run"))
    tvilling(data, "backup", str(backup))
    shutil.copytree(backup, copies / "backup")
    with host.storage.read() as tx:
        figures_epoch = tx.one("SELECT epoch FROM figures")[0]

    grants.erase(host, kari.pod_id, power.grant, actor=CITIZEN)
    run_until_idle(host)
    shutil.copytree(data, copies / "after", ignore=shutil.ignore_patterns("run"))
    file = HostKeyFile.load(tmp_path / "apart" / "host.key")

    def thief():
        return Thief(
            sorted(copies.iterdir()),
            file,
            EpochKeys(tmp_path / "apart" / "epochs", file, clock),
            WORDS,
            kari.recovery_code,
        )

    for day in range(1, DAYS + 1):
        clock.advance(timedelta(days=1))
        upkeep.tend(host)
        if day == DAYS - 1:
            # One day before the end the copies do open: the thief's tools work, and N is what is said.
            opened, _ = thief().read()
            assert ("segment", power.grant, 1) in opened
            assert ("partial", power.grant, 1) in opened
            assert ("figures", "", figures_epoch) in opened
    shutil.copytree(data, copies / "last", ignore=shutil.ignore_patterns("run"))

    opened, secrets = thief().read()
    assert ("segment", shop.grant, 1) in opened, "what was not erased is still the citizen's"
    assert {OWN, LOG, Scope("grant", shop.grant, 1)} <= secrets.keys()
    assert not [each for each in opened if each[1] == power.grant]
    assert ("figures", "", figures_epoch) not in opened
    assert not [scope for scope in secrets if scope.grant == power.grant]
    with pytest.raises(EpochKeyDestroyed):
        thief().epoch_keys.key(1)

    # The backup with its own keys is refused; with the newest key store it comes back without the partner.
    host.storage.close()
    host.key_store.close()
    named = ("--host-key", str(file.path), "--epoch-keys", str(tmp_path / "apart" / "epochs"))
    assert "too old" in tvilling(tmp_path / "fresh", "restore", str(backup), *named, code=1)
    tvilling(data, "restore", str(backup), "--force")
    with closing(sqlite3.connect(data / "tvilling.sqlite")) as database:
        assert database.execute("SELECT COUNT(*) FROM segment WHERE grant_id = ?", (power.grant,)).fetchone() == (0,)
        assert database.execute("SELECT COUNT(*) FROM segment WHERE grant_id = ?", (shop.grant,)).fetchone() == (1,)
        assert database.execute("SELECT state FROM consent WHERE grant_id = ?", (power.grant,)).fetchone() == (
            "erased",
        )


def test_the_thiefs_search_would_have_found_a_key_that_was_not_destroyed(told, tmp_path):
    """The control: the same copies, with the epoch key of that time."""
    host, clock, kari, power, _ = told
    shutil.copytree(tmp_path / "data", tmp_path / "copies" / "before", ignore=shutil.ignore_patterns("run"))
    file = HostKeyFile.load(tmp_path / "apart" / "host.key")
    epochs = EpochKeys(tmp_path / "apart" / "epochs", file, clock)
    grants.erase(host, kari.pod_id, power.grant, actor=CITIZEN)
    for words, code in ((WORDS, ""), ("wrong words here", kari.recovery_code)):
        thief = Thief([tmp_path / "copies"], file, epochs, words, code)
        assert ("segment", power.grant, 1) in thief.read()[0]


def test_the_present_store_alone_gives_nothing_of_the_erased_at_once(told, tmp_path):
    """What lies in the live files after the erasure, tried with the live epoch key on every copy of the database."""
    host, clock, kari, power, _ = told
    shutil.copytree(tmp_path / "data", tmp_path / "before", ignore=shutil.ignore_patterns("run", "keys"))
    grants.erase(host, kari.pod_id, power.grant, actor=CITIZEN)
    file = HostKeyFile.load(tmp_path / "apart" / "host.key")
    epochs = EpochKeys(tmp_path / "apart" / "epochs", file, clock)
    thief = Thief([tmp_path / "before", tmp_path / "data"], file, epochs, WORDS, kari.recovery_code)
    opened, secrets = thief.read()
    assert Scope("grant", power.grant, 1) not in secrets
    assert not [each for each in opened if each[1] == power.grant]
    assert OWN in secrets

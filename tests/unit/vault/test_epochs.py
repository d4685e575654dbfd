"""Epochs: everything in the key store lies under the newest epoch's key, and ended epochs' keys are destroyed in time."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta

import pytest
from hosts import NOON, key_store_in

from pod_server.clock import SetClock
from pod_server.vault.envelope import OWN, Place, Scope
from pod_server.vault.epoch_keys import COPIES_DIE_AFTER, EpochKeys
from pod_server.vault.errors import EpochKeysMissing, KeyStoreTooOld, Tampered
from pod_server.vault.host_key import HostKeyFile
from pod_server.vault.vault import create_vault, unlock_with_custodian

DAY = timedelta(days=1)
PLACE = Place("document", b"x")


@pytest.fixture
def clock():
    return SetClock(NOON)


@pytest.fixture
def store(house, clock):
    """The house's key store at a time that the test sets."""
    house.key_store.close()
    store = key_store_in(house.folder / "keys", clock=clock)
    yield store
    store.close()


def numbers(store):
    return [epoch.number for epoch in store.epoch_keys.epochs()]


def test_an_epoch_begins_each_day_and_its_key_goes_29_days_after_it_ended(house, store, clock):
    sealed = create_vault(house.host_key, store, 7).vault.seal(OWN, PLACE, b"mine")
    assert store.renew_epoch() == (1, False, 0, ())
    clock.advance(DAY)
    assert store.renew_epoch() == (2, True, 1, ())
    assert store.renew_epoch() == (2, False, 0, ())
    assert store.epochs_in_use() == [2]
    for _ in range(28):
        clock.advance(DAY)
        assert store.renew_epoch().destroyed == ()
    assert numbers(store) == list(range(1, 31))
    clock.advance(DAY)
    assert store.renew_epoch() == (31, True, 1, (1,))
    assert clock.now() - NOON == COPIES_DIE_AFTER
    assert unlock_with_custodian(house.host_key, store, 7).open(OWN, PLACE, sealed) == b"mine"


def test_a_copy_opens_for_thirty_days_and_then_says_that_it_is_too_old(house, store, clock):
    create_vault(house.host_key, store, 7)
    copied = house.folder / "copied"
    copied.mkdir()
    with closing(sqlite3.connect(house.folder / "keys" / "keys.sqlite")) as file:
        file.execute("VACUUM INTO ?", (str(copied / "keys.sqlite"),))
    copy = key_store_in(copied, clock=clock, beside=house.folder / "keys")
    assert unlock_with_custodian(house.host_key, copy, 7).keys(OWN)
    for day in range(30):
        clock.advance(DAY)
        store.renew_epoch()
        fresh = key_store_in(copied, clock=clock, beside=house.folder / "keys")
        if day < 29:
            fresh.require_epoch_keys()
            assert unlock_with_custodian(house.host_key, fresh, 7).keys(OWN)
        else:
            with pytest.raises(KeyStoreTooOld, match="epoch 1"):
                fresh.require_epoch_keys()
            with pytest.raises(KeyStoreTooOld):
                unlock_with_custodian(house.host_key, fresh, 7)
            with pytest.raises(KeyStoreTooOld):
                fresh.renew_epoch()
        fresh.close()
    copy.close()


def test_whoever_destroys_a_key_leaves_no_way_from_the_present_store_into_a_copy(house, store):
    """The pod's cover changes with each erasure: the old one is not under the present epoch key any more."""
    vault = create_vault(house.host_key, store, 7).vault
    vault.create_scope(Scope("grant", "g-1", 1))

    def covered():
        with closing(sqlite3.connect(house.folder / "keys" / "keys.sqlite")) as file:
            return file.execute("SELECT epoch, wrapped FROM cover WHERE pod_id = 7").fetchone()

    def key_of(cover):
        return store._open_cover_key(7, *cover)

    before = key_of(covered())
    vault.create_scope(Scope("grant", "g-2", 1))
    assert key_of(covered()) == before, "adding a key needs no new cover"
    for destroy in (
        lambda: store.destroy_grant(7, "g-1"),
        lambda: store.destroy_scope(7, Scope("figures")),
        lambda: store.remove_slot(7, "recovery"),
        lambda: store.put_slot(7, store.slot(7, "custodian")),
    ):
        destroy()
        after = key_of(covered())
        assert after != before
        before = after
    assert store.wrapped_secret(7, Scope("grant", "g-2", 1)) is not None


def test_a_clock_that_is_set_back_destroys_nothing_early_and_keeps_nothing_for_longer(house, store, clock):
    create_vault(house.host_key, store, 7)
    clock.advance(400 * DAY)  # a wrong clock, for a moment
    assert store.renew_epoch().begun
    clock.advance(-400 * DAY)
    assert store.renew_epoch().begun, "the newest epoch seems to be of the future: a new one begins at once"
    assert numbers(store) == [1, 2, 3]
    for _ in range(29):
        clock.advance(DAY)
        store.renew_epoch()
    assert numbers(store)[0] == 3, "counted from the day on which the clock was right again"
    unlock_with_custodian(house.host_key, store, 7)


def test_keys_that_lie_sealed_open_with_their_host_key_alone_and_are_the_hosts_alone(house, store, tmp_path):
    create_vault(house.host_key, store, 7)
    folder = house.folder / "keys" / "epochs"
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folder.iterdir()] == [0] * 2
    key = store.epoch_keys.key(1)
    assert not any(key in path.read_bytes() for path in house.folder.rglob("*") if path.is_file())
    stranger = HostKeyFile.load_or_create(tmp_path / "stranger.key")
    with pytest.raises(EpochKeysMissing, match="right one"):
        EpochKeys(folder, stranger, store.epoch_keys.clock).key(1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tvilling-epoch-key-v1", "tvilling-epoch-key-v9", "not what its name says"),
        ("-v1 1 ", "-v1 2 ", "not what its name says"),
        ("2026-11-23", "2027-11-23", "right one"),
        ("2026-11-23", "tomorrow", "damaged"),
        ("\n", "\n\n", "damaged"),
    ],
)
def test_an_edited_epoch_key_is_refused(house, store, clock, old, new, words):
    create_vault(house.host_key, store, 7)
    path = house.folder / "keys" / "epochs" / "epoch-00000001.key"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(EpochKeysMissing, match=words):
        key_store_in(house.folder / "keys", clock=clock).require_epoch_keys()


def test_without_its_epoch_keys_the_store_says_so_and_makes_none(house, store, clock):
    create_vault(house.host_key, store, 7)
    folder = house.folder / "keys" / "epochs"
    shutil.rmtree(folder)
    fresh = key_store_in(house.folder / "keys", clock=clock)
    with pytest.raises(EpochKeysMissing, match="--epoch-keys"):
        fresh.renew_epoch()
    assert not folder.exists()
    fresh.close()


def test_a_row_put_back_from_a_copy_does_not_open_and_is_named(house, store):
    vault = create_vault(house.host_key, store, 7).vault
    vault.create_scope(Scope("grant", "g-1", 1))
    path = house.folder / "keys" / "keys.sqlite"
    with closing(sqlite3.connect(path)) as file:
        old = file.execute("SELECT wrapped FROM keyring WHERE grant_id = 'g-1'").fetchone()[0]
    assert store.damaged_rows([7]) == []
    store.destroy_grant(7, "g-1")
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE keyring SET wrapped = ? WHERE grant_id = 'g-1'", (old,))
    with pytest.raises(Tampered):
        store.wrapped_secret(7, Scope("grant", "g-1", 1))
    assert store.damaged_rows([7]) == [(7, "the key of grant g-1, epoch 1")]
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("DELETE FROM cover")
    assert store.damaged_rows([7]) == [(7, "the cover key")]


def test_a_store_of_the_format_before_is_covered_when_it_is_opened(house, store, clock):
    vault = create_vault(house.host_key, store, 7).vault
    sealed = vault.seal(OWN, PLACE, b"mine")
    slot, keyring = store.slot(7, "custodian"), store.keyring(7)
    path = house.folder / "keys" / "keys.sqlite"
    store.close()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("DELETE FROM slot WHERE kind <> 'custodian'")
        file.execute("UPDATE slot SET sealed = ?", (slot.sealed,))
        for scope, wrapped in keyring.items():
            file.execute("UPDATE keyring SET wrapped = ? WHERE kind = ?", (wrapped, scope.kind))
        for table in ("cover", "epoch", "host_key", "lasting_key"):
            file.execute(f"DROP TABLE {table}")
        file.execute("PRAGMA user_version = 2")
    shutil.rmtree(house.folder / "keys" / "epochs")
    opened = key_store_in(house.folder / "keys", clock=clock)
    assert unlock_with_custodian(house.host_key, opened, 7).open(OWN, PLACE, sealed) == b"mine"
    assert opened.damaged_rows([7]) == []
    assert slot.sealed not in path.read_bytes()
    opened.close()

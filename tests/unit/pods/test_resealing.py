"""New keys for a pod, and its history sealed anew under them: step by step, with crashes, beside writers, and afterwards."""

from __future__ import annotations

import hashlib
import threading
from datetime import timedelta
from typing import get_args

import pytest
from deliveries import CITIZEN, deliver, granted, owner_permit, permit_again, reading, readings

from pod_server import documents, figures, grants, household, key_epochs, pods, proposals, resealing
from pod_server.activities import read_activities
from pod_server.authorization import enforcement
from pod_server.household import Household
from pod_server.integrity import examine
from pod_server.log import ledger
from pod_server.log.verification import verify_segments, verify_stored
from pod_server.opening import open_pod
from pod_server.vault.envelope import Scope
from pod_server.vault.errors import KeyErased, KeyStoreOutdated, PodLocked, Tampered
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from pod_server.vault.key_store import KeyStore
from pod_server.vault.vault import Vault, public_vault, unlock_with_passphrase

CHEAP = Argon2Cost(64, 1, 1)
WORDS = Passphrase("tolv små katter")


class Died(BaseException):
    """As if the process ended here."""


def never_rest(_: float) -> None:
    """Tests are in a hurry."""


class Pod:
    """A citizen's pod with something in every table, and what must be there whatever its keys."""

    def __init__(self, city) -> None:
        self.host, self.clock = city.host, city.clock
        made = city.citizen("kari", name="Kari")
        self.pod_id, self.vault = made.pod_id, made.vault
        self.power, self.bus = granted(self.host, self.pod_id), granted(self.host, self.pod_id, name="AtB")
        deliver(self.host, self.power.permit, readings(0, 3))
        for number in range(40):  # more than one block of 32 segments
            deliver(self.host, self.power.permit, [reading(10 + number)])
        deliver(self.host, self.power.permit, [reading(0, 9.0, correction=True)])
        deliver(self.host, self.bus.permit, [reading(0, meter="bus")])
        at, own = self.clock.now(), self.own()
        twin = open_pod(self.host, enforcement.require_mandate(self.host, self.pod_id, "compute"))
        with self.host.storage.write() as tx:
            household.save(tx, own, Household("Kari", "nb", 3, "500101", "flat"), at=at)
            for number in range(40):
                documents.put(tx, own, f"notes/{number}", "text/plain", b"note %d" % number, public=False, at=at)
            documents.put(tx, own, "notes/", "text/turtle", b"", public=False, at=at)
            documents.put(tx, own, "long.ttl", "text/turtle", b"<#a> <#b> <#c> .\n" * 1000, public=False, at=at)
            assert documents.append(tx, own, "long.ttl", b"<#d> <#e> <#f> .\n", at=at)
            documents.put(tx, own, "open.txt", "text/plain", b"for all", public=True, at=at)
            proposals.save(tx, own, "p1", b"offer", state="open", at=at)
            figures.save_partial(tx, twin, self.power.grant, "2026-11", b"sum")
            figures.save_figures(tx, twin, b"figures")
            figures.append_event(tx, twin, b"event", grant=self.power.grant)
            figures.append_event(tx, twin, b"combined")

    def own(self, vault=None):
        vault = vault or self.vault
        return open_pod(self.host, owner_permit(vault), vault=vault)

    def lock(self) -> None:
        self.vault = pods.lock_pod(self.host, self.vault, WORDS, cost=CHEAP).vault

    def reseal(self, **options: object) -> bool:
        return resealing.reseal(self.host, self.vault, **{"rest": never_rest, **options})

    def contents(self):
        """Everything in the pod that its citizen can read, and that its log agrees."""
        own = self.own()
        with self.host.storage.read() as tx:
            verify_stored(tx, self.pod_id)
            verify_segments(tx, self.vault, self.pod_id)
            paths = documents.document_paths(tx, own)
            return {
                "household": household.load(tx, own),
                "documents": {path: documents.get(tx, own, path).content for path in paths},
                "members": [entry.path for entry in documents.members(tx, own, "notes/")],
                "proposals": proposals.list_proposals(tx, own),
                "partials": figures.load_partials(tx, own),
                "figures": figures.load_figures(tx, own),
                "events": figures.events_after(tx, own),
                "log": [entry.event for entry in ledger.all_events(tx, self.vault, self.pod_id)][::-1],
                "activities": [one.raw for one in read_activities(self.host, own)],
            }

    def epochs(self) -> set[tuple[str, int]]:
        """Every epoch that any row lies under."""
        tables = ("household", "document", "proposal", "partial", "figures", "twin_event", "segment", "log_leaf")
        with self.host.storage.read() as tx:
            return {
                (table, epoch)
                for table in tables
                for (epoch,) in tx.all(
                    f"SELECT DISTINCT epoch FROM {table} WHERE pod_id = ?"
                    + (" AND scope = 'own'" if table == "document" else ""),
                    (self.pod_id,),
                )
            }


@pytest.fixture
def kari(city):
    return Pod(city)


def without_log(contents):
    return {name: value for name, value in contents.items() if name != "log"}


def test_everything_is_readable_before_during_and_after_history_is_sealed_anew(kari):
    before = kari.contents()
    kari.lock()
    assert without_log(kari.contents()) == without_log(before)
    seen = []
    kari.reseal(at_step=lambda step: seen.append(kari.contents()) if step == "committed" else None)
    assert len(seen) > 8
    for contents in [*seen, kari.contents()]:
        assert without_log(contents) == without_log(before)
        assert contents["log"][: len(before["log"])] == before["log"]
    assert {epoch for _, epoch in kari.epochs()} == {2}
    assert examine(kari.host, kari.vault, kari.pod_id).damages == ()
    with kari.host.storage.read() as tx:
        done = resealing.progress(tx, kari.pod_id)
    assert done.done == done.total > 100
    assert done.finished is not None


def test_an_old_copy_of_the_key_store_with_the_host_key_opens_nothing_of_the_present_data(kari, tmp_path):
    old = tmp_path / "old-keys.sqlite"
    from pod_server.storage.copying import copy_database

    copy_database(kari.host.data_folder / "keys" / "keys.sqlite", old)
    with kari.host.storage.read() as tx:
        secrets = list(kari.host.key_store.keyring(kari.pod_id))
    kari.lock()
    kari.reseal()
    stolen = Vault(kari.pod_id, kari_root(kari, old), kari.host.host_key, KeyStore(old, kari.host.key_store.epoch_keys))
    assert stolen.keys(Scope("own"))  # the copy itself opens, so that the test means something
    with kari.host.storage.read() as tx:
        rows = [
            *tx.all("SELECT 'household', '', epoch, sealed FROM household"),
            *tx.all("SELECT 'segment', grant_id, epoch, sealed FROM segment"),
            *tx.all("SELECT 'log', '', epoch, sealed FROM log_leaf"),
        ]
    assert len(rows) > 50
    assert len(secrets) > 3
    for table, grant, epoch, _ in rows:
        scope = Scope({"household": "own", "segment": "grant", "log": "log"}[table], grant, epoch)
        with pytest.raises(KeyErased):
            stolen.keys(scope)
    own = kari.own(stolen)
    with kari.host.storage.read() as tx, pytest.raises((KeyErased, Tampered)):
        household.load(tx, own)


def kari_root(kari, old) -> bytes:
    from pod_server.vault.slots import open_custodian_slot

    return open_custodian_slot(
        kari.pod_id, KeyStore(old, kari.host.key_store.epoch_keys).slot(kari.pod_id, "custodian"), kari.host.host_key
    )


@pytest.mark.parametrize("step", get_args(resealing.Step))
@pytest.mark.parametrize("time", [1, 5, 9])
def test_after_a_stop_at_any_step_the_next_run_goes_on_and_nothing_is_lost(kari, step, time):
    before = kari.contents()
    kari.lock()
    count = 0

    def die(at: str) -> None:
        nonlocal count
        count += at == step
        if count == time:
            raise Died

    with pytest.raises(Died):
        kari.reseal(at_step=die)
    assert without_log(kari.contents()) == without_log(before)
    assert kari.reseal()
    assert without_log(kari.contents()) == without_log(before)
    assert {epoch for _, epoch in kari.epochs()} == {2}


def test_a_crash_between_key_store_and_database_is_mended_by_whoever_opens_the_pod_next(kari, monkeypatch):
    before = kari.contents()

    def crash(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as broken:
        broken.setattr(pods, "_note_keys", crash)
        with pytest.raises(Died):
            kari.lock()
    from pod_server.vault.vault import unlock_with_passphrase

    kari.vault = unlock_with_passphrase(kari.host.host_key, kari.host.key_store, kari.pod_id, WORDS)
    assert without_log(kari.contents()) == without_log(before)
    assert pods.catch_up_with_keys(kari.host, kari.vault)
    assert not pods.catch_up_with_keys(kari.host, kari.vault)
    with kari.host.storage.read() as tx:
        assert pods.find_pod(tx, kari.pod_id).state == "locked"
    assert kari.reseal()
    assert without_log(kari.contents()) == without_log(before)


def test_writers_go_on_while_keys_are_renewed_and_history_is_sealed_anew(kari):
    """An open pod: deliveries, documents and the twin's figures, beside one renewal after the other."""
    stop, failures, accepted = threading.Event(), [], []

    def write() -> None:
        number = 1000
        try:
            while not stop.is_set():
                number += 1
                permit = permit_again(kari.host, kari.power.partner, kari.power.grant)
                accepted.extend(deliver(kari.host, permit, [reading(number)]))
                twin = open_pod(kari.host, enforcement.require_mandate(kari.host, kari.pod_id, "compute"))
                with kari.host.storage.write() as tx:
                    figures.save_partial(tx, twin, kari.power.grant, "2026-11", b"sum")
                    figures.save_figures(tx, twin, b"figures")
        except BaseException as failure:  # noqa: BLE001 - told below
            failures.append(failure)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            kari.vault = pods.renew_keys(kari.host, kari.vault, None, cost=CHEAP).vault
            kari.reseal()
    finally:
        stop.set()
        writer.join()
    assert failures == []
    assert len(accepted) >= 3
    assert set(accepted) == {"accepted"}
    kari.reseal()
    contents = kari.contents()
    assert len(contents["activities"]) == 44 + len(accepted)
    assert contents["figures"] == b"figures"
    # What was delivered is still known for what it is, whatever keys the pod had meanwhile.
    permit = permit_again(kari.host, kari.power.partner, kari.power.grant)
    assert deliver(kari.host, permit, [reading(1001), reading(12), reading(12, 5.0)]) == [
        "duplicate",
        "duplicate",
        "conflict",
    ]


def test_a_permit_from_before_new_keys_is_good_and_from_before_an_erasure_is_not(kari):
    kari.vault = pods.renew_keys(kari.host, kari.vault, None, cost=CHEAP).vault
    assert deliver(kari.host, kari.power.permit, [reading(2000)]) == ["accepted"]
    grants.erase(kari.host, kari.pod_id, kari.power.grant, actor=CITIZEN)
    assert deliver(kari.host, kari.power.permit, [reading(2001)]) == ["refused"]


def test_a_partner_erased_while_history_is_sealed_anew_is_gone_and_the_rest_goes_on(kari):
    kari.lock()
    erased = []

    def erase(step: str) -> None:
        if step == "sealed" and not erased:
            with kari.host.storage.read() as tx:
                if tx.one("SELECT 1 FROM segment WHERE epoch = 2 LIMIT 1") is None:
                    return
            erased.append(grants.erase(kari.host, kari.pod_id, kari.power.grant, actor=CITIZEN))

    assert kari.reseal(at_step=erase)
    assert erased
    contents = kari.contents()
    assert len(contents["activities"]) == 1
    assert contents["partials"] == []
    with kari.host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM segment WHERE grant_id = ?", (kari.power.grant,)) == (0,)


def test_two_sessions_that_seal_anew_at_once_do_everything_once(kari):
    before = kari.contents()
    kari.lock()
    workers = [threading.Thread(target=kari.reseal) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert kari.reseal()
    contents = kari.contents()
    assert without_log(contents) == without_log(before)
    assert sum(event.action == "reseal-finished" for event in contents["log"]) == 1


def test_keys_in_force_outlive_new_ones_that_a_crash_kept_from_the_database(kari, monkeypatch):
    """New keys are made in the key store first: as long as the database has not adopted them, the old ones are not old."""
    kari.lock()
    kari.reseal()
    before = kari.contents()

    def die(*_):
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(resealing, "adopt", die)
        with pytest.raises(Died):
            kari.lock()
    kari.clock.advance(resealing.KEPT_FOR + timedelta(days=1))
    assert resealing.retire_due(kari.host) == 5, "those of the first epoch"
    kari.vault = unlock_with_passphrase(kari.host.host_key, kari.host.key_store, kari.pod_id, WORDS)
    assert pods.catch_up_with_keys(kari.host, kari.vault)
    assert kari.reseal()
    assert without_log(kari.contents()) == without_log(before)


def test_the_old_keys_are_destroyed_so_many_days_after_the_last_row_and_not_before(kari):
    kari.lock()
    kari.clock.advance(timedelta(days=60))
    assert resealing.retire_due(kari.host) == 0, "history is not sealed anew yet"
    kari.reseal()
    assert resealing.retire_due(kari.host) == 0
    kari.clock.advance(resealing.KEPT_FOR)
    assert resealing.retire_due(kari.host) == 5  # own, figures, log, two grants
    assert resealing.retire_due(kari.host) == 0
    keyring = kari.host.key_store.keyring(kari.pod_id)
    assert all(
        (wrapped is None) == (scope.epoch == 1)
        for scope, wrapped in keyring.items()
        if scope.kind in {"own", "log", "grant"}
    )
    assert len(kari.contents()["activities"]) == 44


def test_rows_put_back_from_before_are_named_by_the_log(kari):
    """A host that puts an old segment back after history was sealed anew: sealed under the old key, it does not agree."""
    with kari.host.storage.read() as tx:
        (old,) = tx.one("SELECT sealed FROM segment WHERE grant_id = ? AND ordinal = 1", (kari.power.grant,))
    kari.lock()
    kari.reseal()
    with kari.host.storage.write() as tx:
        tx.execute(
            "UPDATE segment SET sealed = ?, epoch = 1 WHERE grant_id = ? AND ordinal = 1", (old, kari.power.grant)
        )
    from pod_server.log.errors import LogBroken

    with kari.host.storage.read() as tx, pytest.raises(LogBroken, match="not stored as it was written"):
        verify_segments(tx, kari.vault, kari.pod_id)


def test_an_older_key_store_changes_nothing(kari, tmp_path):
    from dataclasses import replace

    from pod_server.storage.copying import copy_database

    old = tmp_path / "old-keys.sqlite"
    copy_database(kari.host.data_folder / "keys" / "keys.sqlite", old)
    kari.lock()
    host = replace(kari.host, key_store=KeyStore(old, kari.host.key_store.epoch_keys))
    vault = Vault(kari.pod_id, kari_root(kari, old), host.host_key, host.key_store)
    rows = kari.epochs()
    with pytest.raises(KeyStoreOutdated):
        pods.catch_up_with_keys(host, vault)
    assert kari.epochs() == rows
    with kari.host.storage.read() as tx:
        assert key_epochs.own_scope(tx, kari.pod_id).epoch == 2


def test_a_locked_pods_public_documents_answer_without_its_keys(kari):
    kari.lock()
    kari.reseal()
    with kari.host.storage.read() as tx:
        pod = pods.find_pod(tx, kari.pod_id)
    public = open_pod(
        kari.host,
        enforcement.require_public(pod),
        vault=public_vault(kari.host.host_key, kari.host.key_store, kari.pod_id),
    )
    with kari.host.storage.read() as tx:
        assert documents.get(tx, public, "open.txt").content == b"for all"
        assert documents.get(tx, public, "notes/1") is None
    with pytest.raises(PodLocked):
        open_pod(kari.host, enforcement.require_mandate(kari.host, kari.pod_id, "compute"))


def test_recovery_uses_the_code_up_and_gives_everything_new_keys(city, kari):
    before = kari.contents()
    locked = pods.lock_pod(kari.host, kari.vault, WORDS, cost=CHEAP)
    new_words = Passphrase("femten store hunder")
    recovered = pods.recover_pod(kari.host, "kari", locked.recovery_code, new_words, cost=CHEAP)
    kari.vault = recovered.vault
    kari.reseal()
    assert without_log(kari.contents()) == without_log(before)
    from pod_server.vault.errors import RecoveryCodeMistyped, WrongPassphrase, WrongRecoveryCode
    from pod_server.vault.vault import unlock_with_passphrase

    with pytest.raises(WrongRecoveryCode):
        pods.recover_pod(kari.host, "kari", locked.recovery_code, new_words, cost=CHEAP)
    typo = recovered.recovery_code[:-1] + ("0" if recovered.recovery_code[-1] != "0" else "1")
    with pytest.raises(RecoveryCodeMistyped):
        pods.recover_pod(kari.host, "kari", typo, new_words, cost=CHEAP)
    with pytest.raises(WrongPassphrase):
        unlock_with_passphrase(kari.host.host_key, kari.host.key_store, kari.pod_id, WORDS)
    assert unlock_with_passphrase(kari.host.host_key, kari.host.key_store, kari.pod_id, new_words)


def test_a_ciphertext_in_the_log_is_what_it_was_for_the_tree(kari):
    """The leaf commits to the first sealed bytes: their hash stays when the event is sealed anew."""
    with kari.host.storage.read() as tx:
        before = {
            index: (leaf, hashlib.sha256(bytes(sealed)).digest())
            for index, leaf, sealed in tx.all("SELECT leaf_index, leaf_hash, sealed FROM log_leaf")
        }
    kari.lock()
    kari.reseal()
    with kari.host.storage.read() as tx:
        for index, leaf, first, sealed in tx.all("SELECT leaf_index, leaf_hash, sealed_hash, sealed FROM log_leaf"):
            if index in before:
                assert (leaf, first) == before[index]
                assert hashlib.sha256(bytes(sealed)).digest() != first


def test_what_lies_under_older_keys_is_not_added_to_and_a_long_document_is_whole_afterwards(kari):
    kari.lock()
    own = kari.own()
    with kari.host.storage.write() as tx:
        assert not documents.append(tx, own, "long.ttl", b"<#g> <#h> <#i> .\n", at=kari.clock.now())
    assert kari.reseal()
    assert kari.contents()["documents"]["long.ttl"].count(b"\n") == 1001
    with kari.host.storage.read() as tx:
        assert tx.all("SELECT 1 FROM document_part WHERE pod_id = ?", (kari.pod_id,)) == []


@pytest.mark.parametrize("turn", range(5))
def test_an_addition_while_the_document_is_sealed_anew_is_kept(kari, turn):
    """The document is put under the new keys between its being sealed anew and the transaction that would say so."""
    kari.lock()
    changed = []

    def put_once(step):
        if step != "sealed":
            return
        changed.append(step)
        if len(changed) == turn + 1:
            with kari.host.storage.write() as tx:
                body = b"<#a> <#b> <#c> .\n" * 2000
                documents.put(tx, kari.own(), "long.ttl", "text/turtle", body, public=False, at=kari.clock.now())
                assert documents.append(tx, kari.own(), "long.ttl", b"<#g> <#h> <#i> .\n", at=kari.clock.now())

    assert kari.reseal(at_step=put_once)
    assert kari.contents()["documents"]["long.ttl"].count(b"\n") == 2001

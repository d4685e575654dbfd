"""New keys, sealing anew and merging under faults: kills, a full disk, a clock set back, everything at once."""

from __future__ import annotations

import os
import random
import threading
import time
from datetime import timedelta

import pytest
from deliveries import CITIZEN, deliver, granted, owner_permit, permit_again, reading, readings
from ending import forked
from hosts import make_host

from partner_bridge.merging import merge_waiting
from pod_server import documents, grants, pods, resealing
from pod_server.activities import read_activities
from pod_server.authorization.errors import GrantRefused
from pod_server.log.verification import verify_segments, verify_stored
from pod_server.opening import open_pod
from pod_server.storage.errors import StorageFull
from pod_server.vault.errors import PodLocked
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from pod_server.vault.vault import unlock_with_passphrase

WORDS, CHEAP = Passphrase("tolv små katter"), Argon2Cost(64, 1, 1)


def never_rest(_: float) -> None:
    """Tests are in a hurry."""


class Pod:
    """A locked pod with history under its old keys, and something waiting."""

    def __init__(self, host) -> None:
        self.host = host
        made = pods.create_pod(host, "kari")
        self.pod_id = made.pod_id
        self.partner = granted(host, made.pod_id)
        for number in range(70):
            deliver(host, self.partner.permit, [reading(number)])
        own = open_pod(host, owner_permit(made.vault), vault=made.vault)
        with host.storage.write() as tx:
            for number in range(40):
                documents.put(
                    tx, own, f"notes/{number}", "text/plain", b"%d" % number, public=False, at=host.clock.now()
                )
        pods.lock_pod(host, made.vault, WORDS, cost=CHEAP)
        for number in range(70, 80):
            assert deliver(host, permit_again(host, self.partner.partner, self.partner.grant), [reading(number)]) == [
                "pending"
            ]

    def vault(self, host):
        return unlock_with_passphrase(host.host_key, host.key_store, self.pod_id, WORDS)

    def check(self, host, records: int = 80) -> None:
        vault = self.vault(host)
        own = open_pod(host, owner_permit(vault), vault=vault)
        with host.storage.read() as tx:
            verify_stored(tx, self.pod_id)
            verify_segments(tx, vault, self.pod_id)
            for number in range(40):
                assert documents.get(tx, own, f"notes/{number}").content == b"%d" % number
        raws = [one.raw for one in read_activities(host, own)]
        assert len(raws) == len(set(raws)) == records


@pytest.mark.parametrize("seed", range(4))
def test_kill_nine_while_merging_and_sealing_anew_loses_nothing(tmp_path, clock, seed):
    """The child is killed again and again, wherever it is; the last run finds everything once."""
    if os.environ.get("TVILLING_TEST_ENGINE") == "postgresql":
        pytest.skip("forks over the embedded database")
    host = make_host(tmp_path / "data", clock)
    kari = Pod(host)
    host.storage.close()
    host.key_store.close()
    draw = random.Random(seed)

    def merge_and_seal_anew() -> None:
        mine = make_host(tmp_path / "data", clock)
        merge_waiting(mine, kari.vault(mine))
        resealing.reseal(mine, kari.vault(mine), rest=lambda _: time.sleep(0.002))

    for _ in range(4):
        with forked(merge_and_seal_anew):
            time.sleep(draw.uniform(0.03, 0.25))
    again = make_host(tmp_path / "data", clock)
    merge_waiting(again, kari.vault(again))
    assert resealing.reseal(again, kari.vault(again), rest=never_rest)
    kari.check(again)
    with again.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM segment WHERE epoch <> 2") == (0,)
    again.storage.close()
    again.key_store.close()


def test_a_disk_that_fills_while_sealing_anew_stops_the_work_and_loses_nothing(host):
    kari = Pod(host)
    vault = kari.vault(host)
    merge_waiting(host, vault)
    with host.storage.write():
        pass
    writer = host.storage._writers[-1].connection
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")
    with host.storage.read() as tx:
        before = resealing.progress(tx, kari.pod_id)
    with pytest.raises(StorageFull):  # noqa: PT012 - the whole block is one attempt
        # Every entry of the log takes room, and each run of segments writes one.
        for _ in range(200):
            resealing.reseal(host, vault, rest=never_rest)
            deliver(host, permit_again(host, kari.partner.partner, kari.partner.grant), readings(500, 200))
    kari.check(host)
    with host.storage.read() as tx:
        assert resealing.progress(tx, kari.pod_id).done >= before.done
    writer.execute("PRAGMA max_page_count = 4294967294")
    assert resealing.reseal(host, vault, rest=never_rest)
    kari.check(host)


def test_sessions_that_lock_renew_merge_and_erase_at_once_leave_one_whole_pod(host):
    """Whoever comes second is told that the pod has new keys; nobody's half stands."""
    kari = Pod(host)
    other = granted_again(host, kari)
    unexpected, told = [], []

    def session(work) -> None:
        for _ in range(4):
            try:
                work(kari.vault(host))
            except (PodLocked, GrantRefused) as error:
                told.append(error)
            except BaseException as error:  # noqa: BLE001 - told below
                unexpected.append(error)

    works = [
        lambda vault: pods.lock_pod(host, vault, WORDS, cost=CHEAP),
        lambda vault: pods.renew_keys(host, vault, WORDS, cost=CHEAP),
        lambda vault: (merge_waiting(host, vault), resealing.reseal(host, vault, rest=never_rest)),
        lambda vault: pods.change_passphrase(host, vault, WORDS, cost=CHEAP),
        lambda _: grants.erase(host, kari.pod_id, other, actor=CITIZEN),
    ]
    sessions = [threading.Thread(target=session, args=(work,)) for work in works]
    for each in sessions:
        each.start()
    for each in sessions:
        each.join()
    assert unexpected == []
    vault = kari.vault(host)
    pods.catch_up_with_keys(host, vault)
    merge_waiting(host, vault)
    assert resealing.reseal(host, vault, rest=never_rest)
    kari.check(host)
    with host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM segment WHERE grant_id = ?", (other,)) == (0,)


def granted_again(host, kari):
    """A second consent with something in it, given by the citizen of the locked pod."""
    from dataclasses import replace

    from deliveries import add_partner

    partner = add_partner(host, "AtB")
    terms = replace(kari.partner.permit.terms, client_id=partner.client_id)
    grant = grants.give(host, kari.pod_id, terms, actor=CITIZEN, vault=kari.vault(host))
    assert deliver(host, permit_again(host, partner, grant.id), readings(0, 5, meter="bus")) == ["pending"] * 5
    return grant.id


def test_a_clock_set_back_destroys_no_keys_early_and_keeps_the_order_of_what_waits(host, clock):
    kari = Pod(host)
    vault = kari.vault(host)
    clock.advance(-timedelta(days=200))
    permit = permit_again(host, kari.partner.partner, kari.partner.grant)
    assert deliver(host, permit, [reading(79, 5.0, correction=True)]) == ["pending"]
    merge_waiting(host, vault)
    assert resealing.reseal(host, vault, rest=never_rest)
    clock.advance(timedelta(days=20))
    assert resealing.retire_due(host) == 0
    clock.advance(-timedelta(days=300))
    assert resealing.retire_due(host) == 0
    kari.check(host)
    own = open_pod(host, owner_permit(vault), vault=vault)
    assert reading(79, 5.0, correction=True).raw in [one.raw for one in read_activities(host, own)]

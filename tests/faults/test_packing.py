"""Packing small deliveries: killed at each step, and beside a withdrawal, an erasure, new keys and another packer."""

from __future__ import annotations

import os
import signal
from typing import get_args

import pytest
from deliveries import CITIZEN, granted, owner_permit, permit_again
from ending import forked, outcome_of
from hosts import make_host
from unit.activities.test_compaction import BLOCK, never_rest, one_by_one, rows, taken_in

from pod_server import grants, pods
from pod_server.activities import read_activities
from pod_server.compaction import Step, compact, compact_block
from pod_server.integrity import examine
from pod_server.opening import custodian_vault, open_pod
from pod_server.pods import create_pod

STEPS = get_args(Step)


@pytest.mark.parametrize("step", STEPS)
def test_death_at_each_step_leaves_the_deliveries_or_their_pack(tmp_path, clock, step):
    host = make_host(tmp_path / "data", clock)
    kari = create_pod(host, "kari")
    partner = granted(host, kari.pod_id)
    one_by_one(host, partner.permit, 0, BLOCK)
    taken_in(host, kari.pod_id)
    host.storage.close()
    host.key_store.close()

    def die(at: Step) -> None:
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)

    with forked(lambda: compact(make_host(tmp_path / "data", clock), at_step=die)) as child:
        assert outcome_of(child) == -signal.SIGKILL
    again = make_host(tmp_path / "data", clock)
    packed = step == "committed"
    assert len(rows(again, kari.pod_id)) == (1 if packed else BLOCK)
    vault = custodian_vault(again, kari.pod_id)
    assert examine(again, vault, kari.pod_id).damages == ()
    assert len(list(read_activities(again, open_pod(again, owner_permit(vault))))) == BLOCK
    assert compact(again, rest=never_rest).packs == (not packed)
    permit = permit_again(again, partner.partner, partner.grant)
    one_by_one(again, permit, BLOCK - 1, 2)
    assert len(list(read_activities(again, open_pod(again, owner_permit(vault))))) == BLOCK + 1
    again.storage.close()


@pytest.mark.parametrize("other", ["withdrawal", "erasure", "new keys", "another packer", "a removal"])
def test_whoever_comes_between_the_sealing_and_the_transaction_is_felt_in_it(city, host, other):
    kari = city.citizen("kari")
    partner = granted(host, kari.pod_id)
    one_by_one(host, partner.permit, 0, BLOCK)
    taken_in(host, kari.pod_id)
    vault = [kari.vault]

    def between(at: Step) -> None:
        if at != "sealed":
            return
        if other == "withdrawal":
            grants.withdraw(host, kari.pod_id, partner.grant, actor=CITIZEN)
        elif other == "erasure":
            grants.withdraw(host, kari.pod_id, partner.grant, actor=CITIZEN)
            grants.erase(host, kari.pod_id, partner.grant, actor=CITIZEN)
        elif other == "new keys":
            vault[0] = pods.renew_keys(host, kari.vault, None).vault
        elif other == "another packer":
            assert compact_block(host, kari.pod_id, partner.grant, 1, BLOCK) == BLOCK
        else:
            pods.remove_pod(host, kari.pod_id)

    merged = compact_block(host, kari.pod_id, partner.grant, 1, BLOCK, at_step=between)
    assert merged == (BLOCK if other == "withdrawal" else 0)
    left = {"withdrawal": 1, "another packer": 1, "new keys": BLOCK}.get(other, 0)
    assert len(rows(host, kari.pod_id)) == left
    if left:
        assert examine(host, vault[0], kari.pod_id).damages == ()

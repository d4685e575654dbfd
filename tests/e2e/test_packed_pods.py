"""What the compactor packed is moved, exported, backed up, restored and erased as any delivery is."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from deliveries import CITIZEN, deliver, granted, owner_permit, permit_again, reading, readings
from hosts import make_host
from unit.activities.test_compaction import BLOCK, never_rest, one_by_one

from pod_server import figures, grants, integrity, partners
from pod_server.activities import read_activities, segment_place
from pod_server.compaction import compact
from pod_server.identifiers import Actor
from pod_server.log.verification import verify_segments
from pod_server.pods import OpenPod, create_pod, find_pod
from pod_server.transfer.arrival import move_in
from pod_server.transfer.export import export_pod
from pod_server.transfer.load import load_pod
from pod_server.transfer.move import move_out
from pod_server.vault.envelope import Scope
from pod_server.vault.errors import KeyErased
from pod_server.vault.key_derivation import Passphrase
from pod_server.vault.vault import unlock_with_custodian
from tvilling.app import create_host
from tvilling.cli import main
from tvilling.settings import Settings
from twin_agent.recompute import differences, recompute
from twin_agent.worker import run_until_idle

PHRASE = "en lang setning om høst"
MOVER = Actor("operator-assisted")


@pytest.fixture
def packed(tmp_path, clock):
    """Kari with two partners' deliveries packed, a correction among the packed ones and one after, and one that is not."""
    host = make_host(tmp_path / "data", clock)
    made = create_pod(host, "kari", passphrase=Passphrase(PHRASE))
    given = {name: granted(host, made.pod_id, name=name) for name in ("Strømmen AS", "Butikken AS")}
    for partner in given.values():
        one_by_one(host, partner.permit, 0, BLOCK - 1)
        deliver(host, partner.permit, [reading(3, 9.5, correction=True)])
        one_by_one(host, partner.permit, BLOCK, 3)
        deliver(host, partner.permit, [reading(4, 7.5, correction=True)])
    run_until_idle(host)
    assert compact(host, rest=never_rest).packs == 2
    yield SimpleNamespace(host=host, pod_id=made.pod_id, given=given, folder=tmp_path)
    host.storage.close()
    host.key_store.close()


@pytest.fixture
def there(tmp_path, clock):
    host = make_host(tmp_path / "there", clock, base_url="https://elsewhere.example")
    yield host
    host.storage.close()
    host.key_store.close()


def opened_pod(host):
    with host.storage.read() as tx:
        pod = find_pod(tx, "kari")
    vault = unlock_with_custodian(host.host_key, host.key_store, pod.pod_id)
    return OpenPod(pod, owner_permit(vault), vault)


def contents(host, *, by_grant=True):
    """Every record as it stands, each once; the rows, the log and the sums agree with them."""
    own = opened_pod(host)
    with host.storage.read() as tx:
        verify_segments(tx, own.vault, own.pod_id)
        sums = json.loads(figures.load_figures(tx, own))["months"]
    assert integrity.examine(host, own.vault, own.pod_id).damages == ()
    assert differences(sums, recompute(host, own)) == []
    return sorted((each.grant if by_grant else "", each.raw) for each in read_activities(host, own))


def packs(host):
    with host.storage.read() as tx:
        return tx.all("SELECT grant_id, first_ordinal, ordinal FROM segment WHERE first_ordinal > 0")


def test_packs_go_along_to_another_host_and_are_erased_there(packed, there):
    for name in packed.given:  # known there by the same key
        partners.add_partner(
            there, name=name, jwks=packed.given[name].partner.jwks, webhook="https://partner.example/hook"
        )
    before = contents(packed.host)
    assert len(before) == 2 * (BLOCK + 2)
    move_out(packed.host, opened_pod(packed.host), packed.folder / "kari.move")
    move_in(there, packed.folder / "kari.move", passphrase=Passphrase(PHRASE), actor=MOVER)
    run_until_idle(there)
    assert contents(there) == before
    assert sorted(packs(there)) == sorted(packs(packed.host))
    gone, left = (packed.given[name].grant for name in ("Strømmen AS", "Butikken AS"))
    grants.erase(there, packed.pod_id, gone, actor=CITIZEN)
    run_until_idle(there)
    assert contents(there) == [each for each in before if each[0] == left]
    assert [each[0] for each in packs(there)] == [left]


def test_an_rdf_file_of_a_packed_pod_loads_as_the_same_activities(packed, there):
    exported = export_pod(packed.host, opened_pod(packed.host), packed.folder / "kari.zip")
    assert exported.activities == 2 * (BLOCK + 2)
    loaded = load_pod(there, packed.folder / "kari.zip", actor=MOVER)
    assert (loaded.accepted, loaded.refused) == (2 * (BLOCK + 2), 0)
    run_until_idle(there)
    assert contents(there, by_grant=False) == contents(packed.host, by_grant=False)


def test_a_backup_of_packs_comes_back_whole_without_the_partner_that_was_erased_since(packed, clock):
    def tvilling(*arguments, data="data"):
        done = CliRunner().invoke(main, [*arguments, "--data", str(packed.folder / data), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    before = contents(packed.host)
    gone, left = (packed.given[name].grant for name in ("Strømmen AS", "Butikken AS"))
    tvilling("backup", str(packed.folder / "saved"))
    grants.erase(packed.host, packed.pod_id, gone, actor=CITIZEN)
    keys = packed.folder / "data" / "keys"
    newest = ("--keys", str(keys), "--host-key", str(keys / "host.key"))
    restored = tvilling("restore", str(packed.folder / "saved"), *newest, data="other")
    assert restored["erased_again"] == 1
    settings = Settings.from_file(packed.folder / "other" / "run" / "settings.json")
    other = replace(create_host(settings), clock=clock)
    run_until_idle(other)
    assert contents(other) == [each for each in before if each[0] == left]
    assert [each[0] for each in packs(other)] == [left]
    # The marks came back with the packs: what was delivered is known, and nothing is counted twice.
    permit = permit_again(other, packed.given["Butikken AS"].partner, left)
    assert deliver(other, permit, readings(0, 1)) == ["duplicate"]
    other.storage.close()
    other.key_store.close()


def test_a_kept_copy_of_a_pack_opens_no_more_once_its_partner_is_erased(packed):
    host, given = packed.host, packed.given
    before, own = contents(host), opened_pod(host)
    gone, left = (given[name].grant for name in ("Strømmen AS", "Butikken AS"))
    with host.storage.read() as tx:
        kept = {
            grant: (epoch, segment_place(ordinal, first), bytes(sealed))
            for grant, epoch, ordinal, first, sealed in tx.all(
                "SELECT grant_id, epoch, ordinal, first_ordinal, sealed FROM segment WHERE first_ordinal > 0"
            )
        }
    for grant, (epoch, place, sealed) in kept.items():
        assert own.vault.open(Scope("grant", grant, epoch), place, sealed)
    grants.erase(host, packed.pod_id, gone, actor=CITIZEN)
    with host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM segment WHERE grant_id = ?", (gone,)) == (0,)
    fresh = opened_pod(host)
    epoch, place, sealed = kept[gone]
    with pytest.raises(KeyErased):
        fresh.vault.open(Scope("grant", gone, epoch), place, sealed)
    epoch, place, sealed = kept[left]
    assert fresh.vault.open(Scope("grant", left, epoch), place, sealed)
    run_until_idle(host)
    assert contents(host) == [each for each in before if each[0] == left]
    assert compact(host, rest=never_rest).packs == 0

"""Making pods and removing them."""

from __future__ import annotations

import pytest
from deliveries import deliver, granted, owner_permit, readings

from pod_server import documents, household, quota
from pod_server.authorization import enforcement
from pod_server.errors import HandleMalformed, HandleTaken, NoSuchPod
from pod_server.household import Household
from pod_server.identifiers import Actor, Handle
from pod_server.integrity import examine
from pod_server.log import ledger
from pod_server.log.verification import verify_stored
from pod_server.opening import find_pod, open_pod
from pod_server.pods import NewCitizen, create_pod, create_pods, leave_pod_open, list_pods, lock_pod, remove_pod
from pod_server.storage.schema_version import tables_of_pods
from pod_server.vault.errors import PodLocked
from pod_server.vault.key_derivation import Argon2Cost, Passphrase

CHEAP = Argon2Cost(64, 1, 1)


def test_a_new_pod_has_card_rules_household_mandate_and_a_log(host):
    made = create_pod(host, "kari", name="Kari Nordmann", household_size=3, area="500101", dwelling="flat")
    assert made.webid == "http://localhost:8080/kari/profile/card#me"
    opened = open_pod(host, owner_permit(made.vault))
    with host.storage.read() as tx:
        card = documents.get(tx, opened, "profile/card")
        assert card is not None
        assert b"Kari Nordmann" in card.content
        assert card.public
        assert documents.get(tx, opened, ".acl") is not None
        lives_here = household.load(tx, opened)
        assert (lives_here.name, lives_here.household_size, lives_here.dwelling) == ("Kari Nordmann", 3, "flat")
        verify_stored(tx, made.pod_id)
        first = ledger.read_events(tx, made.vault, made.pod_id)[-1]
        assert (first.index, first.event.action, first.event.actor.kind) == (0, "create-pod", "citizen")
    assert enforcement.require_mandate(host, made.pod_id, "compute").pod_id == made.pod_id


def test_a_pod_is_found_by_handle_and_by_number(host):
    made = create_pod(host, "kari", simulated=True)
    create_pod(host, "ola")
    with host.storage.read() as tx:
        assert find_pod(tx, "kari") == find_pod(tx, made.pod_id) == made.pod
        with pytest.raises(NoSuchPod):
            find_pod(tx, "nobody")
    assert [pod.handle for pod in list_pods(host)] == ["kari", "ola"]
    assert [pod.handle for pod in list_pods(host, simulated=True)] == ["kari"]
    assert [pod.handle for pod in list_pods(host, simulated=False)] == ["ola"]


@pytest.mark.parametrize("handle", ["", "k", "Kari", "kåre", "1kari", "kari_n", "a" * 32, "admin", "bridge", "kari\n"])
def test_what_is_no_handle_makes_no_pod(host, handle):
    with pytest.raises(HandleMalformed):
        create_pod(host, handle)
    assert list_pods(host) == []


def test_a_handle_is_given_out_once(host):
    made = create_pod(host, "kari")
    with pytest.raises(HandleTaken):
        create_pod(host, "kari")
    remove_pod(host, made.pod_id)
    with pytest.raises(HandleTaken):
        create_pod(host, "kari")


def test_pods_are_made_many_at_a_time_all_or_none(host):
    wanted = [NewCitizen(Handle(name), Household(name.title())) for name in ("kari", "ola", "per")]
    made = create_pods(host, wanted, actor=Actor("host"))
    assert [new.pod.handle for new in made] == ["kari", "ola", "per"]
    for new in made:
        with host.storage.read() as tx:
            assert [event.event.action for event in ledger.read_events(tx, new.vault, new.pod_id)] == ["create-pod"]
            running, counted = quota.recount(tx, new.pod_id)
            assert running == counted > 0
        assert examine(host, new.vault, new.pod_id).damages == ()
    with pytest.raises(HandleTaken):
        create_pods(host, [NewCitizen(Handle("eva"), Household("Eva")), wanted[0]])
    with pytest.raises(HandleTaken):
        create_pods(host, [NewCitizen(Handle("eva"), Household("Eva"))] * 2)
    assert [pod.handle for pod in list_pods(host)] == ["kari", "ola", "per"]
    assert len(host.key_store.pods_with_keys()) == 3


def test_a_removed_pod_leaves_no_row_and_no_key(host):
    kari, ola = create_pod(host, "kari"), create_pod(host, "ola")
    partner = granted(host, kari.pod_id)
    deliver(host, partner.permit, readings(0, 3))
    remove_pod(host, kari.pod_id)
    with host.storage.read() as tx:
        for table in tables_of_pods():
            assert tx.one(f"SELECT COUNT(*) FROM {table} WHERE pod_id = ?", (kari.pod_id,)) == (0,), table
        assert tx.one("SELECT COUNT(*) FROM document WHERE pod_id = ?", (ola.pod_id,)) != (0,)
    assert all(wrapped is None for wrapped in host.key_store.keyring(kari.pod_id).values())
    assert deliver(host, partner.permit, readings(0, 3)) == ["refused"] * 3
    with pytest.raises(NoSuchPod):
        remove_pod(host, kari.pod_id)


def test_a_pod_made_locked_opens_for_its_citizen_alone(host):
    made = create_pod(host, "kari", custodian=False)
    assert made.pod.state == "locked"
    with pytest.raises(PodLocked):
        open_pod(host, owner_permit(made.vault))
    opened = open_pod(host, owner_permit(made.vault), vault=made.vault)
    with host.storage.read() as tx:
        assert household.load(tx, opened).household_size == 1
        assert documents.get(tx, open_pod(host, enforcement.require_public(made.pod)), "profile/card") is not None


def test_deliveries_to_a_locked_pod_wait_until_its_citizen_leaves_it_open_again(host):
    made = create_pod(host, "kari")
    partner = granted(host, made.pod_id)
    assert deliver(host, partner.permit, readings(0, 2)) == ["accepted"] * 2
    locked = lock_pod(host, made.vault, Passphrase("tolv små katter"), cost=CHEAP)
    assert deliver(host, partner.permit, readings(2, 2)) == ["pending"] * 2
    with host.storage.read() as tx:
        assert find_pod(tx, "kari").state == "locked"
        last = ledger.read_events(tx, locked.vault, made.pod_id, limit=3)
    assert [logged.event.action for logged in last] == ["append", "lock-pod", "append"]

    leave_pod_open(host, locked.vault)
    assert deliver(host, partner.permit, readings(0, 4)) == ["duplicate"] * 4
    with host.storage.read() as tx:
        assert find_pod(tx, "kari").state == "open"
    with pytest.raises(PodLocked):  # the vault of the old root key
        leave_pod_open(host, made.vault)


def test_a_new_pod_prints_without_its_recovery_code(host):
    made = create_pod(host, "kari")
    assert made.recovery_code not in repr(made)


@pytest.mark.parametrize("size", [0, -1, 31])
def test_a_household_has_one_to_thirty_persons(host, size):
    with pytest.raises(HandleMalformed, match="1 to 30"):
        create_pod(host, "kari", household_size=size)

"""T2: someone who edits the database swaps, moves, truncates, replays or removes ciphertexts."""

from __future__ import annotations

import pytest
from deliveries import deliver, granted, owner_permit, readings

from pod_server import documents, grants
from pod_server.activities import read_segments
from pod_server.identifiers import Actor
from pod_server.log.errors import LogBroken
from pod_server.log.verification import verify_segments, verify_stored
from pod_server.opening import open_pod
from pod_server.vault.envelope import Place, Scope
from pod_server.vault.errors import Tampered
from pod_server.vault.scope_keys import unwrap_secret
from pod_server.vault.vault import unlock_with_custodian, wrapping_key


@pytest.fixture
def kari(city):
    return city.citizen("kari")


@pytest.fixture
def delivered(host, kari):
    """Three segments under each of two grants."""
    partners = [granted(host, kari.pod_id, name=name) for name in ("Strømmen AS", "Nettet AS")]
    for partner in partners:
        for first in (0, 5, 10):
            assert deliver(host, partner.permit, readings(first, 5)) == ["accepted"] * 5
    return partners


def tamper(host, sql, *parameters):
    with host.storage.write() as tx:
        assert tx.execute(sql, parameters) > 0


def segments(host, pod):
    return read_segments(host, open_pod(host, owner_permit(pod.vault), vault=pod.vault))


def agreeing(host, pod):
    with host.storage.read() as tx:
        verify_stored(tx, pod.pod_id)
        return verify_segments(tx, pod.vault, pod.pod_id)


def sealed_of(host, pod, grant, ordinal):
    with host.storage.read() as tx:
        return tx.one(
            "SELECT sealed FROM segment WHERE pod_id = ? AND grant_id = ? AND ordinal = ?", (pod.pod_id, grant, ordinal)
        )[0]


PUT = "UPDATE segment SET sealed = ? WHERE pod_id = ? AND grant_id = ? AND ordinal = ?"


def test_untouched_segments_open_and_agree_with_the_log(host, kari, delivered):
    assert len(segments(host, kari)) == 6
    assert agreeing(host, kari) == 6


def test_segments_swapped_within_a_grant_do_not_open(host, kari, delivered):
    grant = delivered[0].grant
    first, second = sealed_of(host, kari, grant, 1), sealed_of(host, kari, grant, 2)
    tamper(host, PUT, second, kari.pod_id, grant, 1)
    tamper(host, PUT, first, kari.pod_id, grant, 2)
    with pytest.raises(Tampered):
        segments(host, kari)
    with pytest.raises(LogBroken):
        agreeing(host, kari)


def test_a_segment_moved_to_another_grant_does_not_open(host, kari, delivered):
    sealed = sealed_of(host, kari, delivered[0].grant, 1)
    tamper(host, PUT, sealed, kari.pod_id, delivered[1].grant, 1)
    with pytest.raises(Tampered):
        segments(host, kari)


def test_a_segment_moved_to_another_citizen_does_not_open(host, city, kari, delivered):
    ola = city.citizen("ola")
    strange = granted(host, ola.pod_id, partner=delivered[0].partner)
    deliver(host, strange.permit, readings(0, 5))
    tamper(host, PUT, sealed_of(host, kari, delivered[0].grant, 1), ola.pod_id, strange.grant, 1)
    with pytest.raises(Tampered):
        segments(host, ola)


@pytest.mark.parametrize("damage", [lambda sealed: sealed[:-1], lambda sealed: b"", lambda sealed: sealed + b"\x00"])
def test_a_truncated_or_lengthened_segment_does_not_open(host, kari, delivered, damage):
    grant = delivered[0].grant
    tamper(host, PUT, damage(sealed_of(host, kari, grant, 3)), kari.pod_id, grant, 3)
    with pytest.raises(Tampered):
        segments(host, kari)


def test_a_removed_segment_is_missed_by_the_log(host, kari, delivered):
    tamper(
        host, "DELETE FROM segment WHERE pod_id = ? AND grant_id = ? AND ordinal = 3", kari.pod_id, delivered[0].grant
    )
    assert len(segments(host, kari)) == 5
    with pytest.raises(LogBroken, match="not stored as it was written"):
        agreeing(host, kari)


def test_a_segment_written_past_the_log_is_noticed(host, kari, delivered):
    """Even one that is sealed with the right key, by somebody who has it."""
    grant = delivered[0].grant
    scope = Scope("grant", grant, delivered[0].permit.epoch)
    forged = kari.vault.seal(
        scope,
        Place("segment", b"", 3),
        kari.vault.open(scope, Place("segment", b"", 3), sealed_of(host, kari, grant, 3)),
    )
    tamper(host, PUT, forged, kari.pod_id, grant, 3)
    assert len(segments(host, kari)) == 6
    with pytest.raises(LogBroken):
        agreeing(host, kari)


def test_an_erased_partners_missing_segments_are_no_alarm(host, kari, delivered):
    grants.erase(host, kari.pod_id, delivered[0].grant, actor=Actor("citizen"))
    vault = unlock_with_custodian(host.host_key, host.key_store, kari.pod_id)
    with host.storage.read() as tx:
        assert verify_segments(tx, vault, kari.pod_id) == 3


def test_an_earlier_version_of_a_document_does_not_come_back(host, kari):
    opened = open_pod(host, owner_permit(kari.vault), vault=kari.vault)
    path, now = "notes.txt", host.clock.now()
    with host.storage.write() as tx:
        documents.put(tx, opened, path, "text/plain", b"first", public=False, at=now)
        (sealed,) = tx.one("SELECT sealed_body FROM document WHERE pod_id = ? ORDER BY version DESC", (kari.pod_id,))
        documents.put(tx, opened, path, "text/plain", b"second", public=False, at=now)
    with host.storage.read() as tx:
        assert documents.get(tx, opened, path).content == b"second"
        (version,) = tx.one("SELECT MAX(version) FROM document WHERE pod_id = ?", (kari.pod_id,))
    tamper(host, "UPDATE document SET sealed_body = ? WHERE pod_id = ? AND version = ?", sealed, kari.pod_id, version)
    with host.storage.read() as tx, pytest.raises(Tampered):
        documents.get(tx, opened, path)


def test_keys_swapped_in_the_key_store_open_nothing(host, city, kari):
    """The keyring's entries are bound to pod, scope and epoch, and slots to their pod."""
    ola = city.citizen("ola")
    scope = Scope("grant", "g-1", 1)
    kari.vault.create_scope(scope)
    wrapped = host.key_store.wrapped_secret(kari.pod_id, scope)
    for pod, other in ((kari, Scope("grant", "g-2", 1)), (kari, Scope("grant", "g-1", 2)), (ola, scope)):
        key = wrapping_key(pod.pod_id, other, pod.vault.root_key, host.host_key)
        with pytest.raises(Tampered):
            unwrap_secret(key, wrapped)
    host.key_store.put_slot(ola.pod_id, host.key_store.slot(kari.pod_id, "custodian"))
    with pytest.raises(Tampered):
        unlock_with_custodian(host.host_key, host.key_store, ola.pod_id)

"""T35: somebody acts for a citizen without the authority, beyond it, or after it ended."""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest
from deliveries import CITIZEN, add_partner, granted
from representing import attorney_of, guardian_of

from consent.delegation import Act
from consent.grant import GrantTerms
from pod_server import delegation, grants
from pod_server.delegation import NotRepresented
from pod_server.identifiers import Actor
from pod_server.vault.errors import Tampered

FOOD = "food-footprint"


@pytest.fixture
def people(city):
    return [city.citizen(handle).pod_id for handle in ("ola", "nora", "kari")]


def give(host, pod_id, actor, purpose=FOOD):
    now = host.clock.now()
    terms = GrantTerms(
        client_id=add_partner(host, f"Butikk {secrets.token_hex(4)}").client_id,
        purpose=purpose,
        kinds=frozenset({"grocery-line"}),
        operations=frozenset({"append"}),
        granularity="event",
        history_from=now - timedelta(days=30),
        expires_at=now + timedelta(days=100),
    )
    return grants.give(host, pod_id, terms, actor=actor)


def every_act(host, pod_id, grant_id, actor):
    """Each act that changes a consent, as a representative would try it."""
    later = host.clock.now() + timedelta(days=50)
    return (
        lambda: give(host, pod_id, actor),
        lambda: grants.pause(host, pod_id, grant_id, actor=actor),
        lambda: grants.resume(host, pod_id, grant_id, actor=actor),
        lambda: grants.renew(host, pod_id, grant_id, actor=actor, expires_at=later),
        lambda: grants.narrow(host, pod_id, grant_id, actor=actor, expires_at=later),
        lambda: grants.withdraw(host, pod_id, grant_id, actor=actor),
        lambda: grants.erase(host, pod_id, grant_id, actor=actor),
        lambda: grants.confirm(host, pod_id, grant_id, actor=actor),
    )


def assert_nothing_works(host, pod_id, grant_id, actor):
    for act in every_act(host, pod_id, grant_id, actor):
        with pytest.raises(NotRepresented):
            act()
    assert [str(view.grant.state) for view in grants.list_grants(host, pod_id)] == ["active"]


def test_a_guardian_can_do_nothing_after_the_wards_thirteenth_birthday(city, host, people):
    ola, nora, _ = people
    held = guardian_of(host, nora, ola, acts=frozenset(Act))
    given = give(host, nora, held.actor("ola"))
    city.clock.advance(timedelta(days=98))
    assert_nothing_works(host, nora, given.id, held.actor("ola"))


def test_an_expired_power_of_attorney_does_nothing(city, host, people):
    ola, _, kari = people
    held = attorney_of(host, kari, ola, acts=frozenset(Act), ends=host.clock.now() + timedelta(days=10))
    given = granted(host, kari)
    city.clock.advance(timedelta(days=10))
    assert_nothing_works(host, kari, given.grant, held.actor("ola"))


def test_a_withdrawn_power_of_attorney_does_nothing_from_the_commit_on(host, people):
    ola, _, kari = people
    held = attorney_of(host, kari, ola, acts=frozenset(Act))
    given = granted(host, kari)
    delegation.end(host, kari, held.id, actor=CITIZEN)
    assert_nothing_works(host, kari, given.grant, held.actor("ola"))


def test_a_guardian_of_one_child_is_nobody_to_another(host, people):
    ola, nora, kari = people
    held = guardian_of(host, nora, ola, acts=frozenset(Act))
    given = granted(host, kari)
    assert_nothing_works(host, kari, given.grant, held.actor("ola"))


def test_a_made_up_authority_does_nothing(host, people):
    _, _, kari = people
    given = granted(host, kari)
    for kind in sorted(delegation.REPRESENTATIVES):
        assert_nothing_works(host, kari, given.grant, Actor(kind, delegation.new_id(), "eve"))


def test_an_authority_covers_its_acts_and_purposes_and_no_others(host, people):
    ola, _, kari = people
    held = attorney_of(host, kari, ola, acts=frozenset({Act.GIVE, Act.WITHDRAW}), purposes=frozenset({FOOD}))
    given = give(host, kari, held.actor("ola"))
    for act in every_act(host, kari, given.id, held.actor("ola"))[1:5]:
        with pytest.raises(NotRepresented):
            act()
    with pytest.raises(NotRepresented):
        give(host, kari, held.actor("ola"), "travel-footprint")
    grants.withdraw(host, kari, given.id, actor=held.actor("ola"))


def test_an_authority_moved_in_the_database_to_another_citizen_does_not_open(host, people):
    ola, nora, kari = people
    held = guardian_of(host, nora, ola)
    given = granted(host, kari)
    with host.storage.write() as tx:
        tx.execute("UPDATE representation SET pod_id = ? WHERE pod_id = ?", (kari, nora))
    with pytest.raises(Tampered):
        grants.withdraw(host, kari, given.grant, actor=held.actor("ola"))


def test_an_ended_power_set_standing_again_in_the_database_stays_ended(host, people):
    ola, _, kari = people
    held = attorney_of(host, kari, ola, acts=frozenset(Act))
    given = granted(host, kari)
    delegation.end(host, kari, held.id, actor=CITIZEN)
    with host.storage.write() as tx:
        tx.execute("UPDATE representation SET state = 'standing' WHERE pod_id = ?", (kari,))
    assert_nothing_works(host, kari, given.grant, held.actor("ola"))


def test_a_stolen_database_shows_neither_evidence_nor_date_of_birth(host, people):
    ola, nora, _ = people
    guardian_of(host, nora, ola, evidence="fødselsattest nr 4711")
    with host.storage.read() as tx:
        (row,) = tx.all("SELECT * FROM representation WHERE pod_id = ?", (nora,))
    stored = b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in map(_plain, row))
    assert "fødselsattest".encode() not in stored
    assert b"2014-03-01" not in stored


def _plain(value):
    return bytes(value) if isinstance(value, memoryview) else value

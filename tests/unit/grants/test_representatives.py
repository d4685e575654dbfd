"""Representatives: recorded, held to the law in each act's transaction, told in both logs, and outgrown."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from deliveries import CITIZEN, add_partner, granted
from representing import attorney_of, guardian_of

from consent.attention import Attention
from consent.grant import GrantState, GrantTerms
from pod_server import delegation, grants, reminders
from pod_server.coming_of_age import look_after_birthdays
from pod_server.delegation import NotRepresented, TooYoung
from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.pods import lock_pod
from pod_server.removal import remove_citizen
from pod_server.vault.errors import PodLocked
from pod_server.vault.key_derivation import Argon2Cost, Passphrase

BIRTHDAY = timedelta(days=98)
CHEAP = Argon2Cost(64, 1, 1)


@pytest.fixture
def ola(city):
    """A guardian."""
    return city.citizen("ola")


@pytest.fixture
def nora(city):
    """Twelve years old."""
    return city.citizen("nora")


def terms_for(host, partner, purpose="food-footprint"):
    now = host.clock.now()
    return GrantTerms(
        client_id=partner.client_id,
        purpose=purpose,
        kinds=frozenset({"grocery-line"}),
        operations=frozenset({"append"}),
        granularity="event",
        history_from=now - timedelta(days=30),
        expires_at=now + timedelta(days=700),
    )


def events(host, citizen):
    with host.storage.read() as tx:
        return [entry.event for entry in ledger.all_events(tx, citizen.vault, citizen.pod_id)]


def waiting(host, citizen):
    with host.storage.read() as tx:
        return [each.about for each in reminders.waiting(tx, citizen.pod_id, host.clock.now())]


def test_a_guardian_gives_and_both_logs_say_who_for_whom_under_what(host, nora, ola):
    held = guardian_of(host, nora.pod_id, ola.pod_id)
    given = grants.give(host, nora.pod_id, terms_for(host, add_partner(host)), actor=held.actor("ola"))
    delegation.note_for_representative(host, held, "give", given.terms.purpose, given.id)
    told = events(host, nora)[0]
    assert (told.action, told.actor) == ("consent-given", Actor("guardian", held.id, "ola"))
    own = events(host, ola)[0]
    assert (own.action, own.grant or own.detail["grant"]) == ("acted-for", given.id)
    assert (own.detail["partner"], own.detail["authority"], own.detail["act"]) == ("nora", held.id, "give")
    recorded = [each for each in events(host, nora) if each.action == "representation-recorded"]
    assert [each.detail["partner"] for each in recorded] == ["ola"]


def test_the_receipt_says_that_a_guardian_answered_and_not_who(host, nora, ola):
    held = guardian_of(host, nora.pod_id, ola.pod_id)
    given = grants.give(host, nora.pod_id, terms_for(host, add_partner(host)), actor=held.actor("ola"))
    with host.storage.read() as tx:
        receipt = grants.consent_receipts.latest(host, tx, nora.pod_id, given.id)
    status = receipt["record"]["consentStatus"][-1]
    assert status["indicatedBy"].endswith("#guardian")
    assert "guardian" in status["indicationMethod"]
    # As a word: three letters may stand in any signature.
    assert not re.search(rf"\b(ola|{re.escape(held.id)})\b", str(receipt))


def test_a_child_gives_nothing_alone_and_takes_everything_back(host, nora, ola):
    held = guardian_of(host, nora.pod_id, ola.pod_id)
    partner = add_partner(host)
    with pytest.raises(TooYoung):
        grants.give(host, nora.pod_id, terms_for(host, partner), actor=CITIZEN)
    with pytest.raises(TooYoung):
        grants.give(host, nora.pod_id, terms_for(host, partner), actor=Actor("operator-assisted"))
    given = grants.give(host, nora.pod_id, terms_for(host, partner), actor=held.actor("ola"))
    grants.pause(host, nora.pod_id, given.id, actor=CITIZEN)
    with pytest.raises(TooYoung):
        grants.resume(host, nora.pod_id, given.id, actor=CITIZEN)
    assert grants.withdraw(host, nora.pod_id, given.id, actor=CITIZEN).state is GrantState.WITHDRAWN


def test_coming_of_age_tells_both_asks_and_pauses_what_is_not_confirmed(city, host, nora, ola):
    held = guardian_of(host, nora.pod_id, ola.pod_id)
    partner = add_partner(host)
    kept, left = (grants.give(host, nora.pod_id, terms_for(host, partner), actor=held.actor("ola")) for _ in range(2))
    assert look_after_birthdays(host) == 0
    city.clock.advance(BIRTHDAY)
    assert look_after_birthdays(host) == 2
    assert waiting(host, nora) == [Attention.CONFIRM] * 2
    assert [each.action for each in events(host, nora)].count("guardian-power-ended") == 1
    assert [each.action for each in events(host, ola)].count("guardian-power-ended-held") == 1
    assert look_after_birthdays(host) == 0
    reminders.keep(host, nora.pod_id, kept.id, actor=CITIZEN)
    assert len(waiting(host, nora)) == 2, "leaving it is no confirmation"
    grants.confirm(host, nora.pod_id, kept.id, actor=CITIZEN)
    city.clock.advance(timedelta(days=89))
    assert look_after_birthdays(host) == 0
    city.clock.advance(timedelta(days=1))
    assert look_after_birthdays(host) == 1
    states = {view.grant.id: view.grant.state for view in grants.list_grants(host, nora.pod_id)}
    assert states == {kept.id: GrantState.ACTIVE, left.id: GrantState.PAUSED}
    assert grants.resume(host, nora.pod_id, left.id, actor=CITIZEN).state is GrantState.ACTIVE
    assert look_after_birthdays(host) == 0


def test_one_power_may_end_at_thirteen_and_another_at_fifteen(city, host, nora, ola):
    held = guardian_of(host, nora.pod_id, ola.pod_id)
    city.clock.advance(BIRTHDAY + timedelta(days=30))
    partner = add_partner(host)
    with pytest.raises(NotRepresented):
        grants.give(host, nora.pod_id, terms_for(host, partner), actor=held.actor("ola"))
    grants.give(host, nora.pod_id, terms_for(host, partner, "research-statistics"), actor=held.actor("ola"))
    with pytest.raises(TooYoung):
        grants.give(host, nora.pod_id, terms_for(host, partner, "research-statistics"), actor=CITIZEN)
    grants.give(host, nora.pod_id, terms_for(host, partner), actor=CITIZEN)
    city.clock.advance(timedelta(days=2 * 366))
    assert delegation.held_now(host, ola.pod_id) == []


def test_a_settled_childhood_is_not_looked_at_again(city, host, nora, ola):
    guardian_of(host, nora.pod_id, ola.pod_id)
    city.clock.advance(timedelta(days=4 * 366))
    look_after_birthdays(host)
    assert list(delegation.unsettled(host)) == []
    grants.give(host, nora.pod_id, terms_for(host, add_partner(host)), actor=CITIZEN)


def test_a_locked_pod_lets_a_representative_end_things_and_nothing_else(host, ola, city):
    kari = city.citizen("kari")
    held = attorney_of(host, kari.pod_id, ola.pod_id)
    given = granted(host, kari.pod_id)
    lock_pod(host, kari.vault, Passphrase("korrekt hest batteri stift"), cost=CHEAP)
    with pytest.raises(PodLocked):
        grants.give(host, kari.pod_id, terms_for(host, given.partner), actor=held.actor("ola"))
    with pytest.raises(PodLocked):
        grants.narrow(host, kari.pod_id, given.grant, actor=held.actor("ola"), kinds=frozenset({"grocery-line"}))
    assert grants.withdraw(host, kari.pod_id, given.grant, actor=held.actor("ola")).state is GrantState.WITHDRAWN


def test_a_registry_is_followed_and_the_operators_own_records_are_not_touched(host, nora, ola, city):
    own = attorney_of(host, nora.pod_id, ola.pod_id)
    kari = city.citizen("kari")
    terms = replace(own.terms, id="r-altinn-1")

    class Registry:
        name = "altinn"

        def __init__(self):
            self.said = [(kari.pod_id, terms)]

        def authorities_over(self, pod_id):
            assert pod_id == nora.pod_id
            return self.said

    registry = Registry()
    assert delegation.synchronise(host, registry, nora.pod_id) == (1, 0)
    assert delegation.synchronise(host, registry, nora.pod_id) == (0, 0)
    assert [each.source for each in delegation.held_now(host, kari.pod_id)] == ["altinn"]
    registry.said = []
    assert delegation.synchronise(host, registry, nora.pod_id) == (0, 1)
    assert delegation.held_now(host, kari.pod_id) == []
    assert [each.id for each in delegation.held_now(host, ola.pod_id)] == [own.id]


def test_nobody_answers_for_themselves_and_no_child_for_a_child(host, nora, ola, city):
    with pytest.raises(NotRepresented):
        attorney_of(host, ola.pod_id, ola.pod_id)
    guardian_of(host, nora.pod_id, ola.pod_id)
    with pytest.raises(NotRepresented):
        guardian_of(host, city.citizen("liten").pod_id, nora.pod_id)


def test_who_is_removed_answers_for_nobody_and_the_childs_age_stays_known(host, nora, ola):
    guardian_of(host, nora.pod_id, ola.pod_id)
    remove_citizen(host, ola.pod_id, actor=CITIZEN)
    with host.storage.read() as tx:
        (left,) = delegation.over(tx, host, nora.pod_id)
    assert not left.standing
    assert delegation.is_too_young(host, nora.pod_id, "food-footprint")

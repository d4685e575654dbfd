"""What the citizen says is not theirs, or is wrong, does not count; the figures follow exactly, and the trail tells of it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from deliveries import CITIZEN, add_partner, owner_permit
from twin_activities import MIDNIGHT, electricity, groceries
from twin_citizen import Citizen

from pod_server import grants, integrity, partners, pods, rectifications, resealing
from pod_server.authorization.errors import GrantRefused
from pod_server.authorization.sealed_for_host import unseal
from pod_server.errors import NoSuchActivity, PermitExceeded
from pod_server.log import ledger
from pod_server.rectifications import CORRECTED, OPEN, TAKEN_BACK
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from twin_agent.recompute import differences

SHOP, POWER = "Rema 1000", "Strømmen AS"


@pytest.fixture
def kari(city):
    citizen = Citizen(city, city.citizen("kari", household_size=1))
    key = add_partner(city.host, "keys").jwks
    for name in (SHOP, POWER):
        partners.add_partner(city.host, name=name, jwks=key, webhook=f"https://{len(name)}.example/hook")
    citizen.deliver(SHOP, mince("mince"), mince("more", 2.0))
    citizen.deliver(POWER, *(electricity(f"h{n}", MIDNIGHT + timedelta(hours=n), 60, 1.5) for n in range(6)))
    citizen.think()
    return citizen


def mince(name, kilograms=0.4):
    return groceries(name, MIDNIGHT, kilograms, "beef-mince")


def months(citizen):
    """The running figures, which the recompute by another road confirms."""
    citizen.think()
    running = citizen.figures()["months"]
    assert differences(running, citizen.recomputed()) == []
    return running


def say(citizen, partner, record, claim, *, tell=False):
    return rectifications.say(citizen.host, citizen.own(), citizen.grants[partner].grant, record, claim, tell=tell)


def found(citizen):
    with citizen.host.storage.read() as tx:
        return rectifications.listed(tx, citizen.own())


def told(citizen, kind="activity-disputed"):
    with citizen.host.storage.read() as tx:
        rows = tx.all("SELECT client_id, message_id, body FROM outbox WHERE kind = ? ORDER BY sequence", (kind,))
    key = citizen.host.host_key
    return [(to, json.loads(unseal(key, "outbox-body", (name,), bytes(body).decode()))) for to, name, body in rows]


@pytest.mark.parametrize("claim", ["not-mine", "wrong"])
def test_what_is_said_is_out_of_the_figures_exactly_and_comes_back_exactly(kari, claim):
    before = months(kari)
    said = say(kari, SHOP, "mince", claim)
    without = months(kari)
    assert without["2026-11"]["food"][3] == pytest.approx(2.0)
    assert without["2026-11"]["electricity"] == pytest.approx(before["2026-11"]["electricity"])
    rectifications.take_back(kari.host, kari.own(), said.rectification_id)
    after = months(kari)
    assert differences(after, before) == []
    (again,) = found(kari)
    assert (again.state, [step.what for step in again.trail]) == (TAKEN_BACK, [claim, TAKEN_BACK])


def test_an_hour_of_electricity_is_out_too_and_the_next_deliveries_go_on(kari):
    say(kari, POWER, "h2", "wrong")
    before = months(kari)["2026-11"]["electricity"][3]
    kari.deliver(POWER, electricity("h9", MIDNIGHT + timedelta(hours=9), 60, 1.5))
    now = months(kari)["2026-11"]["electricity"][3]
    assert (before, now) == (pytest.approx(7.5), pytest.approx(9.0))


def test_a_partners_correction_resolves_wrong_and_counts(kari):
    say(kari, SHOP, "mince", "wrong", tell=True)
    assert months(kari)["2026-11"]["food"][3] == pytest.approx(2.0)
    kari.deliver(SHOP, mince("mince", 0.3) | {"correction": True})
    assert months(kari)["2026-11"]["food"][3] == pytest.approx(2.3)
    (said,) = found(kari)
    assert (said.state, [step.what for step in said.trail]) == (CORRECTED, ["wrong", "told", CORRECTED])
    # And wrong once more, of the new content: the same trail goes on.
    assert say(kari, SHOP, "mince", "wrong").rectification_id == said.rectification_id
    assert months(kari)["2026-11"]["food"][3] == pytest.approx(2.0)


def test_a_correction_of_what_is_not_mine_does_not_bring_it_back_and_is_shown(kari):
    say(kari, SHOP, "mince", "not-mine")
    kari.deliver(SHOP, mince("mince", 0.3) | {"correction": True})
    assert months(kari)["2026-11"]["food"][3] == pytest.approx(2.0)
    (said,) = found(kari)
    assert (said.state, said.trail[-1].what) == (OPEN, CORRECTED)


def test_the_partner_hears_only_what_the_citizen_lets_it_hear_and_only_of_its_own(kari):
    said = say(kari, SHOP, "mince", "not-mine")
    assert told(kari) == []
    rectifications.tell_partner(kari.host, kari.own(), said.rectification_id)
    rectifications.tell_partner(kari.host, kari.own(), said.rectification_id)
    ((to, body),) = told(kari)
    grant = kari.grants[SHOP]
    assert to == grant.partner.client_id
    with kari.host.storage.read() as tx:
        subject = grants.subject_of(kari.host, rectifications._grant(kari.host, tx, kari.own(), grant.grant))
    at = body.pop("at")
    assert at == kari.host.clock.now().isoformat()
    assert body == {
        "grant": grant.grant, "subject": subject, "activity": "mince", "claim": "not-mine", "rectification": said.rectification_id,
    }  # fmt: skip
    assert str(kari.pod_id) not in json.dumps(body)
    rectifications.take_back(kari.host, kari.own(), said.rectification_id)
    ((_, back),) = told(kari, "dispute-taken-back")
    assert (back["activity"], back["rectification"]) == ("mince", said.rectification_id)


def test_what_was_never_told_is_taken_back_in_silence(kari):
    said = say(kari, SHOP, "mince", "not-mine")
    rectifications.take_back(kari.host, kari.own(), said.rectification_id)
    assert told(kari) == told(kari, "dispute-taken-back") == []


def test_the_log_tells_who_what_and_why_and_names_no_activity(kari):
    said = say(kari, SHOP, "mince", "wrong", tell=True)
    with kari.host.storage.read() as tx:
        events = [each.event for each in ledger.read_events(tx, kari.made.vault, kari.pod_id)]
    by_action = {each.action: each for each in events}
    event = by_action["dispute-wrong"]
    assert (event.actor.kind, event.grant, event.purpose) == (
        CITIZEN.kind,
        kari.grants[SHOP].grant,
        "personal-footprint",
    )
    assert event.detail == {"rectification": said.rectification_id}
    assert "dispute-told" in by_action
    assert b"mince" not in b"".join(each.encoded() for each in events)


def test_saying_it_twice_is_saying_it_once_and_the_other_goes_on_with_the_trail(kari):
    first = say(kari, SHOP, "mince", "not-mine")
    assert say(kari, SHOP, "mince", "not-mine") == first
    other = say(kari, SHOP, "mince", "wrong")
    assert [step.what for step in other.trail] == ["not-mine", "wrong"]
    assert len(found(kari)) == 1


def test_only_the_citizen_says_so_of_what_came(kari):
    grant = kari.grants[SHOP].grant
    with pytest.raises(PermitExceeded):
        rectifications.say(kari.host, kari.as_twin(), grant, "mince", "wrong", tell=False)
    with pytest.raises(NoSuchActivity):
        say(kari, SHOP, "nothing", "wrong")
    with pytest.raises(NoSuchActivity):
        say(kari, POWER, "mince", "wrong")
    with pytest.raises(GrantRefused):
        rectifications.say(kari.host, kari.own(), "g-nobodys", "mince", "wrong", tell=False)
    with pytest.raises(NoSuchActivity):
        rectifications.take_back(kari.host, kari.own(), "d-none")


def test_it_goes_with_the_erased_partner(kari):
    say(kari, SHOP, "mince", "not-mine")
    grants.erase(kari.host, kari.pod_id, kari.grants[SHOP].grant, actor=CITIZEN)
    assert found(kari) == []
    assert "food" not in months(kari)["2026-11"]
    with pytest.raises(GrantRefused):
        say(kari, SHOP, "mince", "not-mine")


def test_new_keys_take_it_along(kari):
    say(kari, SHOP, "mince", "not-mine")
    before = found(kari)
    vault = pods.lock_pod(kari.host, kari.made.vault, Passphrase("fire ord om katten"), cost=Argon2Cost(64, 1, 1)).vault
    assert resealing.reseal(kari.host, vault, rest=lambda _: None)
    with kari.host.storage.read() as tx:
        assert tx.all("SELECT epoch FROM rectification") == [(2,)]
        own = pods.OpenPod(kari.own().pod, owner_permit(vault), vault)
        assert rectifications.listed(tx, own) == before
    assert integrity.examine(kari.host, vault, kari.pod_id).damages == ()


def test_a_correction_that_comes_between_the_look_and_the_word_is_what_is_disputed(kari, monkeypatch):
    """The activity is looked up before the transaction; what came meanwhile is read in it."""
    honest = rectifications.previous_version

    def meanwhile(*arguments):
        found = honest(*arguments)
        monkeypatch.undo()
        kari.deliver(SHOP, mince("mince", 0.3) | {"correction": True})
        return found

    monkeypatch.setattr(rectifications, "previous_version", meanwhile)
    say(kari, SHOP, "mince", "wrong")
    assert months(kari)["2026-11"]["food"][3] == pytest.approx(2.0), "the citizen says so of what stands"
    (said,) = found(kari)
    assert said.state == OPEN

"""The tram pass: proposed with its facts, sent on a yes to exactly what was shown, once, and as a claim of four words."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from twin_activities import MIDNIGHT, electricity, waste
from twin_proposals import (
    FIRST_DAY_OF_PERIOD,
    SAMPLE,
    WEEK,
    actions,
    add_municipality,
    messages,
    sent_bodies,
    stored,
    two_years_of_waste,
)

from pod_server import partners
from pod_server.errors import PermitExceeded
from pod_server.offers import publish, withdraw
from pod_server.signatures import issuer_key
from pod_server.signatures.keys import PublicKey
from pod_server.signatures.sd_jwt import verify
from twin_agent.act import approve, decline
from twin_agent.errors import NobodyToSendTo, NoSuchProposal, PlanChanged, ProposalExpired, ProposalSettled
from twin_agent.propose import look_now
from vocab.terms import TVILLING


@pytest.fixture
def municipality(host):
    return add_municipality(host)


@pytest.fixture
def offered(kari, municipality):
    """Kari, whose household threw away 7 % less."""
    kari.deliver("TRV", *two_years_of_waste(9.3, 10.0))
    kari.think()
    return kari


def test_less_waste_makes_one_proposal_with_its_facts(offered) -> None:
    (proposal,) = stored(offered)
    facts = proposal["facts"]
    assert facts["before"] == pytest.approx(52 * 10.0 / 2)
    assert facts["after"] == pytest.approx(52 * 9.3 / 2)
    assert facts["change"] == pytest.approx(0.07)
    assert facts["limit"] == pytest.approx(facts["before"] * 0.95)
    assert facts["period"] == "2025-11-01/2026-10-31"
    assert min(facts["coverage_days"]) >= 330
    assert proposal["letter"] == {
        "to": "Trondheim kommune", "client_id": proposal["letter"]["client_id"], "programme": "tram-pass",
        "rule_version": 1, "period": "2025-11-01/2026-10-31", "answer": "yes",
    }  # fmt: skip
    assert proposal["_state"] == "waiting"


@pytest.mark.parametrize(("now_kg", "number"), [(9.5, 1), (9.51, 0), (12.0, 0)])
def test_the_threshold_decides_and_nothing_else(kari, municipality, now_kg, number) -> None:
    kari.deliver("TRV", *two_years_of_waste(now_kg, 10.0))
    kari.think()
    assert len(stored(kari)) == number


def test_a_year_with_too_few_days_on_record_proposes_nothing(kari, municipality) -> None:
    kari.deliver("TRV", *two_years_of_waste(9.0, 10.0)[30:])
    kari.think()
    assert stored(kari) == []


def test_nobody_is_proposed_what_nobody_runs(kari) -> None:
    kari.deliver("TRV", *two_years_of_waste(9.0, 10.0))
    kari.think()
    assert stored(kari) == []


def test_a_yes_sends_a_claim_of_four_words_once(offered, municipality) -> None:
    (proposal,) = stored(offered)
    message_id = approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])
    assert [each.message_id for each in messages(offered)] == [message_id]
    assert messages(offered)[0].client_id == municipality.client_id
    (body,) = sent_bodies(offered)
    assert set(body) == {"credential", "programme", "period", "subject"}
    claim = verify(
        body["credential"],
        [PublicKey(issuer_key(offered.host.host_key).public_jwk)],
        credential_type=f"{TVILLING}Eligibility",
        issuer=offered.host.base_url,
        at=offered.host.clock.protocol_now(),
        leeway=timedelta(seconds=5),
        audience=municipality.client_id,
    )
    registered = {"iss", "iat", "exp", "vct", "aud", "jti", "sub", "_sd", "_sd_alg"}
    assert {name: value for name, value in claim.claims.items() if name not in registered} == {
        "programme": "tram-pass", "version": 1, "period": "2025-11-01/2026-10-31", "answer": "yes",
    }  # fmt: skip
    assert claim.claims["aud"] == municipality.client_id
    assert stored(offered)[0]["_state"] == "sent"
    assert {"approve-proposal", "send-claim"} <= set(actions(offered))


def test_a_second_yes_sends_nothing_more(offered) -> None:
    (proposal,) = stored(offered)
    approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])
    with pytest.raises(ProposalSettled):
        approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])
    assert len(messages(offered)) == 1


def test_a_no_sends_nothing_and_is_not_asked_again_for_that_period(offered) -> None:
    (proposal,) = stored(offered)
    decline(offered.host, offered.own(), proposal["id"])
    with pytest.raises(ProposalSettled):
        approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])
    offered.deliver("TRV", waste("new", MIDNIGHT, 1.0))
    offered.think()
    assert [each["_state"] for each in stored(offered)] == ["declined"]
    assert messages(offered) == []
    assert "decline-proposal" in actions(offered)


def test_facts_that_changed_after_they_were_shown_ask_again(offered) -> None:
    (shown,) = stored(offered)
    offered.deliver("TRV", waste("late", FIRST_DAY_OF_PERIOD + WEEK, 1.0, "paper"))
    offered.think()
    with pytest.raises(PlanChanged):
        approve(offered.host, offered.own(), shown["id"], shown["plan_hash"])
    assert messages(offered) == []
    (now,) = stored(offered)
    assert (now["id"], now["_state"]) == (shown["id"], "waiting")
    assert now["plan_hash"] != shown["plan_hash"]
    approve(offered.host, offered.own(), now["id"], now["plan_hash"])


def test_an_offer_whose_rule_is_no_longer_met_is_withdrawn(offered) -> None:
    (shown,) = stored(offered)
    offered.deliver("TRV", waste("heap", FIRST_DAY_OF_PERIOD + WEEK, 90.0))
    offered.think()
    assert [each["_state"] for each in stored(offered)] == ["withdrawn"]
    with pytest.raises(ProposalSettled):
        approve(offered.host, offered.own(), shown["id"], shown["plan_hash"])


def test_an_order_other_than_the_one_shown_is_refused(offered) -> None:
    (proposal,) = stored(offered)
    with pytest.raises(PlanChanged):
        approve(offered.host, offered.own(), proposal["id"], "0" * 64)
    with pytest.raises(NoSuchProposal):
        approve(offered.host, offered.own(), "p-none", proposal["plan_hash"])
    assert messages(offered) == []


def test_silence_means_no(offered, clock) -> None:
    (proposal,) = stored(offered)
    clock.advance(timedelta(days=31))
    with pytest.raises(ProposalExpired):
        approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])
    assert messages(offered) == []


def test_only_the_citizen_can_say_yes(offered) -> None:
    (proposal,) = stored(offered)
    with pytest.raises(PermitExceeded):
        approve(offered.host, offered.as_twin(), proposal["id"], proposal["plan_hash"])
    with pytest.raises(PermitExceeded):
        decline(offered.host, offered.as_twin(), proposal["id"])


def test_a_partner_that_left_gets_nothing(offered, municipality) -> None:
    (proposal,) = stored(offered)
    partners.remove_partner(offered.host, municipality.client_id)
    with pytest.raises(NobodyToSendTo):
        approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])


def test_a_crash_while_approving_leaves_everything_or_nothing(offered, monkeypatch) -> None:
    from twin_agent import act

    (proposal,) = stored(offered)

    def die(*_: object, **__: object) -> None:
        raise RuntimeError("the power went out")

    monkeypatch.setattr(act, "save", die)
    with pytest.raises(RuntimeError, match="power"):
        approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])
    monkeypatch.undo()
    assert messages(offered) == []
    assert "send-claim" not in actions(offered)
    approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])
    assert len(messages(offered)) == 1


@pytest.mark.parametrize("changes_the_facts", [False, True])
def test_a_delivery_between_reading_and_writing_stops_a_yes_only_where_it_changes_the_facts(
    offered, monkeypatch, changes_the_facts
) -> None:
    """A pod that is delivered to every second must not make a yes a matter of luck."""
    from twin_agent import act

    (proposal,) = stored(offered)
    honest, calls = act._credential, []

    def deliver_meanwhile(*arguments):
        calls.append(None)
        if len(calls) == 1:
            meanwhile = (
                waste("late", FIRST_DAY_OF_PERIOD + WEEK, 300.0)
                if changes_the_facts
                else electricity("now", MIDNIGHT, 60, 1.0)
            )
            assert offered.deliver("TRV" if changes_the_facts else "Oss.no", meanwhile) == ["accepted"]
            offered.think()
        return honest(*arguments)

    monkeypatch.setattr(act, "_credential", deliver_meanwhile)
    if changes_the_facts:
        with pytest.raises((PlanChanged, ProposalSettled)):
            approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])
        assert messages(offered) == []
    else:
        approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])
        assert len(messages(offered)) == 1
        assert len(calls) == 2


def offer_of(**members) -> bytes:
    said = {**json.loads(SAMPLE), **members}
    return json.dumps({key: value for key, value in said.items() if value is not None}).encode()


def test_an_offer_that_is_replaced_or_withdrawn_cannot_be_claimed_as_it_was(offered, municipality) -> None:
    (shown,) = stored(offered)
    publish(offered.host, municipality.client_id, "tram-pass", offer_of(lessPercent=6))
    with pytest.raises(PlanChanged):
        approve(offered.host, offered.own(), shown["id"], shown["plan_hash"])
    withdraw(offered.host, municipality.client_id, "tram-pass")
    offered.deliver("TRV", waste("new", MIDNIGHT, 1.0))
    offered.think()
    assert [each["_state"] for each in stored(offered)] == ["withdrawn"]
    assert messages(offered) == []
    publish(offered.host, municipality.client_id, "tram-pass", SAMPLE)
    offered.deliver("TRV", waste("newer", MIDNIGHT, 1.0))
    offered.think()
    assert sorted(each["_state"] for each in stored(offered)) == ["waiting", "withdrawn"], "offered anew, proposed anew"


def test_a_new_offer_is_looked_at_with_the_next_delivery_of_any_kind(host, kari) -> None:
    run_by = add_municipality(host, offering=None)
    kari.deliver("TRV", *two_years_of_waste(9.3, 10.0))
    kari.think()
    assert stored(kari) == []
    publish(host, run_by.client_id, "less", SAMPLE)
    kari.deliver("Oss.no", electricity("now", MIDNIGHT, 60, 1.0))
    kari.think()
    assert [each["programme"] for each in stored(kari)] == ["less"]


def test_each_rule_is_judged_by_what_is_in_the_pod(offered, municipality) -> None:
    for members, why in (
        ({"lessPercent": None, "atMost": 250}, "fits"),
        ({"lessPercent": None, "atMost": 240}, "too-much"),
        ({"measure": "footprint-per-person"}, "fits"),
        ({"period": "P3M", "coverageDays": 80}, "too-much"),
        ({"householdFrom": 3}, "small-household"),
        ({"opens": "2026-12-24"}, "not-open"),
    ):
        publish(offered.host, municipality.client_id, "tram-pass", offer_of(**members))
        (judged,) = look_now(offered.host, offered.own())
        assert (judged.why, judged.offer is not None) == (why, why == "fits"), members

"""PUT /bridge/claims/<claim>/answer, and the page beside it: what fits and why, one yes, and what the municipality answered."""

from __future__ import annotations

import json

import pytest
from test_offers import Publisher
from twin_citizen import Citizen
from twin_proposals import messages, stored, two_years_of_waste

from pod_server import outbox
from pod_server.log import ledger
from twin_agent.act import approve
from twin_agent.propose import look_now, propose_now


@pytest.fixture
def kari(city):
    citizen = Citizen(city, city.citizen("kari", household_size=2))
    citizen.deliver("TRV", *two_years_of_waste(9.0, 10.0))
    return citizen


@pytest.fixture
def claimed(door, kari):
    """A claim that Kari made of an offer published this moment."""
    hall = Publisher(door)
    assert hall.put().status_code == 200
    kari.think()
    (proposal,) = stored(kari)
    hall.claim = approve(kari.host, kari.own(), proposal["id"], proposal["plan_hash"])
    return hall


def answer(hall, claim=None, **said):
    address = f"{hall.client.base_url}/bridge/claims/{claim or hall.claim}/answer"
    proof = hall.client._proof("PUT", address, hall.client._access_token(None, ""))
    return hall.client._http.put(
        address, content=json.dumps(said), headers={"Content-Type": "application/json", **proof}
    )


def reply(kari):
    with kari.host.storage.read() as tx:
        (message,) = messages(kari)
        return outbox.read_reply(kari.host.host_key, tx, message)


def test_an_answer_is_kept_told_in_the_log_and_granted_for_good(claimed, kari) -> None:
    assert answer(claimed, answer="received").status_code == 200
    assert answer(claimed, answer="granted", reference="TK-1042").json()["reference"] == "TK-1042"
    assert answer(claimed, answer="granted", reference="TK-1042").status_code == 200
    refused = answer(claimed, answer="declined", because="used-up")
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (409, "claim-granted")
    assert reply(kari) == {"answer": "granted", "reference": "TK-1042"}
    with kari.host.storage.read() as tx:
        told = [each.event for each in ledger.read_events(tx, kari.made.vault, kari.pod_id)]
        rows = tx.all("SELECT reply FROM outbox WHERE pod_id = ?", (kari.pod_id,))
    assert {each.detail["answer"] for each in told if each.action == "answer-claim"} == {"received", "granted"}
    assert "TK-1042" not in str([tuple(row) for row in rows]), "sealed where it lies"


def test_nobody_answers_anothers_claim_or_a_message_that_is_none(claimed, door, kari) -> None:
    other = Publisher(door, "Malvik kommune")
    for hall, claim in ((other, claimed.claim), (claimed, "m-none")):
        refused = answer(hall, claim, answer="granted")
        assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (404, "no-such-claim")
    assert reply(kari) == {}


NO_ANSWERS = (
    {},
    {"answer": "maybe"},
    {"answer": "declined"},
    {"answer": "declined", "because": "we do not like you"},
    {"answer": "granted", "because": "used-up"},
    {"answer": "received", "reference": "TK-1"},
    {"answer": "granted", "reference": "<b>"},
    {"answer": "granted", "reference": "01010750160"},
    {"answer": "granted", "note": "x"},
)


def test_what_is_no_answer_is_refused(claimed, kari) -> None:
    """Nothing, another word, no reason, free text, a reason too many, too early, markup, a person, an unknown member."""
    for said in NO_ANSWERS:
        refused = answer(claimed, **said)
        assert (refused.status_code, refused.headers["Content-Type"]) == (400, "application/problem+json"), said
    assert reply(kari) == {}


def test_the_citizen_sees_why_and_need_not_wait_for_the_twin(door, kari) -> None:
    hall = Publisher(door)
    hall.put()
    hall.put("power", measuresKind="electricity-reading")
    hall.put("more", lessPercent=30)
    hall.put("crowd", measuresKind="payment", householdFrom=6)
    why = {each.programme.slug: each.why for each in look_now(kari.host, kari.own())}
    assert why == {"power": "few-days"} | {"more": "few-days", "tram-pass": "few-days", "crowd": "small-household"}, (
        "what the twin has not taken in does not count yet"
    )
    kari.think()
    why = {each.programme.slug: each.why for each in look_now(kari.host, kari.own())}
    assert why == {"tram-pass": "fits", "more": "too-much", "power": "few-days", "crowd": "small-household"}
    hall.put("less", lessPercent=7)
    propose_now(kari.host, kari.own())
    assert {each["programme"] for each in stored(kari)} == {"tram-pass", "less"}
    assert messages(kari) == []

"""A second opinion: what leaves is what was shown, the answer is kept as linked data, and the twin's figures are its own."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from reckoner_house import AT, BANK, CARD, MONTH, SECRET, bought, reckoner_house

from partner_bridge import calculating
from partner_bridge.connectors import CALCULATORS, find_calculator
from partner_bridge.connectors.calculator import Line
from partner_bridge.connectors.declaration import require_sound
from partner_bridge.errors import (
    NotAsShown,
    NothingToCalculate,
    SourceBusy,
    SourceInvalid,
    SourceUnreachable,
    UnknownConnector,
    UnusablePayload,
)
from partner_bridge.sources import add_source
from pod_server import calculations, grants, integrity, pods, rectifications, resealing
from pod_server.authorization.errors import GrantRefused
from pod_server.errors import PermitExceeded
from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from vocab.calculations import triples
from vocab.factors import load_factors

CHEAP = Argon2Cost(64, 1, 1)
PROV, TV = "http://www.w3.org/ns/prov#", "https://w3id.org/tvilling#"


@pytest.fixture
def opened(city):
    with reckoner_house(city) as opened:
        yield opened


def events(opened, *actions):
    with opened.host.storage.read() as tx:
        found = ledger.read_events(tx, opened.kari.made.vault, opened.kari.pod_id)
    return [each.event for each in found if each.event.action in actions]


def test_whole_hundreds_for_each_group_leave_and_nothing_else(opened):
    shown = opened.preview()
    assert [(line.spend_class, line.amount) for line in shown.lines] == [
        ("clothing", 2100), ("eating-out", 400), ("furniture", 2000)
    ]  # fmt: skip
    assert shown.kept_back == 2, "the coffee, a sum of no step, and the food, which is nobody's class"
    assert json.loads(shown.body) == [
        {"id": "1", "amount": 2100, "currency": "NOK", "category": "clothes-and-shoes"},
        {"id": "2", "amount": 400, "currency": "NOK", "category": "restaurants"},
        {"id": "3", "amount": 2000, "currency": "NOK", "category": "furniture"},
    ]
    opened.agree()
    opened.send()
    (sent,) = opened.bodies()
    assert json.loads(sent)["json"] == shown.body.decode(), "the very bytes that were shown"


def test_the_answer_is_kept_as_linked_data_that_says_who_with_what_from_which_and_how_sure(opened):
    grant = opened.agree()
    opened.send()
    with opened.host.storage.read() as tx:
        (stored,) = calculations.listed(tx, opened.kari.own())
    root = "https://pod.example/kari/"
    here = f"{root}calculations/{stored.calculation_id}"
    found = {(str(t.subject.value), str(t.predicate.value), t.object.value) for t in triples(stored.content, root)}
    bank, card = (opened.kari.grants[name].grant for name in (BANK, CARD))
    assert {
        (here, f"{PROV}wasAttributedTo", f"{here}#service"),
        (here, f"{TV}underGrant", grant),
        (here, f"{TV}month", MONTH),
        (f"{here}#service", "http://schema.org/name", "Ducky"),
        (f"{here}#service", "http://schema.org/softwareVersion", "2026.2"),
        (f"{here}#run", f"{PROV}endedAtTime", "2026-11-23T12:00:00Z"),
        (f"{here}#run", f"{PROV}used", f"{here}#sum-1"),
        (f"{here}#sum-1", f"{PROV}wasDerivedFrom", f"{root}activities/{bank}/boots"),
        (f"{here}#sum-1", f"{PROV}wasDerivedFrom", f"{root}activities/{bank}/coat"),
        (f"{here}#sum-1", "http://qudt.org/schema/qudt/unit", "http://qudt.org/vocab/unit/CCY_NOK"),
        (f"{here}#sum-3", f"{PROV}wasDerivedFrom", f"{root}activities/{card}/lamp"),
        (f"{here}#estimate-2", f"{PROV}wasDerivedFrom", f"{here}#sum-2"),
        (f"{here}#estimate-2", f"{TV}estimate", "9.6E0"),
        (f"{here}#estimate-2", f"{TV}low", "5.76E0"),
        (f"{here}#estimate-2", f"{TV}high", "1.344E1"),
        (f"{here}#estimate-2", "http://qudt.org/schema/qudt/unit", "http://qudt.org/vocab/unit/KiloGM"),
    } <= found


def test_its_figures_move_nothing_of_the_twins(opened):
    opened.kari.think()
    before = opened.kari.figures()["months"], opened.kari.recomputed()
    opened.agree()
    opened.send()
    opened.kari.think()
    assert (opened.kari.figures()["months"], opened.kari.recomputed()) == before


def test_the_log_names_the_groups_before_they_leave_and_no_sum(opened):
    grant = opened.agree()
    opened.service.faults.turn("5xx", "on")
    with pytest.raises(SourceUnreachable):
        opened.send()
    (sending,) = events(opened, "send-for-calculation", "keep-calculation")
    assert (sending.action, sending.grant, sending.count) == ("send-for-calculation", grant, 3)
    assert sending.detail == {"groups": "clothing eating-out furniture", "month": MONTH}
    opened.service.faults.turn("5xx", "off")
    opened.send()
    keeping, *_ = events(opened, "send-for-calculation", "keep-calculation")
    assert (keeping.action, keeping.count) == ("keep-calculation", 3)
    assert b"2100" not in b"".join(each.encoded() for each in events(opened, "send-for-calculation"))


def test_without_a_consent_or_under_a_paused_one_nothing_is_asked_of_the_service(opened):
    with pytest.raises(GrantRefused):
        opened.send()
    grant = opened.agree()
    grants.pause(opened.host, opened.kari.pod_id, grant, actor=Actor("citizen"))
    with pytest.raises(GrantRefused):
        opened.send()
    assert opened.service.seen == []


def test_sums_that_changed_since_they_were_shown_are_not_sent(opened):
    opened.agree()
    shown = opened.preview().digest
    opened.kari.deliver(BANK, bought("more", 14, 500.0, "clothing"))
    with pytest.raises(NotAsShown):
        opened.send(shown=shown)
    with pytest.raises(NotAsShown):
        opened.send(shown="")
    assert opened.service.seen == []
    assert opened.send().lines[0].estimateOf.amount == 2600


def test_the_same_sums_are_not_sent_twice_and_other_ones_take_their_place(opened):
    opened.agree()
    opened.send()
    with pytest.raises(NothingToCalculate):
        opened.send()
    opened.kari.deliver(BANK, bought("more", 14, 500.0, "clothing"))
    opened.send()
    (only,) = opened.kept()
    assert only.lines[0].estimateOf.amount == 2600
    assert len(opened.bodies()) == 2


def test_what_the_citizen_says_is_not_theirs_is_in_no_sum(opened):
    bank = opened.kari.grants[BANK].grant
    rectifications.say(opened.host, opened.kari.own(), bank, "coat", "not-mine", tell=False)
    assert opened.preview().lines[0].amount == 1200


def test_only_months_that_are_over_and_not_long_past_are_reckoned_with(opened):
    assert calculating.months(opened.host)[0] == MONTH
    assert len(calculating.months(opened.host)) == 12
    for month in ("2026-11", "2025-10", "", "2026-1", "x", "9999-99"):
        with pytest.raises(SourceInvalid):
            opened.preview(month)
    assert opened.preview("2026-09").lines == ()
    opened.agree()
    with pytest.raises(NothingToCalculate):
        opened.send("2026-09")


def test_a_service_that_asks_for_patience_is_left_alone_whoever_presses(opened):
    opened.agree()
    opened.service.faults.turn("429", "1")
    with pytest.raises(SourceBusy):
        opened.send()
    asked = len(opened.service.seen)
    with pytest.raises(SourceBusy) as left:
        opened.send()
    assert 0 < left.value.wait.total_seconds() <= 30
    assert len(opened.service.seen) == asked
    opened.pass_time(seconds=31)
    assert opened.send().lines


def test_each_erasure_takes_the_answers_along_and_a_withdrawal_does_not(opened):
    grant = opened.agree()
    opened.send()
    opened.withdraw(grant)
    assert len(opened.kept()) == 1
    grants.erase(opened.host, opened.kari.pod_id, grant, actor=Actor("citizen"))
    assert opened.kept() == []
    opened.agree()
    opened.send()
    grants.erase(opened.host, opened.kari.pod_id, opened.kari.grants[CARD].grant, actor=Actor("citizen"))
    assert opened.kept() == [], "what it was drawn from is gone"
    assert [line.spend_class for line in opened.preview().lines] == ["clothing", "eating-out"]
    with opened.host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM calculation") == (0,)


def test_an_answer_that_comes_after_an_erasure_of_what_it_was_drawn_from_is_thrown_away(opened):
    opened.agree()
    original = opened.service.answer

    def erasing(method, path, *rest):
        if path.endswith("/finance"):
            grants.erase(opened.host, opened.kari.pod_id, opened.kari.grants[CARD].grant, actor=Actor("citizen"))
        return original(method, path, *rest)

    opened.service.answer = erasing
    with pytest.raises(NotAsShown):
        opened.send()
    assert opened.kept() == []


def test_new_keys_take_the_answers_along_and_damage_is_found(opened):
    opened.agree()
    opened.send()
    before = opened.kept()
    vault = pods.lock_pod(opened.host, opened.kari.made.vault, Passphrase("fire ord om katten"), cost=CHEAP).vault
    opened.kari.made = SimpleNamespace(vault=vault)
    assert resealing.reseal(opened.host, vault, rest=lambda _: None)
    assert opened.kept() == before
    with pytest.raises(NothingToCalculate):
        opened.send()  # the citizen's own key opens the locked pod, and these sums were answered
    with opened.host.storage.write() as tx:
        assert tx.one("SELECT epoch, figures_epoch FROM calculation") == (2, 2)
        (sealed,) = tx.one("SELECT sealed FROM calculation")
        damaged = bytes(sealed[:-1]) + bytes([sealed[-1] ^ 1])
        tx.execute("UPDATE calculation SET sealed = ? WHERE pod_id = ?", (damaged, opened.kari.pod_id))
    (found,) = integrity.examine(opened.host, vault, opened.kari.pod_id).damages
    assert (found.kind, found.what) == ("unreadable", "calculation")


def test_only_the_owner_and_the_owners_own_programs_reach_the_answers(opened):
    opened.agree()
    opened.send()
    with opened.host.storage.read() as tx:
        (stored,) = calculations.listed(tx, opened.kari.own())
        with pytest.raises(PermitExceeded):
            calculations.listed(tx, opened.kari.as_twin())
    with opened.host.storage.write() as tx, pytest.raises(PermitExceeded):
        calculations.drop(tx, opened.kari.as_twin(), stored.calculation_id)
    script = opened.house.script(opened.kari.made)
    place = f"/kari/calculations/{stored.calculation_id}"
    assert script.send("GET", place, Accept="text/turtle").status_code == 200
    assert "calculations/" in script.send("GET", "/kari/", Accept="text/turtle").text
    assert script.send("PUT", place, b"", Content_Type="text/turtle").status_code in {405, 409}
    assert script.send("GET", "/kari/calculations/c-000000000000000000000000").status_code == 404
    assert opened.house.browser().get(place).status_code == 401


def test_a_calculation_service_is_described_wholly_and_brings_nothing_in(opened):
    for wrong in ({"token_endpoint": ""}, {"secret": ""}, {"oauth_client": ""}, {"connector": "oss"}):
        with pytest.raises((SourceInvalid, UnknownConnector)):
            add_source(opened.host, type(opened.source)(**{**vars(opened.source), **wrong}))
    with pytest.raises(UnknownConnector):
        find_calculator("oss")
    require_sound(CALCULATORS["ducky"])
    assert f"{AT}" not in opened.page()
    assert SECRET not in opened.page()


def test_each_group_that_is_sent_is_one_the_twin_has_a_factor_for():
    known = {each.discriminator for each in load_factors().factors if each.kind_slug == "payment"}
    for calculator in CALCULATORS.values():
        assert set(calculator.categories) == known


LINES = (Line("1", "clothing", "clothes-and-shoes", 2100), Line("2", "books", "books", 300))


def answered(**changes):
    results = [{"id": line.number, "emission": {"value": 9.0, "unit": "kgCO2e"}} for line in LINES]
    results[0]["emission"] |= changes.pop("emission", {})
    return json.dumps({"version": "1", "results": results} | changes).encode()


HOSTILE = {
    "grams": answered(emission={"unit": "gCO2e"}),
    "too much": answered(emission={"value": 2100.5}),
    "less than nothing": answered(emission={"value": -0.1}),
    "no number": b'{"results": [{"id": "1", "emission": {"value": NaN, "unit": "kgCO2e"}}]}',
    "beyond numbers": answered(emission={"value": 10**400}),
    "ends that do not hold it": answered(emission={"low": 10.0, "high": 12.0}),
    "one end": answered(emission={"low": 1.0}),
    "one too few": answered(results=[]),
    "one twice": answered(results=[{"id": "1", "emission": {"value": 1.0, "unit": "kgCO2e"}}] * 2),
    "another sum": answered(results=[{"id": i, "emission": {"value": 1.0, "unit": "kgCO2e"}} for i in ("1", "x")]),
    "a version that is Turtle": answered(version='1" . <urn:a> <urn:b> <urn:c'),
    "a version without end": answered(version="1" * 41),
    "a list": b"[]",
    "nothing": b"",
    "depths": b"[" * 60_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_an_answer_that_cannot_be_one_is_refused_whole(body):
    with pytest.raises(UnusablePayload) as refused:
        CALCULATORS["ducky"].read_answer(body, LINES)
    assert "urn:" not in str(refused.value), "nothing of it is repeated"


def test_an_answer_without_ends_or_version_is_one(opened):
    told = json.dumps({"results": json.loads(answered())["results"], "note": "and more"}).encode()
    answer = CALCULATORS["ducky"].read_answer(told, LINES)
    assert [(each.best, each.low, each.high) for each in answer.estimates] == [(9.0, None, None)] * 2
    assert answer.version == ""

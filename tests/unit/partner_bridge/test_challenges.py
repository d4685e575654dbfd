"""Challenges: joined under a name and a consent of their own, told of in quarters at a press, left in one step."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from reckoner_house import HTML, reckoner_house
from twin_activities import steps

from partner_bridge import challenges
from partner_bridge.connectors.team_challenges import read_challenges
from partner_bridge.errors import NotAsShown, NothingToCalculate, SourceInvalid, SourceUnreachable, UnusablePayload
from pod_server import grants, integrity, pods, resealing
from pod_server.authorization.errors import GrantRefused
from pod_server.identifiers import Actor
from pod_server.log import ledger

WALK = "walk-2026-11"
WATCH = "Klokka AS"


@pytest.fixture
def opened(city):
    with reckoner_house(city) as opened:
        yield opened


def walked(opened, day, count):
    at = opened.host.clock.now().replace(day=day, hour=8)
    opened.kari.deliver(WATCH, steps(f"w{day}", at, 60, count))
    opened.kari.think()


def join(opened):
    return challenges.join(opened.host, opened.kari.own(), opened.source, WALK, notice=("1", "0" * 64))


def parts(opened):
    return challenges.taking_part(opened.host, opened.kari.own())


def test_joining_tells_a_name_telling_a_quarter_and_leaving_takes_it_back(opened):
    walked(opened, 3, 60_000)
    grant = join(opened)
    (part,) = parts(opened)
    name = part.joined.participant
    assert opened.service.teams == {WALK: {name: 0}}
    assert (part.percent, part.is_active) == (25, True), "60,000 of 150,000, in whole quarters"
    walked(opened, 4, 30_000)
    with pytest.raises(NotAsShown):
        challenges.tell(opened.host, opened.kari.own(), grant, 25)
    challenges.tell(opened.host, opened.kari.own(), grant, 50)
    assert opened.service.teams == {WALK: {name: 50}}
    challenges.leave(opened.host, opened.kari.own(), grant)
    assert opened.service.teams == {WALK: {}}
    assert parts(opened) == []
    with opened.host.storage.read() as tx:
        log = [each.event.action for each in ledger.read_events(tx, opened.kari.made.vault, opened.kari.pod_id)]
    told = [each for each in log if each.endswith("challenge") or each == "consent-withdrawn"]
    assert sorted(told) == sorted(["join-challenge", "tell-challenge", "consent-withdrawn", "leave-challenge"])
    bodies = [json.loads(json.loads(body)["json"]) for _, path, _, body in opened.service.seen if "walk" in path]
    assert bodies == [{"participant": name}, {"participant": name, "percent": 50}, {"participant": name}]


def test_each_joining_has_another_name_so_that_nobody_is_met_twice(opened):
    names = set()
    for _ in range(2):
        grant = join(opened)
        names.add(parts(opened)[0].joined.participant)
        challenges.leave(opened.host, opened.kari.own(), grant)
    assert len(names) == 2
    seen = json.dumps([(path, body) for _, path, _, body in opened.service.seen])
    assert "kari" not in seen
    assert grant not in seen


def test_the_consent_is_for_the_challenges_days_and_one_figure_alone(opened):
    grant = grants.find_grant(opened.host, opened.kari.pod_id, join(opened))
    terms = grant.terms
    assert (terms.purpose, terms.kinds, terms.figures, terms.operations) == (
        "team-challenge", frozenset(), {"steps-day"}, {"read"}
    )  # fmt: skip
    assert terms.valid_to - terms.history_from == timedelta(days=30)
    opened.kari.deliver(WATCH, steps("october", opened.host.clock.now().replace(month=10, day=30), 60, 90_000))
    walked(opened, 2, 80_000)
    assert parts(opened)[0].percent == 50, "October is no part of it"
    walked(opened, 4, 90_000)
    assert parts(opened)[0].percent == 100, "never more than all"


def test_after_a_withdrawal_nothing_is_told_but_that_the_name_is_to_be_forgotten(opened):
    grant = join(opened)
    name = parts(opened)[0].joined.participant
    opened.withdraw(grant)
    asked = len(opened.service.seen)
    with pytest.raises(GrantRefused):
        challenges.tell(opened.host, opened.kari.own(), grant, 0)
    assert len(opened.service.seen) == asked
    opened.service.faults.turn("5xx", "on")
    with pytest.raises(SourceUnreachable):
        challenges.leave(opened.host, opened.kari.own(), grant)
    opened.service.faults.turn("5xx", "off")
    (left,) = parts(opened)
    assert (left.is_active, left.joined.participant) == (False, name)
    challenges.leave(opened.host, opened.kari.own(), grant)
    assert (opened.service.teams, parts(opened)) == ({WALK: {}}, [])
    with pytest.raises(NothingToCalculate):
        challenges.leave(opened.host, opened.kari.own(), grant)


def test_a_withdrawal_while_the_token_is_fetched_tells_nothing(opened):
    grant = join(opened)
    original = opened.service.answer

    def slow_token(method, path, *rest):
        said = original(method, path, *rest)
        if path == "/oauth/token":
            opened.withdraw(grant)
        return said

    opened.service.answer = slow_token
    with pytest.raises(GrantRefused):
        challenges.tell(opened.host, opened.kari.own(), grant, 0)
    assert not [path for _, path, *_ in opened.service.seen if path.endswith("/progress")]


def test_a_service_that_does_not_take_the_name_leaves_no_consent_standing(opened):
    challenges.offered(opened.host, opened.source)
    opened.service.faults.turn("5xx", "on")
    with pytest.raises(SourceUnreachable):
        join(opened)
    opened.service.faults.turn("5xx", "off")
    (part,) = parts(opened)
    assert not part.is_active, "it may have taken it: the name stays until it was told to forget it"
    with pytest.raises(SourceInvalid):
        join(opened)
    challenges.leave(opened.host, opened.kari.own(), part.grant)
    join(opened)


def test_an_erasure_takes_the_name_along_and_new_keys_keep_it(opened):
    grant = join(opened)
    before = parts(opened)
    vault = pods.renew_keys(opened.host, opened.kari.made.vault, None).vault
    opened.kari.made = type("Made", (), {"vault": vault})
    assert resealing.reseal(opened.host, vault, rest=lambda _: None)
    assert parts(opened) == before
    assert integrity.examine(opened.host, vault, opened.kari.pod_id).damages == ()
    grants.erase(opened.host, opened.kari.pod_id, grant, actor=Actor("citizen"))
    assert parts(opened) == []


def offers(**changes):
    one = {"id": "a", "title": "Gå", "measure": "steps", "goal": 1000, "starts": "2026-11-01", "ends": "2026-11-30"}
    return json.dumps({"challenges": [one | changes]}).encode()


STRANGE = {
    "a path": offers(id="../x"), "nothing to measure": offers(measure="heartbeats"), "no title": offers(title="\u202e\u200b"),
    "backwards": offers(ends="2026-10-01"), "a year": offers(ends="2027-10-31"), "no goal": offers(goal=0),
    "beyond numbers": offers(goal=1e300),
}  # fmt: skip


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE)
def test_an_offer_that_nobody_can_take_is_left_out(body):
    assert read_challenges(body) == []


def test_words_and_numbers_of_an_offer_are_kept_short_and_plain():
    (one,) = read_challenges(offers(title="Gå \u202e<b>" + "x" * 200, participation=4000))
    assert one.title.startswith("Gå <b>x")
    assert (len(one.title), one.participation) == (80, None)
    with pytest.raises(UnusablePayload):
        read_challenges(b'{"challenges": [' + b",".join([offers()[16:-2]] * 51) + b"]}")
    for wrong in (b"[]", b"", offers(starts="yesterday")):
        with pytest.raises(UnusablePayload):
            read_challenges(wrong)


def test_the_page_by_its_forms(opened):
    walked(opened, 3, 60_000)
    language = {**HTML, "Accept-Language": "en"}
    form = {"csrf": opened.house.form_token(opened.browser)}

    def page():
        return opened.browser.get("/-/challenges", headers=language).text

    for seen in (
        "Gå måneden rundt",
        "150\u202f000 steps",
        "A team wins only when more than 60 % do",
        "made for this challenge",
    ):
        assert seen in page()
    joined = opened.browser.post(f"/-/challenges/ducky/{WALK}/join", data=form, headers=language)
    assert joined.headers["Location"] == "/-/challenges?done=joined"
    (part,) = parts(opened)
    assert part.joined.participant in page()
    assert "Tell 25 %" in page()
    address = f"/-/challenges/mine/{part.grant}"
    assert opened.browser.post(f"{address}/tell", data=form | {"percent": "75"}, headers=language).status_code == 409
    assert opened.browser.post(f"{address}/tell", data=form | {"percent": "25"}, headers=language).status_code == 303
    opened.service.faults.turn("5xx", "on")
    left = opened.browser.post(f"{address}/leave", data=form, headers=language)
    assert (left.status_code, "does not know yet" in left.text) == (502, True)
    assert opened.browser.post(f"{address}/tell", data=form | {"percent": "25"}, headers=language).status_code == 403
    opened.service.faults.turn("5xx", "off")
    assert opened.browser.post(f"{address}/leave", data=form, headers=language).status_code == 303
    assert opened.browser.post(f"{address}/leave", data=form, headers=language).status_code == 404
    log = opened.browser.get("/-/log", headers=language).text
    for seen in ("You joined a challenge at Ducky", "Ducky was told how far", "Ducky was asked to forget you"):
        assert seen in log

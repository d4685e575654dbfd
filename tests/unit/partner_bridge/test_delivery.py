"""Steps 3 to 6 of a delivery: each item gets its own answer, by its own grant."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from partner_bridge.delivery import Item, deliver
from pod_server import grants
from pod_server.identifiers import Actor

CITIZEN = Actor("citizen")


def statuses(answers):
    return [answer.status for answer in answers]


def slugs(street, answers):
    return [
        answer.to_json(street.host.base_url).get("problem", {}).get("type", "/").rpartition("/")[2]
        for answer in answers
    ]


def test_an_activity_under_its_grant_is_accepted_and_answered_by_its_own_id(street, reading):
    (answer,) = street.deliver(reading(1))
    assert answer.to_json("http://localhost:8080") == {"status": "accepted", "id": "reading:1"}


def test_the_same_activity_again_is_a_duplicate_however_it_is_written(street, reading):
    street.deliver(reading(1))
    same = reading(1, start="2026-11-22T02:00:00+01:00", quantity=1.50)
    assert statuses(street.deliver(same, reading(1))) == ["duplicate", "duplicate"]


def test_the_same_id_twice_in_one_delivery_counts_once(street, reading):
    assert statuses(street.deliver(reading(1), reading(1))) == ["accepted", "duplicate"]


def test_the_same_id_with_other_content_is_refused_as_a_conflict(street, reading):
    street.deliver(reading(1))
    answers = street.deliver(reading(1, quantity=2.0))
    assert statuses(answers) == ["refused"]
    assert slugs(street, answers) == ["record-conflict"]


def test_a_declared_correction_replaces_the_earlier_record(street, reading):
    street.deliver(reading(1))
    assert statuses(street.deliver(reading(1, quantity=2.0, correction=True))) == ["accepted"]


def test_an_item_that_may_replace_becomes_a_correction_on_conflict_and_a_duplicate_afterwards(street, reading):
    estimated = Item(street.grant, msgspec.json.encode(reading(1, quality="estimated")))
    measured = Item(street.grant, msgspec.json.encode(reading(1, quantity=1.7, quality="measured")), may_replace=True)
    told = [
        deliver(street.host, street.partner, [each])[0].status for each in (estimated, measured, measured, estimated)
    ]
    assert told == ["accepted", "accepted", "duplicate", "duplicate"]


WRONG = [
    ({"unit": "KiloGM"}, "not-an-activity"),
    ({"unit": "kWh"}, "not-an-activity"),
    ({"quantity": -1}, "not-an-activity"),
    ({"quantity": 1e300}, "not-an-activity"),
    ({"quantity": "1.5"}, "not-an-activity"),
    ({"@type": "Elsewhere"}, "not-an-activity"),
    ({"@id": "a b"}, "not-an-activity"),
    ({"unheard": 1}, "not-an-activity"),
    ({"@context": "https://elsewhere.example/context"}, "not-an-activity"),
    ({"start": "2026-11-22T01:00:00"}, "not-an-activity"),
    ({"start": "1826-11-22T01:00:00Z", "end": "1826-11-22T02:00:00Z"}, "not-an-activity"),
    ({"start": "2010-01-01T01:00:00Z", "end": "2010-01-01T02:00:00Z"}, "outside-window"),
    ({"start": "2026-11-24T01:00:00Z", "end": "2026-11-24T02:00:00Z"}, "in-the-future"),
    ({"start": "2099-11-24T01:00:00Z", "end": "2099-11-24T02:00:00Z"}, "in-the-future"),
]


def test_what_is_wrong_with_an_activity_is_that_items_problem_alone(street, reading):
    """One house for all: each of them stands between two that are taken, the first time, and known afterwards."""
    for number, (change, slug) in enumerate(WRONG):
        answers = street.deliver(reading(1), reading(2, **change), reading(3))
        known = "duplicate" if number else "accepted"
        assert statuses(answers) == [known, "refused", known], change
        assert slugs(street, answers)[1] == slug, change


BROKEN = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"[" * 100_000,
    b'{"@id": "a"}',
    b'{"quantity": NaN}',
    b'{"quantity": Infinity}',
    b"\xff\xfe",
]


def test_broken_json_in_place_of_an_activity_is_refused_without_harm(street, reading):
    for number, text in enumerate(BROKEN):
        answers = street.deliver(text, reading(1))
        assert statuses(answers) == ["refused", "duplicate" if number else "accepted"], text[:20]
        assert slugs(street, answers)[0] == "not-an-activity", text[:20]


def test_a_number_that_is_none_is_refused(street, reading):
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        text = msgspec.json.encode(reading(1, quantity=987654.0)).replace(b"987654.0", number.encode())
        assert statuses(street.deliver(text)) == ["refused"], number


def test_each_record_is_held_against_its_own_grant(street, reading, new_partner, terms_for):
    narrow = terms_for(street.partner, kinds=frozenset({"waste-collection"}))
    hourly = terms_for(street.partner, granularity="P1D")
    waste, daily = (grants.give(street.host, street.pod_id, terms, actor=CITIZEN).id for terms in (narrow, hourly))
    grants_named = (street.grant, waste, daily, "g-nobody", street.grant)
    items = [Item(grant, msgspec.json.encode(reading(number))) for number, grant in enumerate(grants_named)]
    answers = deliver(street.host, street.partner, items)
    assert statuses(answers) == ["accepted", "refused", "refused", "refused", "accepted"]
    assert slugs(street, answers)[1:4] == ["kind-not-granted", "too-fine-granularity", "no-such-grant"]


def test_another_partners_grant_is_answered_exactly_as_one_that_does_not_exist(street, reading, new_partner):
    stranger = new_partner("Oss.no")
    foreign, absent = street.deliver(reading(1), partner=stranger) + street.deliver(reading(1), grant="g-" + "a" * 26)
    assert foreign.to_json("x") == absent.to_json("x")
    assert foreign.status == "refused"


def test_a_token_for_one_grant_does_not_open_another_of_the_same_partner(street, reading, terms_for):
    other = grants.give(street.host, street.pod_id, terms_for(street.partner), actor=CITIZEN)
    items = [Item(other.id, msgspec.json.encode(reading(1))), Item(street.grant, msgspec.json.encode(reading(1)))]
    answers = deliver(street.host, street.partner, items, only_grant=street.grant)
    assert statuses(answers) == ["refused", "accepted"]


@pytest.mark.parametrize(("end", "slug"), [(grants.withdraw, "consent-withdrawn"), (grants.pause, "consent-paused")])
def test_a_grant_that_no_longer_stands_refuses_and_says_why(street, reading, end, slug):
    end(street.host, street.pod_id, street.grant, actor=CITIZEN)
    answers = street.deliver(reading(1))
    assert statuses(answers) == ["refused"]
    assert slugs(street, answers) == [slug]


def test_an_expired_grant_refuses(street, reading, clock):
    clock.advance(timedelta(days=91))
    assert slugs(street, street.deliver(reading(1))) == ["consent-expired"]


def test_the_quota_of_a_day_takes_the_first_and_refuses_the_rest(street, reading, terms_for):
    limited = grants.give(street.host, street.pod_id, terms_for(street.partner, quota_per_day=2), actor=CITIZEN)
    answers = street.deliver(*(reading(number) for number in range(4)), grant=limited.id)
    assert statuses(answers) == ["accepted", "accepted", "refused", "refused"]
    assert slugs(street, answers)[2:] == ["quota-exceeded", "quota-exceeded"]


def test_many_pods_in_one_delivery_each_get_their_own(street, reading, city, terms_for):
    ola = city.citizen("ola")
    olas = grants.give(street.host, ola.pod_id, terms_for(street.partner), actor=CITIZEN)
    items = [
        Item(grant, msgspec.json.encode(reading(number))) for number in range(5) for grant in (street.grant, olas.id)
    ]
    assert statuses(deliver(street.host, street.partner, items)) == ["accepted"] * 10
    with street.host.storage.read() as tx:
        from pod_server.activities import count_records

        assert count_records(tx, street.pod_id) == count_records(tx, ola.pod_id) == 5


def test_what_the_terms_refuse_stands_in_the_citizens_log(street, reading, terms_for, log_of):
    narrow = grants.give(
        street.host, street.pod_id, terms_for(street.partner, kinds=frozenset({"waste-collection"})), actor=CITIZEN
    )
    street.deliver(reading(1), reading(2), grant=narrow.id)
    refusals = [entry.event for entry in log_of(street.pod_id) if entry.event.outcome == "kind-not-granted"]
    assert [(event.grant, event.count, event.actor.id) for event in refusals] == [
        (narrow.id, 2, street.partner.client_id)
    ]


def test_no_problem_repeats_what_was_delivered(street, reading):
    secret = "sensitive-value-4711"
    answers = street.deliver(reading(1, meter=secret + "x" * 60), reading(2, quality=secret), reading(3, **{secret: 1}))
    assert statuses(answers) == ["refused"] * 3
    assert secret not in str([answer.to_json("x")["problem"] for answer in answers])


def test_a_national_number_in_a_free_text_is_refused_and_named_and_the_others_stay(street, reading):
    answers = street.deliver(reading(1, source="for 01028510183"), reading(2))
    assert statuses(answers) == ["refused", "accepted"]
    problem = answers[0].to_json(street.host.base_url)["problem"]
    assert problem["type"].endswith("/problems/person-in-text")
    assert problem["path"] == "$.source"
    assert "national identity number" in problem["reason"]
    assert "01028510183" not in str(problem)


def test_more_than_a_home_can_use_is_refused_with_how_much_there_can_be(street, reading):
    (answer,) = street.deliver(reading(1, quantity=1500.0))  # watt hours that say kilowatt hours
    assert slugs(street, [answer]) == ["implausible"]
    assert "87 KiloW-HR per hour" in answer.to_json(street.host.base_url)["problem"]["reason"]

"""T58: offers that look for somebody: nothing of a pod is told by an offer, and a yes covers the version that was read."""

from __future__ import annotations

import json

import pytest
from twin_activities import MIDNIGHT, electricity
from twin_citizen import Citizen
from twin_proposals import SAMPLE, add_municipality, messages, stored, two_years_of_waste

from pod_server import outbox
from pod_server.offers import NotAPublisher, OffersFull, publish
from twin_agent.act import approve
from twin_agent.errors import PlanChanged


def offer_of(**members) -> bytes:
    return json.dumps({**json.loads(SAMPLE), **members}).encode()


@pytest.fixture
def kari(city):
    citizen = Citizen(city, city.citizen("kari", household_size=2))
    citizen.deliver("TRV", *two_years_of_waste(9.0, 10.0))
    return citizen


def test_offers_that_fit_are_told_to_nobody_but_the_citizen(kari) -> None:
    made = add_municipality(kari.host)
    kari.think()
    assert len(stored(kari)) == 1
    with kari.host.storage.read() as tx:
        assert outbox.messages(tx, client_id=made.client_id) == []
        rows = tx.all("SELECT * FROM published_offer")
    assert len(rows) == 1
    assert not any("kari" in str(cell) or str(kari.pod_id) in str(cell) for row in rows for cell in row)


def test_a_ladder_of_bounds_is_refused(kari) -> None:
    made = add_municipality(kari.host, offering=None)
    for percent in (1, 2, 3):
        publish(kari.host, made.client_id, f"waste-{percent}", offer_of(lessPercent=percent))
    with pytest.raises(OffersFull):
        publish(kari.host, made.client_id, "waste-4", offer_of(lessPercent=4))
    kari.think()
    assert len(stored(kari)) == 3
    assert messages(kari) == []


def test_a_ladder_in_time_gets_one_answer_a_period(kari) -> None:
    """Answered once, an offer of that name is not proposed again for the period, whatever its next version asks."""
    made = add_municipality(kari.host)
    kari.think()
    (shown,) = stored(kari)
    publish(kari.host, made.client_id, "tram-pass", offer_of(lessPercent=6))
    with pytest.raises(PlanChanged):
        approve(kari.host, kari.own(), shown["id"], shown["plan_hash"])
    kari.deliver("Oss.no", electricity("1", MIDNIGHT, 60, 1.0))
    kari.think()
    (shown,) = stored(kari)
    assert shown["letter"]["rule_version"] == 2
    approve(kari.host, kari.own(), shown["id"], shown["plan_hash"])
    publish(kari.host, made.client_id, "tram-pass", offer_of(lessPercent=7))
    kari.deliver("Oss.no", electricity("2", MIDNIGHT, 60, 1.0))
    kari.think()
    assert len(stored(kari)) == len(messages(kari)) == 1


def test_a_partner_that_is_no_municipality_offers_nothing(kari) -> None:
    made = add_municipality(kari.host, offering=None, name="Shop", about={"contact": "municipality"})
    with pytest.raises(NotAPublisher):
        publish(kari.host, made.client_id, "tram-pass", SAMPLE)

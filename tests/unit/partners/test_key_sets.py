"""Keys at a partner's own address: fetched anew in time and on a new name, kept for a while, gone when they are gone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from joserfc.jwk import ECKey
from key_address import ADDRESS, Publisher
from oauth_client import PartnerClient, new_key

from pod_server import partner_key_sets, partner_keys, partners
from pod_server.outbound import Outbound
from pod_server.partner_standing import By, acts
from pod_server.partners import PartnerInvalid

MINUTE = timedelta(minutes=1)
BY = By("partner", "Kari")


@pytest.fixture
def partner(host):
    return Publisher(host)


def fetching(partner):
    return partner_key_sets.read_fetching(partner.host, partner.partner)


def test_a_new_kid_is_fetched_at_once_and_a_key_that_is_gone_signs_nobody_in(partner, clock):
    assert partner.signs_in()
    following = new_key("k2")
    partner.keys.publish(following)
    clock.advance(MINUTE)
    assert partner.signs_in(), "known and fresh: nobody is asked"
    assert len(partner.keys.asked) == 1
    assert partner.signs_in(following)
    assert not partner.signs_in(), "it is gone from the address"
    latest = next(act for act in acts(partner.host, partner.partner.client_id) if act.act == "fetch-keys")
    assert latest.detail == {"added": [following.thumbprint()], "gone": [partner.key.thumbprint()]}


@pytest.mark.parametrize(
    ("said", "minutes"),
    [
        ("", 60), ("max-age=0", 5), ("no-store", 5), ("no-cache, max-age=9000", 5), ("public, max-age=600", 10),
        ("max-age=-1", 5), ("max-age=99999999999999999999999", 24 * 60), ("max-age=soon", 60),
    ],
)  # fmt: skip
def test_the_address_says_how_long_its_keys_are_fresh_within_bounds(said, minutes):
    assert partner_key_sets.fresh_for(said) == timedelta(minutes=minutes)


def test_a_key_that_is_gone_stops_when_the_time_is_up(partner, clock):
    partner.keys.publish(partner.key, cache_control="max-age=600")
    assert partner.signs_in()
    partner.keys.publish(new_key("k2"))
    clock.advance(timedelta(seconds=599))
    assert partner.signs_in()
    clock.advance(timedelta(seconds=1))
    assert not partner.signs_in()


def test_an_address_that_fails_leaves_the_last_keys_for_a_day_and_no_longer(partner, clock):
    assert partner.signs_in()
    partner.keys.answer(503)
    clock.advance(timedelta(hours=1))
    assert partner.signs_in()
    assert fetching(partner).failure == "jwks_uri: it answered 503"
    clock.advance(timedelta(hours=24) - timedelta(seconds=1))
    assert partner.signs_in()
    clock.advance(MINUTE)
    assert not partner.signs_in()
    partner.keys.publish(partner.key)
    clock.advance(MINUTE)
    assert partner.signs_in()
    assert fetching(partner).failure == ""


def test_an_address_that_never_answered_again_leaves_the_applications_keys_for_a_day(partner, clock):
    partner.keys.documents.clear()
    assert partner.signs_in()
    assert fetching(partner).fetched is None
    clock.advance(timedelta(hours=24))
    assert not partner.signs_in()


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"keys": []}', json.dumps(ECKey.generate_key("P-256").as_dict(private=True)).encode()],
    ids=["cut", "empty", "a private key"],
)
def test_what_is_no_key_set_changes_nothing(partner, body):
    partner.keys.answer(200, body)
    assert partner.signs_in()
    assert fetching(partner).failure.startswith("jwks: ")


def test_an_address_cannot_bring_another_partners_keys(partner):
    other = PartnerClient(partner.host, name="En annen AS", key=new_key("k9"))
    partner.keys.publish(partner.key, other.key)
    assert partner.signs_in()
    assert fetching(partner).failure == "jwks: another partner has this key"
    assert not partner.signs_in(other.key)


def test_the_rules_for_addresses_hold_at_every_fetch(host):
    partner = Publisher(host, address="https://10.0.0.1/keys")
    known = partner_key_sets.with_keys_for(replace(partner.host, outbound=Outbound()), partner.partner, "k1")
    assert known.jwks == partner.partner.jwks
    assert "not spoken to" in fetching(partner).failure


def test_a_busy_host_is_no_failure_of_the_partners(partner):
    with partner.host.lookups.turn(), partner.host.lookups.turn():
        assert partner.signs_in()
    assert fetching(partner).failure == ""
    assert partner.keys.asked == []


def test_such_keys_are_changed_at_the_address_alone_until_the_municipality_sets_others(partner, clock):
    host, client_id = partner.host, partner.partner.client_id
    fresh = new_key("k2")
    with pytest.raises(PartnerInvalid, match="your address"):
        partner_keys.add_key(host, client_id, json.dumps(fresh.as_dict(private=False)), by=BY)
    with pytest.raises(PartnerInvalid, match="your address"):
        partner_keys.retire_key(host, client_id, partner.key.thumbprint(), by=BY)
    assert partner.signs_in()
    partners.rotate_keys(host, client_id, {"keys": [fresh.as_dict(private=False)]})
    clock.advance(timedelta(days=3))
    assert partner.signs_in(fresh)
    assert not partner.signs_in()
    assert partner.keys.asked == [ADDRESS]


def test_what_comes_after_the_municipality_set_others_is_dropped(partner):
    fresh = new_key("k2")

    def meanwhile(*_):
        partners.rotate_keys(partner.host, partner.partner.client_id, {"keys": [fresh.as_dict(private=False)]})
        return partner.keys.documents[ADDRESS]

    partner.keys.get = meanwhile
    assert not partner.signs_in()
    assert partner.stored()["keys"] == [fresh.as_dict(private=False)]

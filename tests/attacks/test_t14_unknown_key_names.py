"""T14: a stranger signs with key names that nobody has, so that this host floods a partner's address with requests."""

from __future__ import annotations

from datetime import timedelta

from key_address import Publisher
from oauth_client import new_key


def test_a_flood_of_unknown_kids_causes_one_fetch(host, clock):
    partner, stranger = Publisher(host), new_key("x")
    for number in range(20):
        assert not partner.signs_in(stranger, f"unknown-{number}")
        clock.advance(timedelta(seconds=2))
    assert len(partner.keys.asked) == 1
    assert partner.signs_in(), "the partner itself goes on meanwhile"
    clock.advance(timedelta(minutes=1))
    assert not partner.signs_in(stranger, "unknown")
    assert len(partner.keys.asked) == 2


def test_a_flood_at_an_address_that_fails_asks_no_more_often(host, clock):
    partner, stranger = Publisher(host), new_key("x")
    partner.keys.answer(500)
    for number in range(20):
        assert not partner.signs_in(stranger, f"unknown-{number}")
        clock.advance(timedelta(seconds=2))
    assert len(partner.keys.asked) == 1

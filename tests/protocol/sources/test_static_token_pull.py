"""The channel of sources that give a token to copy: Oss.no, by the minute."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bank_house import HTML, listening
from whole_house import House, whole_app

from partner_bridge import pulling
from partner_bridge.sources import Source, add_source
from pod_server import activities
from pod_server.authorization.enforcement import require_owner
from pod_server.identifiers import ClientId
from pod_server.opening import open_pod
from pod_server.outbound import Outbound
from tvilling.city.households import citizens
from tvilling.city.simulators.meter_reader import MeterReader
from tvilling.city.simulators.sources import City

TOKEN = "oss-public-api-token-1234"


class Reading:
    """Kari, and the reader on her meter."""

    def __init__(self, city, origin, stranger):
        self.city, self.stranger = city, stranger
        self.host = replace(city.host, outbound=Outbound(frozenset({origin})))
        add_source(
            self.host,
            Source("oss", "Oss.no", "token", "oss", "live-electricity", ClientId(""), f"{origin}/api"),
        )
        self.house = House(city, self.host, whole_app(self.host))
        self.kari = city.citizen("kari")
        self.browser = self.house.browser(self.kari)

    def paste(self, token):
        form = {"csrf": self.house.form_token(self.browser), "token": token}
        return self.browser.post("/-/sources/oss/connect", data=form, headers={**HTML, "Accept-Language": "en"})

    def readings(self):
        own = open_pod(self.host, require_owner(self.kari.vault), vault=self.kari.vault)
        return activities.read_activities(self.host, own)


@pytest.fixture
def reading(city):
    household = next(each for each in citizens() if each.handle == "kari")
    streets = City(1, city.host.clock.now(), {})
    reader = MeterReader(now=city.host.clock.now, city=streets, tokens={TOKEN: household})
    with listening(reader) as origin:
        yield Reading(city, origin, reader)


def test_a_pasted_token_brings_the_minutes(reading):
    assert reading.paste(f"  {TOKEN}\n").status_code == 303
    (done,) = pulling.pull_due(reading.host)
    assert (done.problem, done.accepted) == ("", 24 * 60)
    assert len(list(reading.readings())) == 24 * 60
    page = reading.browser.get("/-/sources", headers=HTML).text
    assert TOKEN not in page


def test_it_goes_on_where_it_stopped(reading):
    reading.paste(TOKEN)
    pulling.pull_due(reading.host)
    reading.city.clock.advance(pulling.timedelta(hours=6))
    asked = len(reading.stranger.asked)
    (done,) = pulling.pull_due(reading.host)
    assert done.accepted == 6 * 60
    assert len(reading.stranger.asked) - asked <= 3


def test_a_token_that_ends_asks_for_another(reading):
    reading.paste(TOKEN)
    household = reading.stranger.tokens.pop(TOKEN)
    (done,) = pulling.pull_due(reading.host)
    assert done.problem == "sign-in-again"
    page = reading.browser.get("/-/sources", headers=HTML).text
    assert 'name="token"' in page
    reading.stranger.tokens["another"] = household
    reading.paste("another")
    (done,) = pulling.pull_due(reading.host)
    assert not done.problem


@pytest.mark.parametrize("pasted", ["", "   ", "two words", "a\u00e5", "x" * 4001, "a\x00b"])
def test_what_is_no_token_is_not_kept(reading, pasted):
    answer = reading.paste(pasted)
    assert answer.status_code == 400
    assert "no token" in answer.text
    assert pulling.connections(reading.host, reading.kari.pod_id) == {}

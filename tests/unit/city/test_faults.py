"""Switches: so many times, a share of the occasions, or until turned off; the same for the same seed; turned by who may."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import pytest

from tvilling.city.simulator import Simulation
from tvilling.city.simulators.door import Server
from tvilling.city.simulators.faults import Faults, FaultUnknown, Switch, turn

KEY = "the-demonstrations-own-key"


def occasions(faults, count=200):
    return [faults.happens(Switch.ILL) for _ in range(count)]


def test_so_many_times_and_no_more():
    faults = Faults("bank", 1)
    faults.turn("5xx", "3")
    assert sum(occasions(faults)) == 3
    assert faults.as_told() == {"5xx": {"now": "off", "met": 3}}


def test_a_share_is_drawn_from_the_seed_and_differs_between_strangers():
    def drawn(name, seed):
        faults = Faults(name, seed)
        faults.turn("5xx", "20%")
        return occasions(faults)

    assert drawn("bank", 1) == drawn("bank", 1)
    assert drawn("bank", 1) != drawn("bank", 2) != drawn("watch", 2)
    assert 20 < sum(drawn("bank", 1)) < 60


def test_until_it_is_turned_off():
    faults = Faults("bank", 1)
    faults.turn("5xx")
    assert all(occasions(faults))
    assert faults.stands(Switch.ILL)
    faults.turn("5xx", "off")
    assert not any(occasions(faults))


@pytest.mark.parametrize(
    "order",
    ["", "bank", "bank:", "bank:fire", "nobody:5xx", "bank:5xx=often", "bank:5xx=-1", "bank:5xx=101%", "bank:5xx=%"],
)
def test_an_order_that_means_nothing_says_what_there_is(order):
    faults = Faults("bank", 1)
    with pytest.raises(FaultUnknown, match=r"bank|switches|share|turned"):
        turn({"bank": faults}, order)
    assert faults.as_told() == {}


def test_all_are_turned_at_once():
    both = {"bank": Faults("bank"), "watch": Faults("watch")}
    turn(both, "all:429=2")
    assert {name: each.as_told() for name, each in both.items()} == {
        key: {"429": {"now": "2", "met": 0}} for key in both
    }


@contextmanager
def door(strangers):
    about = SimpleNamespace(asked={}, partners={}, faults=lambda: strangers)
    about.turn_fault = lambda order: Simulation.turn_fault(about, order)
    about.faults_as_told = lambda: Simulation.faults_as_told(about)
    server = Server(("127.0.0.1", 0), about, KEY)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
            yield client
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_page_shows_and_turns_switches_for_whoever_has_its_link_and_nobody_else():
    strangers = {"bank": Faults("bank"), "<watch>": Faults("<watch>")}
    order = {"stranger": "bank", "switch": "429", "how": "3"}
    with door(strangers) as client:
        for key in ("", KEY[:-1], "æ"):
            assert client.get("/faults", params={"key": key}).status_code == 401
            assert client.post("/faults", data=order | {"key": key}).status_code == 401
        assert client.post("/control/faults", json={"order": "bank:429"}).status_code == 401
        assert strangers["bank"].as_told() == {}
        page = client.get("/faults", params={"key": KEY})
        assert "Nothing goes wrong" in page.text
        assert "<watch>" not in page.text
        assert "script-src" not in page.headers["Content-Security-Policy"]
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert client.post("/faults", data=order | {"key": KEY}).status_code == 303
        assert strangers["bank"].as_told() == {"429": {"now": "3", "met": 0}}
        assert "<td>429</td><td>3</td>" in client.get("/faults", params={"key": KEY}).text
        assert client.post("/faults", data=order | {"key": KEY, "how": "often"}).status_code == 400
        told = client.post("/control/faults", json={"order": "all:late"}, headers={"Authorization": f"Bearer {KEY}"})
        assert set(told.json()) == {"bank", "<watch>"}

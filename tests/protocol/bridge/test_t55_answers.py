"""PUT /bridge/grants/<grant>/rectifications/<name>/answer: a partner answers of what it was told, once, and learns nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twin_activities import MIDNIGHT, groceries, record
from twin_citizen import Citizen

from pod_server import rectifications
from pod_server.activities import Delivery, append
from pod_server.authorization.enforcement import require_grant
from pod_server.log import ledger


class Shop:
    """A shop that delivered a line under its consent, and how it answers."""

    def __init__(self, door, kari, name):
        host = door.host
        self.client = door.partner(name, webhook=f"https://{name.lower()}.example/hook")
        self.grant = door.grant(kari.pod_id, self.client, kinds=frozenset({"grocery-line"}))
        by = SimpleNamespace(client_id=self.client.client_id, name=name)
        permit = require_grant(host, by, self.grant, (), "append", host.clock.now())
        append(host, [Delivery(permit, [record(groceries("mince", MIDNIGHT, 0.4, "beef-mince"))])])

    def answer(self, said, body=b'{"because": "checked"}', grant=None, mimetype="application/json"):
        address = f"{self.client.base_url}/bridge/grants/{grant or self.grant}/rectifications/{said}/answer"
        proof = self.client._proof("PUT", address, self.client._access_token(None, ""))
        return self.client._http.put(address, content=body, headers={"Content-Type": mimetype, **proof})


@pytest.fixture
def kari(city):
    return Citizen(city, city.citizen("kari"))


@pytest.fixture
def shop(door, kari):
    return Shop(door, kari, "Rema")


def say(kari, shop, claim="wrong", *, tell=True):
    return rectifications.say(kari.host, kari.own(), shop.grant, "mince", claim, tell=tell).rectification_id


def steps(kari):
    with kari.host.storage.read() as tx:
        (said,) = rectifications.listed(tx, kari.own())
    return said.state, [step.what for step in said.trail]


def slug(answer):
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


def answered_in_log(kari):
    with kari.host.storage.read() as tx:
        events = [each.event for each in ledger.read_events(tx, kari.made.vault, kari.pod_id, limit=200)]
    return [event for event in events if event.action == "dispute-answered"]


def test_the_first_answer_stands_is_logged_once_and_lets_nothing_count(kari, shop):
    said = say(kari, shop)
    first = shop.answer(said)
    assert first.json() == {"rectification": said, "state": "open", "because": "checked"}
    assert shop.answer(said).json() == shop.answer(said, b'{"because": "agreed"}').json() == first.json()
    assert steps(kari) == ("open", ["wrong", "told", "right-checked"])
    (event,) = answered_in_log(kari)
    assert (event.actor.kind, event.grant, event.detail) == ("partner", shop.grant, {"rectification": said})
    say(kari, shop)  # the same button again tells the partner nothing new
    assert steps(kari) == ("open", ["wrong", "told", "right-checked"])


def test_a_new_claim_may_be_answered_anew_and_a_closed_one_no_more(kari, shop):
    said = say(kari, shop)
    shop.answer(said)
    say(kari, shop, "not-mine", tell=True)
    assert shop.answer(said, b'{"because": "customers-own"}').json()["because"] == "customers-own"
    say(kari, shop)
    rectifications.take_back(kari.host, kari.own(), said)
    before = steps(kari)
    assert shop.answer(said).json() == {"rectification": said, "state": "taken-back", "because": ""}
    assert steps(kari) == before


def test_what_is_anothers_or_was_not_told_is_not_there(door, kari, shop):
    other = Shop(door, kari, "Kiwi")
    said = say(kari, shop)
    assert slug(other.answer(said)) == (404, "no-such-activity")
    assert slug(other.answer(said, grant=shop.grant)) == (404, "no-such-grant")
    assert slug(shop.answer("d-none")) == (404, "no-such-activity")
    silent = say(kari, other, "not-mine", tell=False)
    assert slug(other.answer(silent)) == (404, "no-such-activity")
    assert answered_in_log(kari) == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"because": "I say so"}', b'{"because": "checked", "words": "x"}'])
def test_no_free_text_comes_in(kari, shop, body):
    said = say(kari, shop)
    assert shop.answer(said, body).status_code == 400
    assert steps(kari) == ("open", ["wrong", "told"])

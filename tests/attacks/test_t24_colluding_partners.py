"""T24: two partners lay everything they ever received side by side, to find out which of their customers are one person.

Each citizen goes through a whole life with both: a question with proofs and codes, tokens, deliveries good and bad, receipts,
pauses, a narrowing, a renewal, a withdrawal, an erasure, the notices of all of that, and what both may read of the same
figures and activities. Whatever the two have in common for
one citizen, and for no other, would join them.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from oauth_client import CITIZEN
from twin_activities import electricity, trip
from twin_citizen import Citizen
from whole_house import House, whole_app

from partner_bridge.outbox import send_waiting
from pod_server import grants, partners
from pod_server.authorization_server import interactions
from pod_server.outbound import Response
from twin_agent.worker import run_until_idle

CITIZENS = ("kari", "ola", "amir")
NUMBERS = re.compile(r'"[-0-9.:TZE+]+"(?=\^\^)|(?<=\s)[-0-9.eE+]+(?=\s)')
"""Numbers, days and times as Turtle writes them."""
WORD = re.compile(r"[A-Za-z0-9_.:+/~-]{4,}")


@dataclass
class Mailbox:
    """Where the partners' webhooks end: keeps what the house sent to each."""

    host: Any
    received: dict[str, list[bytes]] = field(default_factory=dict)

    def post(self, url: str, body: bytes, headers: Any) -> Response:
        self.received.setdefault(url, []).append(body)
        return Response(202, {}, b"", url)


def opened(text: str) -> str:
    """A text with the inside of every compact JWS in it laid open."""
    inside = [
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode("utf-8", "replace")
        for token in re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", text)
        for part in token.split(".")[:2]
    ]
    return "\n".join([re.sub(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", " ", text), *inside])


class Known:
    """All the words that a partner has seen, of each of its customers."""

    def __init__(self) -> None:
        self.words: dict[str, set[str]] = {each: set() for each in CITIZENS}

    def note(self, citizen: str, *texts: Any) -> None:
        for text in texts:
            plain = text if isinstance(text, str) else json.dumps(text)
            self.words[citizen] |= set(WORD.findall(opened(plain)))


def read_by(house: House, citizen: Any, name: str, partner: Any, known: Known, tick: Any) -> None:
    """Everything that a partner can read of one citizen; the numbers themselves are what the citizen chose to show both.

    Two who may read the same figure of somebody see the same figure: no name can hide that, and the page that asks says
    what is read. What must not join is everything around the numbers.
    """
    grant = house.grant(
        citizen,
        partner,
        operations=frozenset({"read"}),
        kinds=frozenset({"transit-trip", "electricity-reading"}),
        figures=frozenset({"footprint-month", "electricity-day"}),
        granularity="event",
        reads_per_day=10,
        history_from=house.host.clock.now() - timedelta(days=60),
    )
    for path in ("figures", "graph", "graph?kind=transit-trip", "figures?figure=waste-month", "graph?from=x"):
        tick()
        address = f"{house.host.base_url}/bridge/grants/{grant}/{path.partition('?')[0]}"
        headers = {"Accept": "text/turtle", **partner.partner.authorised("GET", address, partner.token)}
        answer = partner.partner.client.get(f"/bridge/grants/{grant}/{path}", headers=headers)
        if answer.status_code == 200:
            assert "rdf:value" in answer.text or "quantity" in answer.text or "rdf-syntax-ns#value" in answer.text
        known.note(name, NUMBERS.sub(" ", answer.text), dict(answer.headers) | {"Content-Length": ""})
    tick()
    known.note(name, partner.send("GET", f"/-/oauth/grants/{grant}").text)


def life_with(house: House, citizen: Any, name: str, partner: Any, known: Known, tick: Any) -> None:
    """Everything that a partner can receive of one citizen."""
    client = partner.partner
    tick()
    interaction = client.asked()
    address = interactions.answer_interaction(
        house.host,
        interaction,
        citizen.pod_id,
        interactions.Answer(refused=False, kinds=frozenset({"electricity-reading"})),
        CITIZEN,
    )
    answered = parse_qs(urlsplit(address).query)
    tick()
    token = client.redeem(answered["code"][0]).json
    grant = token["grant_id"]
    known.note(name, answered["code"][0], answered["iss"][0], token)
    hour = (house.host.clock.now() - timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    reading = {
        "@id": f"urn:{client.partner.client_id}:{name}:1",
        "@type": "ElectricityReading",
        "start": hour.isoformat(),
        "end": (hour + timedelta(hours=1)).isoformat(),
        "quantity": 1.5,
        "unit": "KiloW-HR",
    }
    for activity in (
        reading,
        reading,
        reading | {"quantity": 2.5},
        reading | {"unit": "W"},
        reading | {"@type": "Nothing"},
    ):
        tick()
        answer = partner.send("POST", "/bridge/activities", json.dumps({"grant": grant, "activity": activity}))
        known.note(name, answer.text, dict(answer.headers))
        for receipt in re.findall(r"/bridge/receipts/[\w-]+", answer.text + str(dict(answer.headers))):
            known.note(name, partner.send("GET", receipt).text)
    known.note(name, partner.send("GET", f"/-/oauth/grants/{grant}").text)
    for act, more in (
        ("pause", {}),
        ("resume", {}),
        ("narrow", {"granularity": "P1D"}),
        ("renew", {"expires_at": house.host.clock.now() + timedelta(days=300)}),
        ("withdraw", {}),
        ("erase", {}),
    ):
        tick()
        getattr(grants, act)(house.host, citizen.pod_id, grant, actor=CITIZEN, **more)
        tick()
        refused = partner.send("POST", "/bridge/activities", json.dumps({"grant": grant, "activity": reading}))
        known.note(name, refused.text, partner.send("GET", f"/-/oauth/grants/{grant}").text)
    tick()
    known.note(name, partner.send("POST", "/-/oauth/introspect", "token=" + token["access_token"]).text)


@pytest.fixture
def lives(city):
    """Three citizens with two partners each, and what the partners know in the end."""
    mailbox = Mailbox(city.host)
    host = replace(city.host, outbound=mailbox)
    city.host = host
    house = House(city, host, whole_app(host))
    citizens = {name: city.citizen(name, name=name.title()) for name in CITIZENS}
    for number, (name, made) in enumerate(citizens.items()):
        life = Citizen(city, made)
        at = host.clock.now() - timedelta(days=2, minutes=7 * number)
        life.deliver("TrønderEnergi", electricity(f"{name}-meter-1", at, 60, 1.25 + number, meter=f"70705750{name}"))
        life.deliver("AtB", trip(f"{name}-ticket-1", at, 4.5 + number, ticket=f"ticket-of-{name}"))
        life.think()
    known: dict[str, Known] = {}
    step = iter(range(1, 10_000))

    def tick() -> None:
        """People act at moments of their own; two acts at one moment would be a coincidence, not a trace."""
        city.clock.advance(timedelta(milliseconds=701 + next(step)))

    for partner_name in ("Strømmen AS", "Handel AS"):
        partner = house.partner(partner_name)
        registered = partner.partner.partner
        hook = f"https://{registered.client_id}.example/hook"
        with host.storage.write() as tx:
            tx.execute("UPDATE partner SET webhook = ? WHERE client_id = ?", (hook, registered.client_id))
        assert partners.list_partners(host)
        mine = known[partner_name] = Known()
        for name, citizen in citizens.items():
            life_with(house, citizen, name, partner, mine, tick)
            run_until_idle(host)  # the erasure took the combined figures away; the twin makes them anew
            read_by(house, citizen, name, partner, mine, tick)
            while send_waiting(host):
                pass
            for body in mailbox.received.pop(hook, []):
                mine.note(name, body.decode())
    return citizens, known


def joins(known: dict[str, Known]) -> dict[str, set[str]]:
    """For each citizen the words that both partners have seen of them, and neither of anybody else."""
    first, second = known.values()
    found = {}
    for name in CITIZENS:
        others = set().union(*(each.words[other] for each in (first, second) for other in CITIZENS if other != name))
        found[name] = (first.words[name] & second.words[name]) - others
    return found


def test_nothing_that_two_partners_received_joins_their_citizens_or_names_one(lives):
    citizens, known = lives
    assert all(len(words) > 80 for each in known.values() for words in each.words.values()), "too little was received"
    assert joins(known) == {name: set() for name in CITIZENS}
    for each in known.values():
        for name, words in each.words.items():
            assert {word for word in words if citizens[name].webid in word or re.search(rf"/{name}/", word)} == set()

    # The proof that this can fail: one value of a citizen's that both partners see is found at once.
    for each in known.values():
        each.note("ola", {"subject": "the-same-everywhere"})
    assert joins(known)["ola"] == {"the-same-everywhere"}

"""The partners' simulators against a running house, over real sockets: nothing here is mocked but the citizen's click."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from flask import Flask
from hosts import make_host
from joserfc.jwk import ECKey
from werkzeug.serving import make_server

from partner_bridge.outbox import send_waiting
from pod_server import grants, outbox
from pod_server.authorization_server.interactions import Answer, answer_interaction, load_interaction
from pod_server.clock import SystemClock
from pod_server.identifiers import Actor
from pod_server.outbound import Outbound
from pod_server.partners import add_partner
from pod_server.pods import create_pod
from tvilling.city.simulator import Simulation, load_simulation
from tvilling.city.simulators.door import Server

CITIZEN = Actor("citizen")
TOKEN = "control-token-of-the-test"
SLUGS = ("oss", "tronderenergi", "rema1000", "atb", "trv", "kommune")


@dataclass
class House:
    """A house on a port, its citizen, and the simulators on another."""

    host: Any
    pod_id: int
    simulation: Simulation
    control: httpx.Client
    origin: str

    def order(self, what: str, **members: Any) -> Any:
        return self.control.post(f"/control/{what}", json=members)

    def consent(self, slug: str, *, refused: bool = False) -> httpx.Response:
        """The partner asks; the citizen's browser goes there, the citizen answers, the browser goes back."""
        asked = self.order("ask", partner=slug, handle="kari").raise_for_status().json()["authorize_url"]
        page = httpx.get(asked, trust_env=False)
        assert page.status_code == 303
        interaction = load_interaction(self.host, page.headers["Location"].rpartition("/")[2])
        answer = Answer(refused=refused, kinds=interaction.terms.kinds)
        back = answer_interaction(self.host, interaction.id, self.pod_id, answer, CITIZEN)
        return httpx.get(back, trust_env=False)


@pytest.fixture
def house(tmp_path):
    from partner_bridge import routes
    from pod_server import http_problems
    from pod_server.authorization_server import routes as oauth_routes

    app = Flask("house")
    web = make_server("127.0.0.1", 0, app, threaded=True)
    simulators = Server(("127.0.0.1", 0), None, TOKEN)  # type: ignore[arg-type] - given below, once there is a house
    origin = f"http://127.0.0.1:{simulators.server_port}"
    clock = SystemClock()
    host = replace(
        make_host(tmp_path / "data", clock, base_url=f"http://127.0.0.1:{web.server_port}"),
        outbound=Outbound(frozenset({origin})),
    )
    http_problems.register(app, host)
    oauth_routes.register(app, host)
    routes.register(app, host)
    partners = {}
    for slug in SLUGS:
        key = ECKey.generate_key("P-256", {"kid": slug, "alg": "ES256", "use": "sig"})
        file = tmp_path / f"{slug}.jwk"
        file.write_text(json.dumps(key.as_dict(private=True)))
        door = f"{origin}/partners/{slug}"
        made = add_partner(
            host,
            name=f"{slug} AS",
            jwks={"keys": [key.as_dict(private=False)]},
            redirect_uris=[f"{door}/callback"],
            webhook=f"{door}/webhook",
        )
        partners[slug] = {
            "client_id": made.client_id,
            "name": made.name,
            "key_file": str(file),
            "redirect_uri": f"{door}/callback",
            "webhook": f"{door}/webhook",
        }
    now = clock.now()
    config = {
        "base_url": host.base_url,
        "control": {"host": "127.0.0.1", "port": simulators.server_port, "token": TOKEN},
        "seed": 1,
        "clock": {"city_anchor": now.isoformat(), "real_anchor": now.isoformat(), "speed": 1.0},
        "state_file": str(tmp_path / "state.json"),
        "partners": partners,
        "asked": {},
        "citizens": [{"handle": "kari", "grants": {}}],
        "neighbours": [],
    }
    pod = create_pod(host, "kari", household_size=3)
    simulators.simulation = load_simulation(config)
    threads = [
        threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.02}) for each in (web, simulators)
    ]
    for thread in threads:
        thread.start()
    with httpx.Client(
        base_url=origin, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60, trust_env=False
    ) as control:
        yield House(host, pod.pod_id, simulators.simulation, control, origin)
    for each in (web, simulators):
        each.shutdown()
        each.server_close()
    for thread in threads:
        thread.join()
    host.storage.close()
    host.key_store.close()


def pane(house, slug):
    return house.control.get(f"/control/pane/{slug}", params={"handle": "kari"}).json()


def test_a_partner_makes_the_whole_journey_and_learns_of_its_end(house):
    # asked, given, and the history delivered
    assert house.consent("trv").status_code == 200
    first = house.order("history", handles=None).json()["trv"]
    assert first["offered"] == first["accepted"] > 300
    assert house.order("history", handles=["kari"]).json()["trv"]["accepted"] == 0

    # withdrawn: the next write is refused with its reason, while the token is fresh
    (view,) = grants.list_grants(house.host, house.pod_id)
    assert view.accepted == first["accepted"]
    grants.withdraw(house.host, house.pod_id, view.grant.id, actor=CITIZEN)
    refused = house.order("attempt", partner="trv", handle="kari").json()
    assert (refused["status"], refused["http_status"]) == ("refused", 200)
    assert refused["problem"]["type"].endswith("/problems/consent-withdrawn")

    # the partner is told, once, and stops
    assert send_waiting(house.host) == 2
    told = pane(house, "trv")
    assert [notice["kind"] for notice in told["notices"]] == ["consent-withdrawn", "consent-given"]
    assert told["standing"] is False
    assert house.order("history", handles=None).json()["trv"]["offered"] == 0
    assert told["deliveries"][0]["problem"]["title"]


def test_a_citizen_who_refuses_is_not_delivered_to(house):
    assert house.consent("oss", refused=True).status_code == 400
    assert pane(house, "oss")["grant"] is None
    assert house.order("attempt", partner="oss", handle="kari").status_code == 409


def test_the_buttons_deliver_what_they_say(house):
    for slug in ("rema1000", "atb"):
        house.consent(slug)
    assert house.order("beef", handle="kari").json()["status"] == "accepted"
    assert house.order("bus", handle="kari").json()["status"] == "accepted"
    (delivery,) = pane(house, "rema1000")["deliveries"]
    assert (delivery["what"], delivery["accepted"], delivery["http_status"]) == ("beef", 1, 200)
    assert delivery["receipt"].startswith(f"{house.host.base_url}/bridge/receipts/r-")
    counted = {each["slug"]: each for each in house.control.get("/control/statistics").json()["partners"]}
    assert (counted["rema1000"]["offered"], counted["rema1000"]["accepted"]) == (1, 1)


def test_a_kettle_is_seen_by_the_meters_reader(house):
    house.consent("oss")
    started = house.order("kettle", handle="kari").json()
    assert (started["watts"], started["minutes"]) == (2000.0, 3)
    boiled = house.simulation.extra_watts["kari"]
    assert len(boiled) == 3
    begin = datetime.fromisoformat(started["from"])
    partner = house.simulation.partners["oss"]

    def watts() -> list[float]:
        """The meter's readings of four minutes: whatever else is on in the house at this hour, and the kettle."""
        city, household = house.simulation.city, partner.households["kari"]
        (payload,) = partner.source.payloads(city, household, begin, begin + timedelta(minutes=4))
        return [each["activePower"]["input"]["avg"] for each in payload.content["telemetry"]]

    with_kettle = watts()
    boiled.clear()
    without = watts()
    added = [after - before for after, before in zip(with_kettle, without, strict=True)]
    assert added == pytest.approx([2000, 2000, 2000, 0], abs=1)


def test_messages_that_are_not_the_houses_are_refused(house):
    for body in ("", "a.b.c", "x" * 1000, "eyJhbGciOiJub25lIn0.e30."):
        answer = httpx.post(f"{house.origin}/partners/kommune/webhook", content=body, trust_env=False)
        assert (answer.status_code, answer.json()["err"]) == (400, "authentication_failed")
    assert pane(house, "kommune")["notices"] == []


def test_a_message_delivered_twice_counts_once(house):
    client_id = house.simulation.partners["kommune"].client.client_id
    with house.host.storage.write() as tx:
        outbox.enqueue(
            house.host,
            tx,
            pod_id=None,
            client_id=client_id,
            kind="consent-paused",
            body={"grant": "g-x"},
            idempotency_key="1",
        )
        (message,) = outbox.first_waiting(tx)
    from partner_bridge.outbox import token_of

    token = token_of(house.host, message)
    hook = f"{house.origin}/partners/kommune/webhook"
    assert [httpx.post(hook, content=token, trust_env=False).status_code for _ in range(2)] == [202, 202]
    assert len(pane(house, "kommune")["notices"]) == 1


def test_the_callback_refuses_what_nobody_asked(house):
    for query in ({}, {"state": "x", "code": "y"}, {"error": "access_denied"}):
        answer = httpx.get(f"{house.origin}/partners/oss/callback", params=query, trust_env=False)
        assert answer.status_code == 400


def test_the_callback_refuses_another_issuers_answer(house):
    asked = house.order("ask", partner="oss", handle="kari").json()["authorize_url"]
    page = httpx.get(asked, trust_env=False)
    interaction = page.headers["Location"].rpartition("/")[2]
    kinds = load_interaction(house.host, interaction).terms.kinds
    back = answer_interaction(house.host, interaction, house.pod_id, Answer(refused=False, kinds=kinds), CITIZEN)
    mixed_up = back.replace(
        parse_qs(urlsplit(back).query)["iss"][0].replace(":", "%3A").replace("/", "%2F"),
        "https%3A%2F%2Felsewhere.example",
    )
    assert mixed_up != back
    assert httpx.get(mixed_up, trust_env=False).status_code == 400


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_control_needs_its_token(house, method):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = httpx.request(method, f"{house.origin}/control/statistics", headers=headers, trust_env=False)
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("order", "members", "status"),
    [
        ("ask", {"partner": "nobody", "handle": "kari"}, 404),
        ("ask", {"partner": "oss", "handle": "nobody"}, 404),
        ("ask", {"partner": "kommune", "handle": "kari"}, 400),
        ("beef", {"handle": "kari"}, 409),
        ("explode", {}, 404),
    ],
)
def test_an_order_that_cannot_be_carried_out_says_so(house, order, members, status):
    answer = house.order(order, **members)
    assert (answer.status_code, "error" in answer.json()) == (status, True)


def test_a_second_start_takes_up_where_the_first_ended(house, tmp_path):
    house.consent("trv")
    house.order("history", handles=None)
    state = json.loads((tmp_path / "state.json").read_text())
    kept = state["partners"]["trv"]["customers"]["kari"]
    assert kept["refresh_token"]
    assert datetime.fromisoformat(kept["cursor"]) <= datetime.now(UTC)
    assert (tmp_path / "state.json").stat().st_mode & 0o077 == 0
    assert state["partners"]["trv"]["counts"]["accepted"] > 300

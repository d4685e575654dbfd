"""All partners of the demonstration in one process: `python -m tvilling.city.simulator --config FILE`.

The door they answer at is `simulators/door.py`. The configuration (JSON): `base_url`; `control` {host, port, token}; `seed`;
`clock` {city_anchor, real_anchor, speed}; `state_file`; `partners` {slug: {client_id, name, key_file, redirect_uri, webhook}};
`asked` {slug: {issuer, client_id, secret, redirect_uri, calls, webhook_secret}}; `han` {handle: pipe}; `citizens` and `neighbours`, lists of {handle, grants {slug: grant}}.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tvilling.city.electricity import KETTLE_MINUTES, KETTLE_WATTS
from tvilling.city.households import citizens, neighbours
from tvilling.city.simulators.asked import Stranger
from tvilling.city.simulators.clock import CityClock, wall_clock
from tvilling.city.simulators.door import Server
from tvilling.city.simulators.errors import BadRequest
from tvilling.city.simulators.faults import Faults, FaultUnknown, turn
from tvilling.city.simulators.han_port import HanPort
from tvilling.city.simulators.municipal_offers import MUNICIPALITY, answer, publish
from tvilling.city.simulators.oauth_client import Delivered, OAuthClient, load_key
from tvilling.city.simulators.partner import Customer, Partner
from tvilling.city.simulators.register import ASKED, Ground
from tvilling.city.simulators.sources import SOURCES, City, Payload
from tvilling.lifeline import hold_on

TICK_SECONDS = 0.25
HAN_TICK_SECONDS = 0.05
SAVE_SECONDS = 1.0


@dataclass
class Simulation:
    """The partners, the city's clock, and what the buttons do."""

    clock: CityClock
    city: City
    extra_watts: dict[str, dict[datetime, float]]
    partners: dict[str, Partner]
    live_handles: tuple[str, ...]
    state_file: Path
    asked: dict[str, Stranger]
    ports: tuple[HanPort, ...] = ()
    live: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)

    # What the buttons do

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """A partner asks a citizen for consent."""
        partner = self._partner(order)
        handle = self._handle(order)
        if not partner.source.asks(handle, self.live_handles):
            raise BadRequest(400, f"{partner.name} asks {handle} for no consent")
        return {"authorize_url": partner.ask(handle, self.clock.now())}

    def history(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Deliver everything due until now, all partners side by side; answers when it is done."""
        handles = order.get("handles")
        now = self.clock.now()
        with ThreadPoolExecutor(max_workers=3) as workers:
            running = {
                slug: workers.submit(partner.deliver_due, list(handles or partner.customers), now)
                for slug, partner in self.partners.items()
                if partner.source.connector
            }
        self.save()
        return {slug: asdict(each.result()) for slug, each in running.items()}

    def set_live(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Deliver as time goes, or stop."""
        if order.get("on", True):
            self.live.set()
        else:
            self.live.clear()
            for partner in self.partners.values():
                partner.settle()
        return {"live": self.live.is_set()}

    def kettle(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """2 kW for three minutes, from the minute that runs; the meter's reader sees it as any other use."""
        handle = self._handle(order)
        minute = self.clock.now().replace(second=0, microsecond=0)
        extra = self.extra_watts.setdefault(handle, {})
        for number in range(KETTLE_MINUTES):
            at = minute + timedelta(minutes=number)
            extra[at] = extra.get(at, 0.0) + KETTLE_WATTS
        for at in [each for each in extra if each < minute - timedelta(days=3)]:
            del extra[at]
        return {"status": "started", "from": minute.isoformat(), "minutes": KETTLE_MINUTES, "watts": KETTLE_WATTS}

    def beef(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Buy 400 g of minced beef."""
        return self._deliver_one(self.partners["rema1000"], order, "beef", Partner.purchase)

    def bus(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Take the bus."""
        return self._deliver_one(self.partners["atb"], order, "bus", Partner.ride)

    def attempt(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Deliver one more now, allowed or not."""
        return self._deliver_one(self._partner(order), order, "attempt", Partner.latest)

    def statistics(self) -> dict[str, Any]:
        """What each partner counted."""
        return {
            "partners": [
                {"slug": slug, "name": partner.name, **asdict(partner.counts)}
                for slug, partner in self.partners.items()
            ]
        }

    def grants(self) -> dict[str, dict[str, str]]:
        """Which consent each partner holds of each citizen with a page."""
        return {
            handle: {
                slug: partner.customers[handle].grant
                for slug, partner in self.partners.items()
                if handle in partner.customers
            }
            for handle in self.live_handles
        }

    def accepted(self) -> dict[str, int]:
        """How many records of each citizen the partners were told are stored."""
        counted: dict[str, int] = {}
        for partner in self.partners.values():
            for handle, customer in list(partner.customers.items()):
                counted[handle] = counted.get(handle, 0) + customer.accepted
        return counted

    def sources(self) -> list[dict[str, Any]]:
        """What those who are asked were asked for."""
        return [
            {
                "slug": slug,
                "name": ASKED[slug].name,
                "connected": stranger.connected(),
                "calls": stranger.calls,
                "fetched": len(stranger.fetched),
                "served": sum((served := stranger.served()).values()),
                "by_handle": served,
            }
            for slug, stranger in self.asked.items()
        ]

    # What goes wrong

    def faults(self) -> dict[str, Faults]:
        """Everybody's switches."""
        return {
            **{slug: partner.faults for slug, partner in self.partners.items()},
            **{slug: stranger.faults for slug, stranger in self.asked.items()},
        }

    def faults_as_told(self) -> dict[str, Any]:
        """What goes wrong now, by stranger."""
        return {name: told for name, faults in self.faults().items() if (told := faults.as_told())}

    def turn_fault(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Turn a switch: `{"order": "STRANGER:SWITCH=HOW"}`."""
        try:
            turn(self.faults(), str(order.get("order", "")))
        except FaultUnknown as error:
            raise BadRequest(400, str(error)) from None
        return self.faults_as_told()

    def claims(self) -> list[dict[str, Any]]:
        """The claims that were received and verified, once each."""
        return [claim for partner in self.partners.values() for claim in partner.claims]

    def pane(self, slug: str, handle: str | None) -> dict[str, Any]:
        """One partner's own view."""
        return self._partner({"partner": slug}).pane(handle)

    def _deliver_one(
        self,
        partner: Partner,
        order: Mapping[str, Any],
        what: str,
        make: Callable[[Partner, str, datetime], Payload],
    ) -> dict[str, Any]:
        handle = self._handle(order)
        if handle not in partner.customers or not partner.source.connector:
            raise BadRequest(409, f"{partner.name} has no consent of {handle}")
        now = self.clock.now()
        payload = make(partner, handle, now)
        if order.get("wait", True) is False:
            # The pages' worker that orders this may be the very one that shall answer the delivery.
            threading.Thread(target=partner.deliver_one, args=(handle, payload, what, now), daemon=True).start()
            return {"status": "sent"}
        return _told(partner.deliver_one(handle, payload, what, now))

    def _partner(self, order: Mapping[str, Any]) -> Partner:
        partner = self.partners.get(str(order.get("partner")))
        if partner is None:
            raise BadRequest(404, f"the partners are {', '.join(self.partners)}")
        return partner

    def _handle(self, order: Mapping[str, Any]) -> str:
        handle = order.get("handle", self.live_handles[0] if self.live_handles else None)
        if handle not in self.live_handles:
            raise BadRequest(404, f"the citizens are {', '.join(self.live_handles)}")
        return str(handle)

    # As time goes

    def run(self) -> None:
        """Deliver what falls due, and keep the state, until told to stop."""
        pauses: dict[str, int] = {}
        since_saved = 0.0
        municipality = self.partners.get(MUNICIPALITY)
        is_published, rest = False, 0
        while not self.stop.wait(TICK_SECONDS):
            since_saved += TICK_SECONDS
            if municipality is not None:
                rest -= 1
                if rest < 0:
                    is_published = is_published or publish(municipality.client)
                    taken = is_published and answer(municipality.client, list(municipality.claims))
                    rest = 0 if taken else 20  # the house is away: five seconds' rest
            if since_saved >= SAVE_SECONDS:
                since_saved = 0.0
                self.save()
            if not self.live.is_set():
                continue
            now = self.clock.now()
            for stranger in self.asked.values():
                stranger.call()
            for slug, partner in self.partners.items():
                if pauses.get(slug, 0) > 0:
                    pauses[slug] -= 1
                    continue
                counts = partner.deliver_due(self.live_handles, now)
                lost = counts.refused and partner.deliveries and partner.deliveries[0]["http_status"] != 200
                pauses[slug] = 20 if lost else 0  # the house is away: five seconds' rest
        self.save()

    def speak(self) -> None:
        """Let the meters' ports speak while deliveries are live, until told to stop."""
        while not self.stop.wait(HAN_TICK_SECONDS):
            now = self.clock.now()
            for port in self.ports:
                if self.live.is_set():
                    port.send(now)
                else:
                    port.close()
        for port in self.ports:
            port.close()

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state = {
            "city_began": self.city.began.isoformat(),
            "partners": {slug: partner.to_json() for slug, partner in self.partners.items()},
            "asked": {slug: stranger.to_json() for slug, stranger in self.asked.items()},
            "bought": dict(self.city.bought),
            "rides": {handle: [at.isoformat() for at in times] for handle, times in list(self.city.rides.items())},
            "extra_watts": {
                handle: {at.isoformat(): watts for at, watts in list(extra.items())}
                for handle, extra in self.extra_watts.items()
            },
        }
        draft = self.state_file.with_suffix(f".{threading.get_ident()}.draft")
        draft.write_text(json.dumps(state), encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(self.state_file)


_NO_STATE: dict[str, Any] = {"partners": {}, "extra_watts": {}, "asked": {}, "bought": {}, "rides": {}}


def _told(delivered: Delivered) -> dict[str, Any]:
    statuses = [answer["status"] for answer in delivered.answers]
    if delivered.http_status == 0:
        status = "no-answer"
    elif not statuses:
        status = "refused"
    else:
        status = "refused" if "refused" in statuses else statuses[0]
    return {
        "status": status,
        "http_status": delivered.http_status,
        "problem": delivered.problem,
        "ms": round(delivered.ms, 1),
        "receipt": delivered.receipt,
    }


def _in_the_name_of(principal: OAuthClient, actor: OAuthClient) -> OAuthClient:
    """The integrator's client with the partner's signed word in hand: a fresh one for each token."""
    return OAuthClient(
        actor.base_url,
        actor.client_id,
        actor.key,
        actor.redirect_uri,
        actor.clock,
        word=lambda: principal.may_act(actor.client_id),
    )


def load_simulation(config: Mapping[str, Any]) -> Simulation:
    """Build the simulation from its configuration, and take up the state of an earlier run."""
    clock = CityClock(
        datetime.fromisoformat(config["clock"]["city_anchor"]),
        datetime.fromisoformat(config["clock"]["real_anchor"]),
        float(config["clock"]["speed"]),
    )
    seed = int(config["seed"])
    live = [entry["handle"] for entry in config["citizens"]]
    quiet = [entry["handle"] for entry in config.get("neighbours", [])]
    households = {household.handle: household for household in citizens()}
    if quiet:
        last = max(int(handle.rpartition("-")[2]) for handle in quiet)
        households |= {household.handle: household for household in neighbours(last, seed)}
    unknown = [handle for handle in (*live, *quiet) if handle not in households]
    if unknown:
        raise ValueError(f"nobody in this city is called {', '.join(unknown[:5])}")
    state_file = Path(config["state_file"])
    state = json.loads(state_file.read_text("utf-8")) if state_file.exists() else _NO_STATE
    extra_watts = {
        handle: {datetime.fromisoformat(at): watts for at, watts in extra.items()}
        for handle, extra in state["extra_watts"].items()
    }
    began = datetime.fromisoformat(config["clock"].get("city_began", config["clock"]["city_anchor"]))
    rides = {handle: [datetime.fromisoformat(at) for at in times] for handle, times in state["rides"].items()}
    city = City(
        seed, datetime.fromisoformat(state.get("city_began", began.isoformat())), extra_watts, state["bought"], rides
    )
    partners = {}
    for slug, entry in config["partners"].items():
        source = SOURCES[slug]
        key = load_key(json.loads(Path(entry["key_file"]).read_text("utf-8")))
        client = OAuthClient(config["base_url"], entry["client_id"], key, entry["redirect_uri"], wall_clock)
        partner = partners[slug] = Partner(entry["name"], source, client, city, households, faults=Faults(slug, seed))
        if slug in state["partners"]:
            partner.take_up(state["partners"][slug])
        for person in (*config["citizens"], *config.get("neighbours", [])):
            grant = person["grants"].get(slug)
            if grant and person["handle"] not in partner.customers:
                partner.customers[person["handle"]] = Customer(grant)
    for partner in partners.values():
        if partner.source.through in partners:
            partner.deliverer = _in_the_name_of(partner.client, partners[partner.source.through].client)
    people = {handle: households[handle] for handle in live}
    asked: dict[str, Stranger] = {}
    for slug, entry in config.get("asked", {}).items():
        ground = Ground(city, people, clock.now, wall_clock, entry, Faults(slug, seed))
        asked[slug] = ASKED[slug].make(ground)
        if slug in state["asked"]:
            asked[slug].take_up(state["asked"][slug])
    ports = tuple(
        HanPort(households[handle], city, Path(pipe), partners["han"].faults)
        for handle, pipe in config.get("han", {}).items()
    )
    return Simulation(clock, city, extra_watts, partners, tuple(live), state_file, asked, ports)


def main(arguments: list[str] | None = None) -> int:
    """Run the partners until told to stop."""
    parser = argparse.ArgumentParser(prog="tvilling.city.simulator", description=main.__doc__)
    parser.add_argument("--config", required=True, type=Path)
    config = json.loads(parser.parse_args(arguments).config.read_text("utf-8"))
    simulation = load_simulation(config)
    server = Server((config["control"]["host"], config["control"]["port"]), simulation, config["control"]["token"])
    delivering = threading.Thread(target=simulation.run, name="deliveries")
    delivering.start()
    speaking = threading.Thread(target=simulation.speak, name="meters")
    speaking.start()

    def stop(*_: object) -> None:
        simulation.stop.set()
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    print(
        json.dumps({"simulator": f"http://{config['control']['host']}:{server.server_port}", "pid": os.getpid()}),
        flush=True,
    )
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    delivering.join(timeout=30)
    speaking.join(timeout=30)
    return 0


if __name__ == "__main__":
    hold_on(os.environ)
    sys.exit(main())

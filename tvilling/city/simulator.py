"""All partners of the demonstration in one process: `python -m tvilling.city.simulator --config FILE`.

    /partners/<slug>/callback     where citizens' browsers come back with their answer
    /partners/<slug>/webhook      where the house's notices and claims arrive
    /bank/…                       a bank that is asked: its log-in and its interface
    /control/…                    the demonstration's buttons; loopback only, with a bearer token
    /healthz

The configuration (JSON): `base_url`; `control` {host, port, token}; `seed`; `clock` {city_anchor, real_anchor, speed};
`state_file`; `partners` {slug: {client_id, name, key_file, redirect_uri, webhook}}; `citizens` and `neighbours`, lists of
{handle, grants {slug: grant}}; `bank` {issuer, client_id, secret, redirect_uri}.
"""

from __future__ import annotations

import argparse
import hmac
import html
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tvilling.city.electricity import KETTLE_MINUTES, KETTLE_WATTS
from tvilling.city.households import citizens, neighbours
from tvilling.city.simulators.bank import Bank
from tvilling.city.simulators.clock import CityClock, wall_clock
from tvilling.city.simulators.messages import MessageRefused
from tvilling.city.simulators.oauth_client import Delivered, JourneyFailed, OAuthClient, load_key
from tvilling.city.simulators.partner import Customer, Partner
from tvilling.city.simulators.sign_in_server import SignInServer
from tvilling.city.simulators.sources import SOURCES, City, Payload

TICK_SECONDS = 0.25
SAVE_SECONDS = 1.0
BODY_LIMIT = 256 * 1024


class BadRequest(Exception):
    """A control request that names nobody, or nothing that can be done; told with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Simulation:
    """The partners, the city's clock, and what the buttons do."""

    clock: CityClock
    city: City
    extra_watts: dict[str, dict[datetime, float]]
    partners: dict[str, Partner]
    live_handles: tuple[str, ...]
    state_file: Path
    bank: Bank
    live: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)

    # What the buttons do

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """A partner asks a citizen for consent."""
        partner = self._partner(order)
        handle = self._handle(order)
        if not partner.source.connector:
            raise BadRequest(400, f"{partner.name} asks for no consent")
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
        served = self.bank.payments_served()
        return [
            {
                "name": self.bank.sign_in.name,
                "connected": self.bank.sign_in.living(),
                "served": sum(served.values()),
                "by_handle": served,
            }
        ]

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
        while not self.stop.wait(TICK_SECONDS):
            since_saved += TICK_SECONDS
            if since_saved >= SAVE_SECONDS:
                since_saved = 0.0
                self.save()
            if not self.live.is_set():
                continue
            now = self.clock.now()
            for slug, partner in self.partners.items():
                if pauses.get(slug, 0) > 0:
                    pauses[slug] -= 1
                    continue
                counts = partner.deliver_due(self.live_handles, now)
                lost = counts.refused and partner.deliveries and partner.deliveries[0]["http_status"] != 200
                pauses[slug] = 20 if lost else 0  # the house is away: five seconds' rest
        self.save()

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state = {
            "city_began": self.city.began.isoformat(),
            "partners": {slug: partner.to_json() for slug, partner in self.partners.items()},
            "bank": self.bank.sign_in.to_json(),
            "extra_watts": {
                handle: {at.isoformat(): watts for at, watts in list(extra.items())}
                for handle, extra in self.extra_watts.items()
            },
        }
        draft = self.state_file.with_suffix(f".{threading.get_ident()}.draft")
        draft.write_text(json.dumps(state), encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(self.state_file)


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
    state = json.loads(state_file.read_text("utf-8")) if state_file.exists() else {"partners": {}, "extra_watts": {}}
    extra_watts = {
        handle: {datetime.fromisoformat(at): watts for at, watts in extra.items()}
        for handle, extra in state["extra_watts"].items()
    }
    began = datetime.fromisoformat(config["clock"].get("city_began", config["clock"]["city_anchor"]))
    city = City(seed, datetime.fromisoformat(state.get("city_began", began.isoformat())), extra_watts)
    partners = {}
    for slug, entry in config["partners"].items():
        source = SOURCES[slug]
        key = load_key(json.loads(Path(entry["key_file"]).read_text("utf-8")))
        client = OAuthClient(config["base_url"], entry["client_id"], key, entry["redirect_uri"], wall_clock)
        partner = partners[slug] = Partner(entry["name"], source, client, city, households)
        if slug in state["partners"]:
            partner.take_up(state["partners"][slug])
        for person in (*config["citizens"], *config.get("neighbours", [])):
            grant = person["grants"].get(slug)
            if grant and person["handle"] not in partner.customers:
                partner.customers[person["handle"]] = Customer(grant)
    sign_in = SignInServer(
        issuer=config["bank"]["issuer"],
        name="SpareBank 1 SMN",
        client_id=config["bank"]["client_id"],
        secret=config["bank"]["secret"],
        redirect_uri=config["bank"]["redirect_uri"],
        people=tuple(live),
        now=wall_clock,
        # Shorter than the demonstration's pulls are apart: refresh tokens are replaced before everybody's eyes.
        lasts=timedelta(seconds=40),
    )
    sign_in.take_up(state.get("bank", []))
    bank = Bank(sign_in, households, seed, clock.now, faults={"expired": 1})
    return Simulation(clock, city, extra_watts, partners, tuple(live), state_file, bank)


class Door(BaseHTTPRequestHandler):
    """The partners' addresses and the control door."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Pages, panes, statistics."""
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query))
        simulation = self.server.simulation
        match address.path.strip("/").split("/"):
            case ["healthz"]:
                self._answer(200, {"status": "ok"})
            case [".well-known", "oauth-authorization-server", "bank"]:
                self._ask_the_bank("/.well-known/oauth-authorization-server", query, {})
            case ["bank", *rest]:
                self._ask_the_bank("/" + "/".join(rest), query, {})
            case ["partners", slug, "callback"] if slug in simulation.partners:
                self._come_back(simulation.partners[slug], query)
            case ["control", *_] if not self._may_control():
                self._answer(401, {"error": "the control token is needed"})
            case ["control", "statistics"]:
                self._answer(200, simulation.statistics())
            case ["control", "grants"]:
                self._answer(200, simulation.grants())
            case ["control", "accepted"]:
                self._answer(200, simulation.accepted())
            case ["control", "sources"]:
                self._answer(200, simulation.sources())
            case ["control", "claims"]:
                self._answer(200, simulation.claims())
            case ["control", "pane", slug]:
                self._carry_out(lambda: simulation.pane(slug, query.get("handle")))
            case _:
                self._answer(404, {"error": "no such address"})

    def do_POST(self) -> None:
        """Messages from the house, and orders from the buttons."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            self.close_connection = True
            self._answer(413, {"error": "a length of at most 256 KiB is needed"})
            return
        body = self.rfile.read(int(length))
        simulation = self.server.simulation
        orders: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "ask": simulation.ask,
            "history": simulation.history,
            "live": simulation.set_live,
            "kettle": simulation.kettle,
            "beef": simulation.beef,
            "bus": simulation.bus,
            "attempt": simulation.attempt,
        }
        match urlsplit(self.path).path.strip("/").split("/"):
            case ["bank", *rest]:
                query = dict(parse_qsl(urlsplit(self.path).query))
                self._ask_the_bank("/" + "/".join(rest), query, dict(parse_qsl(body.decode("utf-8", "replace"))))
            case ["partners", slug, "webhook"] if slug in simulation.partners:
                self._receive(simulation.partners[slug], body)
            case ["control", *_] if not self._may_control():
                self._answer(401, {"error": "the control token is needed"})
            case ["control", order] if order in orders:
                self._carry_out(lambda: orders[order](_order(body)))
            case _:
                self._answer(404, {"error": "no such address"})

    def _come_back(self, partner: Partner, query: Mapping[str, str]) -> None:
        try:
            given = partner.come_back(query)
        except JourneyFailed as error:
            self._page(400, partner.name, f"Ingen samtykke: {error}")
            return
        self.server.simulation.save()
        kinds = ", ".join(given.details.get("datatypes", []))
        self._page(200, partner.name, f"Takk! {partner.name} kan nå levere: {kinds}.")

    def _receive(self, partner: Partner, body: bytes) -> None:
        try:
            partner.receive(body.decode("ascii", "replace"), self.server.simulation.clock.now())
        except MessageRefused as error:
            # RFC 8935, section 2.3
            self._answer(400, {"err": "authentication_failed", "description": str(error)})
            return
        self._answer(202, None)

    def _ask_the_bank(self, path: str, query: Mapping[str, str], form: Mapping[str, str]) -> None:
        said = self.server.simulation.bank.answer(self.command, path, query, dict(self.headers), form)
        self._write(
            said.status,
            said.content_type,
            said.body[: len(said.body) // 2] if said.cut else said.body,
            headers={**said.headers, **({"Connection": "close"} if said.cut else {})},
            length=len(said.body),
        )
        self.close_connection = self.close_connection or said.cut

    def _may_control(self) -> bool:
        given = self.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {self.server.token}".encode())

    def _carry_out(self, order: Callable[[], Any]) -> None:
        try:
            self._answer(200, order())
        except BadRequest as error:
            self._answer(error.status, {"error": str(error)})
        except JourneyFailed as error:
            self._answer(502, {"error": str(error)})

    def _page(self, status: int, title: str, text: str) -> None:
        home = html.escape(f"{next(iter(self.server.simulation.partners.values())).client.base_url}/-/my-data")
        page = (
            f'<!doctype html><html lang="nb"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{html.escape(title)}</title><h1>{html.escape(title)}</h1><p>{html.escape(text)}</p>"
            f'<p><a href="{home}">Tilbake til Tvilling</a></p></html>'
        )
        self._write(status, "text/html; charset=utf-8", page.encode())

    def _answer(self, status: int, value: object) -> None:
        self._write(status, "application/json", b"" if value is None else json.dumps(value).encode())

    def _write(
        self,
        status: int,
        content_type: str,
        content: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the inherited name
        """Say nothing of each request: addresses carry codes."""


class Server(ThreadingHTTPServer):
    """The one server of all partners."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], simulation: Simulation, token: str) -> None:
        super().__init__(address, Door)
        self.simulation = simulation
        self.token = token


def _order(body: bytes) -> Mapping[str, Any]:
    try:
        order = json.loads(body or b"{}")
    except ValueError:
        raise BadRequest(400, "the order is no JSON") from None
    if not isinstance(order, dict):
        raise BadRequest(400, "the order is no JSON object")
    return order


def main(arguments: list[str] | None = None) -> int:
    """Run the partners until told to stop."""
    parser = argparse.ArgumentParser(prog="tvilling.city.simulator", description=main.__doc__)
    parser.add_argument("--config", required=True, type=Path)
    config = json.loads(parser.parse_args(arguments).config.read_text("utf-8"))
    simulation = load_simulation(config)
    server = Server((config["control"]["host"], config["control"]["port"]), simulation, config["control"]["token"])
    delivering = threading.Thread(target=simulation.run, name="deliveries")
    delivering.start()

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
    return 0


if __name__ == "__main__":
    sys.exit(main())

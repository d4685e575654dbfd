"""The simulators' door: partners' addresses, those of the strangers who are asked, the control door, and the page of faults.

/partners/<slug>/callback     where citizens' browsers come back with their answer
/partners/<slug>/webhook      where the house's notices and claims arrive
/asked/<slug>/…               who is asked: a log-in and an interface
/control/…                    the demonstration's buttons; loopback only, with a bearer token
/faults?key=…                 what goes wrong now, to look at and to turn
/healthz
"""

from __future__ import annotations

import hmac
import html
import json
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from tvilling.city.simulators.asked import Stranger, fault_answer, form_of
from tvilling.city.simulators.errors import BadRequest
from tvilling.city.simulators.faults import Switch
from tvilling.city.simulators.faults_page import FAULTS_PAGE_POLICY, faults_page
from tvilling.city.simulators.messages import MessageRefused
from tvilling.city.simulators.oauth_client import JourneyFailed
from tvilling.city.simulators.partner import Partner
from tvilling.city.simulators.sign_in_server import Answer

if TYPE_CHECKING:
    from tvilling.city.simulator import Simulation

BODY_LIMIT = 256 * 1024
ORDERS = {
    "ask": "ask",
    "history": "history",
    "live": "set_live",
    "kettle": "kettle",
    "beef": "beef",
    "bus": "bus",
    "attempt": "attempt",
    "faults": "turn_fault",
}
"""What the control door orders, and the simulation's method that carries it out."""


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
            case [".well-known", "oauth-authorization-server", "asked", slug] if slug in simulation.asked:
                self._ask(simulation.asked[slug], "/.well-known/oauth-authorization-server", query, {})
            case ["asked", slug, *_] if slug in simulation.asked:
                self._ask(simulation.asked[slug], _below(address.path, slug), query, {})
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
            case ["control", "began"]:
                self._answer(200, simulation.city.began.isoformat())
            case ["control", "faults"]:
                self._answer(200, simulation.faults_as_told())
            case ["faults"]:
                self._faults_page(query.get("key", ""))
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
        match urlsplit(self.path).path.strip("/").split("/"):
            case ["asked", slug, *_] if slug in simulation.asked:
                address = urlsplit(self.path)
                form = form_of(self.headers.get("Content-Type", ""), body)
                self._ask(simulation.asked[slug], _below(address.path, slug), dict(parse_qsl(address.query)), form)
            case ["faults"]:
                self._turn_on_the_page(dict(parse_qsl(body.decode("utf-8", "replace"))))
            case ["partners", slug, "webhook"] if slug in simulation.partners:
                self._receive(simulation.partners[slug], body)
            case ["control", *_] if not self._may_control():
                self._answer(401, {"error": "the control token is needed"})
            case ["control", order] if order in ORDERS:
                self._carry_out(lambda: getattr(simulation, ORDERS[order])(_order(body)))
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
        fault = fault_answer(partner.faults, "application/json")
        if fault is not None:
            self._send_answer(fault)
            return
        try:
            partner.receive(body.decode("ascii", "replace"), self.server.simulation.clock.now())
        except MessageRefused as error:
            # RFC 8935, section 2.3
            self._answer(400, {"err": "authentication_failed", "description": str(error)})
            return
        if partner.faults.happens(Switch.HALF):
            self._send_answer(Answer(202, b'{"status": "taken"}', cut=True))
            return
        self._answer(202, None)

    def _ask(self, stranger: Stranger, path: str, query: Mapping[str, str], form: Mapping[str, str]) -> None:
        self._send_answer(stranger.answer(self.command, path, query, dict(self.headers), form))

    def _send_answer(self, said: Answer) -> None:
        if said.after_seconds:
            time.sleep(said.after_seconds)
        self._write(
            said.status,
            said.content_type,
            said.body[: len(said.body) // 2] if said.cut else said.body,
            headers={**said.headers, **({"Connection": "close"} if said.cut else {})},
            length=len(said.body),
        )
        self.close_connection = self.close_connection or said.cut

    def _faults_page(self, key: str) -> None:
        if not self._is_key(key):
            self._answer(401, {"error": "the page's own link, with its key, is needed"})
            return
        page = faults_page(self.server.simulation.faults(), key)
        self._write(200, "text/html; charset=utf-8", page.encode(), policy=FAULTS_PAGE_POLICY)

    def _turn_on_the_page(self, form: Mapping[str, str]) -> None:
        if not self._is_key(form.get("key", "")):
            self._answer(401, {"error": "the page's own link, with its key, is needed"})
            return
        order = f"{form.get('stranger')}:{form.get('switch')}={form.get('how')}"
        try:
            self.server.simulation.turn_fault({"order": order})
        except BadRequest as error:
            self._answer(error.status, {"error": str(error)})
            return
        self._write(303, "text/plain", b"", headers={"Location": f"/faults?key={quote(form['key'])}"})

    def _is_key(self, key: str) -> bool:
        return hmac.compare_digest(key.encode(), self.server.token.encode())

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
        policy: str = "default-src 'none'",
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Referrer-Policy", "no-referrer")
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


def _below(path: str, slug: str) -> str:
    """The path below a stranger's own address, as it was asked: parts of it may be quoted."""
    return path.removeprefix(f"/asked/{slug}") or "/"

"""A house whose operator added a bank, and the bank as a stranger on a real socket."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from whole_house import House, whole_app

from partner_bridge.sources import Source, add_source
from pod_server.identifiers import ClientId
from pod_server.lookups import Lookups
from pod_server.outbound import Outbound
from tvilling.city.households import citizens
from tvilling.city.simulators.asked import form_of
from tvilling.city.simulators.bank import Bank
from tvilling.city.simulators.sign_in_server import SignInServer
from tvilling.city.simulators.sources import City as Streets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient
    from hosts import City
    from werkzeug.test import TestResponse

    from pod_server.host import Host
    from pod_server.pods import NewPod

HTML = {"Accept": "text/html"}
SECRET = "the-banks-own-secret-word"


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _carry_out(self) -> None:
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        form = form_of(self.headers.get("Content-Type", ""), body)
        query = dict(parse_qsl(address.query))
        answer = self.server.stranger.answer(self.command, address.path, query, self.headers, form)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
        self.close_connection = True

    do_GET = do_POST = _carry_out  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening(stranger: Any) -> Iterator[str]:
    """A stranger's server; its origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Door)
    server.daemon_threads = True
    server.stranger = stranger
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Late:
    """Stands at the address before the one who answers there knows the address."""

    def answer(self, *asked: Any) -> Any:
        return self.stranger.answer(*asked)


@dataclass
class BankHouse:
    """The house, the bank, and Kari who has an account there."""

    house: House
    bank: Bank
    source: Source
    kari: NewPod
    browser: FlaskClient

    @property
    def host(self) -> Host:
        return self.house.host

    def leave(self, browser: FlaskClient | None = None) -> str:
        """Press Connect; the address that the page leads to."""
        browser = browser or self.browser
        page = browser.post("/-/sources/bank/connect", data={"csrf": self.house.form_token(browser)}, headers=HTML)
        assert page.status_code == 200, page.text
        return page.text.partition('class="ds-button" href="')[2].partition('"')[0].replace("&amp;", "&")

    def at_the_bank(self, address: str, *, answer: str = "yes", person: str = "kari") -> str:
        """Sign in there; path and query of the address that the bank sends the browser back to."""
        assert "Hvem er du?" in httpx.get(address).text
        sent = httpx.post(address, data={"person": person, "answer": answer})
        assert sent.status_code == 303, sent.text
        parts = urlsplit(sent.headers["Location"])
        return f"{parts.path}?{parts.query}"

    def connect(self) -> TestResponse:
        """The whole way there and back."""
        return self.browser.get(self.at_the_bank(self.leave()), headers=HTML)

    def press(self, verb: str) -> TestResponse:
        return self.browser.post(
            f"/-/sources/bank/{verb}", data={"csrf": self.house.form_token(self.browser)}, headers=HTML
        )

    def page(self) -> str:
        return self.browser.get("/-/sources", headers={**HTML, "Accept-Language": "en"}).text

    def pass_time(self, **by: float) -> None:
        self.house.city.clock.advance(timedelta(**by))


@contextmanager
def bank_at(host: Host, **settings: Any) -> Iterator[tuple[Host, Source, Callable[[Source], Bank]]]:
    """A host that may ask a bank, how it is to be added as a source, and what opens the bank once it was."""
    late = _Late()
    with listening(late) as origin:
        host = replace(host, outbound=Outbound(frozenset({origin})), lookups=Lookups())
        households = {each.handle: each for each in citizens()}
        source = Source(
            slug="bank",
            name="SpareBank 1 SMN",
            channel="oauth",
            connector="sparebank1",
            purpose="personal-footprint",
            client_id=ClientId(""),
            api=f"{origin}/personal/banking",
            oauth_client="tvilling",
            scopes=("accounts", "transactions"),
            parameters={"finInst": "fid-smn"},
            **{"issuer": origin, "secret": SECRET} | settings,
        )

        def now() -> datetime:
            return host.clock.now().astimezone(UTC)

        def opened(added: Source) -> Bank:
            sign_in = SignInServer(
                issuer=origin,
                name="Banken",
                client_id="tvilling",
                secret=SECRET,
                redirect_uri=added.redirect_uri(host),
                people=tuple(households),
                now=host.clock.protocol_now,
            )
            streets = Streets(20261123, now(), {})
            late.stranger = bank = Bank(now=now, sign_in=sign_in, households=households, city=streets)
            return bank

        yield host, source, opened


@contextmanager
def bank_house(city: City, **settings: Any) -> Iterator[BankHouse]:
    """Open it."""
    with bank_at(city.host, **settings) as (host, described, opened):
        source = add_source(host, described)
        bank = opened(source)
        house = House(city, host, whole_app(host))
        kari = city.citizen("kari")
        yield BankHouse(house, bank, source, kari, house.browser(kari))

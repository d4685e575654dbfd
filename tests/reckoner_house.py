"""A house whose operator added a calculation service, the service in this process, and Kari who paid for things."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from hosts import NOON
from twin_activities import payment
from twin_citizen import Citizen
from whole_house import House, whole_app

from partner_bridge import calculating
from partner_bridge.errors import SourceError, UnusablePayload
from partner_bridge.sources import Source, add_source
from pod_server import calculations, grants
from pod_server.identifiers import Actor, ClientId
from pod_server.lookups import Lookups
from pod_server.outbound import TIMEOUT_SECONDS, Outbound, OutboundFailed, Response
from tvilling.city.simulators.asked import form_of
from tvilling.city.simulators.reckoner import Reckoner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from hosts import City
    from werkzeug.test import TestResponse

    from partner_bridge.calculating import Kept, Preview
    from pod_server.host import Host

HTML = {"Accept": "text/html"}
SECRET = "the-word-of-the-house-there"
MONTH = "2026-10"
AT = "http://127.0.0.1:7"
BANK, CARD = "SpareBank 1 SMN", "Kortselskapet AS"


@dataclass(frozen=True)
class Wire(Outbound):
    """The way out, judged as ever; a judged request reaches the service in this process, as a socket would bring it."""

    service: Reckoner = field(default_factory=lambda: Reckoner(now=lambda: NOON))

    def _request(self, method: str, url: str, body: bytes, headers: dict[str, str], deadline: float) -> Response:
        del deadline
        self.judge(url)
        parts = urlsplit(url)
        form = form_of(headers.get("Content-Type", ""), body)
        said = self.service.answer(method, parts.path, dict(parse_qsl(parts.query)), headers, form)
        if said.cut or said.after_seconds > TIMEOUT_SECONDS:
            raise OutboundFailed("the other host's answer broke off")
        named = {name.lower(): value for name, value in said.headers.items()}
        return Response(said.status, named | {"content-type": said.content_type}, said.body, url)


@dataclass
class ReckonerHouse:
    """Kari, her bank's payments, and the service."""

    city: City
    host: Host
    kari: Citizen
    service: Reckoner
    source: Source

    @cached_property
    def house(self) -> House:
        return House(self.city, self.host, whole_app(self.host))

    @cached_property
    def browser(self) -> FlaskClient:
        return self.house.browser(self.kari.made)

    def preview(self, month: str = MONTH) -> Preview:
        return calculating.preview(self.host, self.kari.own(), self.source, month)

    def agree(self) -> str:
        return calculating.agree(self.host, self.kari.made.vault, self.source, notice=("1", "0" * 64)).id

    def send(self, month: str = MONTH, *, shown: str | None = None) -> Kept:
        digest = self.preview(month).digest if shown is None else shown
        return calculating.calculate(self.host, self.kari.own(), self.source, month, digest)

    def withdraw(self, grant: str) -> None:
        grants.withdraw(self.host, self.kari.pod_id, grant, actor=Actor("citizen"))

    def kept(self) -> list[Kept]:
        return [content for _, content in calculating.kept(self.host, self.kari.own())]

    def bodies(self) -> list[str]:
        """What the service was shown, of sums."""
        return [body for _, path, _, body in self.service.seen if path.endswith("/finance")]

    def page(self, query: str = "") -> str:
        return self.browser.get(f"/-/calculations{query}", headers={**HTML, "Accept-Language": "en"}).text

    def press(self, verb: str, **form: str) -> TestResponse:
        form |= {"csrf": self.house.form_token(self.browser)}
        return self.browser.post(f"/-/calculations/{verb}", data=form, headers={**HTML, "Accept-Language": "en"})

    def pass_time(self, **by: float) -> None:
        self.city.clock.advance(timedelta(**by))


def bought(record: str, day: int, kroner: float, group: str | None, /, **more: Any) -> dict[str, object]:
    """A payment of October."""
    at = NOON.replace(month=10, day=day)
    return payment(record, at, kroner, **({"spendClass": group} if group else {}), **more)


@contextmanager
def reckoner_house(city: City) -> Iterator[ReckonerHouse]:
    """Open it."""
    service = Reckoner(now=city.host.clock.now, client_id="tvilling", secret=SECRET)
    wire = Wire(frozenset({AT}), service=service)
    host = replace(city.host, outbound=wire, lookups=Lookups())
    source = add_source(
        host,
        Source(
            slug="ducky",
            name="Ducky",
            channel="calculation",
            connector="ducky",
            purpose="second-opinion",
            client_id=ClientId(""),
            api=f"{AT}/v3",
            token_endpoint=f"{AT}/oauth/token",
            oauth_client="tvilling",
            secret=SECRET,
        ),
    )
    city.host = host
    kari = Citizen(city, city.citizen("kari", household_size=1))
    kari.deliver(
        BANK,
        bought("boots", 3, 1249.0, "clothing", name="Skobutikken"),
        bought("coat", 9, 812.5, "clothing", name="Klesbutikken"),
        bought("dinner", 10, 437.0, "eating-out", name="Kafé Sentral"),
        bought("coffee", 11, 42.0, "books", name="Bokkafeen"),
        bought("food", 12, 983.2, None, name="REMA 1000"),
    )
    kari.deliver(CARD, bought("lamp", 20, 1960.0, "furniture"))
    yield ReckonerHouse(city, host, kari, service, source)


class CalculationRig:
    """The service among the channels (test_fault_switches.py): one month, sent at a press."""

    def __init__(self, opened: ReckonerHouse) -> None:
        self.opened, self.faults = opened, opened.service.faults
        opened.agree()

    def move(self) -> str:
        """A press; a word for what stood in the way."""
        try:
            self.opened.send()
        except UnusablePayload:
            return "unusable"
        except SourceError as error:
            return error.problem
        return ""

    def recover(self) -> None:
        self.opened.pass_time(minutes=1)

    def assert_nothing_lost_and_nothing_twice(self) -> None:
        (kept,) = self.opened.kept()
        assert [line.estimateOf.amount for line in kept.lines] == [2100, 400, 2000]

    def forget(self) -> None:
        with self.opened.host.storage.write() as tx:
            for each, _ in calculating.kept(self.opened.host, self.opened.kari.own()):
                calculations.drop(tx, self.opened.kari.own(), each.calculation_id)

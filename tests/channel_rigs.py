"""One rig a channel: a stranger with its switches at one end, Kari's pod at the other, and the truth between them.

A rig moves what is new with `move()`, which says the word of what stood in the way, or nothing; `recover()` makes well what
waiting or a citizen's or partner's own act makes well. `truth()` is what the household did, `pod()` what the pod holds.
"""

from __future__ import annotations

import io
import json
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from bank_house import HTML, bank_house, listening
from joserfc.jwk import ECKey
from reckoner_house import CalculationRig, reckoner_house
from whole_house import House, whole_app

from consent.grant import GrantTerms
from partner_bridge import pulling
from partner_bridge.channels.han_agent import ConsentEnded, Drain, HanReader, MinuteQueue
from partner_bridge.channels.watched_folder import WatchedFolder
from partner_bridge.outbox import send_waiting
from partner_bridge.sources import Source, add_source
from pod_server import activities, grants, outbox
from pod_server.authorization.enforcement import require_owner
from pod_server.identifiers import Actor, ClientId
from pod_server.opening import open_pod
from pod_server.outbound import Outbound
from pod_server.partners import add_partner
from pod_server.signing_keys import rotate
from tvilling.city.electricity import kwh_of_hours, watts_at
from tvilling.city.households import citizens
from tvilling.city.simulators.door import Server
from tvilling.city.simulators.faults import Faults
from tvilling.city.simulators.files import elhub_csv
from tvilling.city.simulators.han_port import frames_between
from tvilling.city.simulators.meter_reader import MeterReader
from tvilling.city.simulators.oauth_client import OAuthClient
from tvilling.city.simulators.partner import Customer, Partner
from tvilling.city.simulators.sources import SOURCES, City, meter_number
from tvilling.city.simulators.watches import Watches, epochs_between

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20261123
KARI = citizens()[0]
CITIZEN = Actor("citizen")
SECRET = "a-word-that-two-parties-share"
AUTUMN = datetime(2027, 10, 31, 12, tzinfo=UTC)
"""Noon of a day on which an hour comes twice; after the hosts of tests begin, since proofs from before are refused."""


class AppTransport(httpx.BaseTransport):
    """To an application in this process, as a socket would bring it: a body that is cut off keeps its announced length."""

    def __init__(self, app: Any) -> None:
        self.client = app.test_client()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body, cut = b"", False
        try:
            for piece in request.stream:
                body += piece
        except httpx.WriteError:
            cut = True
        answer = self.client.open(
            request.url.raw_path.decode(),
            base_url=str(request.url.copy_with(raw_path=b"/")),
            method=request.method,
            headers=[(name, value) for name, value in request.headers.items() if name != "content-length"],
            input_stream=io.BytesIO(body),
            content_length=int(request.headers.get("content-length", len(body))),
        )
        if cut:
            raise httpx.WriteError("hung up")
        return httpx.Response(answer.status_code, headers=list(answer.headers.items()), content=answer.data)


class Rig:
    """What all rigs share."""

    faults: Faults
    house: House
    kari: Any
    problem = ""

    @property
    def host(self) -> Any:
        return self.house.host

    def pod(self) -> dict[str, float]:
        """What the pod holds: the times and quantities of its records; two of one time would show as fewer than `count`."""
        return {json.loads(raw)["start"]: json.loads(raw)["quantity"] for raw in self.raws()}

    def raws(self) -> list[bytes]:
        own = open_pod(self.host, require_owner(self.kari.vault), vault=self.kari.vault)
        return [each.raw for each in activities.read_activities(self.host, own)]

    def pass_time(self, **by: float) -> None:
        self.house.city.clock.advance(timedelta(**by))

    def now(self) -> datetime:
        return self.host.clock.now().astimezone(UTC)

    def assert_nothing_lost_and_nothing_twice(self) -> None:
        truth = self.truth()
        assert truth
        held = self.pod()
        assert len(self.raws()) == len(held), "two records of one time"
        assert held.keys() == truth.keys()
        for start, quantity in truth.items():
            assert abs(held[start] - quantity) <= 1e-5 + 1e-3 * abs(quantity), start

    def truth(self) -> dict[str, float]:
        raise NotImplementedError

    def move(self) -> str:
        raise NotImplementedError

    def recover(self) -> None:
        """By itself: time passes."""
        self.pass_time(minutes=10)

    def end_consent(self) -> None:
        for view in grants.list_grants(self.host, self.kari.pod_id):
            grants.withdraw(self.host, self.kari.pod_id, view.grant.id, actor=CITIZEN)


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


class PushRig(Rig):
    """TrønderEnergi, which pushes the hours of a day at three in the morning."""

    def __init__(self, city: Any) -> None:
        city.clock.advance(AUTUMN + timedelta(days=3) - city.clock.at)
        self.house = House(city, city.host, whole_app(city.host))
        self.kari = city.citizen("kari")
        self.faults = Faults("tronderenergi", SEED)
        self.client, grant = stranger(self.house, self.kari, "TrønderEnergi", "PT1H")
        self.began = self.now() - timedelta(days=4)
        self.partner = Partner(
            "TrønderEnergi",
            SOURCES["tronderenergi"],
            self.client,
            City(SEED, self.began, {}),
            {"kari": KARI},
            faults=self.faults,
        )
        self.partner.customers["kari"] = Customer(grant, cursor=self.began)

    def move(self) -> str:
        before = len(self.partner.deliveries)
        self.partner.deliver_due(["kari"], self.now())
        told = list(self.partner.deliveries)[: len(self.partner.deliveries) - before]
        return next((word_of(each["problem"]) for each in told if each["problem"]), "")

    def truth(self) -> dict[str, float]:
        return {
            value["startTime"].replace("+00:00", "Z"): value["value"]
            for payload in SOURCES["tronderenergi"].payloads(City(SEED, self.began, {}), KARI, self.began, self.now())
            for value in payload.content["meteringpoints"][0]["metervalue"]["timeSeries"]
        }


def word_of(problem: Any) -> str:
    return (
        str(problem.get("type") or problem.get("detail") or problem.get("title")).rpartition("/")[2] if problem else ""
    )


def stranger(house: House, kari: Any, name: str, granularity: str) -> tuple[OAuthClient, str]:
    """A partner's client at the house in this process, and Kari's consent to it."""
    key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
    made = add_partner(house.host, name=name, jwks={"keys": [key.as_dict(private=False)]})
    client = OAuthClient(house.host.base_url, made.client_id, key, "", house.host.clock.protocol_now)
    client._http = httpx.Client(transport=AppTransport(house.app))
    now = house.host.clock.now()
    terms = GrantTerms(
        client_id=made.client_id,
        purpose="verify-meter",
        kinds=frozenset({"electricity-reading"}),
        operations=frozenset({"append"}),
        granularity=granularity,
        history_from=now - timedelta(days=400),
        expires_at=now + timedelta(days=90),
    )
    return client, grants.give(house.host, kari.pod_id, terms, actor=CITIZEN).id


class PullRig(Rig):
    """Kari's watch, whose maker is asked by OAuth; with `webhook`, it calls as well."""

    def __init__(self, opened: Any, webhook: str = "") -> None:
        self.opened, self.house, self.kari = opened, opened.house, opened.kari
        self.faults = Faults("garmin", SEED)
        self.house.host = replace(opened.host, lookups=opened.host.lookups)
        self.api = opened.source.api.replace("/personal/banking", "/wellness-api")
        self.watches = Watches(
            now=self.now, sign_in=opened.bank.sign_in, faults=self.faults, households={"kari": KARI}, seed=SEED,
            address="/bridge/webhooks/bank" if webhook else "", own_address=self.api,
            secret=SECRET if webhook == "signed" else "", post=self.call,
        )  # fmt: skip
        opened.bank.answer = self.watches.answer
        opened.source = add_source(
            opened.host,
            replace(
                opened.source, connector="garmin", api=self.api, webhook=webhook, webhook_secret=SECRET, parameters={}
            ),
        )
        opened.connect()
        self.browser = opened.house.app.test_client()
        self.first = self.now() - timedelta(days=7)
        self.statuses: list[int] = []
        self.move()

    @property
    def host(self) -> Any:
        return self.opened.host

    def call(self, address: str, headers: Any, body: bytes) -> int:
        self.statuses.append(self.browser.post(address, data=body, headers=dict(headers)).status_code)
        return self.statuses[-1]

    def move(self) -> str:
        done = pulling.pull_due(self.host)
        return done[0].problem if done else "waits"

    def truth(self) -> dict[str, float]:
        return {
            iso(datetime.fromtimestamp(each["startTimeInSeconds"], UTC)): each["steps"]
            for each in epochs_between(KARI, self.first - timedelta(minutes=15), self.now(), SEED)
            if each["steps"] and each["startTimeInSeconds"] + 900 > self.first.timestamp()
        }

    def recover(self) -> None:
        self.pass_time(hours=7)

    def sign_in_again(self) -> None:
        self.opened.connect()


class CallRig(PullRig):
    """The same with calls: signed ones, or pings that make the house ask."""

    def __init__(self, opened: Any, webhook: str) -> None:
        super().__init__(opened, webhook)
        self.signed = webhook == "signed"
        self.pass_time(hours=1)
        self.watches.call()
        self.statuses.clear()

    def walk(self) -> None:
        self.pass_time(hours=1)

    def move(self) -> str:
        if not hasattr(self, "signed"):
            return super().move()
        self.watches.call()
        if not self.signed:
            return super().move()
        return "" if not self.statuses or self.statuses[-1] == 204 else str(self.statuses[-1])

    def recover(self) -> None:
        self.pass_time(minutes=20)


class TokenRig(Rig):
    """Oss.no, which is asked with a token that Kari copied."""

    def __init__(self, city: Any, origin: str, late: Any) -> None:
        city.clock.advance(AUTUMN - timedelta(hours=18) - city.clock.at)
        self.faults = Faults("oss-pull", SEED)
        host = replace(city.host, outbound=Outbound(frozenset({origin})))
        self.house = House(city, host, whole_app(host))
        self.streets = City(SEED, self.now(), {})
        late.stranger = self.reader = MeterReader(
            now=self.now, faults=self.faults, city=self.streets, people={"kari": KARI}, tokens={"token-1": KARI}
        )
        add_source(host, Source("oss", "Oss.no", "token", "oss", "live-electricity", ClientId(""), f"{origin}/api"))
        self.kari = city.citizen("kari")
        self.browser = self.house.browser(self.kari)
        self.first = self.now() - timedelta(days=1)
        self.paste("token-1")
        self.move()

    def paste(self, token: str) -> None:
        form = {"csrf": self.house.form_token(self.browser), "token": token}
        assert self.browser.post("/-/sources/oss/connect", data=form, headers=HTML).status_code == 303

    def sign_in_again(self) -> None:
        self.reader.tokens["token-2"] = KARI
        self.paste("token-2")

    def move(self) -> str:
        done = pulling.pull_due(self.host)
        return done[0].problem if done else "waits"

    def truth(self) -> dict[str, float]:
        minutes = int((self.now() - self.first) / timedelta(minutes=1))
        times = [self.first + timedelta(minutes=number) for number in range(minutes)]
        return {iso(at): watts_at(KARI, at, SEED, {}) / 60_000 for at in times}

    def recover(self) -> None:
        self.pass_time(hours=7)


class FileRig(Rig):
    """Elhub's file, dropped into a watched folder."""

    def __init__(self, city: Any, folder: Any) -> None:
        self.house = House(city, city.host, whole_app(city.host))
        self.kari = city.citizen("kari")
        self.folder = folder
        folder.mkdir()
        self.watched = WatchedFolder(folder)
        self.content = elhub_csv(City(SEED, self.now(), {}), KARI)
        self.seconds = 0.0
        self.number = 0
        self.last: Any = None

    def drop(self, content: bytes, name: str = "") -> str:
        self.number += 1
        (self.folder / (name or f"{self.number}.csv")).write_bytes(content)
        for _ in range(2):
            self.seconds += 3.0
            for taken in self.watched.look(self.host, "kari", "elhub-csv", self.seconds):
                self.last = taken
                return word_of(self.last.report.problems[0]) if self.last.report.problems else ""
        return "left alone"

    def truth(self) -> dict[str, float]:
        days = [datetime(2024, 10, day, tzinfo=UTC).date() for day in range(20, 32)]
        return {iso(hour): kwh for day in days for hour, kwh in kwh_of_hours(KARI, day, SEED, {})}


class MeterRig(Rig):
    """The program at the meter: frames in, minutes out, under the consent."""

    def __init__(self, city: Any, folder: Any) -> None:
        city.clock.advance(AUTUMN - city.clock.at)
        self.house = House(city, city.host, whole_app(city.host))
        self.kari = city.citizen("kari")
        self.faults = Faults("han", SEED)
        self.client, self.grant = stranger(self.house, self.kari, "Målerleseren", "PT1M")
        self.reader = HanReader(meter_number(KARI))
        self.queue = MinuteQueue(folder / "q.sqlite")
        self.status = 0
        self.drain = Drain(self.queue, self.grant, self.deliver)
        self.first = self.now() - timedelta(hours=1)
        self.read_to = self.first

    def deliver(self, items: list[dict[str, Any]]) -> Any:
        if self.status:
            return type(
                "Answer", (), {"http_status": self.status, "answers": (), "problem": {"type": f"/{self.status}"}}
            )
        return self.client.deliver("/bridge/connectors/han", items)

    def listen(self, minutes: int = 5, spoil: Any = None) -> None:
        """Hear so many minutes of the line."""
        streets = City(SEED, self.now(), {})
        for _ in range(minutes):
            until = self.read_to + timedelta(seconds=59)
            for number, each in enumerate(frames_between(KARI, streets, self.read_to, until, self.faults)):
                self.queue.put(self.reader.line(each if spoil is None else spoil(number, each), self.read_to))
            self.read_to += timedelta(minutes=1)
        self.queue.put(self.reader.close(self.read_to))

    def move(self) -> str:
        try:
            self.drain.once()
        except ConsentEnded as end:
            return str(end)
        return self.drain.last_problem or ("no-answer" if self.drain.failures else "")

    def truth(self) -> dict[str, float]:
        minutes = int((self.read_to - self.first) / timedelta(minutes=1))
        times = [self.first + timedelta(minutes=number) for number in range(minutes)]
        return {iso(at): round(watts_at(KARI, at, SEED, {})) / 60_000 for at in times}


class OutboxRig(Rig):
    """Messages to a partner, at its own door on a real socket."""

    def __init__(self, city: Any, server: Server) -> None:
        origin = f"http://127.0.0.1:{server.server_port}"
        host = replace(city.host, outbound=Outbound(frozenset({origin})))
        self.house = House(city, host, whole_app(host))
        self.kari = city.citizen("kari")
        self.faults = Faults("atb", SEED)
        key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
        self.made = add_partner(
            host, name="AtB", jwks={"keys": [key.as_dict(private=False)]}, webhook=f"{origin}/partners/atb/webhook"
        )
        client = OAuthClient(host.base_url, self.made.client_id, key, "", host.clock.protocol_now)
        client._http = httpx.Client(transport=AppTransport(self.house.app))
        self.partner = Partner("AtB", SOURCES["atb"], client, City(SEED, self.now(), {}), {}, faults=self.faults)
        server.simulation = type(
            "Partners", (), {"partners": {"atb": self.partner}, "asked": {}, "clock": host.clock}
        )()
        self.put = 0

    def say(self) -> None:
        self.put += 1
        with self.host.storage.write() as tx:
            outbox.enqueue(
                self.host, tx, pod_id=None, client_id=self.made.client_id, kind="breach-notice",
                body={"number": self.put}, idempotency_key=f"k{self.put}",
            )  # fmt: skip

    def move(self) -> str:
        send_waiting(self.host)
        with self.host.storage.read() as tx:
            waiting = outbox.first_waiting(tx)
        return waiting[0].last_answer if waiting else ""

    def recover(self) -> None:
        self.pass_time(minutes=2)

    def rotate(self) -> None:
        rotate(self.host, at_once=True)

    def assert_nothing_lost_and_nothing_twice(self) -> None:
        assert [each["kind"] for each in self.partner.notices] == ["breach-notice"] * self.put
        assert len({each["id"] for each in self.partner.notices}) == self.put
        with self.host.storage.read() as tx:
            assert {each.state for each in outbox.messages(tx, client_id=self.made.client_id)} == {"delivered"}


class _Late:
    def answer(self, *asked: Any) -> Any:
        return self.stranger.answer(*asked)


@contextmanager
def rig_of(channel: str, city: Any, folder: Any) -> Iterator[Any]:
    """The rig of a channel."""
    with ExitStack() as stack:
        match channel:
            case "push":
                yield PushRig(city)
            case "oauth pull":
                yield PullRig(stack.enter_context(bank_house(city)))
            case "token pull":
                late = _Late()
                yield TokenRig(city, stack.enter_context(listening(late)), late)
            case "signed call" | "ping":
                yield CallRig(stack.enter_context(bank_house(city)), "signed" if channel == "signed call" else "ping")
            case "file":
                yield FileRig(city, folder / "drop")
            case "meter":
                yield MeterRig(city, folder)
            case "calculation":
                yield CalculationRig(stack.enter_context(reckoner_house(city)))
            case "message":
                server = Server(("127.0.0.1", 0), None, "token")  # type: ignore[arg-type] - given by the rig
                thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
                thread.start()
                try:
                    yield OutboxRig(city, server)
                finally:
                    server.shutdown()
                    server.server_close()
                    thread.join()

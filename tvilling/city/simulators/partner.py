"""One partner at work: its customers' consents, what it delivered and how that was answered, what it was told."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tvilling.city import groceries, trips
from tvilling.city.electricity import LOCAL, local_midnight
from tvilling.city.households import Household
from tvilling.city.simulators.asked import SKEWED_BY, on_the_walls_clock
from tvilling.city.simulators.faults import Faults, Switch
from tvilling.city.simulators.messages import Message, MessageRefused, read_claim, read_message
from tvilling.city.simulators.oauth_client import Delivered, Given, OAuthClient, lines
from tvilling.city.simulators.sources import City, Payload, Source, minute_power

BATCH_ACTIVITIES = 1500
SHOWN = 30
_CAME_BACK = frozenset({"consent-given", "consent-resumed", "consent-renewed"})
_ENDS = frozenset({"consent-withdrawn", "consent-expired", "consent-erased", "consent-refused"})


@dataclass
class Customer:
    """One of the partner's customers who was asked.

    Attributes:
        grant: The consent.
        subject: The name the house knows the customer by, to this partner.
        refresh_token: Of the consent; empty where it came by other ways.
        cursor: Everything due until then has been delivered (city's time).
        standing: False once the partner knows that it may not deliver.
        accepted: How many records it was told are stored.
    """

    grant: str
    subject: str = ""
    refresh_token: str = ""
    cursor: datetime | None = None
    standing: bool = True
    accepted: int = 0

    def to_json(self) -> dict[str, Any]:
        """For the state file."""
        return {**asdict(self), "cursor": self.cursor.isoformat() if self.cursor else None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Customer:
        """From the state file."""
        cursor = datetime.fromisoformat(value["cursor"]) if value["cursor"] else None
        return cls(**{**value, "cursor": cursor})


@dataclass
class Counts:
    """What was offered and what became of it, as the client saw it."""

    offered: int = 0
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0

    def add(self, other: Counts) -> None:
        """Add another count to this one."""
        self.offered += other.offered
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.refused += other.refused


@dataclass
class Partner:
    """One partner of the demonstration.

    Attributes:
        faults: What goes wrong at it (docs/faults.md).
        deliverer: The client of the integrator that delivers in its name; None where it comes itself.
    """

    name: str
    source: Source
    client: OAuthClient
    city: City
    households: Mapping[str, Household]
    customers: dict[str, Customer] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    deliveries: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=SHOWN))
    notices: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=SHOWN))
    claims: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, None] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    deliverer: OAuthClient | None = None
    _was_late: bool = False
    _guard: threading.RLock = field(default_factory=threading.RLock)
    _busy: threading.Lock = field(default_factory=threading.Lock)
    _issuer_keys: dict[str, Any] = field(default_factory=dict)

    # Consent

    def ask(self, handle: str, now: datetime) -> str:
        """Ask for the customer's consent; where to send their browser.

        Raises:
            JourneyFailed: the house refused the question.
        """
        return self.client.ask(handle, self.source.wishes(self.client.base_url, now))

    def come_back(self, query: Mapping[str, str]) -> Given:
        """The browser's return with the citizen's answer.

        Raises:
            JourneyFailed: it was no, or is no answer to a question of ours.
        """
        given = self.client.come_back(query)
        with self._guard:
            earlier = self.customers.get(given.handle)
            self.customers[given.handle] = Customer(
                given.grant, given.subject, given.refresh_token, cursor=None if earlier is None else earlier.cursor
            )
        return given

    # Delivering

    def settle(self) -> None:
        """Wait until the delivery that runs, if any, is answered."""
        with self._busy:
            return

    def deliver_due(self, handles: Iterable[str], until: datetime) -> Counts:
        """Deliver everything that fell due for these customers since the last time, in batches."""
        total = Counts()
        if self.faults.stands(Switch.LATE):
            self._was_late = True
            return total
        with self._busy:  # one after the other: a cursor moves once
            batch: list[tuple[str, Payload]] = []
            size = 0
            covered: list[str] = []
            for handle in handles:
                customer = self.customers.get(handle)
                if customer is None or handle not in self.households or self.source.agent:
                    continue
                if not customer.standing and not self.faults.happens(Switch.EXPIRED):
                    continue
                due = self._due(self.households[handle], customer, until)
                for payload in reversed(list(due)) if self._was_late else due:
                    batch.append((handle, payload))
                    size += payload.activities
                    if size >= BATCH_ACTIVITIES:
                        if not self._send(batch, total):
                            return total
                        batch, size = [], 0
                covered.append(handle)
            if batch and not self._send(batch, total):
                return total
            with self._guard:
                for handle in covered:
                    self.customers[handle].cursor = until
            self._was_late = False
        return total

    def deliver_one(self, handle: str, payload: Payload, what: str, now: datetime) -> Delivered:
        """Deliver one payload at once, with the consent's own token while that is fresh."""
        customer = self.customers[handle]
        own = customer.grant if self.client.has_token(customer.grant) or self._may_refresh(customer) else None
        items = [{"grant": customer.grant, "payload": payload.content}]
        if self.deliverer is not None:
            delivered = self.deliverer.deliver(self._path, items)
        else:
            delivered = self.client.deliver(self._path, items, grant=own, refresh_token=customer.refresh_token)
        self._note(delivered, payload.activities, handle, what, now)
        customer.accepted += delivered.count("accepted")
        return delivered

    def latest(self, handle: str, now: datetime) -> Payload:
        """One more delivery of the partner's own kind, as it would be made now."""
        household = self.households[handle]
        if self.source.slug == "oss":
            return list(minute_power(self.city, household, now - timedelta(minutes=1), now))[-1]
        if self.source.slug == "rema1000":
            return self.purchase(handle, now)
        if self.source.slug == "atb":
            return self.ride(handle, now)
        found = list(self.source.payloads(self.city, household, now - timedelta(days=32), now))
        return found[-1]

    def purchase(self, handle: str, now: datetime) -> Payload:
        """400 g of minced beef, bought now; the bank sees it too."""
        rows = [groceries.row(groceries.MINCED_BEEF, 1)]
        receipt = groceries.receipt(self.households[handle], now, rows)
        self.city.bought.setdefault(handle, []).append(receipt)
        return Payload(now, receipt, 1)

    def ride(self, handle: str, now: datetime) -> Payload:
        """A single ticket, activated now; the bank sees it too."""
        self.city.rides.setdefault(handle, []).append(now)
        number = f"{now.astimezone(LOCAL):%Y%m%d-%H%M%S%f}"
        outward = now.astimezone(LOCAL).hour < 14
        return Payload(now, trips.contract(self.households[handle], now, number, outward=outward), 1)

    def _may_refresh(self, customer: Customer) -> bool:
        return bool(customer.refresh_token) and customer.standing

    @property
    def _path(self) -> str:
        return f"/bridge/connectors/{self.source.connector}"

    def _due(self, household: Household, customer: Customer, until: datetime) -> Iterator[Payload]:
        after = customer.cursor or self._history_begins(household)
        return self.source.payloads(self.city, household, after, until)

    def _history_begins(self, household: Household) -> datetime:
        began = self.city.began.astimezone(LOCAL).date()
        if household.simulated:
            first = (began.replace(day=1) - timedelta(days=1)).replace(day=1)
            return local_midnight(first) - timedelta(microseconds=1)
        return local_midnight(began - self.source.history) - timedelta(microseconds=1)

    def _send(self, batch: list[tuple[str, Payload]], total: Counts) -> bool:
        """One request; False where it did not arrive, so that it is sent again another time."""
        told = on_the_walls_clock if self.faults.stands(Switch.DST) else lambda content: content
        items = [{"grant": self.customers[handle].grant, "payload": told(payload.content)} for handle, payload in batch]
        offered = sum(payload.activities for _, payload in batch)
        sender = self.deliverer or self.client
        sender.skew = SKEWED_BY if self.faults.stands(Switch.SKEW) else timedelta(0)
        sender.use_another_key(self.faults.stands(Switch.ROTATION))
        if self.faults.happens(Switch.HALF):
            sender.deliver_half(self._path, items)
        if self.faults.happens(Switch.NONSENSE):
            sender.deliver_body(self._path, lines(items)[:-20])
        delivered = sender.deliver(self._path, items)
        if self.faults.happens(Switch.REPLAY):
            sender.replay()
        if self.faults.happens(Switch.DUPLICATES):
            total.add(self._note(sender.deliver(self._path, items), offered, "igjen", "bulk", batch[-1][1].due))
        handles = {handle for handle, _ in batch}
        who = handles.pop() if len(handles) == 1 else f"{len(handles)} kunder"
        total.add(self._note(delivered, offered, who, "bulk" if len(batch) > 1 else "live", batch[-1][1].due))
        if delivered.http_status != 200:
            return False
        for answer in delivered.answers:
            if answer["status"] == "accepted":
                self.customers[batch[answer["payload"]][0]].accepted += 1
            problem = answer.get("problem")
            if problem and problem["type"].rpartition("/")[2] in _ENDS:
                self.customers[batch[answer["payload"]][0]].standing = False
        return True

    def _note(self, delivered: Delivered, offered: int, who: str, what: str, at: datetime) -> Counts:
        answered = delivered.http_status == 200
        counts = Counts(
            len(delivered.answers) if answered else offered,
            delivered.count("accepted"),
            delivered.count("duplicate"),
            delivered.count("refused") if answered else offered,
        )
        with self._guard:
            self.counts.add(counts)
            self.deliveries.appendleft(
                {
                    "at": at.isoformat(),
                    "what": what,
                    "handle": who,
                    "http_status": delivered.http_status,
                    "accepted": counts.accepted,
                    "duplicates": counts.duplicates,
                    "refused": counts.refused,
                    "problem": delivered.problem,
                    "ms": round(delivered.ms, 1),
                    "receipt": delivered.receipt,
                }
            )
        return counts

    # Being told

    def receive(self, token: str, now: datetime) -> Message:
        """Take a message in, once.

        Raises:
            MessageRefused: it is not the house's, or not for us, or the claim in it does not hold.
        """
        message = self._checked(token)
        with self._guard:
            if message.id in self.seen:
                return message
        claim: dict[str, Any] | None = None
        if message.kind == "claim":
            credential = str(message.body.get("credential", ""))
            issuer = self.client.base_url
            shown = read_claim(credential, self._keys(), issuer=issuer, now=now)
            if shown.get("aud") not in {None, self.client.client_id}:
                raise MessageRefused("the claim is for somebody else")
            claim = {"programme": message.body.get("programme"), "claims": shown}
        with self._guard:
            if message.id in self.seen:
                return message
            self.seen[message.id] = None
            note = {"at": now.isoformat(), "id": message.id, "kind": message.kind, "grant": message.body.get("grant")}
            self.notices.appendleft(note)
            if claim is not None:
                self.claims.append({"at": now.isoformat(), "id": message.id, "verified": True, **claim})
            for customer in self.customers.values():
                if customer.grant == message.body.get("grant"):
                    if message.kind in _ENDS or message.kind == "consent-paused":
                        customer.standing = False
                    elif message.kind in _CAME_BACK:
                        customer.standing = True
        return message

    def _checked(self, token: str) -> Message:
        expected = {"issuer": self.client.base_url, "audience": self.client.client_id}
        try:
            return read_message(token, self._keys(), **expected)
        except MessageRefused:
            self._issuer_keys = {}  # perhaps the issuer has a new key
            return read_message(token, self._keys(), **expected)

    def _keys(self) -> dict[str, Any]:
        if not self._issuer_keys:
            self._issuer_keys = self.client.issuer_keys()
        return self._issuer_keys

    # For the demonstration's pages

    def pane(self, handle: str | None) -> dict[str, Any]:
        """The partner's own view of its dealings."""
        with self._guard:
            customer = self.customers.get(handle) if handle else None
            return {
                "partner": self.source.slug,
                "name": self.name,
                "grant": customer.grant if customer else None,
                "standing": customer.standing if customer else None,
                "deliveries": list(self.deliveries),
                "notices": list(self.notices),
                "claims": list(self.claims),
            }

    # Kept between two starts

    def to_json(self) -> dict[str, Any]:
        """For the state file."""
        with self._guard:
            return {
                "customers": {handle: customer.to_json() for handle, customer in self.customers.items()},
                "counts": asdict(self.counts),
                "claims": list(self.claims),
                "seen": list(self.seen)[-1000:],
            }

    def take_up(self, value: Mapping[str, Any]) -> None:
        """From the state file."""
        self.customers = {handle: Customer.from_json(each) for handle, each in value["customers"].items()}
        self.counts = Counts(**value["counts"])
        self.claims = list(value["claims"])
        self.seen = dict.fromkeys(value["seen"])

"""What all strangers share who are asked for data, or call: a log-in, what goes wrong there, and what they told whom.

Each of them is a file beside this one (`bank.py`, `watches.py`, `meter_reader.py`) and knows its own addresses and format; the
register that joins them to the city is `register.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from tvilling.city.electricity import LOCAL
from tvilling.city.simulators.faults import Faults, Switch
from tvilling.city.simulators.sign_in_server import Answer, SignInServer, json_answer

BUSY_SECONDS = 30
SKEWED_BY = timedelta(minutes=10)
Held = tuple[datetime, datetime | None]
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)\Z")


@dataclass
class Stranger:
    """One stranger with an interface.

    Attributes:
        now: The city's time.
        sign_in: Its authorization server; None where it has none.
        faults: What goes wrong there.
        asked: Every address that was asked, for who wants to count.
        told: By customer: the name of each record that was told in a whole answer.
        calls: How many of its calls the house took.
        fetched: The pings whose address the house then fetched.
    """

    now: Callable[[], datetime]
    sign_in: SignInServer | None = None
    faults: Faults = field(default_factory=Faults)
    asked: list[str] = field(default_factory=list)
    told: dict[str, set[Hashable]] = field(default_factory=dict)
    calls: int = 0
    fetched: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.sign_in is not None:
            self.sign_in.ahead = self._ahead
            self.sign_in.ill = lambda: fault_answer(self.faults, self.content_type)

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        """One request below its address."""
        self.asked.append(f"{method} {path}")
        authorization = headers.get("Authorization", "")
        if self.sign_in is not None and (said := self.sign_in.answer(method, path, query, form, authorization)):
            return said
        if self.faults.happens(Switch.ROTATION):
            self.end_access()
        if self.faults.happens(Switch.EXPIRED):
            self.end_everything()
        if fault := fault_answer(self.faults, self.content_type):
            return fault
        said = self.tell(method, path, query, headers, form)
        if said.status == 200 and said.body and self.faults.happens(Switch.HALF):
            return Answer(200, said.body, said.content_type, cut=True)
        if said.told_to:
            self.told.setdefault(said.told_to, set()).update(said.records)
        return said

    content_type = "application/json"

    def tell(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        """What this one says at its own addresses."""
        del method, path, query, headers, form
        return json_answer(404, {"error": "no such address"})

    def person_of(self, headers: Mapping[str, str]) -> str | None:
        """Whose token a request shows."""
        return None if self.sign_in is None else self.sign_in.person_of(headers.get("Authorization", ""))

    def end_access(self) -> None:
        """End every access token, as after a rotation of keys."""
        if self.sign_in is not None:
            self.sign_in.end_access()

    def end_everything(self) -> None:
        """End every yes, as after 180 days."""
        if self.sign_in is not None:
            self.sign_in.end_everything()

    def connected(self) -> int:
        """By how many of its customers it is connected."""
        return 0 if self.sign_in is None else self.sign_in.living()

    def served(self) -> dict[str, int]:
        """How many records each customer's askers were told in whole answers, each counted once."""
        return {person: len(names) for person, names in list(self.told.items())}

    def call(self) -> None:
        """Tell the house what is new, for those who call; others have nothing to do."""

    def clock(self) -> datetime:
        """The city's time, as this one's clock has it."""
        return self.now() + self._ahead()

    def _ahead(self) -> timedelta:
        return SKEWED_BY if self.faults.stands(Switch.SKEW) else timedelta(0)

    def held(self) -> Held | None:
        """From when to when it held back what was new, the last time it was late; no end while it is."""
        if self.faults.stands(Switch.LATE):
            if self._held is None or self._held[1] is not None:
                self._held = (self.now(), None)
        elif self._held is not None and self._held[1] is None:
            self._held = (self._held[0], self.now())
        return self._held

    def newest(self) -> datetime:
        """Up to when it tells."""
        held = self.held()
        return held[0] if held is not None and held[1] is None else self.now()

    _held: Held | None = None

    # Kept between two starts

    def to_json(self) -> dict[str, Any]:
        """For the state file."""
        return {"sign_in": [] if self.sign_in is None else self.sign_in.to_json()}

    def take_up(self, state: Mapping[str, Any]) -> None:
        """From the state file."""
        if self.sign_in is not None:
            self.sign_in.take_up(state["sign_in"])


def form_of(content_type: str, body: bytes) -> dict[str, str]:
    """A request's form; a JSON body stands in it whole, under `json`."""
    text = body.decode("utf-8", "replace")
    return {"json": text} if content_type.startswith("application/json") else dict(parse_qsl(text))


def fault_answer(faults: Faults, content_type: str) -> Answer | None:
    """The answer of one who is overloaded, ill or confused; None where nothing is wrong."""
    if faults.happens(Switch.BUSY):
        return json_answer(429, {"errors": ["too many requests"]}, **{"Retry-After": str(BUSY_SECONDS)})
    if faults.happens(Switch.ILL):
        return Answer(500, b"<h1>Internal server error</h1>", "text/html")
    if faults.happens(Switch.NONSENSE):
        return Answer(200, b'{"transactions": [', content_type)
    return None


def on_the_walls_clock(content: Any) -> Any:
    """The same content with its times on the wall's clock, offset and all: 02:30+02:00, and an hour later 02:30+01:00."""
    match content:
        case str() if _INSTANT.match(content):
            return datetime.fromisoformat(content).astimezone(UTC).astimezone(LOCAL).isoformat()
        case list():
            return [on_the_walls_clock(each) for each in content]
        case dict():
            return {name: on_the_walls_clock(value) for name, value in content.items()}
    return content


def as_json(content: object, faults: Faults) -> bytes:
    """Content as this stranger writes it."""
    return json.dumps(on_the_walls_clock(content) if faults.stands(Switch.DST) else content).encode()

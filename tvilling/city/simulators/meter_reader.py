"""Oss.no's interface as the city has it: minutes of power behind a token that a citizen copies from its pages.

The real one sends a secret by e-mail, which becomes a session, which shows a "public API token" (docs/partners.md); here the
page that shows the token asks who one is.
"""

from __future__ import annotations

import html
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from tvilling.city.households import Household
from tvilling.city.simulators.asked import Stranger, as_json
from tvilling.city.simulators.faults import Switch
from tvilling.city.simulators.sign_in_server import Answer, json_answer
from tvilling.city.simulators.sources import City, meter_number, minute_power


@dataclass
class MeterReader(Stranger):
    """The interface.

    Attributes:
        city: The city.
        people: Who may get a token on its page.
        tokens: Whose token is whose.
    """

    city: City = field(default_factory=lambda: City(0, datetime(1970, 1, 1, tzinfo=UTC), {}))
    people: Mapping[str, Household] = field(default_factory=dict)
    tokens: dict[str, Household] = field(default_factory=dict)

    def tell(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        """The page with the token; meters and their minutes."""
        del query
        if path == "/token":
            return self._page(form.get("person", "") if method == "POST" else "")
        household = self.tokens.get(headers.get("Authorization", "").removeprefix("Bearer "))
        if household is None:
            return json_answer(401, {"message": "Unauthorized"})
        match [unquote(part) for part in path.strip("/").split("/")]:
            case ["api", "Meter"]:
                return json_answer(200, {"meters": [{"meterNumber": meter_number(household)}]})
            case ["api", "Telemetry", meter, first, last, "1"] if meter == meter_number(household):
                return self._telemetry(household, datetime.fromisoformat(first), datetime.fromisoformat(last))
        return json_answer(404, {"message": "Not found"})

    def end_access(self) -> None:
        """Every token was shown to somebody: new ones are to be copied."""
        self.tokens.clear()

    def end_everything(self) -> None:
        """Tokens run out."""
        self.tokens.clear()

    def connected(self) -> int:
        """By how many households' tokens it may be asked."""
        return len({each.handle for each in self.tokens.values()})

    def to_json(self) -> dict[str, Any]:
        """For the state file."""
        return {"tokens": {token: each.handle for token, each in self.tokens.items()}}

    def take_up(self, state: Mapping[str, Any]) -> None:
        """From the state file."""
        self.tokens = {token: self.people[handle] for token, handle in state["tokens"].items()}

    def _telemetry(self, household: Household, first: datetime, last: datetime) -> Answer:
        until = min(last, self.newest())
        told = [
            each
            for payload in minute_power(self.city, household, first, until)
            for each in payload.content["telemetry"]
        ]
        names = frozenset(each["timestamp"] for each in told)
        if self.faults.stands(Switch.SKEW):
            ahead = self.clock() - self.now()
            told = [{**each, "timestamp": _later(each["timestamp"], ahead)} for each in told]
        if self.faults.happens(Switch.DUPLICATES):
            told += told
        return Answer(200, as_json(told, self.faults), told_to=household.handle, records=names)

    def _page(self, person: str) -> Answer:
        shown = ""
        if person in self.people:
            token = secrets.token_urlsafe(24)
            self.tokens[token] = self.people[person]
            shown = f"<p>Din nøkkel: <code>{token}</code></p>"
        options = "".join(f"<option>{html.escape(each)}</option>" for each in self.people)
        page = (
            '<!doctype html><html lang="nb"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>Oss.no</title><h1>Oss.no</h1>{shown}"
            f'<form method="post"><p><label>Hvem er du? <select name="person">{options}</select></label></p>'
            "<p><button>Vis nøkkelen min</button></p></form></html>"
        )
        return Answer(200, page.encode(), "text/html; charset=utf-8")


def _later(timestamp: str, by: timedelta) -> str:
    return (datetime.fromisoformat(timestamp) + by).isoformat()

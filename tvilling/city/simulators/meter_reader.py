"""Oss.no's interface as the city has it: minutes of power behind a token that a citizen copies from its pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote

from tvilling.city.households import Household
from tvilling.city.simulators.sign_in_server import Answer, json_answer
from tvilling.city.simulators.sources import City, meter_number, minute_power


@dataclass
class MeterReader:
    """The interface.

    Attributes:
        tokens: Whose token is whose.
        city, now: The city, and its time.
        asked: Every address that was asked.
    """

    tokens: dict[str, Household]
    city: City
    now: Callable[[], datetime]
    asked: list[str] = field(default_factory=list)

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        """One request below the reader's address."""
        del query, form
        self.asked.append(f"{method} {path}")
        household = self.tokens.get(headers.get("Authorization", "").removeprefix("Bearer "))
        if household is None:
            return json_answer(401, {"message": "Unauthorized"})
        match [unquote(part) for part in path.strip("/").split("/")]:
            case ["api", "Meter"]:
                return json_answer(200, {"meters": [{"meterNumber": meter_number(household)}]})
            case ["api", "Telemetry", meter, first, last, "1"] if meter == meter_number(household):
                until = min(datetime.fromisoformat(last), self.now())
                payloads = minute_power(self.city, household, datetime.fromisoformat(first), until)
                return Answer(200, json.dumps([each for one in payloads for each in one.content["telemetry"]]).encode())
        return json_answer(404, {"message": "Not found"})

"""Ducky as the city has it: a service that reckons with sums, behind a token of the house's own; it is told of nobody.

Its factors are made up (G), near the published ones and not the same, so that two answers stand beside each other. It is
curious: it keeps whatever it is shown, so that tests can look through it for what should not be there.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tvilling.city.simulators.asked import Stranger, as_json
from tvilling.city.simulators.faults import Switch
from tvilling.city.simulators.sign_in_server import Answer, json_answer

VERSION = "2026.2"
SLOW_SECONDS = 8.0
"""Longer than the house waits."""

_KILOGRAMS_PER_KRONE = {
    "accommodation": 0.021, "appliances": 0.033, "books": 0.017, "clothes-and-shoes": 0.031, "culture-and-leisure": 0.012,
    "restaurants": 0.024, "electronics": 0.035, "furniture": 0.029, "garden-and-pets": 0.026, "personal-care": 0.019,
}  # fmt: skip
_SPREAD = 0.4


@dataclass
class Reckoner(Stranger):
    """The service.

    Attributes:
        client_id: What the house is called there.
        secret: Its word.
        tokens: Those that were given, and not used yet.
        seen: Every request that it answered or refused: method, path, headers, body.
        reckoned: How many sums it answered.
        teams: By challenge: how far each name has come, per cent.
    """

    client_id: str = ""
    secret: str = ""
    tokens: set[str] = field(default_factory=set)
    seen: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    reckoned: int = 0
    teams: dict[str, dict[str, int]] = field(default_factory=dict)

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        """One request, whatever comes of it, is remembered."""
        self.seen.append((method, path, {name: str(value) for name, value in headers.items()}, json.dumps(dict(form))))
        said = super().answer(method, path, query, headers, form)
        return Answer(**{**vars(said), "after_seconds": SLOW_SECONDS}) if self.faults.happens(Switch.SLOW) else said

    def tell(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        """A token for whoever shows the house's secret; figures for whoever shows a token."""
        match method, path:
            case "POST", "/oauth/token":
                return self._give_token(headers, form)
            case "POST", "/v3/calculate/finance" if query.get("categoryMapping") == "smn":
                return self._reckon(headers, form.get("json", ""))
        match method, path.strip("/").split("/"):
            case "GET", ["v3", "challenges"] if self._is_shown(headers):
                return Answer(200, as_json({"challenges": [self._walk()]}, self.faults))
            case "POST", ["v3", "challenges", challenge, act] if self._is_shown(headers):
                return self._take_part(challenge, act, json.loads(form.get("json", "{}")))
        return json_answer(404, {"error": "no such address"})

    def _is_shown(self, headers: Mapping[str, str]) -> bool:
        return headers.get("Authorization", "").removeprefix("Bearer ") in self.tokens

    def _walk(self) -> dict[str, Any]:
        first = self.now().date().replace(day=1)
        members = self.teams.get(f"walk-{first:%Y-%m}", {})
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        return {
            "id": f"walk-{first:%Y-%m}",
            "title": "Gå måneden rundt",
            "measure": "steps",
            "goal": 150_000,
            "starts": first.isoformat(),
            "ends": last.isoformat(),
            "participation": min(100, 40 + 5 * len(members)),
        }

    def _take_part(self, challenge: str, act: str, said: Mapping[str, Any]) -> Answer:
        team, name = self.teams.setdefault(challenge, {}), str(said.get("participant"))
        if act == "join":
            team[name] = 0
        elif act == "progress" and name in team:
            team[name] = int(said["percent"])
        elif act == "leave":
            team.pop(name, None)
        else:
            return json_answer(404, {"error": "nobody of this name"})
        return json_answer(200, {})

    def end_access(self) -> None:
        """Tokens run out between giving and showing."""
        self.tokens.clear()

    def connected(self) -> int:
        """It cannot tell how many people are behind the house, and nobody else should."""
        return 0

    def served(self) -> dict[str, int]:
        """How many sums it answered; of nobody."""
        return {"": self.reckoned}

    def to_json(self) -> dict[str, Any]:
        """For the state file."""
        return {"reckoned": self.reckoned, "teams": self.teams}

    def take_up(self, state: Mapping[str, Any]) -> None:
        """From the state file."""
        self.reckoned, self.teams = state["reckoned"], dict(state["teams"])

    def _give_token(self, headers: Mapping[str, str], form: Mapping[str, str]) -> Answer:
        shown = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        if headers.get("Authorization") != f"Basic {shown}" or form.get("grant_type") != "client_credentials":
            return json_answer(401, {"error": "invalid_client"})
        token = secrets.token_urlsafe(24)
        self.tokens.add(token)
        return json_answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 300})

    def _reckon(self, headers: Mapping[str, str], body: str) -> Answer:
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens or self.faults.happens(Switch.EXPIRED):
            return json_answer(401, {"error": "invalid_token"})
        results = [_result(each) for each in json.loads(body)]
        for each in results:
            if self.faults.stands(Switch.UNIT):
                each["emission"] = {"value": each["emission"]["value"] * 1000, "unit": "gCO2e"}
            if self.faults.stands(Switch.BOUNDS):
                each["emission"]["value"] *= 1e6
        if self.faults.happens(Switch.DUPLICATES):
            results += results
        self.reckoned += len(results)
        return Answer(200, as_json({"version": VERSION, "results": results}, self.faults))


def _result(line: Mapping[str, Any]) -> dict[str, Any]:
    value = round(line["amount"] * _KILOGRAMS_PER_KRONE[line["category"]], 2)
    emission = {"value": value, "low": round(value * (1 - _SPREAD), 2), "high": round(value * (1 + _SPREAD), 2)}
    return {"id": line["id"], "emission": emission | {"unit": "kgCO2e"}}

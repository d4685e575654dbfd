"""Garmin as the city has it: steps behind a log-in, and calls that tell of new ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tvilling.city.simulators.sign_in_server import Answer, SignInServer, json_answer

QUARTER = timedelta(minutes=15)
LONGEST = timedelta(days=1)
STEPS_A_DAY = 5500
"""Published mean (docs/partners.md)."""


def user_id(person: str) -> str:
    """The name by which the watches' maker knows somebody."""
    return f"d3315b1072421d0dd7c8f6b8e1de4df{len(person)}-{person[::-1]}"


def epochs_between(person: str, first: datetime, last: datetime, seed: int) -> list[dict[str, Any]]:
    """The whole quarters of an hour between two times, those without a step too."""
    at = first.astimezone(UTC).replace(minute=first.minute // 15 * 15, second=0, microsecond=0)
    found: list[dict[str, Any]] = []
    while at + QUARTER <= last:
        if at >= first:
            random = Random(f"{seed}/{person}/steps/{at.isoformat()}")  # noqa: S311 - a city for show
            walks = 7 <= at.hour < 22 and random.random() < 0.4
            steps = random.randrange(2 * STEPS_A_DAY // 24) if walks else 0
            found.append(
                {
                    "userId": user_id(person),
                    "summaryId": f"x{int(at.timestamp()):x}-{person}",
                    "activityType": "WALKING" if steps else "SEDENTARY",
                    "steps": steps,
                    "distanceInMeters": round(steps * 0.74, 2),
                    "durationInSeconds": int(QUARTER.total_seconds()),
                    "startTimeInSeconds": int(at.timestamp()),
                    "startTimeOffsetInSeconds": 3600,
                }
            )
        at += QUARTER
    return found


@dataclass
class Watches:
    """The maker's interface.

    Attributes:
        sign_in: Its authorization server.
        seed: The city's.
        now: The city's time.
        asked: Every address that was asked.
    """

    sign_in: SignInServer
    seed: int
    now: Callable[[], datetime]
    asked: list[str] = field(default_factory=list)

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        """One request below the maker's address."""
        self.asked.append(f"{method} {path}")
        authorization = headers.get("Authorization", "")
        match method, path:
            case "GET", "/.well-known/oauth-authorization-server":
                return self.sign_in.metadata()
            case "GET", "/oauth/authorize":
                return self.sign_in.authorize(query, None)
            case "POST", "/oauth/authorize":
                return self.sign_in.authorize(query, form)
            case "POST", "/oauth/token":
                return self.sign_in.token(form, authorization)
            case "GET", "/wellness-api/rest/user/id" | "/wellness-api/rest/epochs":
                person = self.sign_in.person_of(authorization)
                if person is None:
                    return json_answer(401, {"errorMessage": "no such token"})
                return self._rest(path, query, person)
        return json_answer(404, {"errorMessage": "no such address"})

    def _rest(self, path: str, query: Mapping[str, str], person: str) -> Answer:
        if path.endswith("/user/id"):
            return json_answer(200, {"userId": user_id(person)})
        first, last = (
            datetime.fromtimestamp(int(query[name]), UTC)
            for name in ("uploadStartTimeInSeconds", "uploadEndTimeInSeconds")
        )
        if last - first > LONGEST:
            return json_answer(400, {"errorMessage": "at most a day"})
        return json_answer(200, epochs_between(person, first, min(last, self.now()), self.seed))


def push_body(epochs: list[dict[str, Any]]) -> bytes:
    """A push of epochs."""
    return json.dumps({"epochs": epochs}).encode()


def ping_body(person: str, callback: str) -> bytes:
    """A ping that names where to fetch."""
    return json.dumps({"epochs": [{"userId": user_id(person), "callbackURL": callback}]}).encode()

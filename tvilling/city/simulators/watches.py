"""Garmin as the city has it: steps behind a log-in, and calls that tell of new ones.

Its calls are pings, unsigned, as Garmin's are: they name where to fetch, with a word that tells which ping was answered. Given a shared secret, it pushes the epochs themselves
and signs each call (Standard Webhooks).
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tvilling.city.households import Household
from tvilling.city.simulators.asked import Held, Stranger
from tvilling.city.simulators.faults import Switch
from tvilling.city.simulators.sign_in_server import Answer, json_answer
from tvilling.city.steps import QUARTER, steps_of_quarter, walks_in_quarter
from tvilling.city.travel import METRES_A_STEP

LONGEST = timedelta(days=1)


def user_id(person: str) -> str:
    """The name by which the watches' maker knows somebody."""
    return f"d3315b1072421d0dd7c8f6b8e1de4df{len(person)}-{person[::-1]}"


def epochs_between(household: Household, first: datetime, last: datetime, seed: int) -> list[dict[str, Any]]:
    """The whole quarters of an hour between two times, those without a step too."""
    at = first.astimezone(UTC).replace(minute=first.minute // 15 * 15, second=0, microsecond=0)
    found: list[dict[str, Any]] = []
    while at + QUARTER <= last:
        if at >= first:
            steps = steps_of_quarter(household, at, seed)
            found.append(
                {
                    "userId": user_id(household.handle),
                    "summaryId": f"x{int(at.timestamp()):x}-{household.handle}",
                    "activityType": ("WALKING" if walks_in_quarter(household, at, seed) else "GENERIC")
                    if steps
                    else "SEDENTARY",
                    "steps": steps,
                    "distanceInMeters": round(steps * METRES_A_STEP, 2),
                    "durationInSeconds": int(QUARTER.total_seconds()),
                    "startTimeInSeconds": int(at.timestamp()),
                    "startTimeOffsetInSeconds": 3600,
                }
            )
        at += QUARTER
    return found


@dataclass
class Watches(Stranger):
    """The maker's interface.

    Attributes:
        households: Its customers by handle.
        seed: The city's.
        address: Where the house hears its calls; it calls nobody where this is empty.
        own_address: Where a ping says that the epochs lie.
        secret: Signs its calls; pings are sent where it is empty.
        post: Sends a call (address, headers, body) and gives the status; 0 where nobody answered.
    """

    households: Mapping[str, Household] = field(default_factory=dict)
    seed: int = 0
    address: str = ""
    own_address: str = ""
    secret: str = ""
    post: Callable[[str, Mapping[str, str], bytes], int] = lambda *_: 0
    _called: dict[str, datetime] = field(default_factory=dict)
    _number: int = 0
    _used: tuple[dict[str, str], bytes] | None = None

    def tell(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        """Who somebody is, and the epochs of a time."""
        del form
        if (method, path) not in {("GET", "/wellness-api/rest/user/id"), ("GET", "/wellness-api/rest/epochs")}:
            return json_answer(404, {"errorMessage": "no such address"})
        person = self.person_of(headers)
        if person is None:
            return json_answer(401, {"errorMessage": "no such token"})
        if path.endswith("/user/id"):
            return json_answer(200, {"userId": user_id(person)})
        if not {"uploadStartTimeInSeconds", "uploadEndTimeInSeconds"} <= query.keys():
            return json_answer(400, {"errorMessage": "from when to when?"})
        first, last = (
            datetime.fromtimestamp(int(query[name]), UTC)
            for name in ("uploadStartTimeInSeconds", "uploadEndTimeInSeconds")
        )
        if last - first > LONGEST:
            return json_answer(400, {"errorMessage": "at most a day"})
        found = self._uploaded(person, first, min(last, self.now()))
        if self.faults.happens(Switch.DUPLICATES):
            found += found
        if ping := query.get("token"):
            self.fetched.add(ping)
        return Answer(200, json.dumps(found).encode(), told_to=person, records=_names(found))

    def call(self) -> None:
        """Tell the house of each connected customer's new whole quarters; what it did not take is told again next time.

        The first call after a start tells of a whole day.
        """
        now = self.newest()
        if not self.address or self.sign_in is None:
            return
        for person in self.sign_in.signed_in():
            after = self._called.setdefault(person, now - LONGEST)
            epochs = epochs_between(self.households[person], after, now, self.seed)
            if not any(each["steps"] for each in epochs):
                continue
            body = push_body(epochs) if self.secret else ping_body(person, self._callback(after, now))
            if self._send(body) != 204:
                return
            self._called[person] = after + QUARTER * len(epochs)
            if self.secret:
                self.told.setdefault(person, set()).update(_names(epochs))

    def _callback(self, after: datetime, now: datetime) -> str:
        first, last = (int(at.timestamp()) for at in (max(after, now - LONGEST), now))
        times = f"uploadStartTimeInSeconds={first}&uploadEndTimeInSeconds={last}"
        return f"{self.own_address}/rest/epochs?{times}&token=CP{self.seed}-{self._number + 1}"

    def _send(self, body: bytes) -> int:
        self._number += 1
        if self.faults.happens(Switch.NONSENSE):
            body = body[: len(body) // 2]
        headers = {"Content-Type": "application/json"}
        if self.secret:
            secret = self.secret[::-1] if self.faults.happens(Switch.ROTATION) else self.secret
            identifier = f"call-{self.seed}-{self._number}"
            headers |= signed(secret, identifier, int(self.sign_in_now().timestamp()), body)
        if self._used is not None and self.faults.happens(Switch.REPLAY):
            self.post(self.address, *self._used)
        status = self.post(self.address, headers, body[: len(body) // 2] if self.faults.happens(Switch.HALF) else body)
        if status == 204:
            self.calls += 1
            self._used = (headers, body)
            if self.faults.happens(Switch.DUPLICATES):
                again = headers
                if self.secret:
                    seconds = int(headers["webhook-timestamp"])
                    again = headers | signed(self.secret, f"again-{self.seed}-{self._number}", seconds, body)
                self.post(self.address, again, body)
        return status

    def sign_in_now(self) -> datetime:
        """Real time: calls are dated by the wall, epochs by the city."""
        assert self.sign_in is not None
        return self.sign_in.now() + self.sign_in.ahead()

    def _uploaded(self, person: str, first: datetime, last: datetime) -> list[dict[str, Any]]:
        """Those uploaded after one time and at or before another: at the quarter's end, or once the watch was late no more."""
        held = self.held()
        begin = min(first, held[0]) if held else first
        return [
            epoch
            for epoch in epochs_between(self.households[person], begin - QUARTER, last, self.seed)
            if (at := _uploaded_at(epoch, held)) is not None and first < at <= last
        ]


def _uploaded_at(epoch: Mapping[str, Any], held: Held | None) -> datetime | None:
    end = datetime.fromtimestamp(epoch["startTimeInSeconds"], UTC) + QUARTER
    if held is None or end <= held[0] or (held[1] is not None and end > held[1]):
        return end
    return held[1]


def _names(epochs: list[dict[str, Any]]) -> frozenset[str]:
    return frozenset(each["summaryId"] for each in epochs if each["steps"])


def signed(secret: str, identifier: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a signed call (Standard Webhooks 1.0.0)."""
    digest = hmac.digest(secret.encode(), f"{identifier}.{timestamp}.".encode() + body, "sha256")
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def push_body(epochs: list[dict[str, Any]]) -> bytes:
    """A push of epochs."""
    return json.dumps({"epochs": epochs}).encode()


def ping_body(person: str, callback: str) -> bytes:
    """A ping that names where to fetch."""
    return json.dumps({"epochs": [{"userId": user_id(person), "callbackURL": callback}]}).encode()

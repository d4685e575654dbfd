"""Google Health as the city has it: a telephone's steps by the minute, behind a log-in, a page at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tvilling.city.households import Household
from tvilling.city.simulators.asked import Stranger
from tvilling.city.simulators.sign_in_server import Answer, json_answer
from tvilling.city.steps import QUARTER, steps_of_quarter

PATH = "/v4/users/me/dataTypes/steps/dataPoints"
PAGE = 500
CARRIED = 0.8
"""Of a person's steps; the telephone lies on the table for the others (G)."""

_FILTER = re.compile(
    r'steps\.interval\.start_time >= "([0-9TZ:.-]+)" AND steps\.interval\.start_time < "([0-9TZ:.-]+)"\Z'
)
_MINUTE = timedelta(minutes=1)


def points_between(household: Household, first: datetime, last: datetime, seed: int) -> list[dict[str, Any]]:
    """The minutes with steps that begin between two times and lie in quarters that are over at the second."""
    at = first.astimezone(UTC)
    at -= timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)
    found: list[dict[str, Any]] = []
    while at + QUARTER <= last:
        steps = round(steps_of_quarter(household, at, seed) * CARRIED)
        each, more = divmod(steps, 15)
        for number in range(15):
            start, count = at + number * _MINUTE, each + (number < more)
            if count and first <= start:
                found.append(_point(household, start, count))
        at += QUARTER
    return found


def _point(household: Household, start: datetime, count: int) -> dict[str, Any]:
    return {
        "name": f"users/me/dataTypes/steps/dataPoints/{household.handle}-{start:%Y%m%d%H%M}",
        "dataSource": {
            "recordingMethod": "PASSIVELY_MEASURED",
            "platform": "ANDROID",
            "device": {"formFactor": "PHONE", "displayName": f"{household.handle}s telefon"},
        },
        "steps": {
            "interval": {"startTime": _instant(start), "endTime": _instant(start + _MINUTE)},
            "count": str(count),
        },
    }


@dataclass
class Health(Stranger):
    """The interface.

    Attributes:
        households: Its users by handle.
        seed: The city's.
    """

    households: Mapping[str, Household] = field(default_factory=dict)
    seed: int = 0

    def tell(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        """The data points of a time, a page at a time."""
        del form
        if (method, path) != ("GET", PATH):
            return json_answer(404, {"error": {"code": 404, "status": "NOT_FOUND"}})
        person = self.person_of(headers)
        if person is None:
            return json_answer(401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}})
        asked = _FILTER.match(query.get("filter", ""))
        page = query.get("pageToken", "0")
        if asked is None or not page.isdecimal():
            return json_answer(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT"}})
        first, last = (datetime.fromisoformat(each) for each in asked.groups())
        points = points_between(self.households[person], first, min(last, self.newest()), self.seed)
        shown = points[int(page) : int(page) + PAGE]
        after = int(page) + PAGE
        body = {"dataPoints": shown, "nextPageToken": str(after) if after < len(points) else ""}
        quarters = frozenset(_quarter(each) for each in shown)
        return Answer(200, json.dumps(body).encode(), told_to=person, records=quarters)


def _quarter(point: Mapping[str, Any]) -> str:
    start = datetime.fromisoformat(point["steps"]["interval"]["startTime"])
    return _instant(start - timedelta(minutes=start.minute % 15))


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")

"""Garmin: steps by the quarter of an hour (epochs), pushed, or told of by a ping and fetched.

Format: a push is `{epochs: [{userId, summaryId, activityType, steps, distanceInMeters, durationInSeconds, startTimeInSeconds,
startTimeOffsetInSeconds}]}`, a ping `{epochs|dailies: [{userId, callbackURL}]}`; `GET …/rest/epochs?uploadStartTimeInSeconds=
&uploadEndTimeInSeconds=` answers a list of epochs, at most a day's; `GET …/rest/user/id` answers `{userId}` (docs/partners.md).

Traps: an epoch comes again under the same `summaryId` when the watch knew more, and then stands for the earlier one; daily
sums hold the same steps once more and are left out; the times are UTC, the offset is for showing only.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Ask, Context, Event, Normalised, Took, decode_as, instant, name_part
from partner_bridge.errors import UnusablePayload

FIRST_PULL = timedelta(days=7)
WINDOW = timedelta(days=1)
_MOVEMENTS = {"WALKING": "walking", "RUNNING": "running"}


class _Epoch(msgspec.Struct, gc=False):
    summary: str = msgspec.field(name="summaryId")
    began: int = msgspec.field(name="startTimeInSeconds")
    seconds: int = msgspec.field(name="durationInSeconds")
    steps: int = 0
    metres: float | None = msgspec.field(name="distanceInMeters", default=None)
    activity: str = msgspec.field(name="activityType", default="")


class _Notice(msgspec.Struct, gc=False):
    user: str = msgspec.field(name="userId")
    callback: str = msgspec.field(name="callbackURL", default="")


class _User(msgspec.Struct, gc=False):
    user: str = msgspec.field(name="userId")


class Garmin:
    """Steps."""

    name = "garmin"
    title = "Garmin"
    kinds = frozenset({"step-count"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("garmin", "Garmin", "https://www.garmin.com"),
        channels=("oauth-pull", "webhook"),
        granularity="PT15M",
        frequency="continuous",
        history=FIRST_PULL,
        terms=Words(
            nb="Hentes bare mens du er tilkoblet; du logger inn hos dem, og kan koble fra når du vil.",
            nn="Blir henta berre medan du er tilkopla; du loggar inn hos dei, og kan kople frå når du vil.",
            en="Fetched only while you are connected; you sign in there, and can disconnect whenever you like.",
        ),
        format_source="docs/partners.md",
        limits=(
            Words(
                nb="Bare skritt og avstand; puls, søvn og sted tas ikke imot.",
                nn="Berre steg og avstand; puls, søvn og stad blir ikkje tekne imot.",
                en="Steps and distance only; heart rate, sleep and places are not taken in.",
            ),
        ),
    )
    user_path = "/rest/user/id"
    callback_paths = frozenset({"/rest/epochs"})

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One record an epoch in which somebody walked."""
        epochs: list[_Epoch] = decode_as(payload, list[_Epoch])
        for epoch in epochs:
            if epoch.steps <= 0:
                continue
            try:
                began = datetime.fromtimestamp(epoch.began, UTC)
                start, end = instant(began), instant(began, timedelta(seconds=epoch.seconds))
            except (OverflowError, OSError, ValueError, UnusablePayload):
                yield UnusablePayload("an epoch outside the calendar")
                continue
            activity: dict[str, Any] = {
                "@id": f"garmin:{name_part(epoch.summary)[:120]}",
                "@type": "StepCount",
                "start": start,
                "end": end,
                "quantity": epoch.steps,
                "unit": "NUM",
                "movement": _MOVEMENTS.get(epoch.activity, "other"),
                "source": "Garmin",
            }
            if epoch.metres is not None and epoch.metres >= 0:
                activity["distanceMetres"] = round(epoch.metres, 1)
            yield Normalised(activity, may_replace=True)

    def pull(self, cursor: dict[str, Any], now: datetime) -> Generator[Ask | Took, bytes, None]:
        """What was uploaded since the last time, a day at a time."""
        until = now.replace(microsecond=0)
        read_to = cursor.get("uploads")
        first = datetime.fromisoformat(read_to) if read_to else until - FIRST_PULL
        while first < until:
            last = min(first + WINDOW, until)
            times = f"uploadStartTimeInSeconds={int(first.timestamp())}&uploadEndTimeInSeconds={int(last.timestamp())}"
            body = yield Ask(f"/rest/epochs?{times}")
            cursor = cursor | {"uploads": last.isoformat()}
            yield Took(body, cursor)
            first = last

    def user_of(self, answer: bytes) -> str:
        """The name by which Garmin's calls tell of this citizen."""
        user: _User = decode_as(answer, _User)
        return user.user

    def events(self, body: bytes) -> Iterator[Event]:
        """What a call tells, user by user: epochs, or where to fetch them."""
        told: dict[str, list[msgspec.Raw]] = decode_as(body, dict[str, list[msgspec.Raw]])
        epochs: dict[str, list[msgspec.Raw]] = {}
        for topic, notices in told.items():
            for raw in notices:
                notice: _Notice = decode_as(bytes(raw), _Notice)
                if notice.callback:
                    yield Event(notice.user, callback=notice.callback)
                elif topic == "epochs":
                    epochs.setdefault(notice.user, []).append(raw)
        for user, mine in epochs.items():
            yield Event(user, payload=msgspec.json.encode(mine))

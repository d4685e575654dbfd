"""Google Health (v4): steps by the minute, asked for with the citizen's yes, or pushed by an app on their telephone.

Format: `GET …/users/me/dataTypes/steps/dataPoints?filter=…&pageSize=&pageToken=` answers `{dataPoints: [{name, dataSource:
{recordingMethod, platform, device: {formFactor, displayName}}, steps: {interval: {startTime, endTime}, count}}], nextPageToken}`
(docs/partners.md; developers.google.com/health, the members of dataSource M). Counts are texts, as Google writes whole numbers
of 64 bits.

Traps: a minute is finer than consents are, so minutes are put together by quarter; a day's points come in pages, and a quarter
may lie across two of them, so a day is put together whole; a watch that was out of reach tells of yesterday, so each pull begins
a day before the last one ended; what was typed in by hand is no measurement; a pushed payload holds whole quarters.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Ask, Context, Normalised, Took, decode_as
from partner_bridge.connectors.walking import QUARTER, Quarters
from partner_bridge.errors import UnusablePayload

FIRST_PULL = timedelta(days=7)
TOLD_LATE = timedelta(days=1)
WINDOW = timedelta(days=1)
PAGE_SIZE = 10_000
PAGES_AT_MOST = 20
_LABELS = {"WATCH": "watch", "PHONE": "phone", "FITNESS_BAND": "band", "RING": "ring"}


class _Device(msgspec.Struct, gc=False):
    form: str = msgspec.field(name="formFactor", default="")
    name: str = msgspec.field(name="displayName", default="")


class _Source(msgspec.Struct, gc=False):
    method: str = msgspec.field(name="recordingMethod", default="")
    platform: str = ""
    device: _Device = msgspec.field(default_factory=_Device)


class _Interval(msgspec.Struct, gc=False):
    start: datetime = msgspec.field(name="startTime")
    end: datetime = msgspec.field(name="endTime")


class _Steps(msgspec.Struct, gc=False):
    interval: _Interval
    count: int | str = 0


class _Point(msgspec.Struct, gc=False):
    steps: _Steps | None = None
    source: _Source = msgspec.field(name="dataSource", default_factory=_Source)


class _Page(msgspec.Struct, gc=False):
    points: list[_Point] = msgspec.field(name="dataPoints")


class _RawPage(msgspec.Struct, gc=False):
    """An answer; Google leaves out what is empty, so that of a day without steps is `{}`."""

    points: list[msgspec.Raw] = msgspec.field(name="dataPoints", default_factory=list)
    next: str = msgspec.field(name="nextPageToken", default="")


class GoogleHealth:
    """Steps."""

    name = "google-health"
    title = "Google Health"
    kinds = frozenset({"step-count"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("google", "Google", "https://health.google"),
        channels=("oauth-pull", "push"),
        granularity="PT15M",
        frequency="hourly",
        history=FIRST_PULL,
        terms=Words(
            nb="Hentes bare mens du er tilkoblet; du logger inn hos dem, og kan koble fra når du vil.",
            nn="Blir henta berre medan du er tilkopla; du loggar inn hos dei, og kan kople frå når du vil.",
            en="Fetched only while you are connected; you sign in there, and can disconnect whenever you like.",
        ),
        format_source="docs/partners.md",
        guesses=(
            Words(
                nb="Hvordan kilden beskriver telefonen eller klokken, er lest fra deres sider og ikke prøvd mot dem.",
                nn="Korleis kjelda beskriv telefonen eller klokka, er lese frå sidene deira og ikkje prøvd mot dei.",
                en="How the source describes the telephone or watch was read on its pages and not tried against it.",
            ),
        ),
        limits=(
            Words(
                nb="Bare skritt; puls, søvn og sted tas ikke imot.",
                nn="Berre steg; puls, søvn og stad blir ikkje tekne imot.",
                en="Steps only; heart rate, sleep and places are not taken in.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One record a device and quarter of an hour in which somebody walked."""
        page: _Page = decode_as(payload, _Page)
        quarters = Quarters("google-health", "Google Health")
        for number, point in enumerate(page.points, 1):
            if point.steps is None or point.source.method == "MANUAL":
                continue
            try:
                _add(quarters, point.steps, point.source)
            except (UnusablePayload, ValueError, OverflowError):
                yield UnusablePayload(
                    f"data point {number}: a count and two times with their zone, at most a day apart"
                )
        yield from quarters.records()

    def pull(self, cursor: dict[str, Any], now: datetime) -> Generator[Ask | Took, bytes, None]:
        """Whole quarters, a day at a time, from a day before what was read to last."""
        until = datetime.fromtimestamp(now.timestamp() // 900 * 900, now.tzinfo)
        read_to = cursor.get("steps")
        first = datetime.fromisoformat(read_to) - TOLD_LATE if read_to else until - FIRST_PULL
        while first + QUARTER <= until:
            last = min(first + WINDOW, until)
            points: list[msgspec.Raw] = []
            token = ""
            for _ in range(PAGES_AT_MOST):
                page: _RawPage = decode_as((yield Ask(_address(first, last, token))), _RawPage)
                points.extend(page.points)
                token = page.next
                if not token:
                    break
            else:
                raise UnusablePayload("more pages than a day has minutes")
            cursor = cursor | {"steps": last.isoformat()}
            yield Took(msgspec.json.encode({"dataPoints": points}), cursor)
            first = last


def _address(first: datetime, last: datetime, token: str) -> str:
    start, end = (at.isoformat().replace("+00:00", "Z") for at in (first, last))
    said = {
        "filter": f'steps.interval.start_time >= "{start}" AND steps.interval.start_time < "{end}"',
        "pageSize": str(PAGE_SIZE),
    }
    return f"/users/me/dataTypes/steps/dataPoints?{urlencode(said | ({'pageToken': token} if token else {}))}"


def _add(quarters: Quarters, steps: _Steps, source: _Source) -> None:
    start, end = steps.interval.start, steps.interval.end
    if start.tzinfo is None or end.tzinfo is None:
        raise UnusablePayload("a time without its zone")
    count = int(steps.count)
    if not 0 <= count < 1_000_000:
        raise UnusablePayload("a count that no walk has")
    device = f"{source.platform}\x1f{source.device.form}\x1f{source.device.name}"
    quarters.add(device, _LABELS.get(source.device.form, "app"), start, end, count)

"""SpareBank 1 Forsikring: what a car's plug counted in a day.

The insurer published no interface. That the plug delivered **daily event counts and never single trips**, kept for fifteen
months, and that the app counts speed, braking, acceleration, cornering and phone use, is known; **every field name here is a
guess** (docs/partners.md): `{vehicle, days: [{date, distanceKm, drivingMinutes, fuel, events: {speeding, harshBraking,
harshAcceleration, harshCornering, phoneUse}}]}`. Pushed once a day.

Traps: a day is a local one, of 23 to 25 hours; a plug that was out of reach delivers a day again, with more in it, which stands
for the earlier; a day that runs is no day yet; a distance may be missing, and is then unknown, not zero; counts are whole. A
payload with trips in it is more than anybody agreed to, and that day is refused. The vehicle's own name stays outside: only
what tells two cars of one driver apart is kept of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.elhub_csv import LOCAL
from partner_bridge.connectors.normalising import Context, Normalised, decode_as, instant
from partner_bridge.errors import UnusablePayload

KEPT_MONTHS = 15
GUESSES = ("vehicle", "days", "date", "distanceKm", "drivingMinutes", "fuel", "events")
"""The members of the format that nobody has seen; all of them."""

_ENGINES = {
    "PETROL": "petrol",
    "DIESEL": "diesel",
    "HYBRID": "hybrid",
    "PLUGIN_HYBRID": "plug-in-hybrid",
    "ELECTRIC": "electric",
}
_Count = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class _Events(msgspec.Struct, gc=False):
    speeding: _Count | None = None
    braking: _Count | None = msgspec.field(name="harshBraking", default=None)
    acceleration: _Count | None = msgspec.field(name="harshAcceleration", default=None)
    cornering: _Count | None = msgspec.field(name="harshCornering", default=None)
    phone: _Count | None = msgspec.field(name="phoneUse", default=None)


class _Day(msgspec.Struct, gc=False):
    date: date
    kilometres: Annotated[float, msgspec.Meta(ge=0, le=2500)] | None = msgspec.field(name="distanceKm", default=None)
    minutes: Annotated[float, msgspec.Meta(ge=0, le=1500)] | None = msgspec.field(name="drivingMinutes", default=None)
    fuel: str = ""
    events: _Events = msgspec.field(default_factory=_Events)
    trips: Any = None


class _Payload(msgspec.Struct, gc=False):
    vehicle: str
    days: list[msgspec.Raw]


class Driving:
    """Daily driving counts, pushed."""

    name = "sparebank1-driving"
    title = "SpareBank 1 Forsikring"
    kinds = frozenset({"driving-day"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("forsikring", "SpareBank 1 Forsikring", "https://www.sparebank1.no"),
        channels=("push",),
        granularity="P1D",
        frequency="daily",
        history=timedelta(days=457),
        terms=Words(
            nb="Kommer bare mens samtykket ditt gjelder. Selskapet har tallene i femten måneder; podden er din.",
            nn="Kjem berre medan samtykket ditt gjeld. Selskapet har tala i femten månader; podden er din.",
            en="Comes only while your consent stands. The insurer keeps the counts for fifteen months; the pod is yours.",
        ),
        format_source="docs/partners.md",
        guesses=(
            Words(
                nb=f"Selskapet har ikke publisert hva feltene heter. Alle navnene er gjettet: {', '.join(GUESSES)}.",
                nn=f"Selskapet har ikkje publisert kva felta heiter. Alle namna er gissa: {', '.join(GUESSES)}.",
                en=f"The insurer has not published what its fields are called. All names are guesses: {', '.join(GUESSES)}.",
            ),
        ),
        limits=(
            Words(
                nb="Bare dagstall. Enkeltturer, ruter og klokkeslett avvises.",
                nn="Berre dagstal. Einskilde turar, ruter og klokkeslett vert avviste.",
                en="Counts of days alone. Single trips, routes and times of day are refused.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:
        """One record a day."""
        pushed: _Payload = decode_as(payload, _Payload)
        vehicle = hashlib.sha256(f"vehicle {pushed.vehicle}".encode()).hexdigest()[:12]
        today = context.received_at.astimezone(LOCAL).date()
        oldest = months_before(today, KEPT_MONTHS)
        for number, raw in enumerate(pushed.days, 1):
            try:
                day = _read_day(bytes(raw), oldest, today)
                yield _record(f"sb1-driving:{vehicle}/{day.date.isoformat()}", day)
            except UnusablePayload as error:
                yield UnusablePayload(f"day {number}: {error}")


def _read_day(raw: bytes, oldest: date, today: date) -> _Day:
    day: _Day = decode_as(raw, _Day)
    if day.trips is not None:
        raise UnusablePayload("it holds single trips, which nobody agreed to; send the day's counts alone")
    if day.date >= today:
        raise UnusablePayload("the day is not over yet")
    if day.date < oldest:
        raise UnusablePayload("the day is older than the fifteen months that counts are kept")
    return day


def _record(name: str, day: _Day) -> Normalised:
    activity: dict[str, Any] = driven_on(day.date) | {"@id": name, "source": "SpareBank 1 Forsikring"}
    if day.kilometres is None:
        activity |= {"quantity": 0, "distanceMissing": True}
    else:
        activity |= {"quantity": round(day.kilometres, 1), "engine": _ENGINES.get(day.fuel.upper(), "unknown")}
    told = {
        "drivingMinutes": day.minutes,
        "speeding": day.events.speeding,
        "harshBraking": day.events.braking,
        "harshAcceleration": day.events.acceleration,
        "harshCornering": day.events.cornering,
        "phoneUse": day.events.phone,
    }
    return Normalised(activity | {name: value for name, value in told.items() if value is not None}, may_replace=True)


def driven_on(day: date) -> dict[str, Any]:
    """The members that every record of a local day has.

    Raises:
        UnusablePayload: no calendar holds the day.
    """
    midnight = datetime.combine(day, time(), LOCAL)
    return {
        "@type": "DrivingDay",
        "start": instant(midnight),
        # The clocks' next midnight, not 24 hours on: a local day has its own length.
        "end": instant(midnight, timedelta(days=1)),
        "unit": "KiloM",
    }


def months_before(day: date, months: int) -> date:
    """The same day some months earlier, or that month's last.

    >>> months_before(date(2026, 5, 31), 15)
    datetime.date(2025, 2, 28)
    """
    index = day.year * 12 + day.month - 1 - months
    first = date(index // 12, index % 12 + 1, 1)
    last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(day.day, last.day))

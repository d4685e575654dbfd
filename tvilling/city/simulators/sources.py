"""What each partner delivers, in its own format: everything that falls due between two times.

History and live deliveries are the same thing with other times; what is delivered twice is the same twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tvilling.city import card, driving, groceries, trips, waste
from tvilling.city.electricity import LOCAL, kwh_of_hours, kwh_of_quiet_day, local_midnight, watts_at
from tvilling.city.households import Household

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class City:
    """What the sources share.

    Attributes:
        seed: Makes the same city again.
        began: The city's time when the demonstration began; waste habits changed a year before.
        extra_watts: By handle and minute: kettles.
        bought: By handle: receipts that came by a button, and no habit; the bank sees them like any other.
        rides: By handle: when somebody took the bus so.
    """

    seed: int
    began: datetime
    extra_watts: Mapping[str, Mapping[datetime, float]]
    bought: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    rides: dict[str, list[datetime]] = field(default_factory=dict)

    def bought_on(self, handle: str, day: date) -> list[dict[str, Any]]:
        """The receipts of a local day that came by a button."""
        return [each for each in self.bought.get(handle, []) if _day_of_receipt(each) == day]

    def rides_on(self, handle: str, day: date) -> int:
        """How many tickets of a local day came so."""
        return sum(at.astimezone(LOCAL).date() == day for at in self.rides.get(handle, []))


def _day_of_receipt(receipt: Mapping[str, Any]) -> date:
    return datetime.fromtimestamp(receipt["heads"]["purchaseDate"] / 1000, UTC).astimezone(LOCAL).date()


@dataclass(frozen=True)
class Payload:
    """One payload in the partner's format.

    Attributes:
        due: When the partner has it.
        content: JSON.
        activities: How many activities it should come to.
    """

    due: datetime
    content: dict[str, Any]
    activities: int


Payloads = Callable[[City, Household, datetime, datetime], Iterator[Payload]]


@dataclass(frozen=True)
class Source:
    """One partner that delivers by itself.

    Attributes:
        slug: Short name in configuration and addresses.
        name: What citizens see.
        contact: Its data protection contact, as the consent screen shows it.
        connector: Its format's name at the bridge; empty for one that delivers nothing.
        purpose, kind, granularity: What it asks consent for.
        history: How far back it has data, before the demonstration began.
        quota: Records a day.
        payloads: What falls due after one time and at or before another.
        citizens_only: True where quiet neighbours have none of it.
        retention: How long the partner keeps its own copy.
        through: The integrator that delivers in its name; empty where it comes itself.
        agent: True where a program in the citizen's house delivers for it (`tvilling han`); one citizen has it.
    """

    slug: str
    name: str
    contact: str
    connector: str
    purpose: str
    kind: str
    granularity: str
    history: timedelta
    quota: int
    payloads: Payloads
    citizens_only: bool = False
    retention: str = "P13M"
    agent: bool = False
    through: str = ""

    def asks(self, handle: str, handles: Sequence[str]) -> bool:
        """Whether it asks this one of the citizens with pages for consent."""
        return bool(self.connector) and (not self.agent or handle == handles[-1])

    def wishes(self, base_url: str, now: datetime) -> dict[str, Any]:
        """The authorization detail it asks a citizen for."""
        return {
            "type": f"{base_url}/vocab/rar#pod-append",
            "locations": [f"{base_url}/bridge/activities"],
            "actions": ["append"],
            "datatypes": [self.kind],
            "purpose": self.purpose,
            "granularity": self.granularity,
            "history_from": local_midnight((now - self.history).astimezone(LOCAL).date() - DAY).isoformat(),
            "validTo": local_midnight((now + timedelta(days=180)).astimezone(LOCAL).date()).isoformat(),
            "retention": self.retention,
            "max_records_per_day": self.quota,
            "legal_basis": "eu-gdpr:A6-1-a",
            "revocable": True,
        }


def _days(after: datetime, until: datetime) -> Iterator[date]:
    day = after.astimezone(LOCAL).date()
    last = until.astimezone(LOCAL).date()
    while day <= last:
        yield day
        day += DAY


def minute_power(city: City, household: Household, after: datetime, until: datetime) -> Iterator[Payload]:
    """Oss.no: each whole minute, once it is over, at most an hour of them in one payload."""
    minute = _floor_minute(after)
    extra = city.extra_watts.get(household.handle, {})
    telemetry: list[dict[str, Any]] = []
    while minute + MINUTE <= until:
        if minute + MINUTE > after:
            watts = round(watts_at(household, minute, city.seed, extra), 1)
            power = {"min": round(watts * 0.97, 1), "max": round(watts * 1.04, 1), "avg": watts}
            telemetry.append(
                {
                    "timestamp": minute.isoformat(),
                    "activePower": {"input": power, "output": {"min": 0, "max": 0, "avg": 0}},
                }
            )
        minute += MINUTE
        if telemetry and (len(telemetry) == 60 or minute + MINUTE > until):
            content = {"meterNumber": meter_number(household), "resolution": 1, "telemetry": telemetry}
            yield Payload(minute, content, len(telemetry))
            telemetry = []


def hourly_readings(city: City, household: Household, after: datetime, until: datetime) -> Iterator[Payload]:
    """TrønderEnergi: yesterday's hours, at three in the morning; a neighbour's day as one value."""
    extra = city.extra_watts.get(household.handle, {})
    for day in _days(after - 2 * DAY, until):
        due = local_midnight(day + DAY) + timedelta(hours=3)
        if not after < due <= until:
            continue
        if household.simulated:
            kwh = kwh_of_quiet_day(household, day, city.seed)
            series = [_value(local_midnight(day), local_midnight(day + DAY), kwh)]
        else:
            hours = kwh_of_hours(household, day, city.seed, extra)
            series = [_value(hour, hour + timedelta(hours=1), kwh) for hour, kwh in hours]
        point = {"meteringPointId": meter_number(household), "metervalue": {"timeSeries": series}}
        yield Payload(due, {"meteringpoints": [point]}, len(series))


def _value(start: datetime, end: datetime, kwh: float) -> dict[str, Any]:
    return {
        "startTime": start.isoformat(),
        "endTime": end.isoformat(),
        "value": kwh,
        "uom": "kWh",
        "production": False,
        "verified": True,
    }


def receipts(city: City, household: Household, after: datetime, until: datetime) -> Iterator[Payload]:
    """Rema 1000: a receipt, when it was printed."""
    for day in _days(after, until):
        for receipt in groceries.receipts_of_day(household, day, city.seed):
            due = datetime.fromtimestamp(receipt["heads"]["purchaseDate"] / 1000, UTC)
            if after < due <= until:
                food = sum(1 for row in receipt["rows"] if row["productDescription"] not in {"PANT", "BÆREPOSE"})
                yield Payload(due, receipt, food)


def fare_contracts(city: City, household: Household, after: datetime, until: datetime) -> Iterator[Payload]:
    """AtB: a ticket, when it was activated."""
    for day in _days(after, until):
        for contract in trips.contracts_of_day(household, day, city.seed):
            due = datetime.fromisoformat(contract["travelRights"][0]["usedAccesses"][0]["startDateTime"])
            if after < due <= until:
                yield Payload(due, contract, 1)


def collections(city: City, household: Household, after: datetime, until: datetime) -> Iterator[Payload]:
    """Trondheim Renholdsverk: what was collected, the morning after."""
    change_from = (city.began - timedelta(days=365)).astimezone(LOCAL).date()
    for day in _days(after - 2 * DAY, until):
        due = local_midnight(day + DAY) + timedelta(hours=6)
        if not after < due <= until:
            continue
        entries = waste.collections_of_day(household, day, change_from, city.seed)
        if entries:
            yield Payload(due, {"id": f"trv-{household.handle}", "calendar": entries}, len(entries))


def driving_days(city: City, household: Household, after: datetime, until: datetime) -> Iterator[Payload]:
    """SpareBank 1 Forsikring: what was counted yesterday, at four in the morning; a neighbour's car has no plug."""
    for day in _days(after - 2 * DAY, until):
        due = local_midnight(day + DAY) + timedelta(hours=4)
        if not after < due <= until:
            continue
        told = driving.day_driven(household, day, city.seed)
        if told is not None:
            yield Payload(due, {"vehicle": f"bil-{household.handle}", "days": [told]}, 1)


def card_reports(city: City, household: Household, after: datetime, until: datetime) -> Iterator[Payload]:
    """SpareBank 1 Kort, brought by Evry: what was booked yesterday, at five in the morning."""
    for day in _days(after - 2 * DAY, until):
        due = local_midnight(day + DAY) + timedelta(hours=5)
        if not after < due <= until:
            continue
        report = card.report_of_day(household, day, city.seed)
        if report is not None:
            yield Payload(due, report, len(report["transactions"]["booked"]))


def nothing(city: City, household: Household, after: datetime, until: datetime) -> Iterator[Payload]:  # noqa: ARG001
    """A partner that only listens."""
    yield from ()


WASTE_HISTORY = timedelta(days=800)
"""Two whole years before the present month: a programme compares twelve months with the twelve before."""

SOURCES: dict[str, Source] = {
    source.slug: source
    for source in (
        Source(
            "oss", "Oss.no", "personvern@oss.example",
            "oss", "live-electricity", "electricity-reading", "PT1M",
            history=timedelta(0), quota=3000, payloads=minute_power, citizens_only=True,
        ),
        Source(
            "tronderenergi", "TrønderEnergi", "personvern@tronderenergi.example",
            "tronderenergi", "verify-meter", "electricity-reading", "PT1H",
            history=timedelta(days=365), quota=20_000, payloads=hourly_readings,
        ),
        Source(
            "rema1000", "Rema 1000", "personvern@rema.example",
            "rema1000", "food-footprint", "grocery-line", "event",
            history=timedelta(days=365), quota=10_000, payloads=receipts,
        ),
        Source(
            "atb", "AtB", "personvern@atb.example",
            "atb", "travel-footprint", "transit-trip", "event",
            history=timedelta(days=365), quota=2000, payloads=fare_contracts,
        ),
        Source(
            "trv", "Trondheim Renholdsverk", "personvern@renholdsverket.example",
            "waste-weights", "waste-follow-up", "waste-collection", "event",
            history=WASTE_HISTORY, quota=2000, payloads=collections,
        ),
        Source(
            "forsikring", "SpareBank 1 Forsikring", "personvern@forsikring.example",
            "sparebank1-driving", "driving-follow-up", "driving-day", "P1D",
            history=timedelta(days=365), quota=1000, payloads=driving_days, citizens_only=True, retention="P15M",
        ),
        Source(
            "kort", "SpareBank 1 Kort", "personvern@kort.example",
            "berlin-group", "personal-footprint", "payment", "event",
            history=timedelta(days=14), quota=2000, payloads=card_reports, citizens_only=True, through="evry",
        ),
        Source(
            "evry", "Evry (Tietoevry)", "personvern@evry.example",
            "", "", "", "event", history=timedelta(0), quota=1, payloads=nothing, citizens_only=True,
        ),
        Source(
            "han", "Målerleseren", "personvern@malerleser.example",
            "han", "live-electricity", "electricity-reading", "PT1M",
            history=timedelta(0), quota=3000, payloads=nothing, citizens_only=True, agent=True,
        ),
        Source(
            "kommune", "Trondheim kommune", "personvern@trondheim.example",
            "", "", "", "event", history=timedelta(0), quota=1, payloads=nothing, citizens_only=True,
        ),
    )
}  # fmt: skip
"""The partners of the demonstration, by slug."""


def meter_number(household: Household) -> str:
    """A made-up metering point: Norwegian ones have 18 digits and begin with 707057."""
    number = sum(ord(letter) * 31**place for place, letter in enumerate(household.handle)) % 10**12
    return f"707057{number:012d}"


def _floor_minute(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)

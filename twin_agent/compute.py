"""Quantity × factor, summed: per grant and local month as partial sums, then across grants as figures.

A partial sum keeps as much as the rules against counting twice need, and no more:

    days     local day → kind and discriminator → [low, mean, high, quantity, records]
    told     receipts, payments, trips and steps, of which several sources may tell (once.py)
    short    UTC hour → the same five, of electricity readings shorter than an hour
    whole    UTC hour → meter and quality → one electricity reading of exactly an hour
    long     electricity readings of more than an hour
    unknown  category → records for which no factor is known: unknown, which is not zero

An hour of electricity is counted once, by the rule of vocab/rules/electricity-hour-once.ru: measured hours before
estimated hours before shorter readings, then the grant whose name sorts first; and a longer reading takes the place of
all hours that lie inside it. What else is counted once is decided in once.py. What the household shares is divided among its members only when figures are made, so a
change of its size needs no activity to be read again.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pyoxigraph as ox

from twin_agent import once
from twin_agent.local_time import HOUR_SECONDS, day_of_hour, hour_of, month_before
from twin_agent.once import Sum, Told, add_to
from vocab.errors import NoFactor
from vocab.factors import load_factors
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vocab.factors import Factor
    from vocab.kinds import Activity

RULE_VERSION = 3
"""Counted up when a rule in this module changes: every pod's sums are then made anew from its activities."""

ELECTRICITY = "electricity-reading"
_MEASURED, _ESTIMATED, _SHORT = 1, 2, 3

RECEIPT_LINE, PAYMENT, TRIP, STEPS, DRIVING = "grocery-line", "payment", "transit-trip", "step-count", "driving-day"
_TOLD = frozenset({RECEIPT_LINE, PAYMENT, TRIP, STEPS, DRIVING})


class Whole(msgspec.Struct, array_like=True):
    """One electricity reading of exactly an hour."""

    record_id: str
    amounts: Sum


class Long(msgspec.Struct, array_like=True):
    """One electricity reading of more than an hour; `start` and `end` in seconds from 1970."""

    record_id: str
    start: int
    end: int
    rank: int
    meter: str
    day: str
    amounts: Sum


class MonthSums(msgspec.Struct, array_like=True):
    """What one grant brought in one local month. Fields are only ever added at the end."""

    days: dict[str, dict[str, Sum]] = msgspec.field(default_factory=dict)
    short: dict[int, Sum] = msgspec.field(default_factory=dict)
    whole: dict[int, dict[str, Whole]] = msgspec.field(default_factory=dict)
    long: list[Long] = msgspec.field(default_factory=list)
    unknown: dict[str, int] = msgspec.field(default_factory=dict)
    inferred: set[str] = msgspec.field(default_factory=set)
    told: Told = msgspec.field(default_factory=Told)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(MonthSums).decode


def encode_sums(sums: MonthSums) -> bytes:
    """A partial sum as it is sealed."""
    return _encode(sums)


def decode_sums(content: bytes) -> MonthSums:
    """The inverse of `encode_sums`."""
    return _decode(content)


@cache
def rules_fingerprint() -> str:
    """What the sums depend on beside the activities: this module's rules and every factor's values."""
    digest = hashlib.sha256(f"rules {RULE_VERSION}".encode())
    for factor in sorted(load_factors().factors, key=lambda each: each.iri):
        digest.update(
            f"\n{factor.iri} {factor.low!r} {factor.mean!r} {factor.high!r} "
            f"{factor.period_start} {factor.period_end} {factor.place}".encode()
        )
    return digest.hexdigest()[:16]


class Factors:
    """The factor table, remembered by kind, discriminator and UTC day: one look-up in a dictionary an activity."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, int], Factor | None] = {}
        self._table = load_factors()

    def find(self, activity: Activity, discriminator: str, hour: int) -> Factor | None:
        """The factor of an activity that started in a UTC hour, or None where nothing is known."""
        key = (activity.kind, discriminator, hour // 24)
        try:
            return self._found[key]
        except KeyError:
            try:
                factor: Factor | None = self._table.find(activity.kind, discriminator, activity.start)
            except NoFactor:
                factor = None
            self._found[key] = factor
            return factor


@cache
def factors() -> Factors:
    """The one memory of factors in this process."""
    return Factors()


class SumsKey(NamedTuple):
    """Where a partial sum belongs."""

    grant: str
    month: str


class PodSums:
    """The partial sums of one pod while activities are added to them.

    Adding is commutative and associative: any order and any split into batches gives the same sums, but for the last
    bits of floating point.
    """

    def __init__(self) -> None:
        self.months: dict[SumsKey, MonthSums] = {}
        self.changed: set[SumsKey] = set()
        self._kinds = load_kinds().by_slug
        self._factors = factors()

    def put(self, key: SumsKey, sums: MonthSums) -> None:
        """Place a stored partial sum."""
        self.months[key] = sums

    def forget(self, grant: str) -> None:
        """Empty every sum of a grant, to add its activities anew."""
        for key in self.months:
            if key.grant == grant:
                self.months[key] = MonthSums()
                self.changed.add(key)

    def find_factor(self, activity: Activity) -> Factor | None:
        """The factor that `add` would use."""
        discriminator = self._kinds[activity.kind].discriminator(activity)
        return self._factors.find(activity, discriminator, hour_of(activity.start))

    def add(self, grant: str, activity: Activity) -> Factor | None:
        """Add one activity; returns the factor that was used, or None where its footprint is unknown."""
        seconds = int(activity.start.timestamp())
        hour = seconds // HOUR_SECONDS
        day = day_of_hour(hour)
        key = SumsKey(grant, day[:7])
        sums = self.months.get(key)
        if sums is None:
            sums = self.months[key] = MonthSums()
        self.changed.add(key)
        slug = activity.kind
        kind = self._kinds[slug]
        discriminator = kind.discriminator(activity)
        factor = self._factors.find(activity, discriminator, hour)
        if slug in _TOLD and (slug != RECEIPT_LINE or activity.receipt):
            _keep_told(sums, day, hour, activity, f"{slug}|{discriminator}", factor)
            return factor
        if factor is None:
            sums.unknown[kind.category] = sums.unknown.get(kind.category, 0) + 1
            return None
        if activity.inferred:
            sums.inferred.add(kind.category)
        quantity = activity.quantity
        low, mean, high = quantity * factor.low, quantity * factor.mean, quantity * factor.high
        if slug == ELECTRICITY:
            length = activity.end.timestamp() - activity.start.timestamp()
            if length < HOUR_SECONDS:
                target = sums.short.get(hour)
                if target is None:
                    target = sums.short[hour] = [0.0, 0.0, 0.0, 0.0, 0.0]
            else:
                rank = electricity_rank(length, activity.quality or "measured")
                if rank == _ESTIMATED:
                    sums.inferred.add(kind.category)
                _add_long_or_whole(
                    sums, grant, activity, hour=hour, rank=rank, amounts=[low, mean, high, quantity, 1.0]
                )
                return factor
        else:
            of_day = sums.days.get(day)
            if of_day is None:
                of_day = sums.days[day] = {}
            name = f"{slug}|{discriminator}"
            target = of_day.get(name)
            if target is None:
                target = of_day[name] = [0.0, 0.0, 0.0, 0.0, 0.0]
        target[0] += low
        target[1] += mean
        target[2] += high
        target[3] += quantity
        target[4] += 1.0
        return factor


def _keep_told(  # noqa: PLR0917 - called in one place
    sums: MonthSums, day: str, hour: int, activity: Activity, name: str, factor: Factor | None
) -> None:
    """Keep a record apart whose event others may tell of; whether it counts is decided when figures are made."""
    quantity = activity.quantity
    amounts: Sum | None = None
    if factor is not None:
        amounts = [quantity * factor.low, quantity * factor.mean, quantity * factor.high, quantity, 1.0]
    if activity.kind == RECEIPT_LINE:
        if activity.inferred and factor is not None:
            sums.inferred.add("food")
        once.keep_receipt_line(sums.told, day, activity, name, amounts)
    elif activity.kind == PAYMENT:
        if activity.inferred and factor is not None:
            sums.inferred.add("consumption")
        once.keep_payment(sums.told, day, activity, name, amounts)
    elif activity.kind == TRIP:
        once.keep_trip(sums.told, day, activity, name, amounts)
    elif activity.kind == DRIVING:
        if activity.inferred and factor is not None:
            sums.inferred.add("travel")
        once.keep_driving(sums.told, day, activity, name, amounts)
    elif amounts is None:
        sums.unknown["steps"] = sums.unknown.get("steps", 0) + 1
    else:
        once.keep_steps(sums.told, day, hour, activity, amounts)


def _add_long_or_whole(sums: MonthSums, grant: str, activity: Activity, *, hour: int, rank: int, amounts: Sum) -> None:
    meter = activity.meter or ""
    start, end = activity.start.timestamp(), activity.end.timestamp()
    if end - start > HOUR_SECONDS:
        sums.long.append(Long(activity.id, int(start), int(end), rank, meter, day_of_hour(hour), amounts))
        return
    readings = sums.whole.setdefault(hour, {})
    name = f"{rank} {meter}"
    there = readings.get(name)
    if there is None or _comes_first(grant, activity.id, there.record_id):
        readings[name] = Whole(activity.id, amounts)


def _comes_first(grant: str, one: str, other: str) -> bool:
    """Whether the IRI of one record sorts before another's, as the SPARQL rule compares them."""
    return record_iri(grant, one) < record_iri(grant, other)


def record_base(grant: str) -> str:
    """The base against which the names of a grant's records resolve inside the twin."""
    return f"urn:tvilling:grant:{grant}/"


@lru_cache(maxsize=10_000)
def record_iri(grant: str, record_id: str) -> str:
    """A record's IRI, resolved by the same reader that a full recompute uses."""
    raw = msgspec.json.encode({"@id": record_id, "@type": "ElectricityReading"})
    subject = load_kinds().quads(raw, record_base(grant))[0].subject
    assert isinstance(subject, ox.NamedNode)
    return subject.value


# Across grants


@dataclass
class Counted:
    """What counts in one local month, undivided: local day → kind and discriminator → sum."""

    days: dict[str, dict[str, Sum]] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    inferred: set[str] = field(default_factory=set)

    def add(self, day: str, name: str, amounts: Sum) -> None:
        """Add amounts to a day."""
        add_to(self.days.setdefault(day, {}), name, amounts)

    def of_month(self) -> dict[str, Sum]:
        """Kind and discriminator → the month's sum."""
        sums: dict[str, Sum] = {}
        for day in sorted(self.days):
            for name, amounts in self.days[day].items():
                add_to(sums, name, amounts)
        return sums


@dataclass
class HoursTold:
    """Who tells of the hours of one local month, and who counts.

    Attributes:
        hours: UTC hour → rank and grant of the readings that come first.
        wholes: UTC hour, rank and grant → meter → the reading of exactly an hour that counts there.
        longs: Grants and their longer readings that count, of this month or reaching into it, in order.
    """

    hours: dict[int, tuple[int, str]]
    wholes: dict[tuple[int, int, str], dict[str, Whole]]
    longs: list[tuple[str, Long]]

    def covering(self, hour: int) -> tuple[str, Long] | None:
        """The longer reading inside which an hour lies."""
        start = hour * HOUR_SECONDS
        place = bisect_right(self.longs, start, key=lambda each: each[1].start)
        # Their starts and their ends both rise, so the last that began before is the one that reaches furthest.
        found = self.longs[place - 1] if place else None
        return found if found is not None and start + HOUR_SECONDS <= found[1].end else None


def reaching_in(sums: Mapping[SumsKey, MonthSums], month: str) -> list[tuple[str, Long]]:
    """Grants and their long readings of the two months before a month, which may reach into it."""
    earlier = {month_before(month), month_before(month_before(month))}
    return [(key.grant, long) for key, each in sums.items() if key.month in earlier for long in each.long]


def settle_hours(sums: Mapping[SumsKey, MonthSums], month: str, covering: Iterable[tuple[str, Long]] = ()) -> HoursTold:
    """Which electricity readings of one local month come first; the arguments are those of `count_month`."""
    hours: dict[int, tuple[int, str]] = {}
    wholes: dict[tuple[int, int, str], dict[str, Whole]] = {}
    longs: list[tuple[str, Long]] = []
    for key in sorted(key for key in sums if key.month == month):
        each = sums[key]
        for hour in each.short:
            _bid(hours, hour, (_SHORT, key.grant))
        for hour, readings in each.whole.items():
            for name, reading in readings.items():
                rank_text, _, meter = name.partition(" ")
                _bid(hours, hour, (int(rank_text), key.grant))
                wholes.setdefault((hour, int(rank_text), key.grant), {})[meter] = reading
        longs.extend((key.grant, long) for long in each.long)
    return HoursTold(hours, wholes, _uncovered([*longs, *covering]))


def count_month(sums: Mapping[SumsKey, MonthSums], month: str, covering: Iterable[tuple[str, Long]] = ()) -> Counted:
    """Put the grants of one month together, each hour of electricity once.

    Args:
        sums: Partial sums of the month and of the one before it; those of others are passed over.
        month: `YYYY-MM`.
        covering: Grants and their long readings of the two months before, which may reach into this one.
    """
    counted = Counted()
    of_month = [(key, sums[key]) for key in sorted(key for key in sums if key.month == month)]
    for _, each in of_month:
        for day, names in each.days.items():
            for name, amounts in names.items():
                counted.add(day, name, amounts)
        for category, number in each.unknown.items():
            counted.unknown[category] = counted.unknown.get(category, 0) + number
        counted.inferred |= each.inferred
    told = settle_hours(sums, month, covering)
    for key, each in of_month:
        for hour, amounts in each.short.items():
            if told.hours[hour] == (_SHORT, key.grant) and told.covering(hour) is None:
                counted.add(day_of_hour(hour), f"{ELECTRICITY}|", amounts)
    for (hour, rank, grant), meters in told.wholes.items():
        if told.hours[hour] == (rank, grant) and told.covering(hour) is None:
            for reading in meters.values():
                counted.add(day_of_hour(hour), f"{ELECTRICITY}|", reading.amounts)
    for _, long in told.longs:
        if long.day.startswith(month):
            counted.add(long.day, f"{ELECTRICITY}|", long.amounts)
    _count_told(counted, sums, month)
    return counted


def told_of(sums: Mapping[SumsKey, MonthSums], month: str) -> dict[str, Told]:
    """What each grant told of one local month, of the kinds that several sources tell of."""
    return {key.grant: sums[key].told for key in sorted(sums) if key.month == month}


def _count_told(counted: Counted, sums: Mapping[SumsKey, MonthSums], month: str) -> None:
    """Add what once.py lets count of receipts, payments, trips and steps."""
    told_here = told_of(sums, month)
    verdicts = once.decide(told_here, told_of(sums, month_before(month)), record_iri)

    def add(category: str, day: str, name: str, amounts: Sum | None, *, inferred: bool = False) -> None:
        if amounts is None:
            counted.unknown[category] = counted.unknown.get(category, 0) + 1
            return
        counted.add(day, name, amounts)
        if inferred:
            counted.inferred.add(category)

    for grant, told in told_here.items():
        for receipt_name, receipt in told.receipts.items():
            if (grant, receipt_name) not in verdicts.receipts:
                for name, amounts in receipt.sums.items():
                    counted.add(receipt_name.partition(" ")[0], name, amounts)
                if receipt.unknown:
                    counted.unknown["food"] = counted.unknown.get("food", 0) + receipt.unknown
        for record_id, payment in told.payments.items():
            if (grant, record_id) not in verdicts.payments:
                add("consumption", payment.day, payment.name, payment.amounts)
        for record_id, trip in told.trips.items():
            if (grant, record_id) not in verdicts.trips:
                add("travel", trip.day, trip.name, trip.amounts, inferred=trip.inferred)
    for day, (grant, source) in once.driven(told_here).items():
        for name, amounts in told_here[grant].driven[day][source].items():
            if name:
                counted.add(day, name, amounts)
            else:
                counted.unknown["travel"] = counted.unknown.get("travel", 0) + int(amounts[4])
    for day, steps in once.walked(told_here).items():
        counted.add(day, f"{STEPS}|", steps.amounts)


def _bid(hours: dict[int, tuple[int, str]], hour: int, source: tuple[int, str]) -> None:
    best = hours.get(hour)
    if best is None or source < best:
        hours[hour] = source


def _uncovered(longs: list[tuple[str, Long]]) -> list[tuple[str, Long]]:
    """The long readings that lie inside no other one; of equal ones the first by rank, grant and name, a meter each."""
    counting: list[tuple[str, Long]] = []
    last_end = 0
    ordered = sorted(longs, key=lambda each: (each[1].start, -each[1].end, each[1].rank, each[0]))
    for (_, end), equal in groupby(ordered, key=lambda each: (each[1].start, each[1].end)):
        if end <= last_end:
            continue
        last_end = end
        first: dict[str, tuple[str, Long]] = {}
        best: tuple[int, str] | None = None
        for grant, long in equal:
            best = best or (long.rank, grant)
            if (long.rank, grant) != best:
                break
            there = first.get(long.meter)
            if there is None or _comes_first(grant, long.record_id, there[1].record_id):
                first[long.meter] = (grant, long)
        counting.extend(first.values())
    return counting


def electricity_rank(length_seconds: float, quality: str) -> int:
    """Which readings of one hour come first: 1 measured hours, 2 estimated hours, 3 shorter readings."""
    if length_seconds < HOUR_SECONDS:
        return _SHORT
    return _ESTIMATED if quality == "estimated" else _MEASURED


def share(slug: str, household_size: int) -> int:
    """Among how many a kind's quantity is divided."""
    return household_size if load_kinds().by_slug[slug].household_level else 1


def by_category(sums: Mapping[str, Sum], household_size: int) -> dict[str, list[float]]:
    """Category → [low, mean, high, quantity] of the citizen's own share, of sums by kind and discriminator."""
    kinds = load_kinds().by_slug
    result: dict[str, list[float]] = {}
    for name in sorted(sums):
        slug = name.partition("|")[0]
        parts = share(slug, household_size)
        there = result.setdefault(kinds[slug].category, [0.0, 0.0, 0.0, 0.0])
        for position in range(4):
            there[position] += sums[name][position] / parts
    return result

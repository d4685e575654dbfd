"""One event, counted once: which of several records that tell of it counts, by rule, and why the others do not.

The rules stand in vocab/counting-rules.ttl with their words, limits and sources; here is their arithmetic, as pure
functions of what the partial sums keep apart. That is a function of the set of records alone: in which order they
came, and whether a grant was erased meanwhile, makes no difference. Electricity, by far the most records, has its own
in compute.py.

A payment is paired with the receipt or ticket it paid for. Pairs are taken in this order, each payment and each
receipt once: first those within one local month, then those across its end; the fewer days between the better; then
by name. Thus what counts in a month follows from that month and the one before it, whatever else a pod holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vocab.kinds import Activity

ELECTRICITY_HOUR = "electricity-hour-once"
RECEIPT_TOLD_TWICE = "receipt-told-twice"
RECEIPT_AND_DEBIT = "receipt-and-debit"
TICKET_AND_DEBIT = "ticket-and-debit"
TRIP_TOLD_TWICE = "trip-told-twice"
WALK_ONCE = "walk-once"
DRIVE_ONCE = "drive-once"

BOOKED_WITHIN_DAYS = 5
SAME_TRIP_SECONDS = 15 * 60
TRANSPORT_MERCHANTS = frozenset({"4111", "4112", "4131"})

Sum = list[float]


class Receipt(msgspec.Struct, array_like=True):
    """The lines of one receipt that start on one local day. Money in hundredths of a krone."""

    store: str = ""
    total: int = -1
    lines: int = 0
    sums: dict[str, Sum] = msgspec.field(default_factory=dict)
    unknown: int = 0


class Payment(msgspec.Struct, array_like=True):
    """One payment; `amounts` is None where no factor is known for it."""

    day: str
    hundredths: int
    text: str
    merchant: str
    name: str
    amounts: Sum | None


class Trip(msgspec.Struct, array_like=True):
    """One trip; `start` in seconds from 1970, `hundredths` what was paid for it."""

    day: str
    start: int
    mode: str
    inferred: bool
    ticket: str
    hundredths: int
    name: str
    amounts: Sum | None


class Told(msgspec.Struct, array_like=True):
    """What one grant told in one local month of the kinds that others tell of too. Fields are only ever added at the end."""

    receipts: dict[str, Receipt] = msgspec.field(default_factory=dict)
    payments: dict[str, Payment] = msgspec.field(default_factory=dict)
    trips: dict[str, Trip] = msgspec.field(default_factory=dict)
    walked: dict[str, dict[int, dict[str, Sum]]] = msgspec.field(default_factory=dict)
    walked_long: dict[str, dict[str, Sum]] = msgspec.field(default_factory=dict)
    driven: dict[str, dict[str, dict[str, Sum]]] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class NotCounted:
    """Why a record is not counted.

    Attributes:
        rule: The rule's slug, a key of `vocab.counting_rules.load_counting_rules()`.
        grant: The grant whose record counts instead; "" where none does.
        by: What counts instead there: a record's name, a receipt or ticket, a device.
    """

    rule: str
    grant: str = ""
    by: str = ""


def hundredths(kroner: float) -> int:
    """An amount in hundredths of a krone, halves up, as SPARQL's ROUND has it."""
    return math.floor(kroner * 100 + 0.5)


# Keeping apart


def keep_receipt_line(told: Told, day: str, activity: Activity, name: str, amounts: Sum | None) -> None:
    """Add a grocery line that names its receipt."""
    receipt = told.receipts.setdefault(f"{day} {activity.receipt}", Receipt())
    word = first_word(activity.store)
    # Of lines that disagree the greatest stands: the same whatever came first.
    receipt.store = max(receipt.store, word)
    if activity.receipt_total_nok is not None:
        receipt.total = max(receipt.total, hundredths(activity.receipt_total_nok))
    if activity.amount_nok is not None:
        receipt.lines += hundredths(activity.amount_nok)
    if amounts is None:
        receipt.unknown += 1
    else:
        add_to(receipt.sums, name, amounts)


def keep_payment(told: Told, day: str, activity: Activity, name: str, amounts: Sum | None) -> None:
    """Add a payment."""
    told.payments[activity.id] = Payment(
        day,
        hundredths(activity.quantity),
        (activity.name or "").lower(),
        activity.merchant_category or "",
        name,
        amounts,
    )


def keep_trip(told: Told, day: str, activity: Activity, name: str, amounts: Sum | None) -> None:
    """Add a trip by public transport."""
    told.trips[activity.id] = Trip(
        day,
        int(activity.start.timestamp()),
        activity.mode,
        activity.inferred,
        activity.ticket or "",
        0 if activity.amount_nok is None else hundredths(activity.amount_nok),
        name,
        amounts,
    )


def keep_steps(told: Told, day: str, hour: int, activity: Activity, amounts: Sum) -> None:
    """Add a count of steps: to its UTC hour, or to its day where it spans more than an hour."""
    device = activity.source or ""
    if (activity.end - activity.start).total_seconds() > 3600:
        add_to(told.walked_long.setdefault(day, {}), device, amounts)
    else:
        add_to(told.walked.setdefault(day, {}).setdefault(hour, {}), device, amounts)


def keep_driving(told: Told, day: str, activity: Activity, name: str, amounts: Sum | None) -> None:
    """Add a day of driving; one whose footprint is unknown weighs in who counts, and is counted under no name."""
    sums = told.driven.setdefault(day, {}).setdefault(activity.source or "", {})
    add_to(sums, name if amounts else "", amounts or [0.0, 0.0, 0.0, activity.quantity, 1.0])


def add_to(sums: dict[str, Sum], name: str, amounts: Sum) -> None:
    """Add amounts to one of several sums."""
    there = sums.get(name)
    if there is None:
        sums[name] = list(amounts)
    else:
        for position, amount in enumerate(amounts):
            there[position] += amount


def first_word(text: str | None) -> str:
    """The first word of a shop's name, in small letters."""
    return (text or "").lower().partition(" ")[0]


# Deciding


@dataclass
class Verdicts:
    """Which receipts, payments and trips of one local month do not count, and why: by grant and name."""

    receipts: dict[tuple[str, str], NotCounted] = field(default_factory=dict)
    payments: dict[tuple[str, str], NotCounted] = field(default_factory=dict)
    trips: dict[tuple[str, str], NotCounted] = field(default_factory=dict)


def decide(here: Mapping[str, Told], earlier: Mapping[str, Told], iri_of: Callable[[str, str], str]) -> Verdicts:
    """Decide what of one local month counts.

    Args:
        here: What every grant told of the month.
        earlier: The same of the month before it.
        iri_of: A record's IRI from its grant and name, for ties.
    """
    verdicts = Verdicts(receipts=_told_twice(here), trips=_trips_told_twice(here, iri_of))
    if not any(told.payments for told in here.values()):
        return verdicts
    own_bills = _bills(here, verdicts.receipts)
    earlier_bills = _bills(earlier, _told_twice(earlier))
    left = set(_pair(earlier_bills, earlier, iri_of).values())
    paid = _pair(own_bills, here, iri_of)
    leftover = [bill for bill in earlier_bills if bill.key not in left]
    paid |= _pair(leftover, here, iri_of, but_not=frozenset(paid))
    by_key = {bill.key: bill for bill in (*own_bills, *leftover)}
    for payment, key in paid.items():
        bill = by_key[key]
        verdicts.payments[payment] = NotCounted(bill.rule, bill.grant, bill.ref)
    return verdicts


@dataclass(frozen=True)
class _Bill:
    """A receipt, or the trips of one ticket on one local day."""

    key: str
    grant: str
    ref: str
    day: str
    hundredths: int
    word: str
    rule: str


def _told_twice(months: Mapping[str, Told]) -> dict[tuple[str, str], NotCounted]:
    """Receipts that a grant whose name sorts before tells of as well."""
    first: dict[str, str] = {}
    verdicts = {}
    for grant in sorted(months):
        for name in months[grant].receipts:
            if name in first:
                verdicts[grant, name] = NotCounted(RECEIPT_TOLD_TWICE, first[name], name.partition(" ")[2])
            else:
                first[name] = grant
    return verdicts


def _trips_told_twice(
    months: Mapping[str, Told], iri_of: Callable[[str, str], str]
) -> dict[tuple[str, str], NotCounted]:
    """Trips beside which a better one of another grant begins, on the same day by the same means."""
    if sum(bool(told.trips) for told in months.values()) < 2:
        return {}
    by_day: dict[tuple[str, str], list[tuple[str, str, Trip]]] = {}
    for grant, told in months.items():
        for name, trip in told.trips.items():
            by_day.setdefault((trip.day, trip.mode), []).append((grant, name, trip))
    verdicts = {}
    for alike in by_day.values():
        if len({grant for grant, _, _ in alike}) < 2:
            continue
        for grant, name, trip in alike:
            better = [
                (other.inferred, other_grant, other_name)
                for other_grant, other_name, other in alike
                if other_grant != grant
                and abs(other.start - trip.start) <= SAME_TRIP_SECONDS
                and (other.inferred, other_grant) < (trip.inferred, grant)
            ]
            if better:
                _, by_grant, by_name = min(better, key=lambda each: (each[0], each[1], iri_of(each[1], each[2])))
                verdicts[grant, name] = NotCounted(TRIP_TOLD_TWICE, by_grant, by_name)
    return verdicts


def _bills(months: Mapping[str, Told], left_out: Mapping[tuple[str, str], NotCounted]) -> list[_Bill]:
    bills = []
    for grant, told in months.items():
        for name, receipt in told.receipts.items():
            day, _, ref = name.partition(" ")
            amount = receipt.total if receipt.total >= 0 else receipt.lines
            if amount > 0 and receipt.store and (grant, name) not in left_out:
                key = _bill_key(grant, "receipt", day, ref)
                bills.append(_Bill(key, grant, ref, day, amount, receipt.store, RECEIPT_AND_DEBIT))
        tickets: dict[tuple[str, str], int] = {}
        for trip in told.trips.values():
            if trip.ticket:
                place = (trip.day, trip.ticket)
                tickets[place] = tickets.get(place, 0) + trip.hundredths
        for (day, ref), amount in tickets.items():
            if amount > 0:
                key = _bill_key(grant, "ticket", day, ref)
                bills.append(_Bill(key, grant, ref, day, amount, "", TICKET_AND_DEBIT))
    return bills


def _bill_key(grant: str, what: str, day: str, ref: str) -> str:
    """The bill's IRI, as rules/told-twice.ru builds it."""
    return f"urn:tvilling:bill:{grant}:{what}:{day}:{quote(ref, safe='')}"


def _pair(
    bills: Iterable[_Bill],
    months: Mapping[str, Told],
    iri_of: Callable[[str, str], str],
    *,
    but_not: frozenset[tuple[str, str]] = frozenset(),
) -> dict[tuple[str, str], str]:
    """Payment → the key of the bill it paid, each once, the best pairs first."""
    by_amount: dict[int, list[_Bill]] = {}
    for bill in bills:
        by_amount.setdefault(bill.hundredths, []).append(bill)
    if not by_amount:
        return {}
    pairs: list[tuple[int, str, str, tuple[str, str]]] = []
    for grant, told in months.items():
        for name, payment in told.payments.items():
            if (grant, name) in but_not:
                continue
            for bill in by_amount.get(payment.hundredths, ()):
                days = (date.fromisoformat(payment.day) - date.fromisoformat(bill.day)).days
                if 0 <= days <= BOOKED_WITHIN_DAYS and _paid_there(payment, bill):
                    pairs.append((days, iri_of(grant, name), bill.key, (grant, name)))
    paid: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for _, _, key, payment_place in sorted(pairs):
        if payment_place not in paid and key not in taken:
            paid[payment_place] = key
            taken.add(key)
    return paid


def _paid_there(payment: Payment, bill: _Bill) -> bool:
    if bill.rule == TICKET_AND_DEBIT:
        return payment.merchant in TRANSPORT_MERCHANTS
    return f" {bill.word} " in f" {payment.text} "


# Steps


@dataclass
class Walked:
    """One local day's steps: by hour the device that counts, or the device whose day's total does."""

    hours: dict[int, tuple[str, str]]
    whole: tuple[str, str] | None
    amounts: Sum

    def counts(self, grant: str, device: str, hour: int | None) -> bool:
        """Whether a device's record counts; `hour` is None for one longer than an hour."""
        if hour is None or self.whole is not None:
            return hour is None and self.whole == (grant, device)
        return self.hours.get(hour) == (grant, device)


def walked(months: Mapping[str, Told]) -> dict[str, Walked]:
    """The steps of each local day of a month, every hour from one device, from what every grant told of it."""
    hours: dict[str, dict[int, list[tuple[float, str, str, Sum]]]] = {}
    longs: dict[str, list[tuple[float, str, str, Sum]]] = {}
    for grant in sorted(months):
        told = months[grant]
        for day, by_hour in told.walked.items():
            for hour, devices in by_hour.items():
                at = hours.setdefault(day, {}).setdefault(hour, [])
                at.extend(_order(grant, device, amounts) for device, amounts in devices.items())
        for day, devices in told.walked_long.items():
            longs.setdefault(day, []).extend(_order(grant, device, amounts) for device, amounts in devices.items())
    result = {}
    for day in hours.keys() | longs.keys():
        winners = {hour: min(found, key=_rank) for hour, found in hours.get(day, {}).items()}
        amounts = [0.0] * 5
        for hour in sorted(winners):
            for position, amount in enumerate(winners[hour][3]):
                amounts[position] += amount
        whole = None
        if day in longs:
            best = min(longs[day], key=_rank)
            if -best[0] > sum(-each[0] for each in winners.values()):
                whole, amounts = (best[1], best[2]), list(best[3])
        result[day] = Walked({hour: (each[1], each[2]) for hour, each in winners.items()}, whole, amounts)
    return result


def driven(months: Mapping[str, Told]) -> dict[str, tuple[str, str]]:
    """Of each local day the grant and source that tell of most kilometres: one car, told of by its insurer and its own log."""
    days: dict[str, list[tuple[float, str, str, Any]]] = {}
    for grant in sorted(months):
        for day, sources in months[grant].driven.items():
            for source, sums in sources.items():
                kilometres = math.floor(sum(each[3] for each in sums.values()) + 0.5)
                days.setdefault(day, []).append((-kilometres, grant, source, None))
    return {day: min(found, key=_rank)[1:3] for day, found in days.items()}


def _order(grant: str, device: str, amounts: Sum) -> tuple[float, str, str, Sum]:
    # Whole steps: what two devices agree on to a step is a tie, whatever the last bits of floating point say.
    return (-math.floor(amounts[3] + 0.5), grant, device, amounts)


def _rank(each: tuple[float, str, str, Any]) -> tuple[float, str]:
    return (each[0], f"{each[1]} {each[2]}")

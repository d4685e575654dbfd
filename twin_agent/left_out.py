"""Which records the figures leave out, and for what: the rules of once.py and compute.py, asked one record at a time.

The sums know months, hours and receipts; a citizen, and a program of theirs that adds up the pod's own RDF, asks of a
record. Both answers come of the same decisions, so that what is not left out adds up to the figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pod_server.left_out import CountedInstead
from twin_agent import once
from twin_agent.compute import (
    DRIVING,
    ELECTRICITY,
    PAYMENT,
    RECEIPT_LINE,
    STEPS,
    TRIP,
    PodSums,
    electricity_rank,
    reaching_in,
    record_iri,
    settle_hours,
    told_of,
)
from twin_agent.local_time import HOUR_SECONDS, day_of_hour, hour_of, month_before
from twin_agent.once import NotCounted
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from twin_agent.compute import HoursTold, MonthSums, SumsKey
    from twin_agent.once import Told, Verdicts, Walked


class Asked(NamedTuple):
    """As much of a record as the rules look at."""

    kind: str
    grant: str
    record_id: str
    start: datetime
    end: datetime
    quality: str = ""
    device: str = ""
    receipt: str = ""


class Standing:
    """How the records of some partial sums stand to each other.

    Each month is settled once, when it is first asked about; that takes its own sums and those of the two before it.
    """

    def __init__(self, sums: Mapping[SumsKey, MonthSums]) -> None:
        self._sums = sums
        self._hours: dict[str, HoursTold] = {}
        self._told: dict[str, dict[str, Told]] = {}
        self._verdicts: dict[str, Verdicts] = {}
        self._walked: dict[str, dict[str, Walked]] = {}
        self._driven: dict[str, dict[str, tuple[str, str]]] = {}

    def of(self, asked: Asked) -> NotCounted | None:
        """Why a record is left out, or None where it counts (or would, if a factor were known for it)."""
        day = day_of_hour(hour_of(asked.start))
        match asked.kind:
            case kind if kind == ELECTRICITY:
                return self._electricity(asked, day[:7])
            case kind if kind == DRIVING:
                return self._driving(asked, day)
            case kind if kind == STEPS:
                return self._steps(asked, day)
            case kind if kind == RECEIPT_LINE:
                return self.verdicts(day[:7]).receipts.get((asked.grant, f"{day} {asked.receipt}"))
            case kind if kind == TRIP:
                return self.verdicts(day[:7]).trips.get((asked.grant, asked.record_id))
            case kind if kind == PAYMENT:
                return self.verdicts(day[:7]).payments.get((asked.grant, asked.record_id))
        return None

    def verdicts(self, month: str) -> Verdicts:
        """Which receipts, payments and trips of a local month do not count."""
        if month not in self._verdicts:
            self._verdicts[month] = once.decide(self._told_of(month), self._told_of(month_before(month)), record_iri)
        return self._verdicts[month]

    def _told_of(self, month: str) -> dict[str, Told]:
        if month not in self._told:
            self._told[month] = told_of(self._sums, month)
        return self._told[month]

    def _electricity(self, asked: Asked, month: str) -> NotCounted | None:
        told = self._hours.get(month)
        if told is None:
            told = self._hours[month] = settle_hours(self._sums, month, reaching_in(self._sums, month))
        length = (asked.end - asked.start).total_seconds()
        own = (asked.grant, asked.record_id)
        if length > HOUR_SECONDS:
            return _long(told, own, asked)
        hour = hour_of(asked.start)
        rank = electricity_rank(length, asked.quality)
        best = told.hours.get(hour)
        long = told.covering(hour)
        if long is not None:
            return NotCounted(once.ELECTRICITY_HOUR, long[0], long[1].record_id)
        if best is None or best != (rank, asked.grant):
            return None if best is None else NotCounted(once.ELECTRICITY_HOUR, best[1])
        if length < HOUR_SECONDS:
            return None
        # Of several readings of one meter's hour one counts; a meter's name does not matter here, its readings' do.
        names = {reading.record_id for reading in told.wholes[hour, rank, asked.grant].values()}
        return None if asked.record_id in names else NotCounted(once.ELECTRICITY_HOUR, asked.grant, min(names))

    def _driving(self, asked: Asked, day: str) -> NotCounted | None:
        month = day[:7]
        if month not in self._driven:
            self._driven[month] = once.driven(self._told_of(month))
        winner = self._driven[month].get(day, (asked.grant, asked.device))
        return None if winner == (asked.grant, asked.device) else NotCounted(once.DRIVE_ONCE, *winner)

    def _steps(self, asked: Asked, day: str) -> NotCounted | None:
        month = day[:7]
        if month not in self._walked:
            self._walked[month] = once.walked(self._told_of(month))
        walk = self._walked[month].get(day)
        hour = None if (asked.end - asked.start).total_seconds() > HOUR_SECONDS else hour_of(asked.start)
        if walk is None or walk.counts(asked.grant, asked.device, hour):
            return None
        winner = walk.whole
        if winner is None:
            # A day's total gives way to its hours, which may be of several devices: the first is named.
            winner = walk.hours.get(min(walk.hours) if hour is None else hour)
        return None if winner is None else NotCounted(once.WALK_ONCE, *winner)


def _long(told: HoursTold, own: tuple[str, str], asked: Asked) -> NotCounted | None:
    """A reading of more than an hour gives way to one inside which it lies."""
    start, end = int(asked.start.timestamp()), int(asked.end.timestamp())
    around = [(grant, long) for grant, long in told.longs if long.start <= start and end <= long.end]
    if not around or any((grant, long.record_id) == own for grant, long in around):
        return None
    grant, long = around[0]
    return NotCounted(once.ELECTRICITY_HOUR, grant, long.record_id)


def told_twice(records: Iterable[tuple[str, bytes]]) -> dict[tuple[str, str], CountedInstead]:
    """What is left out of some records because another one of the same event counts.

    Args:
        records: Grant and canonical content, each the latest of its id; of a whole pod, or of the local months in
            question and the two before each. What the citizen disputes is not among them.

    Returns:
        Grant and id of each that is left out, with the rule and what counts instead.
    """
    kinds = load_kinds()
    sums = PodSums()
    asked = []
    for grant, raw in records:
        activity = kinds.decode(raw)
        sums.add(grant, activity)
        asked.append(
            Asked(
                activity.kind,
                grant,
                activity.id,
                activity.start,
                activity.end,
                (activity.quality or "measured") if activity.kind == ELECTRICITY else "",
                (activity.source or "") if activity.kind in {STEPS, DRIVING} else "",
                (activity.receipt or "") if activity.kind == RECEIPT_LINE else "",
            )
        )
    standing = Standing(sums.months)
    found = ((each, standing.of(each)) for each in asked)
    return {
        (each.grant, each.record_id): CountedInstead(verdict.rule, verdict.grant, verdict.by)
        for each, verdict in found
        if verdict is not None
    }

"""The combined figures of one pod, as the pages and the research release read them: one JSON document.

months       local month → category → [low, mean, high, quantity]; the citizen's own share
days         the last 40 local days, likewise
now, power   the home's latest power and what it costs the climate an hour; the last 60 readings
target       category → kilograms for the whole present month, and target_basis: what it follows from
inferred     categories of the present month in which something was estimated or concluded
unknown      local month → category → records whose footprint is unknown
twin         what the twin itself needs next time
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from twin_agent.compute import SumsKey, by_category, count_month, reaching_in, rules_fingerprint
from twin_agent.local_time import local_date, month_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from twin_agent.compute import Counted, MonthSums
    from vocab.factors import Factor

DOCUMENT_VERSION = 1
DAYS_KEPT = 40
POWER_READINGS_KEPT = 60
TARGET_SHARE = 0.95
"""The target path asks for five per cent less than the citizen's own past."""

Amounts = dict[str, list[float]]


@dataclass
class Figures:
    """The document, typed. Mutable, as it is brought up to date in place and then written whole."""

    household_size: int = 1
    version: int = DOCUMENT_VERSION
    months: dict[str, Amounts] = field(default_factory=dict)
    days: dict[str, Amounts] = field(default_factory=dict)
    now: dict[str, Any] | None = None
    power: list[tuple[str, float]] = field(default_factory=list)
    target: dict[str, float] = field(default_factory=dict)
    target_basis: dict[str, str] = field(default_factory=dict)
    inferred: list[str] = field(default_factory=list)
    unknown: dict[str, dict[str, int]] = field(default_factory=dict)
    updated: str = ""
    twin: TwinState = field(default_factory=lambda: TwinState())


@dataclass
class TwinState:
    """What the twin carries from one delivery to the next.

    Attributes:
        rules: By which rules and factors the sums were made.
        inferred_by_month: Categories with inferred parts, by month.
        last_power_event: Grant → (end of the reading that last made an event, watts).
        offers_looked_at: In which month the twin last looked whether a programme's rule is met.
    """

    rules: str = ""
    inferred_by_month: dict[str, list[str]] = field(default_factory=dict)
    last_power_event: dict[str, tuple[str, float]] = field(default_factory=dict)
    offers_looked_at: str = ""


def read_figures(content: bytes | None) -> Figures | None:
    """The stored document, or None where there is none, or one of another version or made by other rules."""
    if content is None:
        return None
    try:
        figures = msgspec.json.decode(content, type=Figures)
    except msgspec.ValidationError:
        return None
    if figures.version != DOCUMENT_VERSION or figures.twin.rules != rules_fingerprint():
        return None
    return figures


def write_figures(figures: Figures) -> bytes:
    """The document as it is stored."""
    return msgspec.json.encode(figures)


def new_figures(household_size: int) -> Figures:
    """The document of a pod in which nothing has been counted."""
    return Figures(household_size=household_size, twin=TwinState(rules=rules_fingerprint()))


def count(sums: Mapping[SumsKey, MonthSums], month: str) -> Counted:
    """One month across its grants, with the long readings that reach in from the two months before."""
    return count_month(sums, month, reaching_in(sums, month))


def bring_up_to_date(figures: Figures, sums: Mapping[SumsKey, MonthSums], months: Iterable[str], at: datetime) -> None:
    """Make some months of the document anew from the partial sums, and what follows from them.

    Args:
        figures: The document; changed in place.
        sums: Every grant's partial sums of those months and of the two before each.
        months: `YYYY-MM`.
        at: Now, the city's time.
    """
    today = local_date(at)
    first_kept = (today - timedelta(days=DAYS_KEPT - 1)).isoformat()
    for month in months:
        counted = count(sums, month)
        amounts = by_category(counted.of_month(), figures.household_size)
        _set_or_drop(figures.months, month, amounts)
        _set_or_drop(figures.unknown, month, counted.unknown)
        _set_or_drop(figures.twin.inferred_by_month, month, sorted(counted.inferred))
        for day in [day for day in figures.days if day.startswith(month)]:
            del figures.days[day]
        for day, names in counted.days.items():
            if day >= first_kept:
                figures.days[day] = by_category(names, figures.household_size)
    figures.days = {day: figures.days[day] for day in sorted(figures.days) if day >= first_kept}
    figures.months = dict(sorted(figures.months.items()))
    present = month_of(at)
    figures.inferred = figures.twin.inferred_by_month.get(present, [])
    figures.target, figures.target_basis = target_path(figures.months, present)
    figures.updated = at.isoformat()


def _set_or_drop(of_month: dict[str, Any], month: str, value: Any) -> None:
    if value:
        of_month[month] = value
    else:
        of_month.pop(month, None)


def target_path(months: Mapping[str, Amounts], present: str) -> tuple[dict[str, float], dict[str, str]]:
    """Category → kilograms for the whole present month, and category → what that follows from.

    Each citizen is compared with their own past alone: five per cent less than the same month a year ago, or, where
    that month is not whole, than the mean of up to twelve whole months before this one. A category without a whole
    month has no target. The first month of a category is taken not to be whole.
    """
    year_ago = f"{int(present[:4]) - 1}{present[4:]}"
    target: dict[str, float] = {}
    basis: dict[str, str] = {}
    categories = sorted({category for amounts in months.values() for category in amounts})
    for category in categories:
        known = sorted(month for month, amounts in months.items() if category in amounts and month < present)
        whole = known[1:]
        if year_ago in whole:
            target[category] = TARGET_SHARE * months[year_ago][category][1]
            basis[category] = "same-month-last-year"
        elif whole:
            lately = whole[-12:]
            target[category] = TARGET_SHARE * sum(months[month][category][1] for month in lately) / len(lately)
            basis[category] = "mean-of-months"
    return target, basis


def add_power(figures: Figures, end: datetime, watts: float, factor: Factor) -> None:
    """Take a reading of the home's power in, if it is among the latest."""
    text = end.isoformat().replace("+00:00", "Z")
    readings = dict(figures.power)
    readings[text] = watts
    figures.power = sorted(readings.items())[-POWER_READINGS_KEPT:]
    latest, latest_watts = figures.power[-1]
    if latest == text:
        figures.now = {
            "power_w": latest_watts,
            "at": latest,
            "g_per_hour": [latest_watts * each for each in (factor.low, factor.mean, factor.high)],
        }

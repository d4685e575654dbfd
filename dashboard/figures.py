"""The twin's combined figures as the pages show them: months, days and the present, each with its interval.

The twin agent writes one JSON document a pod (pod_server/figures.py); this module reads it into values, and counts with
them: sums, the target path to date, what changed. Nothing here knows of HTML or languages.
"""

from __future__ import annotations

import calendar
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dashboard.wording import local

if TYPE_CHECKING:
    from collections.abc import Mapping

CATEGORIES = ("electricity", "food", "travel", "consumption", "waste")
"""The categories that carry kilograms of CO2e, in the order of the tiles; steps carry none."""


@dataclass(frozen=True)
class Interval:
    """Kilograms of CO2e: the likely low and high ends and the best figure between them."""

    low: float
    best: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.best + other.best, self.high + other.high)

    def scaled(self, share: float) -> Interval:
        """A part of it."""
        return Interval(self.low * share, self.best * share, self.high * share)


def days_in(key: str) -> int:
    """How many days the month `YYYY-MM` has."""
    return calendar.monthrange(int(key[:4]), int(key[5:7]))[1]


def month_share(at: datetime) -> float:
    """How much of the month has gone at a time, in Trondheim: 0 to 1."""
    day = local(at)
    return (day.day - 1 + (day.hour + day.minute / 60) / 24) / calendar.monthrange(day.year, day.month)[1]


@dataclass(frozen=True)
class CategoryFigure:
    """One category of one month.

    Attributes:
        interval: Kilograms of CO2e.
        quantity: What was used, in the category's own unit; None where units differ.
        target_to_date: The citizen's target path up to now, kilograms; None where there is no target.
        inferred: True where a part was worked out by the twin and not measured.
    """

    interval: Interval
    quantity: float | None
    target_to_date: float | None
    inferred: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether the interval is wider than half its best figure: an estimate more than a measure."""
        return self.interval.high - self.interval.low > 0.5 * self.interval.best


@dataclass(frozen=True)
class PowerNow:
    """The present power and what it costs the climate an hour, in grams of CO2e."""

    power_watt: float
    at: datetime
    grams_per_hour: Interval


@dataclass(frozen=True)
class MonthFigures:
    """A month so far, or a whole past month."""

    year: int
    month: int
    categories: Mapping[str, CategoryFigure]
    target_to_date: float | None
    is_current: bool
    steps_share: float | None = None
    steps: int | None = None

    @property
    def total(self) -> Interval | None:
        """The sum over the known categories; None where nothing is known."""
        intervals = [figure.interval for figure in self.categories.values()]
        if not intervals:
            return None
        return sum(intervals[1:], intervals[0])

    @property
    def key(self) -> str:
        """`2026-11`."""
        return f"{self.year:04d}-{self.month:02d}"


@dataclass(frozen=True)
class Figures:
    """All combined figures of one pod."""

    months: Mapping[str, Mapping[str, tuple[float, ...]]]
    days: Mapping[str, Mapping[str, tuple[float, ...]]]
    now: PowerNow | None
    targets: Mapping[str, float]
    updated: datetime | None
    inferred: frozenset[str] = field(default_factory=frozenset)

    def month(self, key: str, at: datetime) -> MonthFigures:
        """One month's figures, with the target path up to `at` where the month is the present one."""
        year, month_number = int(key[:4]), int(key[5:7])
        today = local(at)
        is_current = (today.year, today.month) == (year, month_number)
        share = month_share(at) if is_current else 1.0
        categories: dict[str, CategoryFigure] = {}
        for category, values in self.months.get(key, {}).items():
            if category not in CATEGORIES:
                continue
            target = self.targets.get(category)
            categories[category] = CategoryFigure(
                interval=Interval(*values[:3]),
                quantity=values[3] if len(values) > 3 else None,
                target_to_date=target * share if target is not None else None,
                inferred=category in self.inferred,
            )
        # the sum is compared with the targets of what is known: an unknown category must not look like a saving
        known_targets = [figure.target_to_date for figure in categories.values() if figure.target_to_date is not None]
        return MonthFigures(
            year=year,
            month=month_number,
            categories=categories,
            target_to_date=sum(known_targets) if known_targets else None,
            is_current=is_current,
        )

    def day(self, at: datetime) -> Interval | None:
        """One day's sum; None where nothing was recorded."""
        values = self.days.get(local(at).date().isoformat(), {})
        intervals = [Interval(*each[:3]) for category, each in values.items() if category in CATEGORIES]
        return sum(intervals[1:], intervals[0]) if intervals else None


EMPTY = Figures(months={}, days={}, now=None, targets={}, updated=None)


def read_figures(document: Mapping[str, Any] | None) -> Figures:
    """The twin's JSON document as values; None (nothing counted yet) gives empty figures."""
    if not document:
        return EMPTY
    now = document.get("now") or None
    target = document.get("target") or {}
    updated = document.get("updated")
    return Figures(
        months=document.get("months", {}),
        days=document.get("days", {}),
        now=PowerNow(
            power_watt=float(now["power_w"]),
            at=moment_of(now["at"]),
            grams_per_hour=Interval(*now["g_per_hour"][:3]),
        )
        if now and now.get("at")
        else None,
        targets={name: float(value) for name, value in target.items() if isinstance(value, int | float)},
        updated=moment_of(updated) if updated else None,
        inferred=frozenset(document.get("inferred", ())),
    )


def public_figures(content: bytes) -> dict[str, Any]:
    """The stored document without what the agent keeps in it for itself."""
    document: dict[str, Any] = json.loads(content)
    document.pop("twin", None)
    return document


def moment_of(text: str) -> datetime:
    """An ISO 8601 time; one without a zone is UTC."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)

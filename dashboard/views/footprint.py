"""The footprint of one month: range bars on one scale, what changed, the goals it touches, the figures as a table."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify, request

from dashboard import frame
from dashboard.errors import RecomputeBusy
from dashboard.events import latest_events
from dashboard.figures import (
    CATEGORIES,
    CategoryFigure,
    Interval,
    MonthFigures,
    days_in,
    month_share,
    public_figures,
)
from dashboard.views.home import load_figures
from dashboard.visits import citizens_visit
from dashboard.wording import local
from twin_agent import recompute as twin_recompute
from vocab.words import load_categories

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from dashboard.figures import Figures
    from dashboard.frame import Visit
    from pod_server.host import Host
    from pod_server.opening import OpenPod

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])\Z")


@dataclass(frozen=True)
class Row:
    """One category of the month."""

    category: str
    figure: CategoryFigure


@dataclass(frozen=True)
class Bar:
    """One bar of the waterfall, in the drawing's own units."""

    look: str
    x: float
    y: float
    width: float
    height: float
    figure: str
    name: str
    join: float | None


@dataclass(frozen=True)
class GoalLine:
    """One of the UN's goals and what of it happened here."""

    number: int
    name: str
    words: str


@dataclass(frozen=True)
class FootprintModel:
    """Everything on the page."""

    month: MonthFigures
    previous: str | None
    next: str | None
    rows: list[Row]
    scale: float
    unknown: str
    waterfall: list[Bar]
    waterfall_floor: str
    compared_month: str
    changed_words: str
    goals: list[GoalLine]


def neighbour_month(key: str, step: int) -> str:
    """The month before (-1) or after (+1) a `YYYY-MM`."""
    index = int(key[:4]) * 12 + int(key[5:7]) - 1 + step
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def chosen_month(figures: Figures, now: datetime) -> str:
    """The month asked for where it is one with figures, else the present one."""
    today = local(now)
    present = f"{today.year:04d}-{today.month:02d}"
    asked = request.args.get("month", "")
    return asked if _MONTH.match(asked) and (asked in figures.months or asked == present) else present


def footprint_model(visit: Visit, figures: Figures, key: str) -> FootprintModel:
    """Count what the page shows of one month."""
    t, w = visit.words, visit.wording
    month = figures.month(key, visit.now)
    rows = [Row(category, month.categories[category]) for category in CATEGORIES if category in month.categories]
    rows.sort(key=lambda row: row.figure.interval.best, reverse=True)
    today = local(visit.now)
    present = f"{today.year:04d}-{today.month:02d}"
    earlier, later = neighbour_month(key, -1), neighbour_month(key, 1)
    ends = [max(row.figure.interval.high, row.figure.target_to_date or 0.0) for row in rows]
    unknown = [t(f"category.{category}").lower() for category in CATEGORIES if category not in month.categories]
    before = {
        name: Interval(*values[:3]) for name, values in figures.months.get(earlier, {}).items() if name in CATEGORIES
    }
    if month.is_current:
        # like with like: as much of an average day of the month before as days have gone of this one
        share = month_share(visit.now) * days_in(key) / days_in(earlier)
        before = {name: interval.scaled(share) for name, interval in before.items()}
    waterfall, floor, words = _waterfall(visit, month, before, earlier)
    return FootprintModel(
        month=month,
        previous=earlier if earlier in figures.months else None,
        next=later if later <= present else None,
        rows=rows,
        scale=max(ends, default=1.0) * 1.04 or 1.0,
        unknown=w.listing(unknown),
        waterfall=waterfall,
        waterfall_floor=floor,
        compared_month=w.month_name(int(earlier[5:7])),
        changed_words=words,
        goals=_goals(visit, month, before),
    )


def _waterfall(
    visit: Visit, month: MonthFigures, before: Mapping[str, Interval], earlier: str
) -> tuple[list[Bar], str, str]:
    """Bars from the earlier month's sum to this one's; empty where either lacks figures."""
    t, w = visit.words, visit.wording
    shared = [category for category in CATEGORIES if category in before and category in month.categories]
    if not shared:
        return [], "0", ""
    start = sum(before[category].best for category in shared)
    end = sum(month.categories[category].interval.best for category in shared)
    changes = [(category, month.categories[category].interval.best - before[category].best) for category in shared]
    changes.sort(key=lambda change: abs(change[1]), reverse=True)
    levels = [start]
    for _, change in changes:
        levels.append(levels[-1] + change)
    lowest, highest = min(*levels, end), max(*levels, end)
    floor = 0.0 if lowest < 0.4 * highest else float(int(lowest * 0.8 / 10) * 10)
    room = max(highest - floor, 1e-9)
    count = len(changes) + 2
    step = 440 / count
    width = min(step - 8, 62)

    def y(level: float) -> float:
        return round(180 - 150 * (level - floor) / room, 1)

    def bar(place: int, look: str, top: float, bottom: float, *, figure: str, name: str, join: float | None) -> Bar:
        left = round(step * place + (step - width) / 2, 1)
        return Bar(look, left, y(top), round(width, 1), max(round(y(bottom) - y(top), 1), 3), figure, name, join)

    bars = [
        bar(
            0,
            "total",
            start,
            floor,
            figure=w.kilograms(start),
            name=w.month_short(int(earlier[5:7])),
            join=y(start),
        )
    ]
    for place, (category, change) in enumerate(changes, start=1):
        upper, lower = max(levels[place - 1], levels[place]), min(levels[place - 1], levels[place])
        figure = f"+{w.kilograms(change)}" if change > 0 else w.kilograms(change)
        look = "more" if change > 0 else "less"
        bars.append(
            bar(place, look, upper, lower, figure=figure, name=t(f"category.short-{category}"), join=y(levels[place]))
        )
    bars.append(
        bar(count - 1, "total", end, floor, figure=w.kilograms(end), name=w.month_short(month.month), join=None)
    )
    key = "footprint.less" if end <= start else "footprint.more"
    key += "-so-far" if month.is_current else ""
    words = t(key, mass=w.mass(abs(end - start)), month=w.month_name(int(earlier[5:7])))
    return bars, w.number(floor, 0), words


def _goals(visit: Visit, month: MonthFigures, before: Mapping[str, Interval]) -> list[GoalLine]:
    """The UN goals that this month's known categories touch, each with what changed."""
    t, w = visit.words, visit.wording
    touched: dict[int, tuple[str, list[str]]] = {}
    for category in load_categories().values():
        if category.slug in month.categories:
            for goal in category.goals:
                touched.setdefault(goal.number, (w.of(goal.labels), []))[1].append(category.slug)
    lines: list[GoalLine] = []
    for number in sorted(touched):
        name, slugs = touched[number]
        now = sum(month.categories[slug].interval.best for slug in slugs)
        names = w.listing([t(f"category.{slug}").lower() for slug in slugs])
        compared = [slug for slug in slugs if slug in before]
        if compared:
            change = sum(month.categories[slug].interval.best - before[slug].best for slug in compared)
            key = "goals.less" if change <= 0 else "goals.more"
            lines.append(GoalLine(number, name, t(key, categories=names, mass=w.mass(abs(change)))))
        else:
            lines.append(GoalLine(number, name, t("goals.now", categories=names, mass=w.mass(now))))
    return lines


def footprint(host: Host) -> Response:
    """The page."""
    visit, _, own = citizens_visit(host)
    figures, _ = load_figures(host, own)
    model = footprint_model(visit, figures, chosen_month(figures, visit.now))
    return frame.page("footprint.html.jinja", visit, model=model, request_path="/-/footprint")


def events(host: Host) -> Response:
    """Every event of the month that the twin still keeps."""
    visit, _, own = citizens_visit(host)
    figures, _ = load_figures(host, own)
    key = chosen_month(figures, visit.now)
    listed = [each for each in latest_events(host, own, 300) if local(each.at).strftime("%Y-%m") == key]
    return frame.page("events.html.jinja", visit, events=listed, month_key=key, request_path="/-/footprint/events")


def figures_json(host: Host) -> Response:
    """The combined figures for scripts and for keeping."""
    _, _, own = citizens_visit(host)
    from pod_server import figures as stored_figures  # noqa: PLC0415 - the name is taken by the page's own values

    with host.storage.read() as tx:
        content = stored_figures.load_figures(tx, own) or b"{}"
    return private_json(jsonify(public_figures(content)))


def private_json(response: Response) -> Response:
    """Mark an answer about a person as one that nobody keeps."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


_RECOMPUTES_AT_ONCE = 2
_recomputes = threading.BoundedSemaphore(_RECOMPUTES_AT_ONCE)
"""Each takes seconds of a worker that has a few threads: many at once would keep the pages from everybody else."""


def recomputed(host: Host, own: OpenPod) -> dict[str, Any]:
    """The months' sums, counted anew by SPARQL over the raw activities: `{"months": {month: {category: [low, best, high]}}}`.

    Raises:
        RecomputeBusy: this worker is counting for others, or for other pages of the same citizen.
    """
    if not _recomputes.acquire(blocking=False):
        raise RecomputeBusy("Other figures are being counted anew just now; ask again in a few seconds.")
    try:
        return {"months": twin_recompute.recompute(host, own)}
    finally:
        _recomputes.release()


def recompute_json(host: Host) -> Response:
    """The recomputed figures for scripts."""
    _, _, own = citizens_visit(host)
    return private_json(jsonify(recomputed(host, own)))


def recompute_page(host: Host) -> Response:
    """The running sums beside the sums counted anew."""
    visit, _, own = citizens_visit(host)
    figures, _ = load_figures(host, own)
    anew = recomputed(host, own).get("months", {})
    rows = []
    agrees = True
    for key in sorted(set(figures.months) | set(anew), reverse=True):
        for category in CATEGORIES:
            running = figures.months.get(key, {}).get(category)
            counted = anew.get(key, {}).get(category)
            if running is None and counted is None:
                continue
            same = (
                running is not None
                and counted is not None
                and all(abs(a - b) <= 1e-6 * max(1.0, abs(a)) for a, b in zip(running[:3], counted[:3], strict=True))
            )
            agrees = agrees and same
            w = visit.wording
            rows.append(
                {
                    "month": w.month(int(key[:4]), int(key[5:7])),
                    "category": category,
                    "running": w.number(running[1], 3) if running else "–",
                    "anew": w.number(counted[1], 3) if counted else "–",
                }
            )
    return frame.page("recompute.html.jinja", visit, rows=rows, agrees=agrees, request_path="/-/recompute")

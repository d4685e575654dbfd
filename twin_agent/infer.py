"""Infer: what follows from the sums, by rules that are data (SPARQL CONSTRUCT in vocab/rules), with the facts used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyoxigraph as ox

from twin_agent.compute import share
from twin_agent.figures import count
from twin_agent.local_time import first_day, month_before
from vocab.queries import rule
from vocab.terms import RDF, TVILLING, XSD

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from twin_agent.compute import MonthSums, SumsKey
    from twin_agent.once import Sum
    from vocab.programmes import Programme

_MEASURE = ox.NamedNode("urn:tvilling:measure")
_CONCLUSION = ox.NamedNode("urn:tvilling:conclusion")


@dataclass(frozen=True)
class Measure:
    """What a programme looks at: one citizen's share of what the household had collected, in two periods.

    Attributes:
        before: Kilograms per person in the baseline period.
        after: Kilograms per person in the period itself.
        coverage_before: Days from the first to the last record of the baseline period.
        coverage_after: The same of the period.
        start: The period's first day.
        end: The first day after it.
        baseline_start: The first day of the baseline period.
        household_size: Among how many the household's quantity was divided.
    """

    before: float
    after: float
    coverage_before: int
    coverage_after: int
    start: date
    end: date
    baseline_start: date
    household_size: int

    @property
    def period(self) -> str:
        """`2025-11-01/2026-10-31`, both days included."""
        return f"{self.start.isoformat()}/{(self.end - timedelta(days=1)).isoformat()}"

    @property
    def baseline_period(self) -> str:
        """The one before, likewise."""
        return f"{self.baseline_start.isoformat()}/{(self.start - timedelta(days=1)).isoformat()}"


class CountedPod:
    """What counts in one pod, by month, as in every figure: each month is put together once, at its first use.

    Attributes:
        household_size: Persons.
    """

    def __init__(self, sums: Mapping[SumsKey, MonthSums], household_size: int) -> None:
        self.household_size = household_size
        self._sums = sums
        self._months: dict[str, Mapping[str, Mapping[str, Sum]]] = {}

    def days(self, month: str) -> Mapping[str, Mapping[str, Sum]]:
        """Day → kind and discriminator → sum, of `YYYY-MM`."""
        if month not in self._months:
            # Only the months that a rule for counting once could look at are handed on.
            near = {month, month_before(month), month_before(month_before(month))}
            self._months[month] = count(
                {key: each for key, each in self._sums.items() if key.month in near}, month
            ).days
        return self._months[month]


@dataclass(frozen=True)
class Eligible:
    """The rule's conclusion: the programme is met, and by what."""

    before: float
    after: float
    limit: float
    change: float


def measure(programme: Programme, pod: CountedPod, today: date) -> Measure:
    """Measure a programme over its last period that ended with a month, and over the one before.

    What several partners tell of counts once, as in every figure.

    Args:
        programme: Whose kind and period count.
        pod: What counts in the pod.
        today: The local date.
    """
    end = today.replace(day=1)
    months = [end.isoformat()[:7]]
    for _ in range(2 * programme.months):
        months.append(month_before(months[-1]))
    start, place = first_day(months[programme.months]), 1 if programme.measure == "footprint-per-person" else 3
    quantities = {False: 0.0, True: 0.0}
    days: dict[bool, list[str]] = {False: [], True: []}
    for position, month in enumerate(months[1:]):
        is_after = position < programme.months
        for day, names in pod.days(month).items():
            found = [amounts[place] for name, amounts in names.items() if name.startswith(f"{programme.kind_slug}|")]
            if found:
                quantities[is_after] += sum(found)
                days[is_after].append(day)
    parts = share(programme.kind_slug, pod.household_size)
    return Measure(
        before=quantities[False] / parts,
        after=quantities[True] / parts,
        coverage_before=_span(days[False]),
        coverage_after=_span(days[True]),
        start=start,
        end=end,
        baseline_start=first_day(months[-1]),
        household_size=pod.household_size,
    )


def _span(days: list[str]) -> int:
    return (date.fromisoformat(max(days)) - date.fromisoformat(min(days))).days + 1 if days else 0


def eligibility(programme: Programme, measured: Measure) -> Eligible | None:
    """Whether the programme's rule is met, by vocab/rules/programme-eligibility.rq; None where it is not."""
    graph = ox.Store()
    node = ox.NamedNode(programme.iri)
    graph.add(ox.Quad(node, ox.NamedNode(f"{RDF}type"), ox.NamedNode(f"{TVILLING}Programme")))
    if programme.threshold is not None:
        _say(graph, node, "threshold", programme.threshold)
    if programme.at_most is not None:
        _say(graph, node, "atMost", programme.at_most)
    _say(graph, node, "minimumCoverageDays", programme.minimum_coverage_days)
    graph.add(ox.Quad(_MEASURE, ox.NamedNode(f"{TVILLING}of"), node))
    _say(graph, _MEASURE, "before", measured.before)
    _say(graph, _MEASURE, "after", measured.after)
    _say(graph, _MEASURE, "coverageBefore", measured.coverage_before)
    _say(graph, _MEASURE, "coverageAfter", measured.coverage_after)
    concluded = graph.query(rule("programme-eligibility"))
    assert isinstance(concluded, ox.QueryTriples)
    facts = {
        triple.predicate.value.removeprefix(TVILLING): triple.object.value
        for triple in concluded
        if triple.subject == _CONCLUSION and isinstance(triple.object, ox.Literal)
    }
    if not facts:
        return None
    return Eligible(
        before=float(facts["before"]),
        after=float(facts["after"]),
        limit=float(facts["limit"]),
        change=float(facts["change"]),
    )


def _say(graph: ox.Store, subject: ox.NamedNode, name: str, value: float) -> None:
    datatype = "integer" if isinstance(value, int) else "double"
    literal = ox.Literal(repr(value), datatype=ox.NamedNode(f"{XSD}{datatype}"))
    graph.add(ox.Quad(subject, ox.NamedNode(f"{TVILLING}{name}"), literal))


def is_open(programme: Programme, at: datetime) -> bool:
    """Whether a programme can be claimed at a time."""
    return programme.open_from <= at.date() <= programme.open_to

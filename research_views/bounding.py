"""One citizen becomes one bounded vector: clipped by public bounds, scaled, and shortened to a public length.

What one citizen can change in the sums of a month is thereby known before any figure is seen: the L2 sensitivity. All is
counted in whole steps, so that sums are exact and the guarantee does not lean on floating point.

Unit of privacy: the citizen, that is one pod, added or removed. Neighbouring data differ by all of one citizen's figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vocab.areas import load_areas
from vocab.release_bounds import CategoryBounds, load_release_bounds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STEPS = 2**16
"""How many whole steps the unit (a category's half width, or a full count) is divided into."""

COUNT_WEIGHT = 0.5
"""What one citizen weighs in the count of a cell: less weight, more noise in the counts, less in the sums."""

VALUE_BOUND = 1.2
"""The most that one citizen's figures weigh together, as an L2 norm over the categories, in half widths."""


@dataclass(frozen=True)
class Cell:
    """One cell of a release: an area and a category, both from public lists."""

    area: str
    category: str


@dataclass(frozen=True)
class Participant:
    """What one consenting citizen contributes: the district and the month's kilograms by category."""

    area: str
    kilograms: Mapping[str, float]


@dataclass(frozen=True)
class Table:
    """The exact sums, in steps: never stored, never shown; noise goes on before anything leaves this process."""

    cells: tuple[Cell, ...]
    counts: tuple[int, ...]
    sums: tuple[int, ...]


def cells() -> tuple[Cell, ...]:
    """Every cell of a release, whether anyone is in it or not."""
    return tuple(Cell(area, bounds.category) for area in load_areas() for bounds in load_release_bounds())


def sensitivity_steps() -> float:
    """How far one citizen can move the vector of all counts and sums, as an L2 norm in steps."""
    categories = len(load_release_bounds())
    return STEPS * math.sqrt(categories * COUNT_WEIGHT**2 + VALUE_BOUND**2)


def contribution(participant: Participant) -> dict[Cell, tuple[int, int]]:
    """One citizen's share of each cell: (count, centred sum), in steps.

    Unknown categories and areas, and figures that are no finite number, contribute nothing.
    """
    if participant.area not in load_areas():
        return {}
    normalised: dict[str, float] = {}
    for bounds in load_release_bounds():
        kilograms = participant.kilograms.get(bounds.category)
        if kilograms is not None and math.isfinite(kilograms):
            normalised[bounds.category] = _normalised(kilograms, bounds)
    length = math.sqrt(sum(value * value for value in normalised.values()))
    shortened = min(1.0, VALUE_BOUND / length) if length else 1.0
    count = int(COUNT_WEIGHT * STEPS)
    # int() cuts towards zero, so no vector grows longer by being counted in steps.
    return {
        Cell(participant.area, category): (count, int(value * shortened * STEPS))
        for category, value in normalised.items()
    }


def tabulate(participants: Iterable[Participant]) -> Table:
    """The exact sums of every cell."""
    every = cells()
    counts = dict.fromkeys(every, 0)
    sums = dict.fromkeys(every, 0)
    for participant in participants:
        for cell, (count, value) in contribution(participant).items():
            counts[cell] += count
            sums[cell] += value
    return Table(every, tuple(counts[cell] for cell in every), tuple(sums[cell] for cell in every))


def _normalised(kilograms: float, bounds: CategoryBounds) -> float:
    return (min(max(kilograms, bounds.low), bounds.high) - bounds.centre) / bounds.half_width

"""The avatar: a pure function from the month's figures to the state of a picture, and to the same picture in words.

Per category an index (mine divided by my target path) falls into one of five bands; each band is one look of one layer.
Rules followed here: a band changes only when the index passes its edge by a margin (hysteresis); what is not known is
drawn as not known, never as good or bad; one hopeful element is always there; nothing suffers.

Source: research/twin-and-dashboard.md, "The avatar".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboard.figures import CategoryFigure, MonthFigures

EDGES = (0.6, 0.9, 1.1, 1.5)
"""Between the five bands 0 (well under the target) and 4 (far over it)."""

MARGIN = 0.04
"""How far past an edge an index must go before a band that was shown changes."""

WIDE = 1.2
"""An interval wider than this share of its best figure is misty."""

UNKNOWN = -1


def band(index: float, previous: int | None = None) -> int:
    """The band of an index; with the band that was shown before, edges are sticky by `MARGIN`."""
    plain = sum(1 for edge in EDGES if index > edge)
    if previous is None or previous in {UNKNOWN, plain}:
        return plain
    edge = EDGES[previous] if plain > previous else EDGES[previous - 1]
    return plain if abs(index - edge) > MARGIN else previous


@dataclass(frozen=True)
class SceneState:
    """What the picture shows; bands are 0 (best) to 4, or -1 where nothing is known.

    Attributes:
        total: The sky: sun, cloud, rain.
        food: The green of Bymarka: more or fewer spruces.
        travel: The tram and a bicycle, or a queue of cars.
        consumption: Crates on the quay.
        electricity: Lit windows, chimney smoke, the panels on the roof.
        waste: The river's clarity, the fish, bags by the house.
        steps_share: Steps of the daily goal, 0 to 1, or None where no source tells of them.
        mist: True where the widest category is not known well: a hatched mist over the wharves.
    """

    total: int
    food: int
    travel: int
    consumption: int
    electricity: int
    waste: int
    steps_share: float | None
    mist: bool

    @property
    def spruces(self) -> int:
        """Sixteen spruces at best, two at worst."""
        return {0: 16, 1: 13, 2: 9, 3: 5, 4: 2}.get(self.food, 9)

    @property
    def cars(self) -> int:
        """Cars waiting on the quay."""
        return {3: 1, 4: 3}.get(self.travel, 0)

    @property
    def crates(self) -> int:
        """Crates piled on the wharves."""
        return {0: 1, 1: 2, 2: 4, 3: 6, 4: 9}.get(self.consumption, 2)

    @property
    def lit_windows(self) -> int:
        """Lit windows of the house, of ten."""
        return {0: 3, 1: 5, 2: 6, 3: 8, 4: 9}.get(self.electricity, 5)

    @property
    def bags(self) -> int:
        """Bags of waste by the house."""
        return {3: 2, 4: 4}.get(self.waste, 0)


def scene_state(figures: MonthFigures, previous: SceneState | None = None) -> SceneState:
    """The picture of a month so far.

    Args:
        figures: The month's figures with the target path to date.
        previous: What was shown before, so that bands do not flicker at their edges.
    """
    bands: dict[str, int] = {}
    for category in ("food", "travel", "consumption", "electricity", "waste"):
        before = getattr(previous, category) if previous is not None else None
        bands[category] = _category_band(figures.categories, category, before)
    total = UNKNOWN
    if figures.total is not None and figures.target_to_date:
        before = previous.total if previous is not None else None
        total = band(figures.total.best / figures.target_to_date, before)
    known = [figure for figure in figures.categories.values() if figure.interval.best > 0]
    unknown_some = any(each == UNKNOWN for each in bands.values())
    wide = any(
        (figure.interval.high - figure.interval.low) > WIDE * figure.interval.best
        and figures.total is not None
        and figure.interval.best > 0.25 * figures.total.best
        for figure in known
    )
    return SceneState(
        total=total,
        steps_share=figures.steps_share,
        mist=unknown_some or wide,
        **bands,
    )


def _category_band(categories: Mapping[str, CategoryFigure], category: str, before: int | None) -> int:
    figure = categories.get(category)
    if figure is None or not figure.target_to_date:
        return UNKNOWN
    return band(figure.interval.best / figure.target_to_date, before)

"""The neighbourhood: the latest released figures for the districts, beside the citizen's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashboard import frame
from dashboard.views.home import load_figures
from dashboard.visits import citizens_visit
from research_views.release import releases
from vocab.areas import load_areas

if TYPE_CHECKING:
    from flask import Response

    from dashboard.figures import Figures
    from dashboard.frame import Visit
    from pod_server.host import Host
    from research_views.release import Release


@dataclass(frozen=True)
class AreaRow:
    """One district and category of a release."""

    area: str
    is_mine: bool
    category: str
    value: str
    mine: str


@dataclass(frozen=True)
class ReleaseWords:
    """A release in the reader's words."""

    period: str
    rows: list[AreaRow]
    note: str


def release_words(visit: Visit, release: Release, figures: Figures) -> ReleaseWords:
    """One release beside the reader's own month."""
    t, w = visit.words, visit.wording
    areas = load_areas()
    own_area = visit.household.area if visit.household else ""
    own_month = figures.months.get(release.period, {})
    cells = sorted(release.cells, key=lambda cell: (cell.area != own_area, cell.area, cell.category))
    rows = []
    for cell in cells:
        value = t("neighbourhood.suppressed")
        if cell.mean is not None:
            value = f"{w.kilograms(cell.mean)} kg"
            if cell.mean_sd is not None:
                value += f" ± {w.kilograms(1.96 * cell.mean_sd)}"
        mine = own_month.get(cell.category)
        rows.append(
            AreaRow(
                area=areas[cell.area].name if cell.area in areas else cell.area,
                is_mine=cell.area == own_area,
                category=t(f"category.{cell.category}") if t.has(f"category.{cell.category}") else cell.category,
                value=value,
                mine=w.mass(mine[1]) if mine and cell.area == own_area else "–",
            )
        )
    year, month = int(release.period[:4]), int(release.period[5:7])
    return ReleaseWords(
        period=w.month(year, month),
        rows=rows,
        note=t("neighbourhood.note", rho=w.number(release.rho, 3), suppressed=release.suppressed),
    )


def neighbourhood(host: Host) -> Response:
    """The page."""
    visit, _, own = citizens_visit(host)
    figures, _ = load_figures(host, own)
    published = releases(host)
    return frame.page(
        "neighbourhood.html.jinja",
        visit,
        release=release_words(visit, published[0], figures) if published else None,
        request_path="/-/neighbourhood",
    )

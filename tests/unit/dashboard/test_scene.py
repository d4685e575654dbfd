"""The avatar: a pure function of figures, honest about what is not known, steady at its edges."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import dashboard
from dashboard.figures import CategoryFigure, Interval, MonthFigures, days_in, month_share, read_figures
from dashboard.scene import EDGES, MARGIN, UNKNOWN, SceneState, band, scene_state

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BEST = SceneState(0, 0, 0, 0, 0, 0, 1.0, mist=False)
WORST = SceneState(4, 4, 4, 4, 4, 4, 0.1, mist=True)


def month(**kilograms: float) -> MonthFigures:
    categories = {
        name: CategoryFigure(Interval(best * 0.9, best, best * 1.1), None, 10.0) for name, best in kilograms.items()
    }
    return MonthFigures(2026, 11, categories, 10.0 * len(categories), is_current=True)


@cache
def picture_template():
    environment = Environment(
        loader=FileSystemLoader(Path(dashboard.__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("parts/scene.svg.jinja")


def drawn(state: SceneState) -> str:
    return picture_template().render(state=state, id="t", title="Tittel", description="Ord")


@given(st.floats(min_value=0, max_value=10), st.floats(min_value=0, max_value=10))
def test_more_emissions_never_give_a_better_band(one, other):
    if one <= other:
        assert band(one) <= band(other)


@pytest.mark.parametrize("edge", EDGES)
def test_an_index_that_trembles_at_an_edge_keeps_its_band(edge):
    shown = band(edge - MARGIN / 2)
    for step in (1, -1, 1, -1):
        assert band(edge + step * MARGIN / 2, shown) == shown
    assert band(edge + 2 * MARGIN, shown) == shown + 1


def test_what_is_not_known_is_drawn_as_not_known():
    state = scene_state(month(food=9.0))
    assert state.food == 1
    assert state.travel == state.consumption == state.electricity == state.waste == UNKNOWN
    assert state.mist
    assert state.steps_share is None
    assert "ring-unknown" in drawn(state)


def test_no_figures_at_all_draw_a_picture_without_praise_or_blame():
    state = scene_state(MonthFigures(2026, 11, {}, None, is_current=True))
    assert state.total == UNKNOWN
    assert state.cars == state.bags == 0


def test_the_worst_picture_still_holds_something_hopeful_and_nothing_suffers():
    picture = drawn(WORST)
    assert 'class="birch"' in picture
    assert "spruce" in picture
    assert 'class="smile"' in picture


@settings(deadline=None, max_examples=60)  # a busy machine draws slowly
@given(st.builds(SceneState, *[st.integers(-1, 4)] * 6, st.none() | st.floats(0, 1), st.booleans()))
def test_every_state_is_a_well_formed_picture_with_title_and_description(state):
    picture = drawn(state)
    root = ET.fromstring(picture)
    names = [element.tag.rpartition("}")[2] for element in root]
    assert names[:2] == ["title", "desc"]
    assert len(picture.encode()) < 40_000
    assert not {"script", "foreignObject", "image", "style"} & {
        element.tag.rpartition("}")[2] for element in root.iter()
    }


def test_a_changed_category_changes_its_own_layer_alone():
    calm, wasteful = drawn(BEST), drawn(replace(BEST, waste=4))
    assert 'class="fish"' in calm
    assert 'class="fish"' not in wasteful
    assert calm.count('class="spruce"') == wasteful.count('class="spruce"')


def test_the_target_path_runs_with_the_month():
    figures = read_figures({"months": {"2026-11": {"food": [64, 96, 142, 30]}}, "target": {"food": 120}})
    so_far = figures.month("2026-11", NOW)
    assert so_far.is_current
    assert so_far.target_to_date == pytest.approx(120 * month_share(NOW))
    assert figures.month("2026-11", datetime(2026, 12, 5, tzinfo=UTC)).target_to_date == 120


def test_a_sum_is_compared_with_the_targets_of_what_is_known():
    figures = read_figures({"months": {"2026-10": {"food": [1, 2, 3, 1]}}, "target": {"food": 10, "travel": 500}})
    assert figures.month("2026-10", NOW).target_to_date == 10


def test_days_and_shares_of_months():
    assert days_in("2028-02") == 29
    assert 0 <= month_share(NOW) <= 1


def test_no_document_is_no_figures():
    assert read_figures(None).month("2026-11", NOW).total is None

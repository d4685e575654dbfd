"""However wild a citizen's figures are, what they can change in the sums is bounded."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from research_views.bounding import COUNT_WEIGHT, STEPS, Participant, cells, contribution, sensitivity_steps, tabulate
from vocab.areas import load_areas
from vocab.release_bounds import load_release_bounds

CATEGORIES = [bounds.category for bounds in load_release_bounds()]
KILOGRAMS = st.dictionaries(
    st.sampled_from([*CATEGORIES, "steps", "consumption", "zeppelin"]),
    st.floats(allow_nan=True, allow_infinity=True) | st.floats(-50, 500),
)
AREAS = st.sampled_from([*load_areas(), "", "0301", "500105"])
PARTICIPANTS = st.builds(Participant, AREAS, KILOGRAMS)


@settings(deadline=None)
@given(PARTICIPANTS)
def test_no_citizen_moves_the_vector_farther_than_the_sensitivity(participant: Participant) -> None:
    moved = contribution(participant)
    length = math.sqrt(sum(count * count + value * value for count, value in moved.values()))
    assert length <= sensitivity_steps()


@settings(deadline=None)
@given(st.lists(PARTICIPANTS, max_size=6), PARTICIPANTS)
def test_neighbouring_cities_differ_by_one_contribution_exactly(city: list[Participant], one: Participant) -> None:
    without, with_one = tabulate(city), tabulate([*city, one])
    share = contribution(one)
    for place, cell in enumerate(cells()):
        count, value = share.get(cell, (0, 0))
        assert with_one.counts[place] - without.counts[place] == count
        assert with_one.sums[place] - without.sums[place] == value


def test_cells_are_the_public_lists_whoever_takes_part() -> None:
    assert tabulate([]).cells == cells()
    assert len(cells()) == len(load_areas()) * len(load_release_bounds()) == 16
    assert not any(tabulate([]).counts)


def test_an_unknown_district_or_category_or_number_contributes_nothing() -> None:
    assert contribution(Participant("", {"food": 100.0})) == {}
    assert contribution(Participant("500101", {"zeppelin": 1.0, "food": math.nan, "waste": math.inf})) == {}


def test_an_ordinary_citizen_is_not_shortened() -> None:
    food = next(bounds for bounds in load_release_bounds() if bounds.category == "food")
    share = contribution(Participant("500101", {"food": food.centre + food.half_width / 2}))
    ((count, value),) = share.values()
    assert count == int(COUNT_WEIGHT * STEPS)
    assert value == STEPS // 2


def test_every_bound_names_its_public_source() -> None:
    for bounds in load_release_bounds():
        assert bounds.source
        assert bounds.url.startswith("https://")

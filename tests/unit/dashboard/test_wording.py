"""Numbers, intervals and times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import wording

NOW = datetime(2026, 11, 23, 12, 42, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "language", "written"),
    [
        (257, "nb", "257"), (13.32, "nb", "13,3"), (1.42, "nb", "1,42"), (0.35, "en", "0.35"), (12345.6, "nb", "12\u202f346"),
        (-26, "nb", "\u221226"), (0, "nb", "0"), (-0.001, "en", "0"), (99.6, "nb", "100"), (3.0, "nb", "3"),
    ],
)  # fmt: skip
def test_numbers_show_as_many_figures_as_they_mean(value, language, written):
    assert wording.number(value, language) == written


@pytest.mark.parametrize(
    ("kilograms", "written"),
    [
        (13.32, "13,3 kg"),
        (257.4, "257 kg"),
        (0.020, "20 g"),
        (0.00017, "0,17 g"),
        (0.3, "0,3 kg"),
        (0, "0 g"),
        (96.0, "96 kg"),
    ],
)
def test_masses_change_unit_where_people_would(kilograms, written):
    assert wording.mass(kilograms, "nb") == written


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [(7.2, 39.8, "7,2–39,8 kg"), (163, 388, "163–388 kg"), (64, 142, "64–142 kg"), (49, 68, "49–68 kg"), (0.010, 0.025, "10–25 g"),
     (0.00009, 0.00022, "0,09–0,22 g"), (0.1, 0.5, "0,1–0,5 kg")],
)  # fmt: skip
def test_both_ends_of_an_interval_are_written_alike(low, high, written):
    assert wording.mass_interval(low, high, "nb") == written


@given(st.floats(min_value=0, max_value=1e6), st.sampled_from(wording.LANGUAGES))
def test_a_written_number_is_the_number_to_within_its_last_figure(value, language):
    text = wording.number(value, language).replace("\u202f", "").replace(",", ".")
    assert abs(float(text) - value) <= (0.5 if value >= 99.5 else 0.05 if value >= 9.95 else 0.005) + 1e-9


def test_times_are_trondheims():
    assert wording.clock_time(NOW, "nb") == "13.42"
    assert wording.clock_time(NOW, "en") == "13:42"
    summer = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    assert wording.date(summer, "nb") == "2. juli 2026"


def test_a_moment_is_said_as_people_say_it():
    assert wording.when(NOW, NOW, "nb") == "kl. 13.42"
    assert wording.when(datetime(2026, 11, 22, 20, 6, tzinfo=UTC), NOW, "nb") == "i går kl. 21.06"
    assert wording.when(datetime(2026, 10, 12, 18, 14, tzinfo=UTC), NOW, "nb") == "12. oktober"
    assert wording.when(datetime(2025, 10, 12, 18, 14, tzinfo=UTC), NOW, "en") == "12 October 2025"


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("Kari Nordmann", "KN"),
        ("AtB", "AtB"),
        ("TrønderEnergi", "TE"),
        ("Rema 1000", "R"),
        ("Oss.no", "Os"),
        ("SpareBank 1 SMN", "SS"),
        ("", "?"),
    ],
)
def test_marks_are_short(name, mark):
    assert wording.initials(name) == mark


def test_names_that_end_in_s_take_an_apostrophe():
    assert wording.possessive("Kari", "nb") == "Karis"
    assert wording.possessive("Lars", "nb") == "Lars'"
    assert wording.possessive("Kari", "en") == "Kari's"


@pytest.mark.parametrize(
    ("iso", "words"),
    [
        ("P13M", ("13 måneder", "13 månader", "13 months")),
        ("P1Y", ("1 år", "1 år", "1 year")),
        ("P1Y6M", ("1 år og 6 måneder", "1 år og 6 månader", "1 year and 6 months")),
        ("P2W", ("2 uker", "2 veker", "2 weeks")),
        ("PT12H", ("PT12H", "PT12H", "PT12H")),
        ("P", ("P", "P", "P")),
    ],
)
def test_a_duration_is_said_in_words(iso, words):
    assert tuple(wording.duration(iso, language) for language in wording.LANGUAGES) == words

"""The page of a car's days: the insurer's and the citizen's own log side by side, in three languages, with its guesses told."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def kari(pages):
    citizen = pages.citizen()
    for connector, name in (("obd-csv", "obd-torque.csv"), ("sparebank1-driving", "sparebank1-driving.json")):
        citizen.client.post(
            "/-/files",
            data={
                "csrf": citizen.token(),
                "connector": connector,
                "file": [(io.BytesIO((SAMPLES / name).read_bytes()), name)],
            },
            content_type="multipart/form-data",
        )
    return citizen


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("nb", ("Kjøringen", "ikke fortalt", "Alle navnene er gjettet", "Brå bremsing", "18,2")),
        ("nn", ("Køyringa", "ikkje fortalt", "Alle namna er gissa", "Hard gass", "18,2")),
        ("en", ("Driving", "not told", "All names are guesses", "Yourself (your own files)", "18.2")),
    ],
)
def test_the_days_are_told_with_their_words(kari, language, words):
    page = kari.get("/-/driving", **{"Accept-Language": language}).text
    for word in words:
        assert word in page
    assert page.count('scope="row"') == 4  # a month, and three days


def test_without_driving_the_page_says_where_it_would_come_from(pages):
    page = pages.citizen().get("/-/driving", **{"Accept-Language": "en"}).text
    assert "Nobody has counted any driving for you" in page
    assert "<table" not in page

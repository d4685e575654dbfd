"""The page of conformance names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "conformance-solid.md"


def named():
    """(file, test) of each test that the page names; `…::test` means the file named last."""
    file = ""
    for name in re.findall(r"`((?:tests/)?[\w/…]+(?:::test_\w+)?)`", PAGE.read_text("utf-8")):
        place, _, test = name.partition("::")
        if "test_" not in name:
            continue
        file = place if place != "…" else file
        yield file, test


def find(place):
    folder = TESTS if place.startswith("tests/") else TESTS / "protocol" / "solid"
    pattern = place.removeprefix("tests/").replace("…", "*") + ".py"
    found = list(folder.glob(pattern))
    assert len(found) == 1, f"{place} names {len(found)} files"
    return found[0]


def test_every_test_that_the_page_names_is_there():
    names = list(named())
    assert len(names) > 60
    for place, test in names:
        text = find(place).read_text("utf-8")
        assert not test or f"def {test}(" in text, f"{place}::{test}"

"""docs/consent-checklist.md names tests that exist, for forty points, or says what is missing."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "docs" / "consent-checklist.md").read_text(encoding="utf-8").splitlines()
POINTS = {int(found[1]): line for line in LINES if (found := re.match(r"\| (\d+) [MS] \|", line))}


def test_the_forty_points_are_all_there():
    assert list(POINTS) == list(range(1, 41))


def test_each_point_names_its_test_or_what_is_missing():
    assert [point for point, line in POINTS.items() if "::" not in line and "Missing:" not in line] == []


def test_every_test_that_is_named_exists():
    named = [found for line in POINTS.values() for found in re.findall(r"`([\w/]+\.py)::(\w+)`", line)]
    assert len(named) > 40
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / "tests" / path).is_file()
        or f"def {name}(" not in (ROOT / "tests" / path).read_text(encoding="utf-8")
    ]
    assert missing == []

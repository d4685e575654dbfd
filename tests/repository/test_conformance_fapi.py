"""docs/conformance-fapi.md has a row for each of the 45 points, and the tests it names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "docs" / "conformance-fapi.md").read_text(encoding="utf-8").splitlines()
POINTS = {int(found[1]): line for line in LINES if (found := re.match(r"\| (\d+) \|", line))}


def test_the_forty_five_points_are_all_there():
    assert list(POINTS) == list(range(1, 46))


def test_each_point_names_a_test_or_says_that_it_is_not_there():
    assert [point for point, line in POINTS.items() if ".py" not in line and "Not there" not in line] == []


def test_each_thing_that_somebody_would_try_names_a_test():
    tried = [line for line in LINES if re.match(r"\| [a-z] \|", line)]
    assert len(tried) >= 14
    assert [line for line in tried if "::" not in line] == []


def test_every_test_of_the_profile_that_is_named_exists():
    for path, name in re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", "\n".join(LINES)):
        file = ROOT / "tests" / path
        assert file.is_file(), path
        assert not name or f"def {name}(" in file.read_text(encoding="utf-8"), f"{path}::{name}"

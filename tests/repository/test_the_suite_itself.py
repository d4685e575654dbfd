"""What the suite needs so that every test in it is run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_no_two_test_files_share_a_name():
    """Folders of tests are no packages, so a second file of a name stops the whole collection."""
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert sum(names.values()) > 100
    assert [name for name, count in names.items() if count > 1] == []

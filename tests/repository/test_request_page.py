"""docs/request.md tells where things are; what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_names_files_that_exist_and_only_in_its_list():
    walk, _, table = (ROOT / "docs/request.md").read_text(encoding="utf-8").partition("## Where it all is")
    rows = [re.findall(r"`([^`]+)`", line) for line in table.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) > 10
    for first, *others in rows:
        folder = (ROOT / first).parent
        for place in (ROOT / first, *(folder / other for other in others)):
            assert place.exists(), place
    assert re.findall(r"`(\w+/[\w/]+\.py)`", walk) == ["pod_server/lifecycle.py"]


def test_the_eight_steps_are_those_of_the_lifecycle():
    page = (ROOT / "docs/request.md").read_text(encoding="utf-8")
    story = (ROOT / "pod_server/lifecycle.py").read_text(encoding="utf-8")
    told = re.findall(r"^## (\d)\. (\w+)$", page, re.MULTILINE)
    done = re.findall(r"^ +# (\d)\. (\w+)$", story, re.MULTILINE)
    assert told == done
    assert len(done) == 8

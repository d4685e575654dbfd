"""The documents keep their form: decisions are dated and whole, every problem has its page, locks name no host."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECISIONS = sorted((ROOT / "docs/adr").glob("*.md"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def test_there_are_decisions_and_locks_to_check():
    assert len(DECISIONS) >= 4
    assert len(LOCKS) >= 3


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_number_date_and_four_parts(path):
    text = path.read_text()
    assert re.match(rf"# {path.name[:4]}: \S", text)
    assert re.search(r"^Status: (accepted|superseded by \d{4}), \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    for part in ("## Context", "## Decision", "## Consequences"):
        assert part in text


def test_decisions_are_numbered_without_doubles():
    numbers = [path.name[:4] for path in DECISIONS]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_has_hashes_and_names_no_host(path):
    text = path.read_text()
    assert "--hash=sha256:" in text
    assert not re.search(r"https?://|--index-url|--extra-index-url|--find-links", text)


def test_the_lock_list_restates_pyproject():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    restated = [
        line for line in (ROOT / "requirements/runtime.in").read_text().splitlines() if not line.startswith("#")
    ]
    assert restated == declared


def test_every_problem_type_has_a_page_and_every_page_a_type():
    import importlib

    from pod_server import problems

    # Importing the doors declares everything that the house may answer.
    for door in (
        "dashboard.live",
        "dashboard.routes",
        "partner_bridge.routes",
        "pod_server.authorization_server.routes",
        "pod_server.routes",
        "research_views.routes",
        "twin_agent.worker",
        "tvilling.app",
    ):
        importlib.import_module(door)

    pages = {path.stem for path in (ROOT / "docs/problems").glob("*.md")}
    slugs = set(problems.TYPES) | {"internal-error"}
    assert slugs - pages == set(), "problem types without a page"
    assert pages - slugs == set(), "pages of no problem type"


def test_every_attack_test_of_the_threat_model_exists_and_is_named_there():
    text = (ROOT / "docs/threat-model.md").read_text()
    named = set(re.findall(r"tests/attacks/test_t\d\d_\w+\.py", text))
    present = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/attacks").glob("test_t*.py")}
    assert named == present


def test_changelog_lines_and_glossary_rows_are_there():
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
    rows = re.findall(r"^\| \w", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert len(rows) > 30

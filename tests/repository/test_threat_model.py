"""docs/threat-model.md: every numbered threat has tests that are there, and every attack test its row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
ROW = re.compile(r"^\| T(\d+) \|(.*)\|$", re.MULTILINE)
ROWS = {int(number): [cell.strip() for cell in rest.split(" | ")] for number, rest in ROW.findall(TEXT)}
NAMED = re.compile(r"`(tests/[a-z0-9_/]+(?:\.py)?/?)`")
ATTACKS = sorted((ROOT / "tests" / "attacks").glob("test_t*.py"))


def count_tests(path: Path) -> int:
    files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    return sum(
        isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
    )


def test_every_number_is_there_once():
    assert len(ROW.findall(TEXT)) == len(ROWS) > 30


@pytest.mark.parametrize("number", ROWS)
def test_a_threat_says_what_stands_against_it_and_names_tests_that_attack_it(number):
    who, against, named = ROWS[number]
    assert len(who) > 10
    assert len(against) > 20
    files = NAMED.findall(named)
    assert files, "a threat without a test stands under Not covered"
    for name in files:
        assert count_tests(ROOT / name) > 0, name


@pytest.mark.parametrize("path", ATTACKS, ids=lambda path: path.stem)
def test_an_attack_test_stands_in_its_threats_row_and_says_its_number(path):
    number = int(path.name[6:8])
    assert f"`tests/attacks/{path.name}`" in ROWS[number][2]
    assert f"T{number}" in (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")


def test_every_threat_that_the_document_speaks_of_is_in_the_table():
    assert {int(number) for number in re.findall(r"\bT(\d+)\b", TEXT)} == set(ROWS)


def test_what_is_not_covered_is_said_plainly():
    left = TEXT.partition("## Not covered")[2]
    assert left.count("\n- ") > 8


def test_every_type_of_sealed_object_is_in_the_vaults_format():
    """Whoever seals something new writes down where it lies, so that a second implementation finds it."""
    described = (ROOT / "docs" / "vault-format.md").read_text("utf-8")
    types = set()
    for file in sorted((ROOT / "pod_server").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Place":
                first = node.args[0]
                types |= {first.value} if isinstance(first, ast.Constant) else set()
    assert len(types) > 20
    assert [each for each in sorted(types) if f"`{each}`" not in described] == []

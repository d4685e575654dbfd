"""Sabotage proofs: with one safeguard broken on purpose, the tests that guard it must fail, each by name.

The same tests run twice in processes of their own: whole, where all of them pass, and broken, where they fail. One
engine is enough: what is broken lies above it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROOFS = {
    "force-permitted": [
        "tests/attacks/test_t04_write_after_withdrawal.py::test_the_old_permit_and_a_new_request_are_both_refused_by_name",
        "tests/attacks/test_t05_foreign_grant.py::test_a_permit_bent_to_another_pod_finds_no_grant_there",
    ],
    "drop-log-leaf": [
        "tests/unit/activities/test_append.py::test_the_leaf_commits_to_the_segments_ciphertext",
    ],
    "zero-noise": [
        "tests/unit/research_views/test_noise.py::test_the_noise_has_the_declared_scale",
    ],
}


def run(tests: list[str], *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.sabotage.plugin",
            "-p",
            "no:cacheprovider",
            "-q",
            "-rf",
            "-k",
            "not postgresql",
            *options,
            *tests,
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_with_every_safeguard_whole_the_named_tests_pass():
    code, output = run([test for tests in PROOFS.values() for test in tests])
    assert code == 0, f"the named tests do not pass unbroken:\n{output[-2000:]}"


@pytest.mark.parametrize("sabotage", sorted(PROOFS))
def test_a_broken_safeguard_makes_its_named_tests_fail(sabotage):
    tests = PROOFS[sabotage]
    code, output = run(tests, "--sabotage", sabotage)
    assert code == 1, f"nothing failed although {sabotage} was in force:\n{output[-2000:]}"
    for test in tests:
        assert re.search(rf"^FAILED {re.escape(test)}", output, re.MULTILINE), f"{test} did not fail:\n{output[-2000:]}"

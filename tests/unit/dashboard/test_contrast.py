"""The stylesheet's colours, light and dark, hold the contrast that WCAG 2.1 AA asks for (1.4.3, 1.4.11)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dashboard

STYLE = (Path(dashboard.__file__).parent / "static" / "own" / "tvilling.css").read_text("utf-8")
TOKEN = re.compile(r"(--[\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
TOKENS = {name: (light, dark) for name, light, dark in TOKEN.findall(STYLE)}

TEXT = [
    ("--ink", "--paper"), ("--ink", "--card"), ("--ink", "--tint"), ("--ink", "--plain"), ("--ink-soft", "--paper"),
    ("--ink-soft", "--card"), ("--ink-soft", "--tint"), ("--link", "--card"), ("--link", "--paper"), ("--link", "--tint"),
    ("--good-ink", "--good"), ("--wait-ink", "--wait"), ("--info-ink", "--info"), ("--bad-ink", "--bad"), ("--live", "--card"),
    ("--ds-color-accent-base-contrast-default", "--ds-color-accent-base-default"),
]  # fmt: skip
SHAPES = [
    ("--on-mark", each)
    for each in ("--electricity", "--food", "--travel", "--consumption", "--waste", "--steps", "--house-mark")
] + [("--line-strong", "--card"), ("--line-strong", "--paper")]


def luminance(colour: str) -> float:
    """WCAG's relative luminance of `#rrggbb`."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_twenty_one():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT)
def test_text_is_readable(ink, ground, scheme):
    assert contrast(TOKENS[ink][scheme], TOKENS[ground][scheme]) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("shape", "ground"), SHAPES)
def test_shapes_that_carry_meaning_stand_out(shape, ground, scheme):
    assert contrast(TOKENS[shape][scheme], TOKENS[ground][scheme]) >= 3

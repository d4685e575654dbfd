"""Templates keep the content policy: nothing inline, nothing unescaped, every form with its token."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dashboard

HOUSE = Path(dashboard.__file__).parent
TEMPLATES = sorted(HOUSE.glob("templates/**/*.jinja"))
OWN_SCRIPTS = sorted(HOUSE.glob("static/own/*.js"))


def test_there_are_templates_to_look_at():
    assert len(TEMPLATES) > 20
    assert len(OWN_SCRIPTS) == 5


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_a_template_styles_and_scripts_nothing_inline(file):
    text = file.read_text("utf-8")
    assert not re.search(r"\sstyle\s*=", text)
    assert "<style" not in text
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']", text), "event attributes are inline script"
    assert "javascript:" not in text
    assert not re.search(r"\bhx-(on|vals=['\"]js)", text), "htmx evaluates these"
    for script in re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL):
        assert not script.strip()


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_a_template_escapes_what_it_shows(file):
    text = file.read_text("utf-8")
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape false" not in text


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_every_form_that_changes_something_carries_its_token(file):
    text = file.read_text("utf-8")
    for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", text, re.DOTALL):
        assert "csrf(visit)" in form


@pytest.mark.parametrize("file", OWN_SCRIPTS, ids=lambda file: file.name)
def test_own_scripts_build_no_code_and_no_markup_from_text(file):
    text = file.read_text("utf-8")
    for banned in ("eval(", "new Function", "innerHTML", "insertAdjacentHTML", "document.write", ".style."):
        assert banned not in text


def test_the_lock_file_names_no_registry():
    lock = (HOUSE / "assets" / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock
    assert '"integrity"' in lock

"""The pages' words: the same keys and blanks in each language, and none that a page asks for is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dashboard
from dashboard.i18n.catalogue import catalogue
from dashboard.scene import EDGES
from dashboard.wording import LANGUAGES
from vocab.kinds import load_kinds
from vocab.words import load_categories

HOUSE = Path(dashboard.__file__).parent
SOURCES = [*HOUSE.glob("templates/**/*.jinja"), *HOUSE.glob("*.py"), *HOUSE.glob("views/*.py")]
LITERAL = re.compile(r"""\bt(?:\.plain)?\(\s*["']([a-z0-9.-]+)["']\s*[,)]""")
CHOICE = re.compile(r"""\bt\(\s*["']([a-z0-9.-]+)["'] if .*? else ["']([a-z0-9.-]+)["']""")
BLANK = re.compile(r"\{(\w+)\}")


def keys_asked_for() -> set[str]:
    """The keys that templates and views name in full."""
    found: set[str] = set()
    for file in SOURCES:
        text = file.read_text("utf-8")
        found |= set(LITERAL.findall(text))
        for pair in CHOICE.findall(text):
            found |= set(pair)
    assert len(found) > 200, "the search for keys found too little to mean anything"
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_key_that_a_page_names_has_words(language):
    missing = keys_asked_for() - set(catalogue(language).words)
    assert not missing


def test_each_language_has_the_same_keys_with_the_same_blanks():
    first, *others = (catalogue(language).words for language in LANGUAGES)
    for other in others:
        assert set(first) == set(other)
        assert {key: set(BLANK.findall(text)) for key, text in first.items()} == {
            key: set(BLANK.findall(text)) for key, text in other.items()
        }


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_that_depend_on_a_value_cover_every_value(language):
    words = catalogue(language).words
    bands = range(-1, len(EDGES) + 1)
    needed = {f"scene.total-{band}" for band in bands} | {f"tile.band-{band}" for band in range(len(EDGES) + 1)}
    for category in ("food", "travel", "consumption", "electricity", "waste"):
        needed |= {f"scene.{category}-{band}" for band in bands} | {f"category.short-{category}"}
    needed |= {f"category.{slug}" for slug in load_categories()}
    for kind in load_kinds().by_slug.values():
        for granularity in kind.granularities:
            needed |= {f"granularity.{granularity}", f"granularity-words.{granularity}"}
    for state in ("active", "paused", "withdrawn", "expired", "erased", "refused", "requested"):
        needed |= {f"state.{state}", f"grant.{state}-words"}
    for quality in ("measured", "estimated", "inferred"):
        needed |= {f"quality.{quality}"}
    for slot in ("passphrase", "recovery", "custodian"):
        needed |= {f"lock.slot-{slot}"}
    assert not needed - set(words)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_of_a_refusal_is_told_in_words(language):
    from consent.reasons import Reason

    assert not {f"reason.{reason.value}" for reason in Reason} - set(catalogue(language).words)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_action_that_the_house_logs_is_told_as_a_sentence(language):
    """The actions are read out of the house's own code, so that a new one without words fails here."""
    root = HOUSE.parent
    action = re.compile(r'action="([a-z-]+)"')
    files = [
        file
        for folder in ("pod_server", "partner_bridge", "twin_agent", "research_views")
        for file in (root / folder).rglob("*.py")
    ]
    logged = {name for file in files for name in action.findall(file.read_text("utf-8"))}
    assert len(logged) > 8
    logged |= {
        f"consent-{kind}"
        for kind in ("given", "refused", "withdrawn", "paused", "resumed", "renewed", "expired", "erased")
    }
    missing = {name for name in logged if f"action.{name}" not in catalogue(language).words}
    assert not missing


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_hold_no_markup_but_strong_and_emphasis(language):
    for key, text in catalogue(language).words.items():
        assert not set(re.findall(r"<[^>]*>", text)) - {"<strong>", "</strong>", "<em>", "</em>"}, key


def test_what_fills_a_blank_is_escaped():
    assert "<script>" not in catalogue("nb")("home.hello", name="<script>alert(1)</script>")

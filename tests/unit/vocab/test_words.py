"""Words, purposes, areas, goals and programmes are whole, and every term of our own is defined."""

from __future__ import annotations

import re

from vocab.areas import load_areas
from vocab.purposes import find_purpose, load_purposes
from vocab.terms import FOLDER
from vocab.words import LANGUAGES, load_categories


def test_every_term_of_our_own_is_defined_in_the_ontology() -> None:
    defined = set(re.findall(r"^tv:(\w+) a ", (FOLDER / "ontology" / "tvilling.ttl").read_text("utf-8"), re.MULTILINE))
    used: set[str] = set()
    files = [file for file in FOLDER.rglob("*.ttl") if file.parent.name != "ontology"]
    assert len(files) > 10
    for file in [*files, *FOLDER.rglob("*.rq"), *FOLDER.rglob("*.ru")]:
        code = re.sub(r"^\s*#.*$", "", file.read_text("utf-8"), flags=re.MULTILINE)
        used |= set(re.findall(r"\btv:([A-Za-z]\w*)", code))
    shapes = {name for name in used if name.endswith(("Shape", "Property"))} | {"RecordName"}
    assert used - shapes - defined == set()


def test_purposes_are_those_of_the_house_each_narrower_than_one_of_dpv() -> None:
    assert set(load_purposes()) == {
        "personal-footprint", "live-electricity", "verify-meter", "travel-footprint", "food-footprint",
        "waste-follow-up", "research-statistics", "driving-follow-up", "second-opinion", "team-challenge",
    }  # fmt: skip
    for purpose in load_purposes().values():
        assert purpose.broader.startswith("https://w3id.org/dpv#")
        assert set(purpose.titles) == set(purpose.descriptions) == set(LANGUAGES)
        assert find_purpose(purpose.iri) is purpose is find_purpose(purpose.slug)
    assert find_purpose("surveillance") is None


def test_the_consent_to_research_says_that_what_is_published_remains() -> None:
    words = load_purposes()["research-statistics"].descriptions
    assert "blir stående" in words["nb"]
    assert "remains" in words["en"]


def test_the_city_has_four_districts() -> None:
    assert list(load_areas()) == ["500101", "500102", "500103", "500104"]
    assert sum(area.population for area in load_areas().values()) == 207_110


def test_categories_have_three_languages_two_colours_and_goals() -> None:
    assert list(load_categories()) == ["electricity", "food", "travel", "consumption", "waste", "steps"]
    for category in load_categories().values():
        assert set(category.labels) == set(LANGUAGES)
        assert re.fullmatch(r"#[0-9a-f]{6}", category.colour)
        assert re.fullmatch(r"#[0-9a-f]{6}", category.dark_colour)
        assert category.goals
        for goal in category.goals:
            assert goal.iri == f"http://metadata.un.org/sdg/{goal.number}"
            assert set(goal.labels) == set(LANGUAGES)


def test_the_page_about_kinds_is_what_the_data_say() -> None:
    from vocab.documentation import kinds_page

    page = FOLDER.parent / "docs" / "kinds.md"
    assert page.read_text("utf-8") == kinds_page(), "run `python -m vocab.documentation > docs/kinds.md`"

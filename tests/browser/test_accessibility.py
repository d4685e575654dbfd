"""Keyboard, screen readers' names, axe, small screens, other languages and themes (WCAG 2.1 AA)."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

PAGES = ["/-/home", "/-/footprint", "/-/my-data", "/-/log", "/-/twin", "/-/demo", "/-/neighbourhood", "/-/lock", "/-/security", "/-/download", "/-/sources", "/-/files", "/-/driving", "/-/calculations", "/-/challenges", "/-/representation",
         "/-/footprint/events", "/vocab/", "/vocab/factors", "/vocab/catalogue", "/problems/consent-withdrawn"]  # fmt: skip
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}


@pytest.mark.parametrize("address", PAGES)
def test_axe_finds_nothing_to_mend(kari, address):
    """On a phone by day and at a desk by night; the server sends the same page to both."""
    page = kari.another_page(viewport={"width": 390, "height": 844}, color_scheme="light", bypass_csp=True)
    page.goto(f"{kari.base_url}{address}")
    for width, scheme in ((390, "light"), (1160, "dark")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options=RULES).response["violations"]
        mend = [(each["id"], [node["html"][:160] for node in each["nodes"]][:3]) for each in found]
        assert not mend, f"{width} pixels wide, {scheme}"


@pytest.mark.parametrize("address", PAGES)
def test_nothing_hangs_over_the_edge(kari, address):
    page = kari.another_page(viewport={"width": 320, "height": 844})
    page.goto(f"{kari.base_url}{address}")
    for width in (320, 768):
        page.set_viewport_size({"width": width, "height": 844})
        hanging = page.evaluate(
            """width => [...document.querySelectorAll("body *")]
                .filter(each => !each.closest("svg, .table-wrap, .side") && each.getBoundingClientRect().right > width + 1)
                .map(each => `${each.tagName} ${each.className} ${each.textContent.trim().slice(0, 50)}`)""",
            width,
        )
        assert not hanging, f"{width} pixels wide"
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_the_first_tab_leads_past_the_navigation(kari):
    page = kari.go("/-/home")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_sheet_takes_the_focus_and_gives_it_back(kari):
    page = kari.go("/-/home")
    link = page.locator("[data-part=power]").get_by_role("link", name=re.compile("Hvorfor"))
    link.focus()
    page.keyboard.press("Enter")
    sheet = page.get_by_role("dialog")
    expect(sheet).to_be_visible()
    assert page.evaluate("document.getElementById('sheet').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    # The browser tells of the end of a dialog a moment after it is hidden.
    page.wait_for_function("() => (document.activeElement.getAttribute('href') || '').startsWith('/-/why/')")


def test_the_picture_is_there_in_words(kari):
    page = kari.go("/-/home")
    page.get_by_text("Les bildet som tekst").click()
    lines = page.locator(".words li")
    assert lines.count() >= 7
    expect(lines.first).to_contain_text("fotavtrykket")
    assert page.locator("svg.scene desc").text_content().strip()


def test_language_and_theme_are_chosen_on_the_page_and_stay(kari):
    page = kari.another_page(viewport={"width": 1160, "height": 900})
    page.goto(f"{kari.base_url}/-/home")
    page.locator(".account > summary").click()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Hello")
    page.locator(".account > summary").click()
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate("document.documentElement.dataset.colorScheme") == "dark"
    page.goto(f"{kari.base_url}/-/my-data")
    expect(page.get_by_role("heading", level=1)).to_have_text("My data")
    page.context.close()


def test_changes_are_said_aloud_politely(kari):
    page = kari.go("/-/home")
    assert page.locator("#spoken").get_attribute("role") == "status"
    page.wait_for_function("() => document.getElementById('spoken').textContent.length > 0", timeout=20_000)

"""Keyboard, screen readers' names, axe, small screens, other languages and themes (WCAG 2.1 AA)."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import expect

from dashboard import routes

PAGES = ["/-/home", "/-/footprint", "/-/my-data", "/-/log", "/-/twin", "/-/demo", "/-/neighbourhood", "/-/lock", "/-/security", "/-/download", "/-/sources", "/-/files", "/-/driving", "/-/calculations", "/-/challenges", "/-/offers", "/-/representation",
         "/-/footprint/events", "/-/log/check", "/-/remove", "/-/recover", "/-/accessibility", "/-/partners", "/-/partners/register", "/vocab/", "/vocab/factors", "/vocab/catalogue", "/problems/"]  # fmt: skip
"""Every page that a citizen reaches without a name in its address (test_every_page_is_among_them)."""
BEHIND_A_NAME = {
    "/-/delivered/": "/-/sources",
    "/-/why/": "/-/footprint/events",
    "/-/grants/": "/-/my-data",
    "/problems/consent-withdrawn": "/problems/",
    "/vocab/kinds/": "/vocab/",
}
"""Pages that others lead to: where each address begins, and a page with a link to one."""
NO_CITIZENS_PAGES = {
    "/": "leads to the first page",
    "/-/": "the first page of whoever is signed out (test_journey.py)",
    "/-/sign-in": "of whoever is signed out (test_journey.py)",
    "/-/connect": "leads on to the question, or says which is missing (test_connecting.py)",
    "/-/recompute": "the page of figures beside their recompute (test_journey.py)",
    "/-/operator": "the operator's (test_console_pages.py)",
    "/-/operator/sign-in": "the operator's",
    "/-/partners/console": "a partner's (test_console_pages.py)",
    "/-/partners/console/deliveries": "a partner's",
    "/-/partners/console/keys": "a partner's",
    "/-/partners/console/messages": "a partner's",
    "/-/partners/console/purposes": "a partner's",
    "/-/partners/console/sandbox": "a partner's",
    "/-/partners/sign-in": "a partner's",
    "/-/sign-in/signed-out-there": "a frame that holds nothing",
}
NO_PAGE = re.compile(r"\.(json|jsonld|ttl|rq|js|ndjson)$|/parts$|^/-/oauth/|<")
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}


HANGING = """width => [...document.querySelectorAll("body *")]
    .filter(each => !each.closest("svg, .table-wrap, .side") && each.getBoundingClientRect().right > width + 1)
    .map(each => `${each.tagName} ${each.className} ${each.textContent.trim().slice(0, 50)}`)"""


def test_every_page_is_among_them(city):
    app = Flask("pages")
    routes.register(app, city.host)
    pages = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ())
        and re.match(r"/-/|/vocab|/problems|/$", rule.rule)
        and not NO_PAGE.search(rule.rule)
    }
    assert pages - set(NO_CITIZENS_PAGES) == set(PAGES)


@pytest.mark.parametrize("address", [*PAGES, *BEHIND_A_NAME])
def test_axe_finds_nothing_to_mend_and_nothing_hangs_over_the_edge(kari, address):
    """On a phone by day and at a desk by night, by axe; and on the narrowest phone and a tablet. The server sends the same page to all."""
    page = kari.another_page(viewport={"width": 390, "height": 844}, color_scheme="light", bypass_csp=True)
    page.goto(f"{kari.base_url}{BEHIND_A_NAME.get(address, address)}")
    if address in BEHIND_A_NAME:
        link = page.locator(f"a[href^='{address}']").first
        page.goto(f"{kari.base_url}{link.get_attribute('href')}")
    for width, scheme in ((390, "light"), (1160, "dark")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options=RULES).response["violations"]
        mend = [(each["id"], [node["html"][:160] for node in each["nodes"]][:3]) for each in found]
        assert not mend, f"{width} pixels wide, {scheme}"
    for width in (320, 768):
        page.set_viewport_size({"width": width, "height": 844})
        assert not page.evaluate(HANGING, width), f"{width} pixels wide"
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    page.context.close()


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

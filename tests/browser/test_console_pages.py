"""The way of a newcomer in a real browser: apply, the console, the municipality's answer; axe, a phone's width, the dark."""

from __future__ import annotations

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from console import CONSOLE, TEXTS
from oauth_client import new_key
from partners_host import served_host
from playwright.sync_api import expect

from partner_bridge.delivery import Item, ItemAnswer
from partner_bridge.receipts import issue_receipt
from pod_server.console_sessions import create_link
from pod_server.partners import list_partners
from vocab.errors import NotAnActivity

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}


@pytest.fixture(scope="module")
def host(browser, tmp_path_factory):
    with served_host(tmp_path_factory.mktemp("console") / "data") as (host, _):
        yield host


def check(page, address):
    """Nothing to mend on a phone in the dark, and nothing over the edge of the smallest one."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(address)
    found = Axe().run(page, options=RULES).response["violations"]
    assert not [(each["id"], [node["html"][:160] for node in each["nodes"]][:3]) for each in found], address
    page.set_viewport_size({"width": 320, "height": 844})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 320, address


def test_a_company_applies_and_is_admitted_by_the_keyboard_of_a_phone(browser, host):
    options = {"locale": "nb-NO", "color_scheme": "dark", "bypass_csp": True, "java_script_enabled": True}
    page = browser.new_context(**options).new_page()
    check(page, f"{host.base_url}/-/partners")
    page.get_by_role("link", name="Søk om å bli partner").click()
    page.get_by_label("Navn", exact=False).first.fill("Bysykkel AS")
    for name, value in {
        "number": "974 760 673", "contact": "hei@bysykkel.no", "jwks": json.dumps(new_key().as_dict(private=False)),
        "redirect_uri": "https://bysykkel.example/tilbake", **TEXTS,
    }.items():  # fmt: skip
        page.fill(f"[name={name}]", value)
    page.select_option("[name=purpose]", "travel-footprint")
    page.get_by_label("Kollektivreiser").check()
    page.get_by_role("button", name="Send søknaden").press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Søknaden er mottatt")
    (partner,) = list_partners(host)
    issue_receipt(
        host,
        partner.client_id,
        [Item("g-" + "a" * 26), Item("g-" + "a" * 26)],
        [ItemAnswer("accepted", log_index=1), ItemAnswer("refused", error=NotAnActivity("$.quantity", "no"))],
        request_sha256="",
        response_sha256="",
    )
    for place in ("", "/deliveries"):
        check(page, f"{host.base_url}{CONSOLE}{place}")

    theirs = browser.new_context(**options).new_page()
    theirs.goto(host.base_url + create_link(host, "operator", name="Kari Saksbehandler"))
    theirs.get_by_role("button", name="Logg inn").press("Enter")
    theirs.get_by_role("link", name="Bysykkel AS").click()
    check(theirs, theirs.url)
    theirs.get_by_role("button", name="Godkjenn").press("Enter")
    expect(theirs.get_by_role("status").first).to_contain_text("godkjent")
    page.goto(f"{host.base_url}{CONSOLE}")
    expect(page.get_by_role("heading", name="Dere er partner")).to_be_visible()
    for each in (page, theirs):
        each.context.close()

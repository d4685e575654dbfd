"""Every act in the consent centre with a keyboard alone, on a phone's width, without script (K4)."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from deliveries import CITIZEN, add_partner
from playwright.sync_api import expect

from consent.grant import GrantTerms
from pod_server import grants
from pod_server.opening import find_pod

NAME = "Tastaturbutikken AS"
MOST_TABS = 500


@pytest.fixture
def grant(kari):
    """A consent of the live citizen to a partner of its own, so that no other test misses it."""
    from tvilling.app import create_host

    host = create_host(kari.city.settings)
    try:
        with host.storage.read() as tx:
            pod_id = find_pod(tx, "kari").pod_id
        now = host.clock.now()
        given = grants.give(
            host,
            pod_id,
            GrantTerms(
                client_id=add_partner(host, NAME).client_id,
                purpose="food-footprint",
                kinds=frozenset({"grocery-line", "transit-trip"}),
                operations=frozenset({"append"}),
                granularity="event",
                history_from=now - timedelta(days=30),
                expires_at=now + timedelta(days=200),
            ),
            actor=CITIZEN,
        )
        yield given.id
    finally:
        host.storage.close()
        host.key_store.close()


def press(page, name):
    """Tab to the control of this name and press Enter, as somebody without a mouse does."""
    page.wait_for_load_state()  # what is pressed while a page comes is pressed on the one before
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("(document.activeElement.ariaLabel || document.activeElement.innerText || '').trim()") == name:
            assert page.evaluate("document.activeElement.matches(':focus-visible')")
            page.keyboard.press("Enter")
            return
    pytest.fail(f"no Tab leads to {name!r}")


def test_each_act_by_keyboard_on_a_phone_without_script(kari, grant):
    page = kari.another_page(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page.goto(f"{kari.base_url}/-/my-data")
    card = page.locator(f"[id='{grant}']")
    for verb, status, state in (
        ("Pause", "Satt på pause", "pause"),
        ("Start", "Startet igjen", "aktiv"),
        ("Forny", "Fornyet", "aktiv"),
        ("Trekk", "trukket", "trukket"),
    ):
        press(page, f"{verb}: {NAME}")
        expect(page.get_by_role("status").first).to_contain_text(re.compile(status, re.IGNORECASE))
        expect(card.locator(".grant-head .tag")).to_contain_text(re.compile(state, re.IGNORECASE))
    press(page, f"Slett: {NAME}")
    expect(page.get_by_role("heading", level=1)).to_contain_text(NAME)
    page.locator("form button", has_text=re.compile("Slett|Ja", re.IGNORECASE)).first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_be_visible()
    page.context.close()

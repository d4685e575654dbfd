"""A citizen presses "Connect your twin" at a stranger's site: the published script finds the host in a real browser."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from twin_activities import electricity, trip
from twin_citizen import Citizen
from two_municipalities import two_municipalities

from pod_server.authentication.session import cookie_settings, create_session
from pod_server.pods import create_pod

PICTURES = os.environ.get("TVILLING_PICTURES")


@pytest.fixture(scope="module")
def world(browser, tmp_path_factory):
    with two_municipalities(tmp_path_factory.mktemp("connecting")) as world:
        yield world


@pytest.fixture
def kari(browser, world):
    """A citizen of the first host who is signed in there, her twin with something to show, and her window."""
    one, _, partner = world
    handle = f"kari-{len(partner.customers)}-{len(partner.requests)}"
    made = create_pod(one.host, handle, name="Kari Nordmann")
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="nb-NO")
    cookie = cookie_settings(one.host)
    value = create_session(one.host, made.pod_id, made.vault)
    context.add_cookies([{"name": cookie.key, "value": value, "url": one.host.base_url}])

    class Life:
        host = one.host

    life, at = Citizen(Life(), made), one.host.clock.now()
    life.deliver("Nettet AS", *(electricity(f"e{n}", at - timedelta(hours=49 - n), 60, 1.2) for n in range(48)))
    life.deliver("AtB", trip("t1", at - timedelta(days=2), 12.0))
    life.think()
    yield made, context.new_page()
    context.close()
    partner.details.clear()


def picture(page, name):
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)


def test_from_a_webid_to_the_citizens_own_host_and_back_and_the_partner_never_sees_the_webid(kari, world):
    one, _, partner = world
    made, page = kari
    page.goto(partner.origin)
    page.keyboard.press("Tab")
    page.keyboard.type(made.webid)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{one.host.base_url}/-/consent/*")
    page.get_by_label("Strøm", exact=False).first.check()
    page.locator("[data-wish]").first.check()
    page.locator("input[name=duration]").first.check()
    page.get_by_role("button", name="Ja til det jeg har krysset av").click()
    page.wait_for_url(f"{partner.origin}/back*")
    assert partner.customers[-1].issuer == one.host.base_url
    seen = " ".join(partner.requests)
    assert "profile" not in seen
    assert made.pod.handle not in seen


def test_a_hosts_address_leads_there_too_and_what_is_none_is_said(kari, world):
    _, two, partner = world
    _, page = kari
    page.goto(partner.origin)
    page.get_by_label("Your WebID").fill("http://127.0.0.1:9/nobody")
    page.get_by_role("button", name="Connect your twin").click()
    page.get_by_text("Not found").wait_for()
    page.get_by_label("Your WebID").fill(two.host.base_url)
    page.get_by_role("button", name="Connect your twin").click()
    page.wait_for_url(re.compile(rf"{re.escape(two.host.base_url)}/-/sign-in.*"))


@pytest.mark.parametrize(
    ("scheme", "language", "width"),
    [("dark", "nn", 320), *([("light", "nb", 390), ("light", "en", 1160)] if PICTURES else [])],
)
def test_a_question_to_read_shows_todays_values_and_axe_finds_nothing_to_mend(kari, world, scheme, language, width):
    one, _, partner = world
    _, page = kari
    partner.details |= {
        "type": f"{one.host.base_url}/vocab/rar#pod-read", "figures": ["footprint-month", "electricity-day"],
        "datatypes": ["TransitTrip"], "granularity": "event", "max_reads_per_day": 4, "retention": "P2M",
        "history_from": (datetime.now(UTC) - timedelta(days=60)).date().isoformat(),
    }  # fmt: skip
    page.context.add_cookies([{"name": "tvilling_language", "value": language, "url": one.host.base_url}])
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{one.host.base_url}/-/connect?start={partner.origin}/start")
    picture(page, f"connect-{language}-{scheme}")
    assert Axe().run(page).violations_count == 0
    page.locator("main a.ds-button").click()
    page.wait_for_url(f"{one.host.base_url}/-/consent/*")
    assert page.locator("input:checked").count() == 0
    assert page.locator(".now").count() == 3
    picture(page, f"ask-to-read-{language}-{scheme}")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("input[value=electricity-day]").check()
    page.locator("input[name=duration]").first.check()
    page.locator("button[value=give]").click()
    page.wait_for_url(f"{partner.origin}/back*")
    customer = partner.customers[-1]
    read = partner.send(customer, "GET", f"{customer.location}/figures").json()
    assert {part["figure"].rpartition("/")[2] for part in read["part"]} == {"electricity-day"}
    for name in ("my-data", "log") if PICTURES else ():
        page.goto(f"{one.host.base_url}/-/{name}")
        picture(page, f"{name}-read-{language}-{scheme}")

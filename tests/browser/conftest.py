"""A real browser before the running city: web, live and agent processes, and the partners' simulators.

Without Chromium these tests are skipped, and say so loudly; where TVILLING_REQUIRE_BROWSER is set (CI), they fail.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from ending import family_of, killed_after
from ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    from tvilling.demo import City

CLOSED_WITHIN_SECONDS = 15.0
"""It takes half a second; where Chromium does not answer, its driver waits for half a minute, or for ever."""

FAILURES = Path(__file__).parent / "failures"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip


@pytest.hookimpl(tryfirst=True)  # before the scheduler reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here drives the browser, and all of them one city: they run in one worker."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


def chromium_path() -> str:
    """The browser, or a skip that nobody overlooks."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    message = "NO BROWSER: Chromium is not installed, so nothing of the pages was tried in one (see `make browser`)"
    if os.environ.get("TVILLING_REQUIRE_BROWSER"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, started once; killed with its driver where it does not close."""
    path = chromium_path()
    from playwright.sync_api import Error, sync_playwright

    others = set(psutil.Process().children())
    playwright = sync_playwright().start()
    drivers = set(psutil.Process().children()) - others
    assert drivers, "Playwright's driver is no child of this process, so it could not be ended"
    browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
    yield browser
    # Chromium's answer and the driver's end are waited for without any limit of Playwright's own.
    with killed_after(CLOSED_WITHIN_SECONDS, lambda: [each for one in drivers for each in family_of(one.pid)]):
        with contextlib.suppress(Error):
            browser.close()
        playwright.stop()


@pytest.fixture(scope="session")
def running_city(browser, tmp_path_factory) -> Iterator[City]:
    """The demo city with one live citizen and a few neighbours, 60 times faster than ours."""
    from tvilling import demo
    from tvilling.settings import Listen

    data = tmp_path_factory.mktemp("city")
    with demo.running_city(
        data,
        listen=Listen("127.0.0.1", free_port()),
        live_listen=Listen("127.0.0.1", free_port()),
        citizens=1,
        neighbours=30,
        speed=60.0,
        say=lambda _: None,
    ) as city:
        yield city


@dataclass
class Kari:
    """The live citizen at her browser, and what the browser complained of."""

    city: City
    context: BrowserContext
    page: Page
    complaints: list[str]

    @property
    def base_url(self) -> str:
        return self.city.settings.base_url

    def go(self, address: str) -> Page:
        """Open one of the pages."""
        self.page.goto(f"{self.base_url}{address}")
        return self.page

    def another_page(self, **options: object) -> Page:
        """The same citizen in another window: other size, other scheme, no script."""
        context = self.page.context.browser.new_context(
            storage_state=self.context.storage_state(), locale="nb-NO", **options
        )
        self.complaints_of(context)
        return context.new_page()

    def complaints_of(self, context: BrowserContext) -> None:
        """Collect what the console says, content policy violations above all."""
        context.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in {"error", "warning"} else None,
        )
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))


def link_for(city: City, handle: str) -> str:
    """A one-use sign-in link, made on this machine."""
    from pod_server.authentication.accounts import create_sign_in_link
    from pod_server.opening import find_pod
    from tvilling.app import create_host

    host = create_host(city.settings)
    try:
        with host.storage.read() as tx:
            pod = find_pod(tx, handle)
        return f"{city.settings.base_url}{create_sign_in_link(host, pod.pod_id)}"
    finally:
        host.storage.close()
        host.key_store.close()


@pytest.fixture(scope="session")
def signed_in_state(browser, running_city):
    """The cookies of a citizen who signed in once."""
    handle = next(iter(running_city.state.passphrases))
    context = browser.new_context(locale="nb-NO")
    page = context.new_page()
    page.goto(link_for(running_city, handle))
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def kari(browser, running_city, signed_in_state, request) -> Iterator[Kari]:
    """The citizen at a desktop's width; a picture of the page is kept where the test fails."""
    context = browser.new_context(
        storage_state=signed_in_state, viewport={"width": 1160, "height": 900}, locale="nb-NO", color_scheme="light"
    )
    page = context.new_page()
    visitor = Kari(running_city, context, page, [])
    visitor.complaints_of(context)
    failed_before = request.session.testsfailed
    yield visitor
    if request.session.testsfailed > failed_before:
        FAILURES.mkdir(exist_ok=True)
        page.screenshot(path=FAILURES / f"{request.node.name[:80]}.png")
    context.close()

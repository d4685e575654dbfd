"""A real browser before the running city: web, live and agent processes, and the partners' simulators.

Without Chromium these tests are skipped, and say so loudly; where TVILLING_REQUIRE_BROWSER is set (CI), they fail.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from ending import family_of, killed_after
from ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page, StorageState

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
    from playwright.sync_api import Error, expect, sync_playwright

    expect.set_options(timeout=20_000)  # a busy machine is no failure

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
    browser: Browser
    cookies: StorageState
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    @cached_property
    def context(self) -> BrowserContext:
        """A desktop, made at the first need: some tests look through other windows alone."""
        return self._new_context(viewport={"width": 1160, "height": 900}, color_scheme="light")

    @cached_property
    def page(self) -> Page:
        return self.context.new_page()

    @property
    def base_url(self) -> str:
        return self.city.settings.base_url

    def go(self, address: str) -> Page:
        """Open one of the pages."""
        self.page.goto(f"{self.base_url}{address}")
        return self.page

    def another_page(self, **options: object) -> Page:
        """The same citizen in another window: other size, other scheme, no script."""
        return self._new_context(**options).new_page()

    def _new_context(self, **options: object) -> BrowserContext:
        """Signed in; what the console says is collected, content policy violations above all."""
        context = self.browser.new_context(storage_state=self.cookies, locale="nb-NO", **options)
        self.contexts.append(context)
        context.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in {"error", "warning"} else None,
        )
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        return context


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
    visitor = Kari(running_city, browser, signed_in_state)
    failed_before = request.session.testsfailed
    yield visitor
    pages = [page for context in visitor.contexts for page in context.pages]
    if pages and request.session.testsfailed > failed_before:
        FAILURES.mkdir(exist_ok=True)
        pages[0].screenshot(path=FAILURES / f"{request.node.name[:80]}.png")
    for context in visitor.contexts:
        context.close()

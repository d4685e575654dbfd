"""Passkeys in a real browser, with a device that Chromium makes up (CDP, WebAuthn.addVirtualAuthenticator)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from conftest import link_for
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, Page

    from tvilling.demo import City

SECONDS = 1000
HANDLE = "passnokkel"


@dataclass
class Petter:
    """A citizen of his own for these tests, with a device that knows his finger and gives secrets (PRF)."""

    city: City
    page: Page
    device: CDPSession
    authenticator: str
    complaints: list[str]

    def go(self, address: str) -> Page:
        self.page.goto(f"{self.city.settings.base_url}{address}")
        return self.page

    def sign_in_by_link(self) -> None:
        self.page.goto(link_for(self.city, HANDLE))

    def sign_out(self) -> None:
        self.page.context.clear_cookies()

    def add(self, name: str) -> Page:
        page = self.go("/-/security")
        page.get_by_label(re.compile("Navn på den nye")).fill(name)
        page.get_by_role("button", name="Legg til passnøkkel").click()
        expect(page.get_by_role("status").filter(has_text="lagt til")).to_be_visible(timeout=30 * SECONDS)
        return page

    def on_the_host(self, do: Any) -> None:
        """Do something at the running host, as a command would."""
        from tvilling.app import create_host

        host = create_host(self.city.settings)
        try:
            do(host)
        finally:
            host.storage.close()
            host.key_store.close()


@pytest.fixture
def petter(browser, running_city):
    from pod_server.pods import create_pod, remove_pod

    def make(host):
        made.append(create_pod(host, HANDLE, name="Petter").pod_id)

    made: list[Any] = []
    context = browser.new_context(viewport={"width": 1160, "height": 900}, locale="nb-NO")
    page = context.new_page()
    device = context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": True,
        "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True, "hasPrf": True,
    }  # fmt: skip
    authenticator = device.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]
    petter = Petter(running_city, page, device, authenticator, [])
    context.on(
        "console", lambda said: petter.complaints.append(said.text) if said.type in {"error", "warning"} else None
    )
    petter.on_the_host(make)
    petter.sign_in_by_link()
    yield petter
    context.close()
    petter.on_the_host(lambda host: remove_pod(host, made[0], retire_handle=False))


def test_a_passkey_is_added_signs_in_and_is_removed(petter):
    page = petter.add("Telefonen")
    expect(page.get_by_role("heading", name="Telefonen")).to_be_visible()
    assert petter.complaints == []
    petter.sign_out()
    page = petter.go("/-/sign-in?next=/-/security")
    page.get_by_role("button", name="Logg inn med passnøkkel").click()
    page.wait_for_url("**/-/security", timeout=30 * SECONDS)
    expect(page.locator("#sessions")).to_contain_text("passnøkkel")
    page.get_by_role("button", name="Fjern: Telefonen").click()
    expect(page.get_by_role("status").filter(has_text="fjernet")).to_be_visible()
    petter.sign_out()
    page = petter.go("/-/sign-in")
    page.get_by_role("button", name="Logg inn med passnøkkel").click()
    expect(page.locator("[data-passkey-problem]")).to_contain_text("ble ikke godtatt", timeout=30 * SECONDS)


def test_a_device_that_does_not_know_its_owner_signs_nobody_in(petter):
    petter.add("Nøkkelen")
    petter.sign_out()
    petter.device.send("WebAuthn.setUserVerified", {"authenticatorId": petter.authenticator, "isUserVerified": False})
    page = petter.go("/-/sign-in")
    page.get_by_role("button", name="Logg inn med passnøkkel").click()
    expect(page.locator("[data-passkey-problem]")).to_contain_text("ga ingen passnøkkel", timeout=30 * SECONDS)
    assert "/-/sign-in" in page.url


def test_a_passkey_opens_a_locked_pod_with_its_own_secret(petter):
    """PRF: the page asks the device for it only where the pod is locked, and the citizen let it before."""
    page = petter.add("Maskinen")
    page.get_by_role("button", name="La den åpne en låst pod: Maskinen").click()
    expect(page.get_by_role("status").filter(has_text="åpner nå poden")).to_be_visible(timeout=30 * SECONDS)

    def lock_out(host):
        from pod_server.opening import find_pod

        with host.storage.read() as tx:
            pod = find_pod(tx, HANDLE)
        host.key_store.remove_slot(pod.pod_id, "custodian")

    petter.on_the_host(lock_out)
    petter.sign_out()
    page = petter.go("/-/sign-in?next=/-/security")
    page.get_by_role("button", name="Logg inn med passnøkkel").click()
    page.wait_for_url("**/-/security", timeout=30 * SECONDS)
    expect(page.locator("#passkeys")).to_contain_text("Poden din er låst.")
    expect(page.locator("#passkeys")).to_contain_text("Åpner også en låst pod.")


def test_everything_but_passkeys_themselves_works_without_script(petter):
    petter.add("Uten script")
    context = petter.page.context
    plain = context.browser.new_context(
        storage_state=context.storage_state(), locale="nb-NO", java_script_enabled=False
    )
    page = plain.new_page()
    page.goto(f"{petter.city.settings.base_url}/-/security")
    expect(page.get_by_text("Nettleseren legger til passnøkler med script")).to_be_visible()
    page.get_by_role("button", name="Fjern: Uten script").click()
    expect(page.get_by_role("status").filter(has_text="fjernet")).to_be_visible()
    plain.close()

"""A web application with the pages alone, and citizens who browse it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from oauth_client import PartnerClient

from consent.grant import GrantTerms
from pod_server import grants
from pod_server.authentication.session import cookie_settings, create_session
from pod_server.identifiers import Actor
from pod_server.vault.vault import unlock_with_custodian

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from hosts import City

    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.vault.vault import Vault

CITIZEN = Actor("citizen")
TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Browsing:
    """One citizen's browser, without a browser."""

    host: Host
    pod_id: PodId
    client: FlaskClient
    made: Any = None

    def get(self, address: str, **headers: str):
        """A page as a browser asks for it."""
        return self.client.get(address, headers={"Accept": "text/html", **headers})

    def token(self, address: str = "/-/my-data") -> str:
        """The form token that a page carries."""
        found = TOKEN.search(self.get(address).text)
        assert found
        return found.group(1)

    def post(self, address: str, **fields):
        """A form, filled in on the citizen's own page."""
        return self.client.post(address, data={"csrf": self.token(), **fields}, headers={"Accept": "text/html"})


@dataclass
class Pages:
    """The pages of one host."""

    city: City
    host: Host
    app: Flask

    def stranger(self) -> FlaskClient:
        """A browser without a session."""
        return self.app.test_client()

    def citizen(self, handle: str = "kari", name: str = "Kari Nordmann", **options) -> Browsing:
        """A new citizen, signed in."""
        made = self.city.citizen(handle, name=name, household_size=3, **options)
        client = self.app.test_client()
        cookie = create_session(self.host, made.vault.pod_id, made.vault)
        client.set_cookie(cookie_settings(self.host).key, cookie)
        return Browsing(self.host, made.vault.pod_id, client, made)

    def signed_in_again(self, browsing: Browsing) -> Browsing:
        """The same citizen with a new session, after the clock went past the old one."""
        vault = unlock_with_custodian(self.host.host_key, self.host.key_store, browsing.pod_id)
        browsing.client.set_cookie(cookie_settings(self.host).key, create_session(self.host, browsing.pod_id, vault))
        return browsing

    def sign_in_with(self, browsing: Browsing, vault: Vault) -> None:
        """A session of an opened vault, as after locking."""
        cookie = create_session(self.host, browsing.pod_id, vault)
        browsing.client.set_cookie(cookie_settings(self.host).key, cookie)

    def partner(self, name: str = "Rema 1000") -> PartnerClient:
        """A partner with keys."""
        return PartnerClient(self.host, name=name)

    def grant(self, browsing: Browsing, client_id: str, kind: str = "grocery-line", **terms):
        """A consent given to a partner."""
        now = self.host.clock.now()
        values = {
            "client_id": client_id, "purpose": "food-footprint", "kinds": frozenset({kind}), "operations": frozenset({"append"}),
            "granularity": "event", "history_from": now - timedelta(days=30), "expires_at": now + timedelta(days=200),
        } | terms  # fmt: skip
        return grants.give(self.host, browsing.pod_id, GrantTerms(**values), actor=CITIZEN)


@pytest.fixture
def pages(city):
    """The pages on a host of their own."""
    import dashboard.routes
    from pod_server import http_problems

    host = replace(city.host, allow_insecure=True)
    city.host = host
    app = Flask("pages", static_folder=None)
    app.config["HOST"] = host
    http_problems.register(app, host)
    dashboard.routes.register(app, host)
    return Pages(city, host, app)

"""The partners' door over HTTP, and a simulator's client as the stranger who comes to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from flask import Flask
from joserfc.jwk import ECKey

from consent.grant import EVENT, GrantTerms
from pod_server import grants, http_problems
from pod_server.authorization_server import routes as oauth_routes
from pod_server.identifiers import Actor
from pod_server.partners import add_partner
from tvilling.city.simulators.oauth_client import OAuthClient

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.identifiers import PodId

CITIZEN = Actor("citizen")
KINDS = frozenset({"electricity-reading", "grocery-line", "transit-trip", "waste-collection"})


@pytest.fixture
def app(host) -> Flask:
    import partner_bridge.routes

    app = Flask("bridge")
    http_problems.register(app, host)
    oauth_routes.register(app, host)
    partner_bridge.routes.register(app, host)
    return app


@dataclass
class Door:
    """What tests need of the door: strangers, citizens and their consents."""

    host: Host
    app: Flask

    def partner(self, name: str = "TrønderEnergi", **options: Any) -> OAuthClient:
        """Register a partner; its OAuth client."""
        key = ECKey.generate_key("P-256", parameters={"kid": f"{name}-1", "use": "sig", "alg": "ES256"})
        redirect = "https://partner.example/callback"
        made = add_partner(
            self.host, name=name, jwks={"keys": [key.as_dict(private=False)]}, redirect_uris=[redirect], **options
        )
        client = OAuthClient(self.host.base_url, made.client_id, key, redirect, self.host.clock.protocol_now)
        client._http = httpx.Client(transport=httpx.WSGITransport(app=self.app))
        return client

    def grant(self, pod_id: PodId, client: OAuthClient, *, vault: Any = None, **options: Any) -> str:
        """A consent, wide enough for most tests."""
        terms = GrantTerms(
            **{
                "client_id": client.client_id,
                "purpose": "verify-meter",
                "kinds": KINDS,
                "operations": frozenset({"append"}),
                "granularity": EVENT,
                "history_from": datetime(2015, 1, 1, tzinfo=UTC),
                "expires_at": self.host.clock.now() + timedelta(days=90),
                **options,
            }
        )
        return grants.give(self.host, pod_id, terms, actor=CITIZEN, vault=vault).id


@pytest.fixture
def door(host, app) -> Door:
    return Door(host, app)


@pytest.fixture
def reading():
    def make(number: int = 0, **members: Any) -> dict[str, Any]:
        start = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(hours=number)
        return {
            "@id": f"reading:{number}",
            "@type": "ElectricityReading",
            "start": start.isoformat(),
            "end": (start + timedelta(hours=1)).isoformat(),
            "quantity": 1.5,
            "unit": "KiloW-HR",
            **members,
        }

    return make

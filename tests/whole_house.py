"""The whole web application as `tvilling serve` puts it together, with strangers who come to its doors over HTTP."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from oauth_client import CITIZEN, PartnerClient, Prover

from consent.grant import GrantTerms
from pod_server import grants
from pod_server.authentication.session import cookie_settings, create_session, load_session
from pod_server.authorization.enforcement import require_owner
from pod_server.authorization_server import scripts
from tvilling.app import create_web_app
from tvilling.settings import Listen, Settings
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from hosts import City
    from werkzeug.test import TestResponse

    from pod_server.host import Host
    from pod_server.pods import NewPod

NDJSON = "application/x-ndjson"
JSON_PROBLEM = "application/problem+json"


def whole_app(host: Host) -> Flask:
    """Every door of the web role, in the order that the command line registers them."""
    settings = Settings(
        data_folder=str(host.data_folder),
        base_url=host.base_url,
        live_url=host.live_url,
        listen=Listen("127.0.0.1", 8080),
        live_listen=Listen("127.0.0.1", 8081),
    )
    return create_web_app(host, settings)


@dataclass
class Deliverer:
    """A partner with a token of its own, at the bridge."""

    partner: PartnerClient
    token: str

    def send(self, method: str, path: str, body: bytes | str = b"", media_type: str = NDJSON) -> TestResponse:
        address = self.partner.host.base_url + path
        headers = {"Content-Type": media_type, **self.partner.authorised(method, address, self.token)}
        return self.partner.client.open(path, method=method, data=body, headers=headers)

    def deliver(self, *items: dict[str, Any], path: str = "/bridge/activities") -> list[dict[str, Any]]:
        answer = self.send("POST", path, "\n".join(json.dumps(item) for item in items))
        assert answer.status_code == 200, answer.text
        return answer.json


@dataclass
class Script:
    """A citizen's own program, at the Solid door."""

    prover: Prover
    client: FlaskClient
    token: str

    def send(self, method: str, path: str, body: bytes | str = b"", **headers: str) -> TestResponse:
        address = self.prover.host.base_url + path.split("?", maxsplit=1)[0]
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        proofs = self.prover.authorised(method, address, self.token)
        return self.client.open(path, method=method, data=body, headers=named | proofs)


@dataclass
class House:
    """A host with all its doors open."""

    city: City
    host: Host
    app: Flask

    def partner(self, name: str = "Strømmen AS") -> Deliverer:
        partner = PartnerClient(self.host, name=name)
        partner.client = self.app.test_client()
        return Deliverer(partner, partner.own_token())

    def grant(self, citizen: NewPod, deliverer: Deliverer, **terms: Any) -> str:
        now = self.host.clock.now()
        values = {
            "client_id": deliverer.partner.partner.client_id,
            "purpose": "personal-footprint",
            "kinds": frozenset(load_kinds().by_slug),
            "operations": frozenset({"append"}),
            "granularity": "event",
            "history_from": now - timedelta(days=4000),
            "expires_at": now + timedelta(days=90),
        } | terms
        return grants.give(self.host, citizen.pod_id, GrantTerms(**values), actor=CITIZEN).id

    def script(self, citizen: NewPod) -> Script:
        made = scripts.create_credentials(self.host, require_owner(citizen.vault), citizen.webid)
        prover, client = Prover(self.host), self.app.test_client()
        basic = base64.b64encode(f"{made.client_id}:{made.client_secret}".encode()).decode()
        proof = prover.proof("POST", f"{self.host.base_url}/-/oauth/token")
        answer = client.post(
            "/-/oauth/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": f"Basic {basic}", "DPoP": proof},
        )
        assert answer.status_code == 200, answer.text
        return Script(prover, client, answer.json["access_token"])

    def browser(self, citizen: NewPod | None = None) -> FlaskClient:
        """A browser; signed in where a citizen is named."""
        client = self.app.test_client()
        if citizen is not None:
            cookie = create_session(self.host, citizen.pod_id, citizen.vault)
            client.set_cookie(cookie_settings(self.host).key, cookie)
        return client

    def form_token(self, browser: FlaskClient) -> str:
        """The token that a signed-in browser's forms carry."""
        cookie = browser.get_cookie(cookie_settings(self.host).key)
        assert cookie is not None
        session = load_session(self.host, cookie.value)
        assert session is not None
        return session.csrf_token


def slug_of(problem: dict[str, Any]) -> str:
    """The last part of a problem's type."""
    return str(problem["type"]).rpartition("/problems/")[2]


def assert_is_a_clear_problem(answer: TestResponse, *, status: int | None = None, slug: str | None = None) -> None:
    """RFC 9457, of a type that is declared and explained; never a failure of our own."""
    assert answer.status_code < 500 or answer.status_code in {503, 507}, answer.text
    assert answer.status_code >= 400, answer.text
    assert answer.headers["Content-Type"] == JSON_PROBLEM, answer.headers
    details = answer.json
    assert {"type", "title", "status"} <= details.keys()
    assert details["status"] == answer.status_code
    assert slug_of(details) not in {"", "internal-error"}
    assert "Traceback" not in answer.text
    if status is not None:
        assert answer.status_code == status, details
    if slug is not None:
        assert slug_of(details) == slug, details

"""An app's side of Solid-OIDC and its citizen's browser, made by hand so that tests can get each part of it wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from oauth_client import Prover

from pod_server.authentication.session import cookie_settings, create_session
from pod_server.outbound import OutboundRefused, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask.testing import FlaskClient
    from hosts import City
    from werkzeug.test import TestResponse

    from pod_server.host import Host

BACK = "https://app.example/back"
GONE = "https://app.example/gone"
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Elsewhere:
    """Other hosts, by address: what they answer, and what was asked of them. Stands where `Outbound` stands."""

    documents: dict[str, Response] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def put(self, address: str, body: Any, media_type: str = "application/json", *, at: str | None = None) -> None:
        """Let an address answer; `at` is where it redirected to."""
        content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.documents[address] = Response(200, {"content-type": media_type}, content, at or address)

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Response:
        self.asked.append(url)
        if url not in self.documents:
            raise OutboundRefused("the address lies in a range that is not spoken to")
        return self.documents[url]


def house(host: Host) -> Flask:
    """Every door that apps and their citizens use: the authorization server, the pages, the pods."""
    import dashboard.routes
    import pod_server.authorization_server.routes
    from pod_server import http_problems, routes

    app = Flask("house", static_folder=None)
    app.config["HOST"] = host
    http_problems.register(app, host)
    pod_server.authorization_server.routes.register(app, host)
    dashboard.routes.register(app, host)
    routes.register(app, host)
    return app


@dataclass
class Town:
    """A host whose outside world is the test's."""

    city: City
    host: Host
    elsewhere: Elsewhere
    app: Flask

    def citizen(self, handle: str = "kari") -> FlaskClient:
        """A new citizen's browser, signed in."""
        made = self.city.citizen(handle, name=handle.capitalize())
        browser = self.app.test_client()
        browser.set_cookie(cookie_settings(self.host).key, create_session(self.host, made.vault.pod_id, made.vault))
        return browser

    def stranger(self) -> FlaskClient:
        """A browser without a session, or an app."""
        return self.app.test_client()


def make_town(city: City) -> Town:
    """A town on a city's host."""
    elsewhere = Elsewhere()
    host = replace(city.host, allow_insecure=True, outbound=elsewhere)
    city.host = host
    return Town(city, host, elsewhere, house(host))


@dataclass
class SolidApp(Prover):
    """An app that signs citizens in."""

    client: FlaskClient = field(kw_only=True)
    client_id: str = ""
    secret: str = ""
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(40))

    def register(self, **metadata: Any) -> TestResponse:
        document = {
            "client_name": "Notater", "redirect_uris": [BACK], "post_logout_redirect_uris": [GONE],
        } | metadata  # fmt: skip
        answer = self.client.post("/-/oauth/register", json=document)
        if answer.status_code == 201:
            self.client_id, self.secret = answer.json["client_id"], answer.json.get("client_secret", "")
        return answer

    def parameters(self, **parameters: str | None) -> dict[str, str]:
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": BACK,
            "scope": "openid webid offline_access",
            "state": "s-1",
            "nonce": "n-1",
            "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest())
            .rstrip(b"=")
            .decode(),
            "code_challenge_method": "S256",
        } | parameters
        return {name: value for name, value in asked.items() if value is not None}

    def arrive(self, browser: FlaskClient, **parameters: str | None) -> TestResponse:
        return browser.get("/-/oauth/authorize", query_string=self.parameters(**parameters))

    def ask(self, browser: FlaskClient, **parameters: str | None) -> str:
        """The path of the page that asks the citizen."""
        answer = self.arrive(browser, **parameters)
        assert answer.status_code == 303, answer.text
        return urlsplit(answer.headers["Location"]).path

    def answered(self, browser: FlaskClient, page: str, **fields: str) -> TestResponse:
        shown = browser.get(page, headers={"Accept": "text/html"})
        found = CSRF.search(shown.text)
        assert found, shown.text
        return browser.post(page, data={"csrf": found.group(1), **fields}, headers={"Accept": "text/html"})

    def code_from(self, browser: FlaskClient, modes: str = "everything", **parameters: str | None) -> str:
        """The citizen says yes: the code."""
        answer = self.answered(browser, self.ask(browser, **parameters), answer="allow", modes=modes)
        assert answer.status_code == 303, answer.text
        return query_of(answer)["code"]

    def token_request(self, *, proof: str | None = None, **parameters: str | None) -> TestResponse:
        headers = {"DPoP": proof or self.proof("POST", f"{self.host.base_url}/-/oauth/token")}
        form = {name: value for name, value in parameters.items() if value is not None}
        if self.secret:
            basic = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
            headers["Authorization"] = f"Basic {basic}"
        else:
            form.setdefault("client_id", self.client_id)
        return self.client.post("/-/oauth/token", data=form, headers=headers)

    def redeem(self, code: str, /, **parameters: str | None) -> TestResponse:
        form: dict[str, str | None] = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": self.verifier,
        }  # fmt: skip
        return self.token_request(**(form | parameters))

    def refresh(self, token: str, **parameters: str | None) -> TestResponse:
        return self.token_request(**({"grant_type": "refresh_token", "refresh_token": token} | parameters))

    def let_in(self, browser: FlaskClient, modes: str = "everything", **parameters: str | None) -> dict[str, Any]:
        """The whole way: the token answer's members."""
        answer = self.redeem(self.code_from(browser, modes, **parameters))
        assert answer.status_code == 200, answer.text
        return answer.json

    def use(self, method: str, path: str, token: str, *, data: bytes = b"", headers=None, **options: Any):
        """A request to a pod; like existing Solid clients without `ath`."""
        options = {"without": ("ath",)} | options
        sent = self.authorised(method, f"{self.host.base_url}{path}", token, **options) | (headers or {})
        return self.client.open(path, method=method, data=data, headers=sent)


def query_of(answer: TestResponse) -> dict[str, str]:
    """The parameters of the address that an answer sends the browser to."""
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}

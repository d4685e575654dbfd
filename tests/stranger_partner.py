"""A partner's own site, made from docs/partners.md alone: it was told no host, and meets each by a citizen's browser.

Nothing of the house's is imported here. It serves a page with the published script, a start address and the address it
is sent back to; what it knows of a host it reads from the host's metadata.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

PAGE = """<!doctype html><html lang="en"><title>Strømmen AS</title><h1>Strømmen AS</h1>
<form data-connect action="{origin}/start"><label>Your WebID, or your host <input data-twin></label>
<button>Connect your twin</button><p role="status" data-said data-looking="Looking" data-not-found="Not found"></p></form>
<noscript><form action="{origin}/start"><label>Your host <input name="iss"></label><button>Connect</button></form></noscript>
<script src="/connect.js"></script>"""


class Refused(Exception):
    """The partner did not go on: what it was given does not fit together."""


@dataclass
class Customer:
    """What the partner knows of one customer: no name, no WebID, no pod."""

    issuer: str
    grant: str
    subject: str
    access_token: str
    location: str


@dataclass
class StrangerPartner:
    """The partner, its keys, and its site."""

    statement: str = ""
    script: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    key: ECKey = field(
        default_factory=lambda: ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
    )
    customers: list[Customer] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _clients: dict[str, str] = field(default_factory=dict)
    _metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    _waiting: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._http = httpx.Client(timeout=20, trust_env=False)
        partner = self

        class Site(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                partner.requests.append(self.path)
                status, headers, body = partner.answer(self.path)
                self.send_response(status)
                for name, value in {"Content-Type": "text/html; charset=utf-8", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._http.close()

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}

    def answer(self, path: str) -> tuple[int, dict[str, str], str]:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            if parts.path == "/start":
                return 303, {"Location": self.start(query.get("iss", ""))}, ""
            if parts.path == "/back":
                self.come_back(query)
                return 200, {}, "<p>Thank you.</p>"
        except Refused as refused:
            return 400, {}, f"<p>{refused}</p>"
        if parts.path == "/connect.js":
            return 200, {"Content-Type": "text/javascript"}, self.script
        return (200, {}, PAGE.format(origin=self.origin)) if parts.path == "/" else (404, {}, "")

    # Meeting a host

    def metadata(self, issuer: str) -> dict[str, Any]:
        if issuer not in self._metadata:
            told = self._http.get(f"{issuer}/.well-known/oauth-authorization-server").json()
            if told.get("issuer") != issuer:
                raise Refused("the metadata is another issuer's")
            self._metadata[issuer] = told
        return self._metadata[issuer]

    def client_id(self, issuer: str) -> str:
        if issuer not in self._clients:
            answer = self._http.post(
                self.metadata(issuer)["registration_endpoint"], json={"software_statement": self.statement}
            )
            if answer.status_code != 201:
                raise Refused(answer.json()["error"])
            self._clients[issuer] = answer.json()["client_id"]
        return self._clients[issuer]

    def start(self, issuer: str) -> str:
        """Where the citizen's browser is sent: the host's authorization endpoint, with a request pushed beforehand."""
        told, client_id = self.metadata(issuer), self.client_id(issuer)
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(48)
        now = time.time()
        detail = {
            "type": f"{issuer}/vocab/rar#pod-append",
            "datatypes": ["ElectricityReading"],
            "purpose": "personal-footprint",
            "granularity": "PT1H",
            "history_from": time.strftime("%Y-%m-%d", time.gmtime(now - 30 * 86_400)),
            "validTo": time.strftime("%Y-%m-%d", time.gmtime(now + 90 * 86_400)),
            **self.details,
        }
        pushed = self._post(
            issuer,
            "pushed_authorization_request_endpoint",
            {
                "response_type": "code",
                "redirect_uri": f"{self.origin}/back",
                "state": state,
                "code_challenge": _b64(hashlib.sha256(verifier.encode()).digest()),
                "code_challenge_method": "S256",
                "authorization_details": json.dumps([detail]),
            },
        )
        self._waiting[state] = {"issuer": issuer, "verifier": verifier}
        query = urlencode({"client_id": client_id, "request_uri": pushed["request_uri"]})
        return f"{told['authorization_endpoint']}?{query}"

    def come_back(self, query: dict[str, str]) -> Customer:
        """The citizen's answer: only from the host that was asked (RFC 9207)."""
        asked = self._waiting.pop(query.get("state", ""), None)
        if asked is None:
            raise Refused("nobody was asked so")
        if query.get("iss") != asked["issuer"]:
            raise Refused("the answer is another issuer's")
        if "code" not in query:
            raise Refused(query.get("error", "no code"))
        return self.redeem(asked["issuer"], query["code"], asked["verifier"])

    def redeem(self, issuer: str, code: str, verifier: str) -> Customer:
        answer = self._post(
            issuer,
            "token_endpoint",
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": f"{self.origin}/back",
                "code_verifier": verifier,
            },
        )
        (told,) = answer["authorization_details"]
        customer = Customer(issuer, told["grant"], told["subject"], answer["access_token"], told["location"])
        self.customers.append(customer)
        return customer

    # Delivering and reading

    def send(self, customer: Customer, method: str, address: str, *, token: str = "", **options: Any) -> httpx.Response:
        token = token or customer.access_token
        proof = self.proof(method, address.partition("?")[0], token)
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof, **options.pop("headers", {})}
        return self._http.request(method, address, headers=headers, **options)

    def deliver(self, customer: Customer, *activities: dict[str, Any]) -> list[str]:
        items = [{"grant": customer.grant, "activity": each} for each in activities]
        answer = self.send(customer, "POST", f"{customer.issuer}/bridge/activities", json=items)
        if answer.status_code != 200:
            raise Refused(answer.json()["type"])
        return [
            each["problem"]["type"].rpartition("/")[2] if "problem" in each else each["status"]
            for each in answer.json()
        ]

    def assertion(self, issuer: str) -> str:
        now, client_id = int(time.time()), self.client_id(issuer)
        claims = {"iss": client_id, "sub": client_id, "aud": issuer, "iat": now, "exp": now + 60}
        return jwt.encode(
            {"alg": "ES256", "kid": "k1", "typ": "JWT"}, claims | {"jti": secrets.token_urlsafe(12)}, self.key
        )

    def proof(self, method: str, address: str, token: str = "") -> str:
        claims: dict[str, Any] = {
            "htm": method,
            "htu": address,
            "iat": int(time.time()),
            "jti": secrets.token_urlsafe(12),
        }
        if token:
            claims["ath"] = _b64(hashlib.sha256(token.encode()).digest())
        public = {
            name: value for name, value in self.key.as_dict(private=False).items() if name in {"kty", "crv", "x", "y"}
        }
        return jwt.encode({"alg": "ES256", "typ": "dpop+jwt", "jwk": public}, claims, self.key)

    def _post(self, issuer: str, endpoint: str, form: dict[str, str], *, assertion: str = "") -> dict[str, Any]:
        address = self.metadata(issuer)[endpoint]
        answer = self._http.post(
            address,
            data={
                "client_id": self.client_id(issuer),
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": assertion or self.assertion(issuer),
                **form,
            },
            headers={"DPoP": self.proof("POST", address)},
        )
        if answer.status_code not in {200, 201}:
            raise Refused(answer.json().get("error", answer.text))
        told: dict[str, Any] = answer.json()
        return told


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

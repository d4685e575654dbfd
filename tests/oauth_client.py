"""A partner's and a script's side of OAuth, made by hand so that tests can get each part of it wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask, jsonify, request
from joserfc import jws
from joserfc.jwk import ECKey

from pod_server import partners
from pod_server.authorization_server import interactions, routes, tokens
from pod_server.identifiers import Actor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask.testing import FlaskClient
    from joserfc.jwk import Key
    from werkzeug.test import TestResponse

    from pod_server.host import Host
    from pod_server.identifiers import PodId

REDIRECT = "https://partner.example/back"
CITIZEN = Actor("citizen")


def doors(host: Host) -> FlaskClient:
    """The authorization server, and a probe behind each of the two doors that take its tokens."""
    from pod_server import http_problems

    app = Flask("doors")
    http_problems.register(app, host)
    routes.register(app, host)

    @app.route("/bridge/probe", methods=["GET", "POST"])
    def bridge() -> Any:
        partner = tokens.verify_partner_request(host, request)
        return jsonify({"client_id": partner.client_id, "grant": partner.grant})

    @app.route("/kari/probe", methods=["GET", "PUT"])
    def solid() -> Any:
        agent = tokens.verify_solid_request(host, request)
        return jsonify({"webid": agent.webid, "client_id": agent.client_id})

    return app.test_client()


def new_key(kid: str = "k1") -> Key:
    return ECKey.generate_key("P-256", parameters={"kid": kid, "use": "sig", "alg": "ES256"})


def signed(claims: Mapping[str, Any], key: Key, header: Mapping[str, Any]) -> str:
    """A compact JWS with whatever header, also one that a library would rightly refuse to write."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (dict(header), dict(claims))]
    signing_input = b".".join(parts)
    signature = jws.JWSRegistry.algorithms[str(header["alg"])].sign(signing_input, key)
    return b".".join([signing_input, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@dataclass
class Prover:
    """Whoever holds a proof key: makes DPoP proofs, well or ill."""

    host: Host
    proof_key: Key = field(default_factory=new_key)

    def proof(
        self,
        method: str,
        address: str,
        *,
        token: str | None = None,
        header: Mapping[str, Any] | None = None,
        without: tuple[str, ...] = (),
        key: Key | None = None,
        **claims: Any,
    ) -> str:
        payload: dict[str, Any] = {
            "jti": secrets.token_urlsafe(12),
            "htm": method,
            "htu": address,
            "iat": int(self.host.clock.protocol_now().timestamp()),
        }
        if token is not None:
            payload["ath"] = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        payload |= claims
        key = key or self.proof_key
        public = {
            name: value
            for name, value in key.as_dict(private=False).items()
            if name in {"kty", "crv", "x", "y", "n", "e"}
        }
        heading = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public} | dict(header or {})
        return signed({name: value for name, value in payload.items() if name not in without}, key, heading)

    @property
    def thumbprint(self) -> str:
        return self.proof_key.thumbprint()

    def authorised(self, method: str, address: str, token: str, **options: Any) -> dict[str, str]:
        return {"Authorization": f"DPoP {token}", "DPoP": self.proof(method, address, token=token, **options)}


@dataclass
class PartnerClient(Prover):
    """A partner and its keys."""

    name: str = "Strømmen AS"
    key: Key = field(default_factory=new_key)
    partner: partners.Partner = field(init=False)
    client: FlaskClient = field(init=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(40))

    def __post_init__(self) -> None:
        self.partner = partners.add_partner(
            self.host, name=self.name, jwks={"keys": [self.key.as_dict(private=False)]}, redirect_uris=[REDIRECT]
        )
        self.client = doors(self.host)

    def assertion(
        self,
        *,
        key: Key | None = None,
        header: Mapping[str, Any] | None = None,
        without: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        now = int(self.host.clock.protocol_now().timestamp())
        payload: dict[str, Any] = {
            "iss": self.partner.client_id,
            "sub": self.partner.client_id,
            "aud": self.host.base_url,
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_urlsafe(12),
        } | claims
        heading = {"alg": "ES256", "kid": "k1", "typ": "JWT"} | dict(header or {})
        return signed({name: value for name, value in payload.items() if name not in without}, key or self.key, heading)

    def signed_in(self, assertion: str | None = None) -> dict[str, str]:
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion or self.assertion(),
        }

    def challenge(self) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def details(self, **members: Any) -> str:
        now = self.host.clock.now()
        detail = {
            "type": f"{self.host.base_url}/vocab/rar#pod-append",
            "actions": ["append"],
            "datatypes": ["ElectricityReading"],
            "purpose": "personal-footprint",
            "granularity": "PT1M",
            "history_from": (now - timedelta(days=30)).isoformat(),
            "validTo": (now + timedelta(days=180)).isoformat(),
        } | members
        return json.dumps([detail])

    def push(
        self, *, headers: Mapping[str, str] | None = None, assertion: str | None = None, **parameters: str | None
    ) -> TestResponse:
        form: dict[str, str | None] = {
            **self.signed_in(assertion),
            "client_id": self.partner.client_id,
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "code_challenge": self.challenge(),
            "code_challenge_method": "S256",
            "state": "s-1",
            "dpop_jkt": self.thumbprint,
            "authorization_details": self.details(),
        } | parameters
        data = {name: value for name, value in form.items() if value is not None}
        return self.client.post("/-/oauth/par", data=data, headers=dict(headers or {}))

    def arrive(self, request_uri: str, client_id: str | None = None) -> TestResponse:
        return self.client.get(
            "/-/oauth/authorize",
            query_string={"request_uri": request_uri, "client_id": client_id or self.partner.client_id},
        )

    def asked(self, **parameters: str | None) -> str:
        """Push and arrive: the interaction's id."""
        pushed = self.push(**parameters)
        assert pushed.status_code == 201, pushed.text
        return self.arrive(pushed.json["request_uri"]).headers["Location"].rsplit("/", 1)[1]

    def code_from(self, pod_id: PodId, **parameters: str | None) -> str:
        """The citizen says yes to all: the code."""
        address = interactions.answer_interaction(
            self.host,
            self.asked(**parameters),
            pod_id,
            interactions.Answer(refused=False, kinds=frozenset({"electricity-reading"})),
            CITIZEN,
        )
        return parse_qs(urlsplit(address).query)["code"][0]

    def token_request(
        self, *, proof: str | None = None, assertion: str | None = None, **parameters: str | None
    ) -> TestResponse:
        address = f"{self.host.base_url}/-/oauth/token"
        data = {**self.signed_in(assertion), **{name: value for name, value in parameters.items() if value is not None}}
        return self.client.post("/-/oauth/token", data=data, headers={"DPoP": proof or self.proof("POST", address)})

    def redeem(self, code: str, **parameters: Any) -> TestResponse:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": self.verifier,
        }
        return self.token_request(**(form | parameters))

    def own_token(self) -> str:
        """A token of the partner's own, for bulk delivery."""
        answer = self.token_request(grant_type="client_credentials")
        assert answer.status_code == 200, answer.text
        return str(answer.json["access_token"])

    def probe(self, token: str, **options: Any) -> TestResponse:
        address = f"{self.host.base_url}/bridge/probe"
        return self.client.get("/bridge/probe", headers=self.authorised("GET", address, token, **options))

"""A provider in the manner of ID-porten, over real sockets: PAR, PKCE, private_key_jwt, and every part to get wrong."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode

from flask import Flask, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from werkzeug.serving import make_server

PID = "12057900342"
"""A made-up number of Skatteetaten's test population's form; nobody's."""


@cache
def rsa_key(number: int) -> RSAKey:
    """One of a few keys that all tests share, since making one takes a while."""
    return RSAKey.generate_key(2048, parameters={"kid": "p-1"}, private=True)


@dataclass
class IdProvider:
    """One provider. `wrong` changes what it answers; `seen` is what it was asked."""

    clock: Any
    person: dict[str, Any] = field(
        default_factory=lambda: {"sub": "pairwise-1", "pid": PID, "acr": "idporten-loa-high"}
    )
    wrong: dict[str, Any] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    client_keys: list[dict[str, Any]] = field(default_factory=list)
    secret: str = ""
    key: RSAKey = field(default_factory=lambda: rsa_key(1))

    def __post_init__(self) -> None:
        self.pushed: dict[str, dict[str, str]] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.assertions: set[str] = set()
        self.server = make_server("127.0.0.1", 0, self._app(), threaded=True)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def now(self) -> int:
        return int(self.clock.protocol_now().timestamp())

    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "pushed_authorization_request_endpoint": f"{self.issuer}/par",
            "end_session_endpoint": f"{self.issuer}/logout",
            "authorization_response_iss_parameter_supported": True,
        } | self.wrong.get("configuration", {})

    def sign(self, claims: dict[str, Any], *, key: Any = None, header: dict[str, Any] | None = None) -> str:
        key = key or self.key
        heading = {"alg": "RS256", "kid": "p-1", "typ": "JWT"} | (header or {})
        return jwt.encode({k: v for k, v in heading.items() if v is not None}, claims, key, algorithms=[heading["alg"]])

    def claims(self, asked: dict[str, str]) -> dict[str, Any]:
        claims = {
            "iss": self.issuer, "aud": asked["client_id"], "iat": self.now(), "exp": self.now() + 120,
            "nonce": asked["nonce"], "sid": "sid-1", "auth_time": self.now(), "jti": secrets.token_hex(8),
        } | self.person | self.wrong.get("claims", {})  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}

    def id_token(self, asked: dict[str, str]) -> str:
        make = self.wrong.get("id_token")
        return make(self, asked) if make else self.sign(self.claims(asked))

    def logout_token(self, client_id: str, **changes: Any) -> str:
        claims = {
            "iss": self.issuer, "aud": client_id, "iat": self.now(), "exp": self.now() + 60, "jti": secrets.token_hex(8),
            "sid": "sid-1", "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        } | changes  # fmt: skip
        return self.sign({k: v for k, v in claims.items() if v is not None}, header={"typ": "logout+jwt"})

    def authenticates(self, form: dict[str, str]) -> bool:
        """RFC 7523, as strictly as ID-porten: known key, aud the issuer, short-lived, used once."""
        if self.secret:
            pair = f"{form['client_id']}:{self.secret}".encode()
            return request.headers.get("Authorization") == f"Basic {base64.b64encode(pair).decode()}"
        keys = KeySet.import_key_set({"keys": self.client_keys})
        claims = jwt.decode(form["client_assertion"], keys, algorithms=["RS256", "ES256"]).claims
        good = claims["iss"] == claims["sub"] == form["client_id"] and claims["aud"] == self.issuer
        new = claims["jti"] not in self.assertions
        self.assertions.add(claims["jti"])
        return good and new and self.now() < claims["exp"] <= self.now() + 120

    def _app(self) -> Flask:
        app = Flask("id-provider")

        def note(what: str) -> dict[str, str]:
            form = request.values.to_dict()
            self.seen.append((what, form))
            return form

        @app.get("/.well-known/openid-configuration")
        def configuration() -> Any:
            note("configuration")
            if "redirect" in self.wrong:
                return redirect(self.wrong["redirect"])
            if "slow" in self.wrong:
                time.sleep(self.wrong["slow"])
            return self.wrong.get("raw", None) or jsonify(self.configuration())

        @app.get("/jwks")
        def jwks() -> Any:
            note("jwks")
            return jsonify(self.wrong.get("jwks", {"keys": [self.key.as_dict(private=False)]}))

        @app.post("/par")
        def par() -> Any:
            form = note("par")
            if not self.authenticates(form):
                return jsonify({"error": "invalid_client", "error_description": f"Who is {PID}?"}), 401
            name = f"urn:request:{secrets.token_hex(8)}"
            self.pushed[name] = form
            return jsonify({"request_uri": name, "expires_in": 60}), 201

        @app.get("/authorize")
        def authorize() -> Any:
            sent = note("authorize")
            form = self.pushed.pop(sent["request_uri"]) if "request_uri" in sent else sent
            if form["client_id"] != sent["client_id"]:
                return "other client", 400
            back = {"state": form["state"], "iss": self.issuer}
            if self.wrong.get("refuses"):
                back |= {"error": "access_denied", "error_description": f"{PID} said no"}
            else:
                back["code"] = secrets.token_hex(16)
                self.codes[back["code"]] = form
            back |= self.wrong.get("back", {})
            query = urlencode({name: value for name, value in back.items() if value is not None})
            return redirect(f"{form['redirect_uri']}?{query}", 303)

        @app.post("/token")
        def token() -> Any:
            form = note("token")
            asked = self.codes.pop(form.get("code", ""), None)
            if asked is None or not self.authenticates(form) or form["redirect_uri"] != asked["redirect_uri"]:
                return jsonify({"error": "invalid_grant"}), 400
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
                return jsonify({"error": "invalid_grant"}), 400
            if "token" in self.wrong:
                return self.wrong["token"]
            return jsonify({"access_token": "opaque", "token_type": "Bearer", "id_token": self.id_token(asked)})

        return app


def other_rsa() -> RSAKey:
    return rsa_key(2)


def other_ec() -> ECKey:
    return ECKey.generate_key("P-256", parameters={"kid": "p-1"}, private=True)


def as_secret(provider: IdProvider) -> OctKey:
    """The provider's public key, taken for a shared secret."""
    return OctKey.import_key(provider.key.as_pem(private=False))

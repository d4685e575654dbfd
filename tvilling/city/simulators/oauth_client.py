"""One partner as an OAuth client (FAPI 2.0): pushed requests, PKCE, DPoP, private_key_jwt, and deliveries.

Everything it knows of the house it reads from the metadata (RFC 8414).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name from RFC 8693
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
Key = ECKey | OKPKey


class JourneyFailed(Exception):
    """A step of the journey to a consent was answered with an error; the message is the answer's."""


@cache
def _trusted() -> ssl.SSLContext:
    """The machine's certificates, read once: a city has thousands of clients."""
    return ssl.create_default_context()


@dataclass(frozen=True)
class Delivered:
    """What became of one delivery, as the client saw it.

    Attributes:
        http_status: The answer's status; 0 where none came.
        answers: The items of the answer.
        problem: The problem of the whole delivery, or the first refused item's, or None.
        ms: From sending to the whole answer.
        receipt: The address of the signed receipt, or None.
    """

    http_status: int
    answers: Sequence[Mapping[str, Any]]
    problem: Mapping[str, Any] | None
    ms: float
    receipt: str | None

    def count(self, status: str) -> int:
        """How many items were answered so."""
        return sum(1 for answer in self.answers if answer.get("status") == status)


@dataclass
class _Token:
    value: str
    until: float


@dataclass(frozen=True)
class Asked:
    """A consent that was asked for and not yet answered."""

    state: str
    verifier: str
    handle: str


@dataclass(frozen=True)
class Given:
    """What a given consent brought.

    Attributes:
        handle: The partner's own customer.
        grant: The grant's id.
        subject: The pairwise name of the citizen.
        refresh_token: Good for new access tokens under the grant.
        details: The authorization details as given (perhaps narrower than asked).
    """

    handle: str
    grant: str
    subject: str
    refresh_token: str
    details: Mapping[str, Any]


@dataclass
class OAuthClient:
    """One partner's client.

    Attributes:
        base_url: The issuer, which is also where the doors are.
        client_id: As registered.
        key: The private key whose public part is registered; signs client assertions.
        redirect_uri: Where browsers come back.
        clock: Real time.
        proof_key: The key that tokens are bound to; the process's own.
        word: For an integrator: the signed word of the partner in whose name it delivers (RFC 8693).
        skew: How far its clock runs ahead.
    """

    base_url: str
    client_id: str
    key: Key
    redirect_uri: str
    clock: Callable[[], datetime]
    proof_key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))
    skew: timedelta = timedelta(0)
    word: Callable[[], str] | None = None
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60, trust_env=False, verify=_trusted()))
    _metadata: dict[str, Any] = field(default_factory=dict)
    _bulk: _Token | None = None
    _by_grant: dict[str, _Token] = field(default_factory=dict)
    _asked: dict[str, Asked] = field(default_factory=dict)
    _guard: threading.RLock = field(default_factory=threading.RLock)
    _sent: tuple[str, bytes, dict[str, str]] | None = None
    _other_key: Key | None = None

    def metadata(self) -> dict[str, Any]:
        """The issuer's metadata, read once; its `issuer` must be the one that was asked (RFC 8414, section 3.3)."""
        with self._guard:
            if not self._metadata:
                found = (
                    self._http.get(f"{self.base_url}/.well-known/oauth-authorization-server").raise_for_status().json()
                )
                if found["issuer"] != self.base_url:
                    raise JourneyFailed("the metadata is another issuer's")
                self._metadata = found
            return self._metadata

    def issuer_keys(self) -> dict[str, Any]:
        """The issuer's public keys."""
        keys: dict[str, Any] = self._http.get(self.metadata()["jwks_uri"]).raise_for_status().json()
        return keys

    # Consent

    def ask(self, handle: str, details: Mapping[str, Any]) -> str:
        """Push an authorization request; the address to send the citizen's browser to.

        Args:
            handle: The partner's own customer, remembered under `state`.
            details: One authorization detail (RFC 9396).

        Raises:
            JourneyFailed: the server refused the request.
        """
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(48)
        challenge = base64url(hashlib.sha256(verifier.encode()).digest())
        endpoint = self.metadata()["pushed_authorization_request_endpoint"]
        answer = self._post(
            endpoint,
            {
                "response_type": "code",
                "client_id": self.client_id,
                "redirect_uri": self.redirect_uri,
                "state": state,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
                "authorization_details": json.dumps([details]),
            },
        )
        with self._guard:
            self._asked[state] = Asked(state, verifier, handle)
        query = urlencode({"client_id": self.client_id, "request_uri": answer["request_uri"]})
        return f"{self.metadata()['authorization_endpoint']}?{query}"

    def come_back(self, query: Mapping[str, str]) -> Given:
        """The browser's return: checks `state` and `iss` (RFC 9207), and turns the code into tokens.

        Raises:
            JourneyFailed: the citizen said no, or the return is not one to a question of ours.
        """
        with self._guard:
            asked = self._asked.pop(query.get("state", ""), None)
        if asked is None:
            raise JourneyFailed("no question of ours has this state")
        if query.get("iss") != self.base_url:
            raise JourneyFailed("the answer comes from another issuer")
        if "code" not in query:
            raise JourneyFailed(query.get("error", "no code"))
        answer = self._post(
            self.metadata()["token_endpoint"],
            {
                "grant_type": "authorization_code",
                "code": query["code"],
                "redirect_uri": self.redirect_uri,
                "code_verifier": asked.verifier,
            },
        )
        detail = answer["authorization_details"][0]
        with self._guard:
            self._by_grant[answer["grant_id"]] = self._token_of(answer)
        return Given(asked.handle, answer["grant_id"], detail["subject"], answer["refresh_token"], detail)

    # Delivering

    def deliver(
        self, path: str, items: Sequence[Mapping[str, Any]], *, grant: str | None = None, refresh_token: str = ""
    ) -> Delivered:
        """Deliver items as lines.

        Args:
            path: Below the base URL: `/bridge/activities` or `/bridge/connectors/<name>`.
            items: Each with its grant.
            grant: Deliver with the token of this one grant; without it, as the partner itself (bulk).
            refresh_token: The grant's, for when its token has run out.
        """
        return self.deliver_body(path, lines(items), grant=grant, refresh_token=refresh_token)

    def deliver_body(self, path: str, body: bytes, *, grant: str | None = None, refresh_token: str = "") -> Delivered:
        """As `deliver`, of lines that are written already."""
        address = self.base_url + path
        began = time.monotonic()
        try:
            response = self._send(address, body, self._access_token(grant, refresh_token))
            if response.status_code == 401:
                # Run out between our look at the clock and theirs, or the server was started anew: once more.
                self._forget_token(grant)
                response = self._send(address, body, self._access_token(grant, refresh_token))
        except (httpx.HTTPError, JourneyFailed) as error:
            ms = (time.monotonic() - began) * 1000
            return Delivered(0, (), {"title": "No answer", "detail": str(error)}, ms, None)
        ms = (time.monotonic() - began) * 1000
        link = response.links.get(f"{self.base_url}/vocab/bridge#receipt", {})
        try:
            content = response.json()
        except ValueError:
            content = {"title": "The answer is no JSON", "status": response.status_code}
        if not isinstance(content, list):
            return Delivered(response.status_code, (), content, ms, link.get("url"))
        problem = next((answer["problem"] for answer in content if "problem" in answer), None)
        return Delivered(response.status_code, content, problem, ms, link.get("url"))

    def fetch(self, address: str, *, accept: str = "application/json") -> httpx.Response:
        """Read something of ours behind the partners' door: a receipt."""
        token = self._access_token(None, "")
        return self._http.get(address, headers={"Accept": accept, **self._proof("GET", address, token)})

    def put(self, path: str, body: bytes) -> int:
        """Put a JSON document behind the partners' door, as the partner itself; the status.

        Raises:
            JourneyFailed: no token was to be had.
        """
        address = self.base_url + path
        for _ in range(2):
            proof = self._proof("PUT", address, self._access_token(None, ""))
            status = self._http.put(
                address, content=body, headers={"Content-Type": "application/json", **proof}
            ).status_code
            if status != 401:
                break
            self._forget_token(None)
        return status

    def _send(self, address: str, body: bytes, token: str) -> httpx.Response:
        headers = {"Content-Type": "application/x-ndjson", **self._proof("POST", address, token)}
        self._sent = (address, body, headers)
        return self._http.post(address, content=body, headers=headers)

    # What a client does that has gone wrong

    def replay(self) -> int:
        """Send the last delivery once more, with the proof that was used; the status."""
        if self._sent is None:
            return 0
        address, body, headers = self._sent
        try:
            return self._http.post(address, content=body, headers=headers).status_code
        except httpx.HTTPError:
            return 0

    def deliver_half(self, path: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Announce a whole delivery, send half of it, and hang up."""
        body = lines(items)
        address = self.base_url + path

        def half() -> Iterator[bytes]:
            yield body[: len(body) // 2]
            raise httpx.WriteError("hung up")

        headers = {
            "Content-Type": "application/x-ndjson",
            "Content-Length": str(len(body)),
            **self._proof("POST", address, self._access_token(None, "")),
        }
        with contextlib.suppress(httpx.HTTPError, JourneyFailed):
            self._http.post(address, content=half(), headers=headers)

    def use_another_key(self, wanted: bool) -> None:
        """Sign with a key that nobody was shown, and forget the tokens got with the right one; or with the right one again."""
        if wanted == (self._other_key is not None):
            return
        self._other_key = ECKey.generate_key("P-256", {"kid": self.key.kid or "", "alg": "ES256"}) if wanted else None
        self._forget_token(None)

    def _proof(self, method: str, address: str, token: str) -> dict[str, str]:
        proof = self.proof(method, address, ath=base64url(hashlib.sha256(token.encode()).digest()))
        return {"Authorization": f"DPoP {token}", "DPoP": proof}

    # Tokens

    def _access_token(self, grant: str | None, refresh_token: str) -> str:
        with self._guard:
            token = self._bulk if grant is None else self._by_grant.get(grant)
            if token is not None and token.until > time.monotonic():
                return token.value
            if grant is None and self.word is not None:
                form = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": JWT_TYPE, "subject_token": self.word()}
            elif grant is None:
                form = {"grant_type": "client_credentials"}
            else:
                form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
            token = self._token_of(self._post(self.metadata()["token_endpoint"], form))
            if grant is None:
                self._bulk = token
            else:
                self._by_grant[grant] = token
            return token.value

    def has_token(self, grant: str) -> bool:
        """Whether a token of this grant is at hand and has not run out."""
        token = self._by_grant.get(grant)
        return token is not None and token.until > time.monotonic()

    def _forget_token(self, grant: str | None) -> None:
        with self._guard:
            if grant is None:
                self._bulk = None
            else:
                self._by_grant.pop(grant, None)

    @staticmethod
    def _token_of(answer: Mapping[str, Any]) -> _Token:
        return _Token(answer["access_token"], time.monotonic() + answer["expires_in"] - 15)

    def _post(self, endpoint: str, form: Mapping[str, str]) -> dict[str, Any]:
        signed = {**form, "client_assertion_type": ASSERTION_TYPE, "client_assertion": self._assertion()}
        response = self._http.post(endpoint, data=signed, headers={"DPoP": self.proof("POST", endpoint)})
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise JourneyFailed(f"{endpoint} answered {response.status_code}") from error
        if response.is_error:
            raise JourneyFailed(f"{answer.get('error')}: {answer.get('error_description')}")
        return answer

    def _assertion(self) -> str:
        now = int((self.clock() + self.skew).timestamp())
        key = self._other_key or self.key
        algorithm = "ES256" if isinstance(key, ECKey) else "Ed25519"
        header = {"alg": algorithm, "typ": "client-authentication+jwt"}
        if key.kid:
            header["kid"] = key.kid
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.base_url,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + 60,
        }
        return jwt.encode(header, claims, key, algorithms=[algorithm])

    def may_act(self, actor: str, **changed: Any) -> str:
        """This partner's signed word that somebody may deliver in its name, good for a quarter of an hour (docs/partners.md)."""
        return self.signed("may-act+jwt", {"may_act": {"sub": actor}, **changed}, timedelta(minutes=15))

    def signed(self, typ: str, claims: Mapping[str, Any], lasts: timedelta) -> str:
        """Claims under this partner's own key, for this host, from now on."""
        now = int(self.clock().timestamp())
        algorithm = "ES256" if isinstance(self.key, ECKey) else "Ed25519"
        header = {"alg": algorithm, "typ": typ} | ({"kid": self.key.kid} if self.key.kid else {})
        members = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.base_url,
            "iat": now,
            "exp": now + int(lasts.total_seconds()),
            **claims,
        }
        return jwt.encode(header, members, self.key, algorithms=[algorithm])

    def proof(self, method: str, address: str, **claims: str) -> str:
        """A DPoP proof for one request (RFC 9449, section 4.2)."""
        public = self.proof_key.as_dict(private=False)
        jwk = {name: public[name] for name in ("kty", "crv", "x", "y")}
        members = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": address,
            "iat": int((self.clock() + self.skew).timestamp()),
            **claims,
        }
        return jwt.encode(
            {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}, members, self.proof_key, algorithms=["ES256"]
        )


def lines(items: Sequence[Mapping[str, Any]]) -> bytes:
    """Items as NDJSON."""
    return b"".join(json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for item in items)


def base64url(content: bytes) -> str:
    """Without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def load_key(jwk: Mapping[str, Any]) -> Key:
    """A private JWK of one of the two kinds that partners here have."""
    members = dict(jwk)
    return ECKey.import_key(members) if jwk["kty"] == "EC" else OKPKey.import_key(members)

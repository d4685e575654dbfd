"""A stranger's authorization server with a real log-in: code and PKCE, refresh tokens that are replaced at each use.

It is as strict as a bank's: redirect addresses letter by letter, codes once and for a minute, S256 only, the client's secret
by Basic, and a refresh token that is shown twice ends everything that came from it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus, urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CODE_LASTS = timedelta(minutes=1)


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        cut: Sends its head and half of its body, and hangs up.
        after_seconds: How long it thinks first.
        told_to, records: Which customer's records it tells, by their names; counted where it is sent whole.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    after_seconds: float = 0.0
    told_to: str = ""
    records: frozenset[Hashable] = frozenset()


def json_answer(status: int, value: object, content_type: str = "application/json", **headers: str) -> Answer:
    """A JSON answer."""
    return Answer(status, json.dumps(value).encode(), content_type, headers)


@dataclass
class _Family:
    """All that came from one yes."""

    person: str
    live: bool = True
    refresh: str = ""
    used: set[str] = field(default_factory=set)
    access: dict[str, datetime] = field(default_factory=dict)


@dataclass
class SignInServer:
    """The server.

    Attributes:
        issuer: Its identifier, and the address below which it answers.
        name: What its page calls itself.
        client_id, secret, redirect_uri: Its one client.
        people: Who may sign in there.
        now: Real time.
        lasts: How long access tokens are good.
        wrong: What it does wrong: `iss` (another issuer's name in the answer), `metadata` (members in its metadata).
        ill: Asked before each token is given: what it answers instead, where something goes wrong.
        ahead: How far its clock runs ahead.
        client_keys: Its client's public keys, where that signs in by a signature and has no secret.
    """

    issuer: str
    name: str
    client_id: str
    secret: str
    redirect_uri: str
    people: tuple[str, ...]
    now: Callable[[], datetime]
    lasts: timedelta = timedelta(minutes=10)
    wrong: dict[str, Any] = field(default_factory=dict)
    ill: Callable[[], Answer | None] = lambda: None
    ahead: Callable[[], timedelta] = timedelta
    client_keys: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        self._codes: dict[str, tuple[str, str, datetime]] = {}
        self._families: list[_Family] = []
        self.refreshed = 0
        self._used: set[object] = set()

    def answer(
        self, method: str, path: str, query: Mapping[str, str], form: Mapping[str, str], authorization: str
    ) -> Answer | None:
        """One request at an authorization server's addresses; None at any other."""
        match method, path:
            case "GET", "/.well-known/oauth-authorization-server":
                return self.metadata()
            case "GET", "/oauth/authorize":
                return self.authorize(query, None)
            case "POST", "/oauth/authorize":
                return self.authorize(query, form)
            case "POST", "/oauth/token":
                return self.ill() or self.token(form, authorization)
            case "POST", "/oauth/revoke":
                return self.revoke(form, authorization)
        return None

    def metadata(self) -> Answer:
        """RFC 8414."""
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/oauth/authorize",
            "token_endpoint": f"{self.issuer}/oauth/token",
            "revocation_endpoint": f"{self.issuer}/oauth/revoke",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return json_answer(200, said | self.wrong.get("metadata", {}))

    def authorize(self, query: Mapping[str, str], answered: Mapping[str, str] | None) -> Answer:
        """The page where somebody signs in and says yes or no, and what follows on it."""
        if query.get("client_id") != self.client_id or query.get("redirect_uri") != self.redirect_uri:
            return Answer(400, b"an unknown client, or another address to return to", "text/plain")
        if query.get("code_challenge_method") != "S256" or len(query.get("code_challenge", "")) != 43:
            return self._back(query, {"error": "invalid_request"})
        if answered is None:
            return self._page(query)
        person = answered.get("person", "")
        if answered.get("answer") != "yes" or person not in self.people:
            return self._back(query, {"error": "access_denied"})
        code = secrets.token_urlsafe(24)
        self._codes[code] = (person, query["code_challenge"], self._clock() + CODE_LASTS)
        return self._back(query, {"code": code})

    def token(self, form: Mapping[str, str], authorization: str) -> Answer:
        """Codes and refresh tokens to access tokens."""
        if not self._is_client(form, authorization):
            return json_answer(401, {"error": "invalid_client"})
        if form.get("grant_type") == "authorization_code":
            return self._redeem(form)
        if form.get("grant_type") == "refresh_token":
            return self._refresh(form.get("refresh_token", ""))
        return json_answer(400, {"error": "unsupported_grant_type"})

    def revoke(self, form: Mapping[str, str], authorization: str) -> Answer:
        """RFC 7009."""
        if not self._is_client(form, authorization):
            return json_answer(401, {"error": "invalid_client"})
        for family in self._families:
            if form.get("token") in {family.refresh, *family.access}:
                family.live = False
        return Answer(200)

    def person_of(self, authorization: str) -> str | None:
        """Whose access token it is; None where it is none, or ended."""
        token = authorization.removeprefix("Bearer ")
        for family in self._families:
            if family.live and token in family.access and self._clock() < family.access[token]:
                return family.person
        return None

    def end_access(self) -> None:
        """End every access token at once, as after a rotation of keys; refresh tokens stay."""
        for family in self._families:
            family.access.clear()

    def end_everything(self) -> None:
        """End every yes, as after 180 days."""
        for family in self._families:
            family.live = False

    def to_json(self) -> list[dict[str, Any]]:
        """What must outlive a restart: whose yes is still good, and by which refresh token; access tokens are got anew."""
        return [
            {"person": each.person, "refresh": each.refresh, "used": sorted(each.used)[-50:]}
            for each in self._families
            if each.live
        ]

    def take_up(self, state: list[dict[str, Any]]) -> None:
        """The yeses of an earlier run."""
        for each in state:
            self._families.append(_Family(each["person"], refresh=each["refresh"], used=set(each["used"])))

    def signed_in(self) -> list[str]:
        """Whose yes is still good."""
        return sorted({family.person for family in self._families if family.live})

    def living(self) -> int:
        """How many of its citizens' yeses are still good."""
        return sum(family.live for family in self._families)

    def _redeem(self, form: Mapping[str, str]) -> Answer:
        person, challenge, until = self._codes.pop(form.get("code", ""), ("", "", self._clock()))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proved = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge
        if not person or not proved or self._clock() >= until or form.get("redirect_uri") != self.redirect_uri:
            return json_answer(400, {"error": "invalid_grant"})
        family = _Family(person)
        self._families.append(family)
        return self._give(family)

    def _refresh(self, shown: str) -> Answer:
        for family in self._families:
            if shown in family.used:
                family.live = False  # it was stolen, or its owner lost count: nobody can tell
            elif family.live and shown == family.refresh:
                family.used.add(shown)
                self.refreshed += 1
                return self._give(family)
        return json_answer(400, {"error": "invalid_grant"})

    def _give(self, family: _Family) -> Answer:
        access, family.refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        family.access[access] = self._clock() + self.lasts
        said = {
            "access_token": access,
            "refresh_token": family.refresh,
            "token_type": "Bearer",
            "expires_in": int(self.lasts.total_seconds()),
        }
        return json_answer(200, said)

    def _clock(self) -> datetime:
        return self.now() + self.ahead()

    def _is_client(self, form: Mapping[str, str], authorization: str) -> bool:
        if self.client_keys is not None:
            return not authorization and self._has_signed(form)
        try:
            name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        except ValueError:
            return False
        return (unquote_plus(name), unquote_plus(secret)) == (self.client_id, self.secret)

    def _has_signed(self, form: Mapping[str, str]) -> bool:
        """private_key_jwt as FAPI 2.0 has it: ES256, for this issuer alone, short, once (RFC 7523, section 3)."""
        assert self.client_keys is not None
        if form.get("client_assertion_type") != ASSERTION_TYPE or form.get("client_id") != self.client_id:
            return False
        try:
            keys = KeySet.import_key_set(self.client_keys())
            claims = jwt.decode(form.get("client_assertion", ""), keys, algorithms=["ES256"]).claims
        except (JoseError, ValueError):
            return False
        now, ends = self._clock().timestamp(), claims.get("exp", 0)
        meant = (claims.get("iss"), claims.get("sub"), claims.get("aud")) == (
            self.client_id,
            self.client_id,
            self.issuer,
        )
        fresh = claims.get("jti") not in self._used and now < ends <= now + 300
        self._used.add(claims.get("jti"))
        return meant and fresh

    def _back(self, query: Mapping[str, str], parameters: dict[str, str]) -> Answer:
        said = parameters | {"state": query.get("state", ""), "iss": self.wrong.get("iss", self.issuer)}
        return Answer(303, headers={"Location": f"{self.redirect_uri}?{urlencode(said)}"})

    def _page(self, query: Mapping[str, str]) -> Answer:
        options = "".join(f"<option>{html.escape(each)}</option>" for each in self.people)
        scope = html.escape(query.get("scope", ""))
        page = (
            f'<!doctype html><html lang="nb"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{html.escape(self.name)}</title><h1>{html.escape(self.name)}</h1>"
            f"<p>Tvilling vil lese for deg: {scope}.</p>"
            f'<form method="post"><p><label>Hvem er du? <select name="person">{options}</select></label></p>'
            f'<p><button name="answer" value="yes">Logg inn og si ja</button> '
            f'<button name="answer" value="no">Avbryt</button></p></form></html>'
        )
        return Answer(200, page.encode(), "text/html; charset=utf-8")

"""Speaking to another Solid server in the citizen's name: every request goes out under the outbound rules.

A citizen's credentials for a script there (client id and secret: Solid-OIDC's client credentials, with a DPoP proof a
request) or a bearer token open what the citizen may see. They are used and never kept.
"""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx

from pod_server.outbound import OutboundError, OutboundFailed, origin_of
from pod_server.signatures import SigningKey, base64url, sign_jws
from pod_server.transfer.errors import OtherServerError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pod_server.host import Host
    from pod_server.outbound import Outbound

SECONDS = 300.0
"""For one request with everything that comes back."""

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "host", "user-agent", "accept-encoding"})


@dataclass(frozen=True)
class ScriptCredentials:
    """What a citizen's script signs in with at their issuer."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)


class OutboundTransport(httpx.BaseTransport):
    """Lets httpx speak through the one way out."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the body of the answer is read as it is asked for.

        Raises:
            httpx.TransportError: the address is not spoken to, or did not answer.
        """
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        stack = ExitStack()
        try:
            body = request.stream if "content-length" in headers and headers["content-length"] != "0" else b""
            exchange = stack.enter_context(
                self._outbound.exchange(request.method, str(request.url), headers, body, seconds=SECONDS)  # type: ignore[arg-type]
            )
        except OutboundError as error:
            stack.close()
            raise httpx.TransportError(str(error)) from error
        return httpx.Response(exchange.status, headers=list(exchange.headers), stream=_Incoming(exchange.pieces, stack))


class _Incoming(httpx.SyncByteStream):
    def __init__(self, pieces: Iterator[bytes], stack: ExitStack) -> None:
        self._pieces = pieces
        self._stack = stack

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        except OutboundFailed as error:
            raise httpx.ReadError(str(error)) from error

    def close(self) -> None:
        self._stack.close()


class _Bearer(httpx.Auth):
    """A token that needs no proof, told to one origin alone."""

    def __init__(self, token: str, origin: str) -> None:
        self._token = token
        self._origin = origin

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add it."""
        if origin_of(urlsplit(str(request.url))) == self._origin:
            request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class _Script(httpx.Auth):
    """Signs in when it must, and proves each request (RFC 9449); the token is told to one origin alone."""

    def __init__(self, credentials: ScriptCredentials, origin: str, outbound: Outbound) -> None:
        self._credentials = credentials
        self._origin = origin
        self._http = httpx.Client(transport=OutboundTransport(outbound))
        self._key = SigningKey.generate("ES256")
        self._token = ""
        self._ends = 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token and a proof; once more where the other server wants a nonce or ended the token."""
        if origin_of(urlsplit(str(request.url))) != self._origin:
            yield request
            return
        if time.monotonic() > self._ends:
            self.sign_in()
        self._prove(request)
        answer = yield request
        # A body that is a stream was used up by the first try.
        if answer.status_code == 401 and isinstance(request.stream, httpx.ByteStream):
            nonce = answer.headers.get("DPoP-Nonce", "")
            if not nonce:
                self.sign_in()
            self._prove(request, nonce)
            yield request

    def sign_in(self) -> None:
        """Get a token.

        Raises:
            OtherServerError: the issuer does not answer, or knows no such credentials.
        """
        asked = self._credentials
        try:
            found = self._http.get(f"{asked.issuer.rstrip('/')}/.well-known/openid-configuration").raise_for_status()
            endpoint = str(found.json()["token_endpoint"])
            nonce = ""
            for _ in range(2):
                answer = self._http.post(
                    endpoint,
                    data={"grant_type": "client_credentials", "scope": "webid"},
                    # RFC 6749, section 2.3.1: both are form-encoded before they are joined
                    auth=(quote(asked.client_id, safe=""), quote(asked.client_secret, safe="")),
                    headers={"DPoP": self._proof("POST", endpoint, nonce=nonce)},
                )
                nonce = answer.headers.get("DPoP-Nonce", "")
                if answer.status_code < 400 or not nonce:
                    break
            status = answer.status_code
            token = answer.json() if status < 400 else {"access_token": ""}
            self._token, lifetime = str(token["access_token"]), float(token.get("expires_in", 300))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise OtherServerError(f"{asked.issuer} cannot be signed in at: {_words(error)}") from error
        if status >= 400:
            raise OtherServerError(f"{asked.issuer} does not take these credentials (it answered {status})")
        self._ends = time.monotonic() + max(lifetime - 30, 5)

    def _prove(self, request: httpx.Request, nonce: str = "") -> None:
        address = str(request.url.copy_with(query=None, fragment=None))
        request.headers["Authorization"] = f"DPoP {self._token}"
        request.headers["DPoP"] = self._proof(request.method, address, token=self._token, nonce=nonce)

    def _proof(self, method: str, address: str, *, token: str = "", nonce: str = "") -> str:
        claims: dict[str, Any] = {
            "htm": method,
            "htu": address,
            "jti": secrets.token_urlsafe(16),
            "iat": int(time.time()),  # noqa: TID251 - the other server's clock is no city's
        }
        if token:
            claims["ath"] = base64url.write(sha256(token.encode()).digest())
        if nonce:
            claims["nonce"] = nonce
        public = {name: value for name, value in self._key.public_jwk.items() if name in {"kty", "crv", "x", "y"}}
        return sign_jws(self._key, claims, typ="dpop+jwt", headers={"jwk": public})


def _words(error: Exception) -> str:
    """What went wrong, without anything of a request's or an answer's body."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    return str(error) if isinstance(error, httpx.HTTPError) else "its answer has not the form that it should have"


def client_for(host: Host, root: str, *, credentials: ScriptCredentials | None = None, token: str = "") -> httpx.Client:
    """A client for another server; it follows no redirect and tells no other origin who it is.

    Args:
        host: Under whose outbound rules.
        root: An address at the server; its origin alone is told the token.
        credentials: A script's, or None.
        token: A bearer token, or "".
    """
    origin = origin_of(urlsplit(root))
    auth: httpx.Auth | None = None
    if credentials is not None:
        auth = _Script(credentials, origin, host.outbound)
    elif token:
        auth = _Bearer(token, origin)
    return httpx.Client(transport=OutboundTransport(host.outbound), auth=auth, follow_redirects=False)

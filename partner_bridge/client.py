"""For partners: sign in as yourselves and deliver, as much as you like, and lose nothing when a connection is cut.

    client = Bridge("https://tvilling.example", client_id="p-…", key=our_private_jwk)
    for answer in client.deliver(items, name="2026-11-23"):
        ...                                 # {"status": "accepted", "id": "reading:1"}, in the order of the items

`items` are `{"grant": …, "activity": {…}}`, from any iterable; `name` is yours to choose, once for each delivery (an
`Idempotency-Key`). Where the connection breaks, the client asks how far the delivery had come and sends the rest; under the
same name the same delivery may be sent again tomorrow, and is answered as today. docs/partners.md tells the whole; this file
is all the code it takes, on httpx and joserfc alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, import_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SENT_AT_ONCE = 256 * 1024
_PAUSE_SECONDS = 0.5


class DeliveryRefused(Exception):
    """The host did not take a delivery, or not to its end.

    Attributes:
        status: The HTTP status; 0 where no answer came.
        problem: What the host said (RFC 9457).
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")
        self.status = status
        self.problem = problem


class Bridge:
    """One host's doors, to one partner."""

    def __init__(
        self,
        host: str,
        *,
        client_id: str,
        key: Mapping[str, Any],
        http: httpx.Client | None = None,
        now: Callable[[], float] = time.time,  # noqa: TID251 - the partner's own clock
    ) -> None:
        """Use a registration.

        Args:
            host: The host's address, which is the issuer too.
            client_id: As registered.
            key: The private JWK (P-256) whose public part is registered.
            http: A client of your own, for time-outs and proxies.
            now: Seconds since 1970.
        """
        self._host = host.rstrip("/")
        self._client_id = client_id
        self._key = import_key(dict(key))
        self._proof_key = ECKey.generate_key("P-256")
        self._http = http or httpx.Client(timeout=60)
        self._now = now
        self._token = ("", 0.0)
        self._nonce = ""

    def deliver(self, items: Iterable[Mapping[str, Any]], *, name: str, tries: int = 5) -> Iterator[dict[str, Any]]:
        """Deliver, and answer each item in order.

        Args:
            items: `{"grant": …, "activity": {…}}` each.
            name: Of this delivery; letters, digits and `. _ ~ : / + -`, at most 128.
            tries: How often a broken connection is made again.

        Yields:
            What became of each item: `status` (accepted, duplicate, pending or refused), `id`, and a `problem`.

        Raises:
            DeliveryRefused: the host refused it as a whole, or was not there after all tries.
        """
        body = b"".join(json.dumps(item, separators=(",", ":")).encode() + b"\n" for item in items)
        offset = 0
        for left in reversed(range(tries)):
            try:
                answer = self._ask("POST", "/bridge/activities", name, body, offset)
            except httpx.TransportError as error:
                if not left:
                    raise DeliveryRefused(0, {"title": "No answer", "detail": str(error)}) from error
                time.sleep(_PAUSE_SECONDS)  # the host may still be taking in what came before the break
                offset = self._taken(name)
                continue
            if answer.status_code == 409 and left and "Upload-Offset" in answer.headers:
                offset = int(answer.headers["Upload-Offset"])
            elif answer.status_code in {429, 503} and left:
                time.sleep(min(float(answer.headers.get("Retry-After", "1")), 60))
                offset = self._taken(name)
            elif answer.is_success:
                yield from answer.json()
                return
            else:
                raise DeliveryRefused(answer.status_code, _problem(answer))

    def push(self, connector: str, items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Deliver payloads in a partner's own format, which a connector of the host reads.

        Nothing is remembered between two tries: what was taken is named by what is in it, and comes back as a duplicate.

        Args:
            connector: Its name, as the host's catalogue has it.
            items: `{"grant": …, "payload": …}` each.

        Returns:
            What became of each activity in them, with the position of its `payload`.

        Raises:
            DeliveryRefused: the host refused it as a whole, or gave no answer.
        """
        body = b"".join(json.dumps(item, separators=(",", ":")).encode() + b"\n" for item in items)
        try:
            answer = self._ask("POST", f"/bridge/connectors/{connector}", body=body)
        except httpx.HTTPError as error:
            raise DeliveryRefused(0, {"title": "No answer", "detail": str(error)}) from error
        if not answer.is_success:
            raise DeliveryRefused(answer.status_code, _problem(answer))
        answered: list[dict[str, Any]] = answer.json()
        return answered

    def _taken(self, name: str) -> int:
        """How many bytes of a delivery the host has; 0 where it knows nothing of it, or is not there."""
        try:
            answer = self._ask("HEAD", f"/bridge/deliveries/{name}")
        except httpx.TransportError:
            return 0
        return int(answer.headers.get("Upload-Offset", "0"))

    def _ask(self, method: str, path: str, name: str = "", body: bytes = b"", offset: int = 0) -> httpx.Response:
        address = self._host + path
        headers = {"Authorization": f"DPoP {self._access_token()}"}
        if body:
            headers |= {"Content-Type": "application/x-ndjson", "Content-Length": str(len(body) - offset)}
        if body and name:
            headers |= {"Idempotency-Key": name, "Upload-Offset": str(offset)}
        for _ in range(2):
            headers["DPoP"] = self._proof(method, address, self._token[0])
            content = (
                (body[at : at + _SENT_AT_ONCE] for at in range(offset, len(body), _SENT_AT_ONCE)) if body else None
            )
            answer = self._http.request(method, address, headers=headers, content=content)
            if not self._wants_a_nonce(answer):
                break
        return answer

    def _access_token(self) -> str:
        """A token for deliveries (RFC 6749, section 4.4; RFC 7523; RFC 9449), asked for anew a minute before it ends."""
        token, until = self._token
        if self._now() < until - 60:
            return token
        found = self._http.get(f"{self._host}/.well-known/oauth-authorization-server").raise_for_status().json()
        if found["issuer"] != self._host:
            raise DeliveryRefused(0, {"title": "Another issuer", "detail": "the metadata is another issuer's"})
        now = int(self._now())
        assertion = jwt.encode(
            {"alg": "ES256", "kid": self._key.kid},
            {
                "iss": self._client_id, "sub": self._client_id, "aud": found["issuer"], "iat": now, "exp": now + 60,
                "jti": secrets.token_urlsafe(16),
            },
            self._key,
        )  # fmt: skip
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        address = found["token_endpoint"]
        answer = self._http.post(address, data=form, headers={"DPoP": self._proof("POST", address)})
        if self._wants_a_nonce(answer):
            return self._access_token()
        if not answer.is_success:
            raise DeliveryRefused(answer.status_code, _problem(answer))
        given = answer.json()
        self._token = (given["access_token"], self._now() + float(given["expires_in"]))
        return self._token[0]

    def _proof(self, method: str, address: str, token: str = "") -> str:
        """A proof that whoever asks holds the key that the token is bound to (RFC 9449, section 4)."""
        claims: dict[str, Any] = {
            "htm": method,
            "htu": address,
            "iat": int(self._now()),
            "jti": secrets.token_urlsafe(16),
        }
        if token:
            claims["ath"] = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        if self._nonce:
            claims["nonce"] = self._nonce
        header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": self._proof_key.as_dict(private=False)}
        return jwt.encode(header, claims, self._proof_key)

    def _wants_a_nonce(self, answer: httpx.Response) -> bool:
        """Whether the host asks for another nonce in the proof, which is then used (RFC 9449, section 8)."""
        nonce = answer.headers.get("DPoP-Nonce", "")
        asks = bool(nonce) and nonce != self._nonce and answer.status_code in {400, 401}
        self._nonce = nonce or self._nonce
        return asks


def _problem(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    return problem if isinstance(problem, dict) else {"title": answer.reason_phrase, "detail": ""}

"""A citizen's own script at the Solid door: client credentials with DPoP, then plain Solid requests."""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64encode
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Any

import httpx
import pyoxigraph as ox
from joserfc import jwt
from joserfc.jwk import ECKey

LDP_CONTAINS = ox.NamedNode("http://www.w3.org/ns/ldp#contains")
ACTIVITY = ox.NamedNode("https://w3id.org/peco#EmissionGenerationActivity")
RDF_TYPE = ox.NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")


class SolidScript:
    """One script, its key and its token."""

    def __init__(self, credentials: dict[str, Any]) -> None:
        self._key = ECKey.generate_key("P-256")
        self._http = httpx.Client(timeout=60.0)
        endpoint = str(credentials["token_endpoint"])
        answer = self._http.post(
            endpoint,
            data={"grant_type": "client_credentials", "scope": "webid"},
            auth=(credentials["client_id"], credentials["client_secret"]),
            headers={"DPoP": self._proof("POST", endpoint)},
        )
        answer.raise_for_status()
        self._token = str(answer.json()["access_token"])

    def _proof(self, method: str, url: str, token: str | None = None) -> str:
        claims: dict[str, Any] = {
            "htm": method,
            "htu": url.split("?", maxsplit=1)[0],
            "jti": secrets.token_urlsafe(16),
            "iat": int(time.time()),  # noqa: TID251 - a stranger's program keeps its own time
        }
        if token is not None:
            claims["ath"] = urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self._key.as_dict(private=False)}
        return jwt.encode(header, claims, self._key, algorithms=["ES256"])

    def get(self, url: str, accept: str = "application/n-triples") -> httpx.Response:
        """GET one resource.

        Raises:
            httpx.HTTPStatusError: it was not answered with success.
        """
        answer = self.send("GET", url, headers={"Accept": accept})
        answer.raise_for_status()
        return answer

    def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Any request, with what `httpx.Client.request` takes; the answer as it came."""
        return self._http.request(method, url, **self._signed(method, url, options))

    def stream(self, method: str, url: str, **options: Any) -> AbstractContextManager[httpx.Response]:
        """As `send`, with an answer that is read piece by piece."""
        return self._http.stream(method, url, **self._signed(method, url, options))

    def _signed(self, method: str, url: str, options: dict[str, Any]) -> dict[str, Any]:
        proof = {"Authorization": f"DPoP {self._token}", "DPoP": self._proof(method, url, self._token)}
        return options | {"headers": {**options.get("headers", {}), **proof}}

    def triples(self, url: str) -> list[ox.Triple]:
        """One document's triples."""
        answer = self.get(url)
        return list(ox.parse(answer.content, ox.RdfFormat.N_TRIPLES))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def count_activities(base_url: str, handle: str, credentials: dict[str, Any]) -> int:
    """How many activities a citizen's own script finds in the pod, document by document, container by container."""
    script = SolidScript(credentials)
    found: set[str] = set()
    waiting, seen = [f"{base_url}/{handle}/activities/"], set()
    while waiting:
        url = waiting.pop()
        if url in seen:
            continue
        seen.add(url)
        for triple in script.triples(url):
            if triple.predicate == LDP_CONTAINS and isinstance(triple.object, ox.NamedNode):
                waiting.append(triple.object.value)
            elif triple.predicate == RDF_TYPE and triple.object == ACTIVITY:
                found.add(f"{url} {triple.subject}")
    script.close()
    return len(found)

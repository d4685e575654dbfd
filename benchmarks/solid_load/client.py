"""One Solid client for both servers: a script's credentials, proofs made beforehand, and wrk for the load."""

from __future__ import annotations

import base64
import hashlib
import http.client
import itertools
import json
import os
import secrets
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

LUA = Path(__file__).parent / "load.lua"
TURTLE = {"Content-Type": "text/turtle"}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def as_part(value: object) -> str:
    return base64url(json.dumps(value, separators=(",", ":")).encode())


class Script:
    """A citizen's script: client credentials and DPoP (Solid-OIDC; RFC 9449). Its proofs carry `ath`."""

    def __init__(self, token_endpoint: str, client_id: str, secret: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        x, y = (base64url(part.to_bytes(32, "big")) for part in (numbers.x, numbers.y))
        jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        self._header = as_part({"alg": "ES256", "typ": "dpop+jwt", "jwk": jwk})
        self._endpoint, self._credentials = token_endpoint, (client_id, secret)
        self._token, self._ath, self._until = "", "", 0.0

    def token(self) -> str:
        """An access token that is good for another minute at least."""
        if time.time() > self._until - 60:
            self._ath = ""
            words = ":".join(urllib.parse.quote(word, safe="") for word in self._credentials)
            request = urllib.request.Request(
                self._endpoint,
                data=b"grant_type=client_credentials&scope=webid",
                headers={
                    "Authorization": "Basic " + base64.b64encode(words.encode()).decode(),
                    "Content-Type": "application/x-www-form-urlencoded",
                    "DPoP": self.proof("POST", self._endpoint),
                },
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                got = json.load(answer)
            self._token, self._until = got["access_token"], time.time() + got.get("expires_in", 300)
            self._ath = base64url(hashlib.sha256(self._token.encode()).digest())
        return self._token

    def proof(self, method: str, address: str) -> str:
        """A proof for one request."""
        claims = {"jti": secrets.token_urlsafe(16), "htm": method, "htu": address, "iat": int(time.time())}
        if self._ath:
            claims["ath"] = self._ath
        text = f"{self._header}.{as_part(claims)}"
        r, s = utils.decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw."""

    a_second: float
    p50_ms: float
    p99_ms: float
    answers: int
    errors: int


@dataclass
class Client:
    """Whoever asks one server; `script` None asks as a stranger."""

    base: str
    script: Script | None = None
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)
    _idle_until: float = 0.0

    def request(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None):
        """One request on a kept connection: status, headers, body and milliseconds; the proof is made before."""
        sent = {**(headers or {}), **self._authorised(method, path)}
        if self._connection is not None and time.monotonic() > self._idle_until:
            self._connection.close()  # the server may have closed it by now
            self._connection = None
        if self._connection is None:
            parts = urllib.parse.urlsplit(self.base)
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
        began = time.perf_counter()
        try:
            self._connection.request(method, path, body=body, headers=sent)
            answer = self._connection.getresponse()
            content = answer.read()
        except (http.client.HTTPException, OSError):
            self._connection.close()
            self._connection = None
            raise
        milliseconds = (time.perf_counter() - began) * 1000
        self._idle_until = time.monotonic() + 1
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, content, milliseconds

    def expect(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None):
        """As `request`, but anything but success ends the benchmark."""
        status, found, content, milliseconds = self.request(method, path, body, headers)
        if not 200 <= status < 300:
            raise SystemExit(f"{method} {self.base}{path} answered {status}: {content[:300]!r}")
        return found, content, milliseconds

    def load(
        self,
        method: str,
        path: str,
        *,
        seconds: int,
        clients: int,
        proofs: int,
        headers: dict[str, str],
        body: str | None = None,
        numbers: int = 0,
        first: int = 0,
    ) -> Load:
        """Run wrk: a closed loop of `clients` connections.

        Args:
            method: The method.
            path: The path; "%d" is replaced by a number.
            seconds: How long.
            clients: Connections.
            proofs: How many proofs to make beforehand: more than the server can answer in that time.
            headers: Sent with each request.
            body: With "%d" replaced by the count of the request.
            numbers: The path's numbers go round below this; 0 lets them grow.
            first: The first number.
        """
        environment = dict(os.environ, LOAD_METHOD=method, LOAD_PATH=path)
        sent = dict(headers)
        if body is not None:
            environment["LOAD_BODY"] = body
        if numbers:
            environment["LOAD_NUMBERS"] = str(numbers)
        with tempfile.NamedTemporaryFile("w", suffix=".proofs") as file:
            if self.script is not None:
                sent["Authorization"] = "DPoP " + self.script.token()
                for count in range(proofs):
                    number = count % numbers if numbers else first + count
                    address = self.base + path.replace("%d", str(number))
                    file.write(f"{number}\t{self.script.proof(method, address)}\n")
                file.flush()
                environment["LOAD_PROOFS"] = file.name
            environment["LOAD_HEADERS"] = "\n".join(f"{name}: {value}" for name, value in sent.items())
            command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", str(LUA)]
            run = subprocess.run(
                [*command, self.base], env=environment, capture_output=True, text=True, timeout=300, check=False
            )
        marked = [line for line in run.stdout.splitlines() if line.startswith("RESULT")]
        if not marked:
            raise SystemExit(f"wrk said nothing: {run.stdout}{run.stderr}")
        seen = json.loads(marked[0].removeprefix("RESULT"))
        return Load(
            a_second=(seen["requests"] - seen["refused"]) / (seen["microseconds"] / 1e6),
            p50_ms=seen["p50"] / 1000,
            p99_ms=seen["p99"] / 1000,
            answers=seen["requests"],
            errors=seen["refused"] + seen["failed"],
        )

    def _authorised(self, method: str, path: str) -> dict[str, str]:
        if self.script is None:
            return {}
        token = self.script.token()
        return {"Authorization": f"DPoP {token}", "DPoP": self.script.proof(method, self.base + path)}


_counter = itertools.count()


def turtle(triples: int) -> str:
    """A small document of a citizen's twin."""
    lines = [
        f'<#s{number // 5}> ex:p{number % 5} "value {number} of a small twin record" .' for number in range(triples)
    ]
    return "@prefix ex: <http://example.org/ns#> .\n" + "\n".join(lines) + "\n"


def n3_patch(name: str) -> str:
    """An N3 Patch that adds three triples; "%d" in the name is replaced by the load."""
    return (
        "@prefix solid: <http://www.w3.org/ns/solid/terms#> . @prefix ex: <http://example.org/ns#> . "
        f'_:change a solid:InsertDeletePatch ; solid:inserts {{ <#o{name}> a ex:Observation ; ex:value "{name}" ; '
        f'ex:seq "{name}" . }} .'
    )

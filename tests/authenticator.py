"""A passkey made by hand, and a browser's part of WebAuthn, so that tests can get each part of it wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, HAS_KEY = 0x01, 0x04, 0x40


def write(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def read(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One discoverable credential on one device; it prints what a page's script would send."""

    origin: str = "http://localhost:8080"
    rp_id: str = "localhost"
    counter: int = 0
    counts: bool = True
    flags: int = PRESENT | VERIFIED
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user: str = ""
    prf_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def _data(self, *, with_key: bool) -> bytes:
        self.counter += 1
        flags = self.flags | (HAS_KEY if with_key else 0)
        counter = self.counter if self.counts else 0
        data = hashlib.sha256(self.rp_id.encode()).digest() + bytes((flags,)) + counter.to_bytes(4, "big")
        if with_key:
            numbers = self.key.public_key().public_numbers()
            cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
            data += bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor2.dumps(cose)
        return data

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}).encode()

    def _answer(self, response: dict[str, bytes]) -> dict[str, Any]:
        name = write(self.credential_id)
        return {
            "id": name,
            "rawId": name,
            "type": "public-key",
            "response": {key: write(value) for key, value in response.items()},
        }

    def create(self, options: dict[str, Any], **changes: str) -> dict[str, Any]:
        """navigator.credentials.create"""
        self.user = options["user"]["id"]
        client_data = self._client_data(
            changes.get("type", "webauthn.create"), changes.get("challenge", options["challenge"])
        )
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": self._data(with_key=True)})
        return self._answer({"clientDataJSON": client_data, "attestationObject": attestation})

    def get(self, options: dict[str, Any], *, secret: bool | None = None, **changes: str) -> dict[str, Any]:
        """navigator.credentials.get"""
        client_data = self._client_data(
            changes.get("type", "webauthn.get"), changes.get("challenge", options["challenge"])
        )
        data = self._data(with_key=False)
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        answer = self._answer({"clientDataJSON": client_data, "authenticatorData": data, "signature": signature})
        answer["response"]["userHandle"] = changes.get("user", self.user)
        first = options.get("extensions", {}).get("prf", {}).get("eval", {}).get("first")
        if first is not None if secret is None else secret:
            answer["prf"] = write(hmac.digest(self.prf_key, read(first or ""), "sha256"))
        return answer

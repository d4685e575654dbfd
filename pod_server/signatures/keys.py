"""Signing keys and public keys, and their JWK forms (RFC 7517, 7518, 8037).

ES256 (ECDSA on P-256 with SHA-256) and Ed25519 are the house's own. RS256 is there for others' sake: OpenID Connect makes
every client understand it, and some understand nothing else.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from pod_server.signatures import base64url
from pod_server.signatures.errors import SignatureInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pod_server.vault.host_key import HostKey

Jwk = dict[str, Any]

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_COORDINATE_BYTES = 32
_ECDSA = ec.ECDSA(SHA256())
_RSA_BITS = (2048, 8192)
_NEW_RSA_BITS = 3072
_THUMBPRINT_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}

_PublicParts = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
_PrivateParts = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The JWK's SHA-256 thumbprint in base64url (RFC 7638).

    Raises:
        SignatureInvalid: not an EC, OKP or RSA public key.
    """
    try:
        required = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    except (KeyError, TypeError):
        raise SignatureInvalid("The key is neither an EC, an OKP nor an RSA key.") from None
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True).encode()
    return base64url.write(hashlib.sha256(canonical).digest())


class PublicKey:
    """A key that verifies one algorithm, read from a JWK.

    Attributes:
        algorithm: `ES256`, `EdDSA` or `RS256`.
        jwk: The public members, with `kid` and `alg`.
        kid: The key's own `kid`, else its thumbprint.
    """

    __slots__ = ("_key", "algorithm", "jwk", "kid")

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        """Read a public JWK; private members are ignored and dropped.

        Raises:
            SignatureInvalid: no EC P-256, OKP Ed25519 or RSA key of 2048 to 8192 bits, or one whose `alg` or `use` says
                otherwise.
        """
        kind = (jwk.get("kty"), jwk.get("crv"))
        self._key: _PublicParts
        members: tuple[str, ...]
        try:
            if kind == ("EC", "P-256"):
                self.algorithm = "ES256"
                x, y = (int.from_bytes(base64url.read(jwk[name]), "big") for name in ("x", "y"))
                self._key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
                members = ("kty", "crv", "x", "y")
            elif kind == ("OKP", "Ed25519"):
                self.algorithm = "EdDSA"
                self._key = ed25519.Ed25519PublicKey.from_public_bytes(base64url.read(jwk["x"]))
                members = ("kty", "crv", "x")
            elif jwk.get("kty") == "RSA":
                self.algorithm = "RS256"
                n, e = (int.from_bytes(base64url.read(jwk[name]), "big") for name in ("n", "e"))
                if not _RSA_BITS[0] <= n.bit_length() <= _RSA_BITS[1]:
                    raise SignatureInvalid("An RSA key has 2048 to 8192 bits.")
                self._key = rsa.RSAPublicNumbers(e, n).public_key()
                members = ("kty", "n", "e")
            else:
                raise SignatureInvalid("The key is neither an EC P-256, an OKP Ed25519 nor an RSA key.")
        except (KeyError, ValueError, TypeError, AttributeError):
            raise SignatureInvalid("The key's numbers are not a public key.") from None
        if jwk.get("alg", self.algorithm) != self.algorithm or jwk.get("use", "sig") != "sig":
            raise SignatureInvalid("The key is meant for something else.")
        public: Jwk = {name: jwk[name] for name in members}
        self.kid = str(jwk["kid"]) if jwk.get("kid") else thumbprint(public)
        self.jwk = public | {"kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature in JOSE's form (64 bytes; as long as the key for RS256).

        Raises:
            SignatureInvalid: it is not this key's signature of the message.
        """
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, message)
                return
            if isinstance(self._key, rsa.RSAPublicKey):
                self._key.verify(signature, message, PKCS1v15(), SHA256())
                return
            if len(signature) != 2 * _COORDINATE_BYTES:
                raise SignatureInvalid("The signature does not verify.")
            r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
            self._key.verify(encode_dss_signature(r, s), message, _ECDSA)
        except (InvalidSignature, ValueError):
            raise SignatureInvalid("The signature does not verify.") from None


class SigningKey:
    """A private signing key. It prints without its secret.

    Attributes:
        algorithm: `ES256`, `EdDSA` or `RS256`.
        kid: The thumbprint of the public key (RFC 7638).
        public_jwk: For JWKS documents and `cnf`.
        public_key: Verifies what this key signs.
    """

    __slots__ = ("_key", "_private_member", "algorithm", "kid", "public_jwk", "public_key")

    def __init__(self, key: _PrivateParts) -> None:
        self._key = key
        jwk: Jwk
        if isinstance(key, ed25519.Ed25519PrivateKey):
            jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url.write(key.public_key().public_bytes_raw())}
            self._private_member = base64url.write(key.private_bytes_raw())
        elif isinstance(key, rsa.RSAPrivateKey):
            public = key.public_key().public_numbers()
            n, e = (number.to_bytes((number.bit_length() + 7) // 8, "big") for number in (public.n, public.e))
            jwk = {"kty": "RSA", "n": base64url.write(n), "e": base64url.write(e)}
            self._private_member = ""
        else:
            numbers = key.private_numbers()
            x, y = (
                base64url.write(number.to_bytes(_COORDINATE_BYTES, "big"))
                for number in (numbers.public_numbers.x, numbers.public_numbers.y)
            )
            jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
            self._private_member = base64url.write(numbers.private_value.to_bytes(_COORDINATE_BYTES, "big"))
        self.public_key = PublicKey(jwk)
        self.algorithm, self.kid, self.public_jwk = self.public_key.algorithm, self.public_key.kid, self.public_key.jwk

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, {self.kid}, ***)"

    @staticmethod
    def es256(seed: bytes) -> SigningKey:
        """An ECDSA P-256 key from 48 or more uniform bytes (FIPS 186-5, A.2.1: extra bits, then modulo order - 1)."""
        if len(seed) < 48:
            raise ValueError("an ES256 key needs a seed of at least 48 bytes")
        return SigningKey(ec.derive_private_key(int.from_bytes(seed, "big") % (_P256_ORDER - 1) + 1, ec.SECP256R1()))

    @staticmethod
    def ed25519(seed: bytes) -> SigningKey:
        """An Ed25519 key from 32 uniform bytes (RFC 8032, section 5.1.5)."""
        return SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    @staticmethod
    def generate(algorithm: str) -> SigningKey:
        """A new key by the system's own randomness.

        Args:
            algorithm: `ES256`, or `RS256` (3072 bits).
        """
        if algorithm == "RS256":
            return SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=_NEW_RSA_BITS))
        if algorithm != "ES256":
            raise ValueError(algorithm)
        return SigningKey(ec.generate_private_key(ec.SECP256R1()))

    @staticmethod
    def read(private: bytes) -> SigningKey:
        """A key again from what `private_bytes` gave.

        Raises:
            SignatureInvalid: it is no such key.
        """
        try:
            key = load_der_private_key(private, password=None)
        except (ValueError, TypeError):
            raise SignatureInvalid("The bytes are not a private key.") from None
        if not isinstance(key, _PrivateParts):
            raise SignatureInvalid("The key is neither an EC, an Ed25519 nor an RSA key.")
        return SigningKey(key)

    def private_bytes(self) -> bytes:
        """The whole key (PKCS #8, DER). Keep it sealed."""
        return self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def private_jwk(self) -> Jwk:
        """The JWK with its private member, for libraries that sign by themselves (joserfc). Never send or store it.

        Raises:
            ValueError: an RSA key, whose private members nothing here asks for.
        """
        if not self._private_member:
            raise ValueError(self.algorithm)
        return self.public_jwk | {"d": self._private_member}

    def sign(self, message: bytes) -> bytes:
        """A signature in JOSE's form (RFC 7518, sections 3.3 and 3.4; RFC 8037, section 3.1)."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(message, PKCS1v15(), SHA256())
        r, s = decode_dss_signature(self._key.sign(message, _ECDSA))
        return r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")


@lru_cache(maxsize=8)
def issuer_key(host_key: HostKey) -> SigningKey:
    """The first ES256 key of a host, for tokens, receipts, messages and claims; pod_server/signing_keys.py has those after it."""
    return SigningKey.es256(host_key.derive("issuer signing es256", 48))


@lru_cache(maxsize=8)
def log_checkpoint_key(host_key: HostKey) -> SigningKey:
    """The host's Ed25519 key for the checkpoints of its logs."""
    return SigningKey.ed25519(host_key.derive("log checkpoint ed25519"))


@lru_cache(maxsize=8)
def consent_receipt_key(host_key: HostKey) -> SigningKey:
    """The host's Ed25519 key for consent receipts (Data Integrity proofs)."""
    return SigningKey.ed25519(host_key.derive("consent receipt ed25519"))


@lru_cache(maxsize=8)
def webhook_proof_key(host_key: HostKey) -> SigningKey:
    """The host's ES256 key for the DPoP proofs of its webhooks; it signs nothing else, so no proof passes for a token."""
    return SigningKey.es256(host_key.derive("webhook proof es256", 48))

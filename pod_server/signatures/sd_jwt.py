"""Minimal signed claims: SD-JWT (RFC 9901) in the profile for verifiable credentials (SD-JWT VC).

The issuer signs digests of salted claims; whoever holds the credential shows the claims they choose, and no others can
be read out of it. With a holder's key in it (`cnf`), a presentation is also bound to one verifier and one question by
a key binding JWT. Claims here are flat: members of the top object, each disclosable by itself or always open.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from pod_server.signatures import base64url
from pod_server.signatures.errors import ClaimInvalid, SignatureInvalid
from pod_server.signatures.jws import sign_jws, verify_jws
from pod_server.signatures.keys import Jwk, PublicKey, SigningKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime, timedelta

    from pod_server.vault.randomness import RandomBytes

CREDENTIAL_TYPE = "dc+sd-jwt"
KEY_BINDING_TYPE = "kb+jwt"
_SALT_BYTES = 16
_NEVER_HIDDEN = frozenset({"iss", "nbf", "exp", "cnf", "vct", "status", "_sd", "_sd_alg", "..."})
"""Claims that SD-JWT VC forbids to hide, and names that RFC 9901 keeps for itself."""


class VerifiedClaim(NamedTuple):
    """What a presentation proves.

    Attributes:
        claims: Every claim shown, the open ones included.
        holder: The holder's public JWK if the credential names one; proven if a nonce was asked for.
    """

    claims: dict[str, Any]
    holder: Jwk | None


def disclosure(salt: str, name: str, value: Any) -> str:
    """One disclosable claim as text (RFC 9901, section 4.2.1)."""
    return base64url.write(json.dumps([salt, name, value], ensure_ascii=False).encode())


def disclosure_digest(text: str) -> str:
    """What the issuer signs of it (RFC 9901, section 4.2.3)."""
    return base64url.write(hashlib.sha256(text.encode("ascii")).digest())


def issue(
    key: SigningKey,
    *,
    credential_type: str,
    issuer: str,
    issued_at: datetime,
    expires_at: datetime,
    disclosable: Mapping[str, Any],
    random: RandomBytes,
    always_open: Mapping[str, Any] | None = None,
    holder: Mapping[str, Any] | None = None,
) -> str:
    """Issue a credential with all its disclosures; `present` takes away what is not to be shown.

    Args:
        key: The issuer's.
        credential_type: The `vct`, an IRI whose page says what the claims mean.
        issuer: The `iss`, an https origin whose JWKS has the key.
        issued_at: `iat`.
        expires_at: `exp`.
        disclosable: Claims the holder may show or keep.
        random: Draws 16 bytes of salt a claim.
        always_open: Claims every verifier sees (`aud`, `jti`, `sub`, …).
        holder: A public JWK for `cnf`; without it whoever has the credential can show it.

    Raises:
        ValueError: a disclosable claim is one that may never be hidden, or is open as well.
    """
    always_open = always_open or {}
    forbidden = (disclosable.keys() & (_NEVER_HIDDEN | always_open.keys())) or (always_open.keys() & _NEVER_HIDDEN)
    if forbidden:
        raise ValueError(f"these claims have one place of their own: {', '.join(sorted(forbidden))}")
    disclosures = [
        disclosure(base64url.write(random(_SALT_BYTES)), name, value) for name, value in sorted(disclosable.items())
    ]
    payload: dict[str, Any] = {
        **always_open,
        "iss": issuer,
        "vct": credential_type,
        "iat": int(issued_at.timestamp()),
        "exp": int(expires_at.timestamp()),
    }
    if disclosures:
        # Sorted digests: their order tells nothing of the claims' order (RFC 9901, section 4.2.4.1).
        payload |= {"_sd": sorted(map(disclosure_digest, disclosures)), "_sd_alg": "sha-256"}
    if holder is not None:
        payload["cnf"] = {"jwk": PublicKey(holder).jwk}
    return "~".join((sign_jws(key, payload, typ=CREDENTIAL_TYPE), *disclosures, ""))


def present(
    credential: str,
    show: Collection[str],
    *,
    holder_key: SigningKey | None = None,
    audience: str = "",
    nonce: str = "",
    at: datetime | None = None,
) -> str:
    """The credential with only the named claims, bound to one verifier's question if a holder's key is given.

    Raises:
        SignatureInvalid: the text is no credential.
        ValueError: a named claim is not in it, or a holder's key comes without audience, nonce and time.
    """
    jws, disclosures, _ = _split(credential)
    named = {_read_disclosure(text)[0]: text for text in disclosures}
    missing = set(show) - named.keys()
    if missing:
        raise ValueError(f"the credential has no claim {', '.join(sorted(missing))}")
    shown = "~".join((jws, *(text for name, text in named.items() if name in show), ""))
    if holder_key is None:
        return shown
    if not audience or not nonce or at is None:
        raise ValueError("a holder's proof names its audience, nonce and time")
    proof = {"iat": int(at.timestamp()), "aud": audience, "nonce": nonce, "sd_hash": _sd_hash(shown)}
    return shown + sign_jws(holder_key, proof, typ=KEY_BINDING_TYPE)


def verify(
    presentation: str,
    issuer_keys: Iterable[PublicKey],
    *,
    credential_type: str,
    issuer: str,
    at: datetime,
    leeway: timedelta,
    audience: str | None = None,
    nonce: str | None = None,
) -> VerifiedClaim:
    """Check a presentation (RFC 9901, sections 7.1 and 7.3).

    Args:
        presentation: What `present` or `issue` made.
        issuer_keys: The issuer's known keys.
        credential_type: The `vct` it must have.
        issuer: The `iss` it must have.
        at: Now.
        leeway: By how much clocks may differ; also how old a holder's proof may be.
        audience: Where the credential has an `aud`, or a holder's proof is asked for: who we are.
        nonce: Our question; asks for a holder's proof.

    Raises:
        SignatureInvalid: wrong form or signature.
        ClaimInvalid: it verifies, and is expired, not of this type or issuer, for another audience, or lacks the
            holder's proof.
    """
    jws, disclosures, proof = _split(presentation)
    payload = verify_jws(jws, issuer_keys, typ=CREDENTIAL_TYPE).payload
    holder = payload.get("cnf", {}).get("jwk") if isinstance(payload.get("cnf", {}), dict) else None
    claims = _shown_claims(payload, disclosures)
    if payload.get("vct") != credential_type or payload.get("iss") != issuer:
        raise ClaimInvalid("The claim is of another type, or by another issuer, than the one asked for.")
    now, slack = at.timestamp(), leeway.total_seconds()
    for name, early in (("exp", False), ("nbf", True), ("iat", True)):
        moment = payload.get(name)
        if moment is None and name != "exp":
            continue
        if not isinstance(moment, int) or (moment - slack > now if early else moment + slack <= now):
            raise ClaimInvalid("The claim has expired, or does not hold yet.")
    if "aud" in payload and payload["aud"] != audience:
        raise ClaimInvalid("The claim is meant for somebody else.")
    if nonce is not None:
        if not proof or not isinstance(holder, dict):
            raise ClaimInvalid("The claim comes without its holder's proof.")
        shown = presentation[: len(presentation) - len(proof)]
        stated = verify_jws(proof, [PublicKey(holder)], typ=KEY_BINDING_TYPE).payload
        expected = {"aud": audience, "nonce": nonce, "sd_hash": _sd_hash(shown)}
        if any(stated.get(name) != value for name, value in expected.items()):
            raise ClaimInvalid("The holder's proof answers another question.")
        if not isinstance(stated.get("iat"), int) or abs(stated["iat"] - now) > slack:
            raise ClaimInvalid("The holder's proof is too old, or from the future.")
    return VerifiedClaim(claims, holder if isinstance(holder, dict) else None)


def _split(text: str) -> tuple[str, list[str], str]:
    jws, *disclosures = text.split("~")
    if not disclosures:
        raise SignatureInvalid("The text is no SD-JWT.")
    return jws, disclosures[:-1], disclosures[-1]


def _sd_hash(shown: str) -> str:
    return base64url.write(hashlib.sha256(shown.encode("ascii")).digest())


def _read_disclosure(text: str) -> tuple[str, Any]:
    try:
        salt, name, value = json.loads(base64url.read(text))
    except (ValueError, TypeError, RecursionError):
        raise SignatureInvalid("A disclosure does not have its form.") from None
    if not isinstance(salt, str) or not isinstance(name, str) or name in _NEVER_HIDDEN:
        raise SignatureInvalid("A disclosure does not have its form.")
    return name, value


def _shown_claims(payload: dict[str, Any], disclosures: list[str]) -> dict[str, Any]:
    digests = payload.get("_sd", [])
    if payload.get("_sd_alg", "sha-256") != "sha-256" or not isinstance(digests, list):
        raise SignatureInvalid("The claim's digests are not of a kind known here.")
    claims = {name: value for name, value in payload.items() if name not in {"_sd", "_sd_alg", "cnf"}}
    if len(set(disclosures)) != len(disclosures):
        raise SignatureInvalid("A disclosure is there twice.")
    for text in disclosures:
        name, value = _read_disclosure(text)
        if disclosure_digest(text) not in digests or name in claims:
            raise SignatureInvalid("A disclosure is not one that the issuer signed.")
        claims[name] = value
    return claims

"""For partners: seal a delivery yourselves, so that not even the host that keeps the citizen's pod reads it.

    inbox = read_inbox(statement, pinned=None)                  # the first time: keep inbox.citizen_key
    body = seal_delivery(inbox, activities, sequence=1, idempotency_key="2026-11-23/1", sign_with=our_private_jwk)
    # POST body as application/json to {host}/bridge/sealed-deliveries, with your token as for any delivery

`statement` comes from GET {host}/bridge/grants/{grant}/inbox. It is signed by the citizen's own key for this one consent:
keep that key's thumbprint from the first statement, when the citizen gave the consent, and name it as `pinned` from then
on; a statement by another key is refused, so nobody can put in an inbox of theirs.

The delivery is HPKE (RFC 9180; X25519, HKDF-SHA256, AES-256-GCM) of your activities, one JSON object a line, bound to
grant, epoch and your own sequence number. Your signature is over the ciphertext's hash and all of those. The host sees
who delivers, under which consent, how much and when; the records are checked when the citizen opens the pod, and a
receipt then tells what became of each. docs/partners.md tells the whole; this file is all the code it takes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from partner_bridge.errors import InboxNotTrusted
from pod_server.inboxes import STATEMENT_TYPE, context
from pod_server.signatures import PublicKey, SignatureInvalid, base64url, thumbprint, verify_jws
from pod_server.vault.inbox import PUBLIC_KEY_BYTES, seal_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DELIVERY_TYPE = "tvilling-sealed-delivery+jwt"
RECORDS_AT_MOST = 2000
_ALGORITHMS = ["ES256", "Ed25519", "PS256"]


@dataclass(frozen=True)
class CitizensInbox:
    """One consent's inbox, as the citizen's own key vouches for it.

    Attributes:
        grant: The consent.
        epoch: Which of its keys: a pod that gets new keys gets a new inbox too.
        public_key: 32 bytes (X25519).
        citizen_key: The thumbprint (RFC 7638) of the key that signed; keep it from the first time.
    """

    grant: str
    epoch: int
    public_key: bytes
    citizen_key: str


def read_inbox(statement: str, *, pinned: str | None) -> CitizensInbox:
    """Check a statement about an inbox.

    Args:
        statement: The compact JWS that the host answered.
        pinned: The thumbprint kept from the consent's first statement; None the first time alone.

    Raises:
        InboxNotTrusted: it is no such statement, its signature does not hold, or another key signed it.
    """
    try:
        header = json.loads(base64url.read(statement.split(".", maxsplit=1)[0]))
        key = PublicKey(header["jwk"])
        verified = verify_jws(statement, [key], typ=STATEMENT_TYPE)
        signer = thumbprint(key.jwk)
        inbox = CitizensInbox(
            grant=str(verified.payload["grant"]),
            epoch=int(verified.payload["epoch"]),
            public_key=base64url.read(verified.payload["inbox"]),
            citizen_key=signer,
        )
    except (SignatureInvalid, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InboxNotTrusted("The statement about the inbox was not signed by the key that it names.") from error
    if pinned is not None and pinned != signer:
        raise InboxNotTrusted(
            "Another key than the citizen's signed the statement about the inbox: do not deliver to it."
        )
    if len(inbox.public_key) != PUBLIC_KEY_BYTES:
        raise InboxNotTrusted("The statement names no inbox key.")
    return inbox


def seal_delivery(
    inbox: CitizensInbox,
    activities: Sequence[Mapping[str, Any]],
    *,
    sequence: int,
    idempotency_key: str,
    sign_with: Mapping[str, Any],
) -> dict[str, Any]:
    """The JSON body of one sealed delivery.

    Args:
        inbox: From `read_inbox`.
        activities: At most 2000, compact JSON-LD of known kinds, as in any delivery.
        sequence: Your own count under this consent, greater each time; gaps do not matter.
        idempotency_key: Says nothing of the content; the same key with the same body is the same delivery.
        sign_with: Your private key as a JWK, with the `kid` under which its public half is registered.

    Raises:
        ValueError: no activities, or more than 2000; a sequence below 1.
    """
    if not 1 <= len(activities) <= RECORDS_AT_MOST or sequence < 1:
        raise ValueError("a sealed delivery holds 1 to 2000 activities, and sequences count from 1")
    lines = b"\n".join(json.dumps(each, separators=(",", ":"), ensure_ascii=False).encode() for each in activities)
    sealed = seal_to(inbox.public_key, lines, context("partner", inbox.grant, inbox.epoch, sequence))
    return {
        "sealed": base64url.write(sealed),
        "signature": sign_delivery(
            {
                "grant": inbox.grant,
                "epoch": inbox.epoch,
                "sequence": sequence,
                "idempotency_key": idempotency_key,
                "records": len(activities),
                "sha256": base64url.write(hashlib.sha256(sealed).digest()),
            },
            sign_with,
        ),
    }


def sign_delivery(payload: Mapping[str, Any], sign_with: Mapping[str, Any]) -> str:
    """The partner's signature (compact JWS) over what a delivery says of itself."""
    key = import_key(dict(sign_with))
    header = {"typ": DELIVERY_TYPE, "alg": str(sign_with["alg"]), "kid": str(sign_with["kid"])}
    try:
        return jws.serialize_compact(header, json.dumps(dict(payload)).encode(), key, algorithms=_ALGORITHMS)
    except JoseError as error:
        raise ValueError("the private key cannot sign: it needs `alg` ES256, Ed25519 or PS256, and `kid`") from error

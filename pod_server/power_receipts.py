"""Receipts of powers of attorney that citizens give each other: signed at each event, for both, checked offline.

A compact JWS by the host's present key, like the receipt of a removal. Whoever is shown one sees who may answer for whom, in
what, until when, and whether it was ended; it opens nothing by itself, since the row decides (delegation.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pod_server import signing_keys
from pod_server.signatures import PublicKey, SignatureInvalid, base64url, sign_jws, verify_jws

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from consent.delegation import Representation
    from pod_server.host import Host
    from pod_server.identifiers import Handle

RECEIPT_TYPE = "power-of-attorney-receipt+jwt"


def sign(
    host: Host, terms: Representation, event: str, at: datetime, *, principal: Handle | None, attorney: Handle | None
) -> str:
    """The receipt of one event.

    Args:
        host: The issuer.
        terms: The authority as it is after the event.
        event: `accepted` or `ended`.
        at: When, city's time.
        principal: Who gave it; None for somebody who lives here no more.
        attorney: Who may act; likewise.
    """
    return sign_jws(
        signing_keys.current(host),
        {
            "iss": host.base_url,
            "jti": f"{terms.id}-{event}",
            "iat": int(host.clock.protocol_now().timestamp()),
            "event": event,
            "at": at.isoformat(),
            "authority": terms.id,
            "principal": _webid(host, principal),
            "attorney": _webid(host, attorney),
            "acts": sorted(terms.acts),
            "purposes": sorted(terms.purposes) if terms.purposes is not None else None,
            "begins": terms.begins.isoformat(),
            "ends": terms.ends.isoformat() if terms.ends else None,
        },
        typ=RECEIPT_TYPE,
    )


def is_power_receipt(text: str) -> bool:
    """Whether a signed text says that it is such a receipt; nothing is checked."""
    try:
        header = json.loads(base64url.read(text.strip().partition(".")[0]))
    except (ValueError, RecursionError, SignatureInvalid):
        return False
    return isinstance(header, dict) and header.get("typ") == RECEIPT_TYPE


def verify(signed: str, issuer_keys: Mapping[str, Any]) -> dict[str, Any]:
    """Check a receipt offline; what it says.

    Args:
        signed: The compact JWS.
        issuer_keys: The issuer's JWK set, from a source that one trusts.

    Raises:
        SignatureInvalid: it was not signed by this issuer, or was changed.
    """
    keys = [PublicKey(jwk) for jwk in issuer_keys["keys"] if "revoked" not in jwk]
    return verify_jws(signed.strip(), keys, typ=RECEIPT_TYPE).payload


def _webid(host: Host, handle: Handle | None) -> str | None:
    return None if handle is None else f"{host.base_url}/{handle}/profile/card#me"

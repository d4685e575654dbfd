"""Nonces for proofs: a stretch of this host's time, keyed, so that nothing has to be remembered (RFC 9449, section 8).

A proof that was made ahead, by someone who had the key for a moment only, lacks the nonce of the time it is used in.
A partner asks for that when it registers (`about["dpop_nonces"] = "required"`); a nonce that anybody sends is checked.
"""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import TYPE_CHECKING

from pod_server.signatures import base64url

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.partners import Partner

LIFETIME = timedelta(minutes=5)
"""A nonce is good in the stretch it was made in and in the next: five to ten minutes, real time."""

HEADER = "DPoP-Nonce"
_LABEL = "dpop nonce"


def _of(host: Host, stretch: int) -> str:
    return base64url.write(hmac.digest(host.host_key.derive(_LABEL), str(stretch).encode(), "sha256")[:18])


def _stretch(host: Host) -> int:
    return int(host.clock.protocol_now().timestamp() // LIFETIME.total_seconds())


def current(host: Host) -> str:
    """The nonce to send along with an answer."""
    return _of(host, _stretch(host))


def holds(host: Host, nonce: object) -> bool:
    """Whether a proof's nonce is one of this time."""
    if not isinstance(nonce, str):
        return False
    now = _stretch(host)
    return any(hmac.compare_digest(nonce.encode(), _of(host, stretch).encode()) for stretch in (now, now - 1))


def needed_by(partner: Partner) -> bool:
    """Whether the partner has bound itself to send nonces."""
    return partner.about.get("dpop_nonces") == "required"

"""Challenges: random words that a browser brings back once, within minutes, from the page they were given to.

Nothing is stored when one is given, so nobody can fill the database by asking; what was brought back is remembered
across processes until it has run out (WebAuthn, section 13.4.3).
"""

from __future__ import annotations

import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pod_server.host import Host

LIFETIME = timedelta(minutes=5)
_RANDOM_BYTES = 16
_TIME_BYTES = 8
_TAG_BYTES = 16
_WHOLE = _RANDOM_BYTES + _TIME_BYTES + _TAG_BYTES


def _tag(host: Host, purpose: str, holder: str, body: bytes) -> bytes:
    message = b"\x00".join((purpose.encode(), holder.encode(), body))
    return hmac.digest(host.host_key.derive("challenges"), message, "sha256")[:_TAG_BYTES]


def give(host: Host, purpose: str, holder: str) -> bytes:
    """A challenge of 40 bytes, 16 of them random.

    Args:
        host: This host.
        purpose: What it is for; good for nothing else.
        holder: Who is to bring it back: a secret of the browser's (its form token).
    """
    given = int(host.clock.protocol_now().timestamp())
    body = secrets.token_bytes(_RANDOM_BYTES) + given.to_bytes(_TIME_BYTES, "big")
    return body + _tag(host, purpose, holder, body)


def take(host: Host, challenge: bytes, purpose: str, holder: str) -> bool:
    """Whether a challenge that was brought back is this host's, for this purpose and holder, young, and new."""
    if len(challenge) != _WHOLE:
        return False
    body, tag = challenge[:-_TAG_BYTES], challenge[-_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(host, purpose, holder, body)):
        return False
    given = datetime.fromtimestamp(int.from_bytes(body[_RANDOM_BYTES:], "big"), UTC)
    now = host.clock.protocol_now()
    if not given <= now <= given + LIFETIME or not host.replay.covers(given):
        return False
    return host.replay.first_use(f"challenge {challenge.hex()}", given + LIFETIME)

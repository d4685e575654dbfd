"""Who may query: a researcher is invited by name and purpose, for a time, and shows a token that is kept only as a hash.

Defence in depth, and a way to know who asks: the guarantee is the noise.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server.clock import microseconds, moment
from research_views.errors import InvitationMalformed, InvitationMissing

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pod_server.host import Host

TOKEN_PREFIX = "tvr_"  # noqa: S105 - so that a leaked token is recognised, as secret scanners do
_QUERY_TEXT_KEPT = 4000


@dataclass(frozen=True)
class Invitation:
    """One researcher's leave; `token` is shown here, once, and kept nowhere."""

    token: str
    name: str
    purpose: str
    expires: str


@dataclass(frozen=True)
class Researcher:
    """Whoever showed a valid token."""

    name: str
    purpose: str
    expires: datetime
    token_hash: bytes


def invite(
    host: Host,
    name: str,
    *,
    purpose: str,
    expires: datetime,
    random: Callable[[int], str] = secrets.token_urlsafe,
) -> Invitation:
    """Make a token for one researcher.

    Args:
        host: The host.
        name: Who, and of which institution.
        purpose: What for, in words.
        expires: When it ends; aware, in the city's time.
        random: Draws so many bytes as base64url text.

    Raises:
        InvitationMalformed: no name, no purpose, or it ends before it begins.
    """
    if not name.strip() or not purpose.strip():
        raise InvitationMalformed("An invitation names the researcher and the purpose.")
    now = host.clock.now()
    if expires <= now:
        raise InvitationMalformed("An invitation ends after it begins: give a later time.")
    token = TOKEN_PREFIX + random(32)
    with host.storage.write() as tx:
        tx.execute(
            "INSERT INTO research_invitation (token_hash, name, purpose, created, expires) VALUES (?, ?, ?, ?, ?)",
            (_hash(token), name.strip(), purpose.strip(), microseconds(now), microseconds(expires)),
        )
    return Invitation(token, name.strip(), purpose.strip(), expires.isoformat())


def find_researcher(host: Host, token: str | None) -> Researcher:
    """Whose token this is.

    Raises:
        InvitationMissing: none, unknown or expired; from outside they look alike.
    """
    refusal = InvitationMissing(
        "Show a researcher's token as `Authorization: Bearer …`; the operator invites researchers."
    )
    if not token or not token.startswith(TOKEN_PREFIX):
        raise refusal
    with host.storage.read() as tx:
        row = tx.one("SELECT name, purpose, expires FROM research_invitation WHERE token_hash = ?", (_hash(token),))
    if row is None or microseconds(host.clock.now()) >= row[2]:
        raise refusal
    return Researcher(row[0], row[1], moment(row[2]), _hash(token))


def note_query(host: Host, researcher: Researcher, query: str, outcome: str, milliseconds: int) -> None:
    """Write down who asked what, and how it went."""
    with host.storage.write() as tx:
        tx.execute(
            "INSERT INTO research_query (asked, token_hash, outcome, milliseconds, query) VALUES (?, ?, ?, ?, ?)",
            (
                microseconds(host.clock.now()),
                researcher.token_hash,
                outcome,
                milliseconds,
                query[:_QUERY_TEXT_KEPT],
            ),
        )


def _hash(token: str) -> bytes:
    # The token has 256 random bits, so a plain hash is enough: there is nothing to guess.
    return hashlib.sha256(token.encode()).digest()

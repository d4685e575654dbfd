"""A citizen's session on the pages: the cookie holds the key, the row holds what it opens.

The cookie's value is `<identifier>.<key>`; the database keeps the identifier's hash and the pod's root key sealed under
the cookie's key. Any worker can serve the session, and a stolen database opens nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from pod_server.authentication.errors import CsrfMismatch, SignInTooOld
from pod_server.clock import microseconds, moment
from pod_server.identifiers import PodId
from pod_server.storage.errors import StorageBusy, StorageFull
from pod_server.vault.envelope import EnvelopeKey, Place, Scope, expand
from pod_server.vault.errors import PodLocked, Tampered
from pod_server.vault.vault import unlock_with_root

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.vault.vault import Vault

LIFETIME = timedelta(hours=12)
FRESH = timedelta(minutes=15)
"""How young a session must be for what outlives it: a passkey, a link to another provider."""

_USE_NOTED_EVERY = timedelta(minutes=5)
_LONGEST_DEVICE = 80
_KEY_BYTES = 32


@dataclass(frozen=True)
class CookieSettings:
    """How the session's cookie is set, for `Response.set_cookie(**vars(...))`-like use by the pages.

    Attributes:
        key: The cookie's name; `__Host-` binds it to this host and to TLS.
        secure: False on loopback without TLS alone.
    """

    key: str
    secure: bool
    httponly: bool = True
    samesite: str = "Lax"
    path: str = "/"
    max_age: int = int(LIFETIME.total_seconds())


def cookie_settings(host: Host) -> CookieSettings:
    """The cookie's name and attributes on this host."""
    if host.allow_insecure:
        return CookieSettings("tvilling-session", secure=False)
    return CookieSettings("__Host-tvilling-session", secure=True)


@dataclass(frozen=True)
class Session:
    """A citizen who is signed in on a page.

    Attributes:
        pod_id: Whose session.
        csrf_token: What each of the session's forms must carry.
        created: When they signed in, real time.
        expires: When the session ends, real time.
        id: Names it on the page that lists sessions; opens nothing.
    """

    pod_id: PodId
    csrf_token: str
    created: datetime
    expires: datetime
    _vault: Vault = field(repr=False)
    id: str = ""

    def vault(self) -> Vault:
        """The citizen's vault, open."""
        return self._vault

    def require_fresh(self, now: datetime) -> None:
        """Hold the session's age against FRESH.

        Raises:
            SignInTooOld: it is older.
        """
        if now - self.created > FRESH:
            raise SignInTooOld

    def require_csrf(self, token: str | None) -> None:
        """Hold a form's token against the session's.

        Raises:
            CsrfMismatch: they differ, or there is none.
        """
        if token is None or not hmac.compare_digest(token.encode(), self.csrf_token.encode()):
            raise CsrfMismatch


@dataclass(frozen=True)
class SessionLine:
    """A session as its citizen sees it in a list.

    Attributes:
        id: Names it.
        means: `passphrase`, `passkey`, `upstream` or `link`.
        device: Which browser on which system, or empty.
        created: When it began, real time.
        last_used: When it was last used, to within five minutes.
        is_this: Whether it is the one that asks.
    """

    id: str
    means: str
    device: str
    created: datetime
    last_used: datetime
    is_this: bool


def hashed(token: str) -> str:
    """How one-use and bearer secrets of at least 128 random bits are kept: SHA-256 in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def _seal_key(key: bytes, pod_id: PodId) -> EnvelopeKey:
    return EnvelopeKey(key, pod_id, Scope("slot"))


def seal_root(vault: Vault, place: Place, key: bytes) -> bytes:
    """A pod's root key sealed under a key that only the bearer of a cookie or ticket has."""
    return _seal_key(key, vault.pod_id).seal(place, vault.root_key, secrets.token_bytes)


def open_root(host: Host, pod_id: PodId, place: Place, key: bytes, sealed: bytes) -> Vault | None:
    """The vault again, or None: another key, another place, or the pod has a new root since (it was locked)."""
    try:
        return unlock_with_root(host.host_key, host.key_store, pod_id, _seal_key(key, pod_id).open(place, sealed))
    except (Tampered, PodLocked):
        return None


def split_secret(text: str | None) -> tuple[str, bytes] | None:
    """`<identifier>.<64 hex digits>` in its two parts, or None."""
    if not text or len(text) > 200:
        return None
    identifier, _, key_text = text.partition(".")
    try:
        key = bytes.fromhex(key_text)
    except ValueError:
        return None
    return (identifier, key) if len(key) == _KEY_BYTES else None


def create_session(
    host: Host,
    pod_id: PodId,
    vault: Vault,
    *,
    means: str = "passphrase",
    device: str = "",
    upstream_hash: str | None = None,
    upstream_hint: str | None = None,
) -> str:
    """Begin a session for the citizen whose vault was just opened; returns the cookie's value.

    Args:
        host: This host.
        pod_id: Whose.
        vault: Open.
        means: How they signed in.
        device: Which browser on which system, in a few words; kept sealed under the pod's root key.
        upstream_hash: Names the other provider's session, where that one signed them in.
        upstream_hint: What signs them out there; sealed under the cookie's own key, which this host does not keep.
    """
    identifier, key = secrets.token_urlsafe(18), secrets.token_bytes(_KEY_BYTES)
    now = host.clock.protocol_now()
    sealed = seal_root(vault, Place("session", identifier.encode()), key)
    with host.storage.write() as tx:
        tx.send("DELETE FROM session WHERE expires_at <= ?", (microseconds(now),))
        tx.send(
            "INSERT INTO session (session_hash, pod_id, sealed_root, created_at, expires_at, means, sealed_details, "
            "last_used_at, upstream_hash, sealed_hint) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                hashed(identifier),
                pod_id,
                sealed,
                microseconds(now),
                microseconds(now + LIFETIME),
                means,
                _details_key(vault).seal(
                    _details_place(hashed(identifier)),
                    json.dumps({"device": device[:_LONGEST_DEVICE]}).encode(),
                    secrets.token_bytes,
                ),
                microseconds(now),
                upstream_hash,
                None
                if upstream_hint is None
                else _seal_key(key, pod_id).seal(_hint_place(identifier), upstream_hint.encode(), secrets.token_bytes),
            ),
        )
    return f"{identifier}.{key.hex()}"


def load_session(host: Host, cookie: str | None) -> Session | None:
    """The session that a cookie opens, or None where it opens none (any more)."""
    parts = split_secret(cookie)
    if parts is None:
        return None
    identifier, key = parts
    with host.storage.look() as tx:
        row = tx.one(
            "SELECT pod_id, sealed_root, created_at, expires_at, last_used_at FROM session WHERE session_hash = ?",
            (hashed(identifier),),
        )
    now = host.clock.protocol_now()
    if row is None or row[3] <= microseconds(now):
        return None
    pod_id = PodId(row[0])
    vault = open_root(host, pod_id, Place("session", identifier.encode()), key, bytes(row[1]))
    if vault is None:
        return None
    if row[4] is None or row[4] <= microseconds(now - _USE_NOTED_EVERY):
        # When it was last used is worth knowing and not worth a failed page.
        with contextlib.suppress(StorageBusy, StorageFull), host.storage.write() as tx:
            tx.send(
                "UPDATE session SET last_used_at = ? WHERE session_hash = ?", (microseconds(now), hashed(identifier))
            )
    csrf_token = hmac.digest(key, b"csrf", "sha256").hex()
    return Session(pod_id, csrf_token, moment(row[2]), moment(row[3]), vault, hashed(identifier))


def list_sessions(host: Host, session: Session) -> list[SessionLine]:
    """The citizen's sessions, the last used first."""
    with host.storage.read() as tx:
        rows = tx.all(
            "SELECT session_hash, means, sealed_details, created_at, last_used_at FROM session "
            "WHERE pod_id = ? AND expires_at > ?",
            (session.pod_id, microseconds(host.clock.protocol_now())),
        )
    lines = [
        SessionLine(
            id=str(name),
            means=str(means),
            device=_device(session.vault(), str(name), sealed),
            created=moment(created),
            last_used=moment(created if used is None else used),
            is_this=name == session.id,
        )
        for name, means, sealed, created, used in rows
    ]
    return sorted(lines, key=lambda line: (line.last_used, line.id), reverse=True)


def end_session_of(host: Host, session: Session, session_id: str) -> bool:
    """End one of the citizen's sessions by the name it has in their list; True if there was such a one."""
    with host.storage.write(urgent=True) as tx:
        return bool(
            tx.execute("DELETE FROM session WHERE session_hash = ? AND pod_id = ?", (session_id, session.pod_id))
        )


def end_sessions_of_provider(host: Host, upstream_hash: str) -> int:
    """End the sessions that a provider's own session began; how many there were."""
    with host.storage.write(urgent=True) as tx:
        return tx.execute("DELETE FROM session WHERE upstream_hash = ?", (upstream_hash,))


def upstream_hint(host: Host, cookie: str | None) -> str | None:
    """What signs the cookie's citizen out at the provider that signed them in; None where none did."""
    parts = split_secret(cookie)
    if parts is None:
        return None
    identifier, key = parts
    with host.storage.read() as tx:
        row = tx.one("SELECT pod_id, sealed_hint FROM session WHERE session_hash = ?", (hashed(identifier),))
    if row is None or row[1] is None:
        return None
    try:
        return _seal_key(key, PodId(row[0])).open(_hint_place(identifier), bytes(row[1])).decode()
    except Tampered:
        return None


def _hint_place(identifier: str) -> Place:
    return Place("session-hint", identifier.encode())


def _details_key(vault: Vault) -> EnvelopeKey:
    return EnvelopeKey(expand(vault.root_key, "session details"), vault.pod_id, Scope("slot"))


def _details_place(session_id: str) -> Place:
    return Place("session-details", session_id.encode())


def _device(vault: Vault, session_id: str, sealed: bytes | None) -> str:
    """Empty where the details are of an older root key: that session opens nothing any more."""
    if sealed is None:
        return ""
    try:
        details = json.loads(_details_key(vault).open(_details_place(session_id), bytes(sealed)))
    except Tampered:
        return ""
    return str(details["device"])


def end_session(host: Host, cookie: str | None) -> None:
    """Sign out; a cookie that opens nothing is left at that."""
    parts = split_secret(cookie)
    if parts is None:
        return
    with host.storage.write() as tx:
        tx.send("DELETE FROM session WHERE session_hash = ?", (hashed(parts[0]),))


def end_all_sessions(host: Host, pod_id: PodId, *, but: str = "") -> int:
    """Sign a citizen out everywhere; returns how many sessions ended.

    Args:
        host: This host.
        pod_id: Whose.
        but: A session that goes on.
    """
    with host.storage.write(urgent=True) as tx:
        tx.send("DELETE FROM live_ticket WHERE pod_id = ?", (pod_id,))
        return tx.execute("DELETE FROM session WHERE pod_id = ? AND session_hash <> ?", (pod_id, but))

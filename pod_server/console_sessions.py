"""Who is signed in to a partner's console, or to the operator's pages: neither is a citizen's session, and neither opens a pod.

One comes in by a one-use link. A partner gets it for an assertion signed with a registered key (RFC 7523), as it signs
in everywhere else: no password is shared among its people, and a retired key is a way in no more. The operator's people
get it from a command on the machine. The link is followed by a button on a page that says as whom one signs in, so that
neither a fetched-ahead link nor somebody else's link signs anybody in unseen; the cookie is new at each sign-in.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from pod_server import problems
from pod_server.authentication.errors import CsrfMismatch, SignInTooOld
from pod_server.authentication.session import FRESH, CookieSettings, hashed
from pod_server.authorization.errors import SealBroken
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.clock import microseconds, moment
from pod_server.partner_standing import By, find, note
from pod_server.partners import NoSuchPartner, PartnerError

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Literal

    from pod_server.host import Host

    Role = Literal["operator", "partner"]

LINK_LIFETIME = timedelta(minutes=5)
LIFETIME = timedelta(hours=8)
_SESSION, _LINK = "console-session", "console-link"


class ConsoleLinkInvalid(PartnerError):
    """A link to a console that was used, has run out, or was never made."""

    def __init__(self) -> None:
        super().__init__("The link was used, has run out after five minutes, or was never made. Ask for a new one.")


class NotInConsole(PartnerError):
    """A page of a console, and nobody is signed in to it."""

    def __init__(self) -> None:
        super().__init__("Sign in to the console first: ask for a link with your key.")


@dataclass(frozen=True)
class ConsoleSession:
    """Somebody in a console.

    Attributes:
        role: `partner` or `operator`.
        client_id: Which partner's console; empty for the operator's pages.
        name: Who, as the acts are signed.
        csrf_token: What each form must carry.
        created: When it began, real time.
    """

    role: Role
    client_id: str
    name: str
    csrf_token: str = field(repr=False)
    created: datetime

    @property
    def by(self) -> By:
        """Who acts."""
        return By(self.role, self.name)

    def require_csrf(self, token: str) -> None:
        """Hold a form's token against the session's.

        Raises:
            CsrfMismatch: they differ.
        """
        if not hmac.compare_digest(token.encode(), self.csrf_token.encode()):
            raise CsrfMismatch

    def require_fresh(self, now: datetime) -> None:
        """Hold the session's age against FRESH: keys and addresses outlive it.

        Raises:
            SignInTooOld: it is older.
        """
        if now - self.created > FRESH:
            raise SignInTooOld


def cookie_settings(host: Host, role: Role) -> CookieSettings:
    """The cookie's name and attributes: one a role, sent from our own pages alone."""
    name = f"tvilling-{'console' if role == 'partner' else 'operator'}"
    seconds = int(LIFETIME.total_seconds())
    if host.allow_insecure:
        return CookieSettings(name, secure=False, samesite="Strict", max_age=seconds)
    return CookieSettings(f"__Host-{name}", secure=True, samesite="Strict", max_age=seconds)


def create_link(host: Host, role: Role, *, client_id: str = "", name: str) -> str:
    """A one-use path, good for five minutes.

    Args:
        host: This host.
        role: Whose pages it opens.
        client_id: Which partner's console.
        name: Who gets it; acts are signed with it.
    """
    token = secrets.token_urlsafe(32)
    name_hash = hashed(token)
    now = host.clock.protocol_now()
    claims = {"role": role, "client_id": client_id, "name": name[:80], "expires": microseconds(now + LINK_LIFETIME)}
    with host.storage.write() as tx:
        tx.execute("DELETE FROM console_link WHERE expires_at <= ?", (microseconds(now),))
        tx.execute(
            "INSERT INTO console_link (link_hash, client_id, sealed, expires_at) VALUES (?, ?, ?, ?)",
            (
                name_hash,
                client_id,
                seal(host.host_key, _LINK, (name_hash,), json.dumps(claims).encode()),
                claims["expires"],
            ),
        )
    return f"/-/{'partners' if role == 'partner' else 'operator'}/enter/{token}"


def look_at_link(host: Host, token: str, role: Role) -> str:
    """As whom a link signs in, without using it up.

    Raises:
        ConsoleLinkInvalid: it does not.
    """
    with host.storage.read() as tx:
        row = tx.one("SELECT sealed FROM console_link WHERE link_hash = ?", (hashed(token),))
    return str(_claims_of_link(host, token, role, row[0] if row else None)["name"])


def _claims_of_link(host: Host, token: str, role: Role, sealed: str | None) -> dict[str, str]:
    try:
        claims: dict[str, str] = json.loads(unseal(host.host_key, _LINK, (hashed(token),), sealed or ""))
    except SealBroken as error:
        raise ConsoleLinkInvalid from error
    if claims["role"] != role or int(claims["expires"]) <= microseconds(host.clock.protocol_now()):
        raise ConsoleLinkInvalid
    return claims


def redeem_link(host: Host, token: str, role: Role) -> str:
    """Use a link up and begin a session; returns the cookie's value.

    Raises:
        ConsoleLinkInvalid: used, run out, never made, or for other pages.
    """
    with host.storage.write() as tx:
        row = tx.one("SELECT sealed FROM console_link WHERE link_hash = ?", (hashed(token),))
        claims = _claims_of_link(host, token, role, row[0] if row else None)
        tx.execute("DELETE FROM console_link WHERE link_hash = ?", (hashed(token),))
        note(host, tx, claims["client_id"], By(role, claims["name"]), "sign-in")
    return create_session(host, role, client_id=claims["client_id"], name=claims["name"])


def create_session(host: Host, role: Role, *, client_id: str = "", name: str) -> str:
    """Begin a session; returns the cookie's value, 256 random bits of which only the hash is kept."""
    token = secrets.token_urlsafe(32)
    name_hash = hashed(token)
    now = host.clock.protocol_now()
    claims = {
        "role": role,
        "client_id": client_id,
        "name": name,
        "created": microseconds(now),
        "expires": microseconds(now + LIFETIME),
    }
    with host.storage.write() as tx:
        tx.execute("DELETE FROM console_session WHERE expires_at <= ?", (microseconds(now),))
        tx.execute(
            "INSERT INTO console_session (session_hash, client_id, sealed, expires_at) VALUES (?, ?, ?, ?)",
            (
                name_hash,
                client_id,
                seal(host.host_key, _SESSION, (name_hash,), json.dumps(claims).encode()),
                claims["expires"],
            ),
        )
    return token


def load_session(host: Host, cookie: str | None, role: Role) -> ConsoleSession:
    """The session that a cookie opens.

    Raises:
        NotInConsole: none (any more), one of the other pages, or its partner was removed.
    """
    if not cookie or len(cookie) > 100:
        raise NotInConsole
    with host.storage.read() as tx:
        row = tx.one("SELECT sealed FROM console_session WHERE session_hash = ?", (hashed(cookie),))
    try:
        claims = json.loads(unseal(host.host_key, _SESSION, (hashed(cookie),), row[0] if row else ""))
    except SealBroken as error:
        raise NotInConsole from error
    if claims["role"] != role or int(claims["expires"]) <= microseconds(host.clock.protocol_now()):
        raise NotInConsole
    if role == "partner":
        try:
            find(host, claims["client_id"])
        except NoSuchPartner as error:
            raise NotInConsole from error
    return ConsoleSession(
        role=role,
        client_id=str(claims["client_id"]),
        name=str(claims["name"]),
        csrf_token=hmac.digest(cookie.encode(), b"console form", "sha256").hex(),
        created=moment(int(claims["created"])),
    )


def end_session(host: Host, cookie: str | None) -> None:
    """Sign out."""
    with host.storage.write() as tx:
        tx.execute("DELETE FROM console_session WHERE session_hash = ?", (hashed(cookie or ""),))


def end_others(host: Host, client_id: str, *, but: str = "") -> None:
    """End every session of a partner's console but the one of the cookie `but`, and what links lie about."""
    with host.storage.write(urgent=True) as tx:
        tx.execute("DELETE FROM console_session WHERE client_id = ? AND session_hash <> ?", (client_id, hashed(but)))
        tx.execute("DELETE FROM console_link WHERE client_id = ?", (client_id,))


problems.declare(ConsoleLinkInvalid, "console-link-invalid", "The link to the console does not hold", 403)
problems.declare(NotInConsole, "not-in-console", "Nobody is signed in to the console", 401)

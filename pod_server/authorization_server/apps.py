"""Apps: programs that citizens sign in to with their WebID. Anybody may offer one, so what it says of itself is hearsay.

Source: Solid-OIDC, section 5 (client identifiers); RFC 8252 (redirects of native apps).
"""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pod_server.authentication.session import hashed
from pod_server.authorization_server.errors import AuthorizationServerError
from pod_server.identifiers import ClientId
from pod_server.signing_keys import ES256, ID_TOKEN_ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pod_server.host import Host

REGISTERED = "app-"
"""How identifiers of registered apps begin; a client identifier document's is its own address."""

MOST_REDIRECTS = 20
_LONGEST_ADDRESS = 500
_LONGEST_NAME = 80
_PLACE = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?\Z", re.IGNORECASE)
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+\Z")
_ADDRESS = re.compile(r"[!-~]+\Z")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ANY_PORT = frozenset({"127.0.0.1", "::1"})


class AppInvalid(AuthorizationServerError):
    """What an app says of itself does not hold; the message says which member.

    Attributes:
        error: RFC 7591's code, `invalid_client_metadata` or `invalid_redirect_uri`.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


@dataclass(frozen=True)
class App:
    """An app as it describes itself.

    Attributes:
        client_id: `app-…`, or the address of its client identifier document.
        name: What it calls itself; unchecked.
        redirect_uris: Where its users may be sent back to.
        sign_out_uris: Where they may be sent after signing out.
        has_secret: Whether it proves itself at the token endpoint.
        id_token_algorithm: What its ID tokens are signed with: `ES256`, or `RS256` where it asked for that.
    """

    client_id: ClientId
    name: str
    redirect_uris: tuple[str, ...]
    sign_out_uris: tuple[str, ...]
    has_secret: bool
    id_token_algorithm: str = ES256

    def takes_redirect(self, address: str) -> bool:
        """Whether users may be sent to this address: a registered one, exactly.

        The port of a loopback address is left open, since native apps get theirs from the system (RFC 8252, 7.3).
        """
        return address in self.redirect_uris or any(
            _without_port(address) == _without_port(known) != "" for known in self.redirect_uris
        )


@dataclass(frozen=True)
class AppClient:
    """An app at the token endpoint.

    Attributes:
        client_id: Which; for an app without a secret merely what it says, so its tokens are bound to its proof key.
        has_proved: True where it showed its secret.
    """

    client_id: ClientId
    has_proved: bool


def _without_port(address: str) -> str:
    """A loopback address without its port; empty for every other address."""
    try:
        parts = urlsplit(address)
        if parts.scheme != "http" or parts.hostname not in _ANY_PORT or not is_redirect(address):
            return ""
    except ValueError:
        return ""
    return f"{parts.hostname}{parts.path}?{parts.query}"


def is_redirect(address: object) -> bool:
    """Whether an app may name this address: https, http on loopback, or a scheme of its own (`com.example.app:`)."""
    if not isinstance(address, str) or not _ADDRESS.match(address) or len(address) > _LONGEST_ADDRESS:
        return False
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return False
    if "#" in address or "\\" in address:
        return False
    if _PRIVATE_SCHEME.match(parts.scheme):
        return True
    if not _PLACE.match(parts.netloc):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def redirect_origin(address: str) -> str:
    """What a content security policy calls the place that a redirect leads to."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"http", "https"} else f"{parts.scheme}:"


def _addresses(document: Mapping[str, Any], member: str) -> tuple[str, ...]:
    value = document.get(member, [])
    if isinstance(value, str):
        value = [value]  # compact JSON-LD writes a list of one as the one
    if not isinstance(value, list) or len(value) > MOST_REDIRECTS or not all(is_redirect(each) for each in value):
        error = "invalid_redirect_uri" if member == "redirect_uris" else "invalid_client_metadata"
        raise AppInvalid(
            error, f"{member}: at most {MOST_REDIRECTS} addresses: https, http on loopback, or a scheme with a dot"
        )
    return tuple(value)


def described(client_id: str, document: Mapping[str, Any], *, has_secret: bool) -> App:
    """An app from its metadata (RFC 7591, section 2); members that are not known here are left out.

    Raises:
        AppInvalid: says which member is wrong.
    """
    redirects = _addresses(document, "redirect_uris")
    if not redirects:
        raise AppInvalid("invalid_redirect_uri", "redirect_uris is missing")
    name = document.get("client_name", "")
    if not isinstance(name, str):
        raise AppInvalid("invalid_client_metadata", "client_name is not a text")
    for member, known in (("response_types", {"code"}), ("grant_types", {"authorization_code", "refresh_token"})):
        values = document.get(member, [])
        values = [values] if isinstance(values, str) else values
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise AppInvalid("invalid_client_metadata", f"{member} is not a list of texts")
        if values and not known & set(values):
            raise AppInvalid("invalid_client_metadata", f"{member}: the code flow is the only one here")
    algorithm = document.get("id_token_signed_response_alg", ES256)
    if algorithm not in ID_TOKEN_ALGORITHMS:
        raise AppInvalid("invalid_client_metadata", "id_token_signed_response_alg is ES256 or RS256")
    shown = "".join(letter if letter.isprintable() or letter.isspace() else "" for letter in name)
    name = " ".join(shown.split())[:_LONGEST_NAME].strip()
    return App(
        client_id=ClientId(client_id),
        name=name or urlsplit(redirects[0]).hostname or client_id[:_LONGEST_NAME],
        redirect_uris=redirects,
        sign_out_uris=_addresses(document, "post_logout_redirect_uris"),
        has_secret=has_secret,
        id_token_algorithm=algorithm,
    )


def find_registered(host: Host, client_id: str) -> App | None:
    """The app that registered itself under this identifier, or None."""
    with host.storage.read() as tx:
        row = tx.one("SELECT document, secret_hash FROM app_registration WHERE client_id = ?", (client_id,))
    return None if row is None else described(client_id, json.loads(row[0]), has_secret=bool(row[1]))


def check_secret(host: Host, client_id: str, secret: str) -> AppClient | None:
    """The app with this identifier and secret, or None."""
    with host.storage.read() as tx:
        row = tx.one("SELECT secret_hash FROM app_registration WHERE client_id = ?", (client_id,))
    if row is None or not row[0] or not hmac.compare_digest(row[0], hashed(secret)):
        return None
    return AppClient(ClientId(client_id), has_proved=True)


def is_document_address(client_id: str) -> bool:
    """Whether an identifier is an address, so that the app describes itself there."""
    return client_id.startswith(("https://", "http://")) and len(client_id) <= _LONGEST_ADDRESS


def without_secret(host: Host, client_id: str) -> AppClient | None:
    """An app that has no secret to show; None where it has one, or is not known."""
    if is_document_address(client_id):
        return AppClient(ClientId(client_id), has_proved=False)
    app = find_registered(host, client_id) if client_id.startswith(REGISTERED) else None
    return None if app is None or app.has_secret else AppClient(app.client_id, has_proved=False)

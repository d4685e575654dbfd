"""Partners: organisations that may ask citizens for consent, known by their public keys (RFC 7523, private_key_jwt)."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from pod_server import problems
from pod_server.clock import microseconds
from pod_server.identifiers import ClientId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES = frozenset({"P-256", "Ed25519"})
_PLACE = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[!-~]*|\?[!-~]*)?\Z")
"""A web address in the characters of RFC 3986; what else a name could hold would speak in headers and policies."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class PartnerError(Exception):
    """The root of this module's errors."""


class PartnerInvalid(PartnerError):
    """What was said about a partner cannot stand; the message says which part, and why."""


class NoSuchPartner(PartnerError):
    """No partner has this client identifier."""


@dataclass(frozen=True)
class Partner:
    """One partner.

    Attributes:
        client_id: Its identifier at the authorization server.
        name: What people call it; stands on the consent screen.
        jwks: Its public keys.
        redirect_uris: Where its citizens' browsers may be sent back.
        webhook: Where it hears of withdrawals and claims, or None.
        about: What the consent screen and the receipts tell: `contact`, `address`, `logo`, `privacy_notice`,
            `organisation_number`, `country`.
        active: False once removed; nothing it holds opens anything then.
    """

    client_id: ClientId
    name: str
    jwks: dict[str, Any] = field(hash=False)
    redirect_uris: tuple[str, ...] = ()
    webhook: str | None = None
    about: dict[str, str] = field(default_factory=dict, hash=False)
    active: bool = True


SELF = Partner(ClientId("self"), "You", {"keys": []})
"""The citizen, as the party who brings their own files; holds grants like any partner, signs in nowhere."""

RESEARCH = Partner(ClientId("research"), "Research releases", {"keys": []})
"""The house's own research releases, as the party of a citizen's consent to research."""

HOUSE_CLIENTS = {client.client_id: client for client in (SELF, RESEARCH)}


def check_keys(jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The key set as it will be kept: public, strong enough, each key named.

    Raises:
        PartnerInvalid: no key, a private key, a weak or unknown one, or one without a `kid` among several.
    """
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= 10:
        raise PartnerInvalid('jwks: a JSON object {"keys": [...]} with one to ten public keys')
    for key in keys:
        if not isinstance(key, dict) or _PRIVATE_MEMBERS & key.keys():
            raise PartnerInvalid("jwks: public keys only; a private key must never leave its owner")
        if not all(isinstance(key.get(name), str | None) for name in ("kty", "crv", "kid", "alg", "use")):
            raise PartnerInvalid("jwks: these keys cannot be read")
        if key.get("kty") in {"EC", "OKP"} and key.get("crv") not in _CURVES:
            raise PartnerInvalid("jwks: P-256, Ed25519 or RSA keys")
        if key.get("kty") == "RSA" and len(str(key.get("n", ""))) < 342:  # 2048 bits in base64url
            raise PartnerInvalid("jwks: P-256, Ed25519, or RSA of at least 2048 bits")
        if len(keys) > 1 and not isinstance(key.get("kid"), str):
            raise PartnerInvalid("jwks: where there are several keys, each needs a kid")
    try:
        key_set = KeySet.import_key_set({"keys": keys})
        strong = all(
            isinstance(key, ECKey | OKPKey) or (isinstance(key, RSAKey) and key.public_key.key_size >= 2048)
            for key in key_set.keys
        )
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise PartnerInvalid("jwks: these keys cannot be read") from error
    if not strong:
        raise PartnerInvalid("jwks: P-256, Ed25519, or RSA of at least 2048 bits")
    return {"keys": [{name: value for name, value in key.items() if isinstance(name, str)} for key in keys]}


def check_redirect_uri(uri: str) -> str:
    """A redirect URI that may be registered: https, or http on a loopback address (RFC 8252, section 7.3).

    Raises:
        PartnerInvalid: anything else, a fragment or a user name.
    """
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise PartnerInvalid("redirect_uri: not a URI") from error
    if parts.fragment or "#" in uri or parts.username is not None or not host or len(uri) > 2000:
        raise PartnerInvalid("redirect_uri: an absolute URI without fragment or user name")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise PartnerInvalid("redirect_uri: https, or http on a loopback address")
    if not _PLACE.match(uri):
        raise PartnerInvalid("redirect_uri: a URI in ASCII, its host a name or an address and nothing more")
    return uri


def add_partner(
    host: Host,
    *,
    name: str,
    jwks: Mapping[str, Any],
    redirect_uris: Sequence[str] = (),
    webhook: str | None = None,
    about: Mapping[str, str] | None = None,
) -> Partner:
    """Register a partner: the operator's act, after reading its contract.

    Raises:
        PartnerInvalid: the name is empty or taken by an active partner, or keys, addresses are not as they must be.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80:
        raise PartnerInvalid("name: 1 to 80 characters")
    partner = Partner(
        client_id=ClientId("p-" + secrets.token_hex(8)),
        name=name,
        jwks=check_keys(jwks),
        redirect_uris=tuple(check_redirect_uri(uri) for uri in redirect_uris),
        webhook=check_redirect_uri(webhook) if webhook else None,
        about=dict(about or {}),
    )
    now = microseconds(host.clock.now())
    with host.storage.write() as tx:
        if tx.one("SELECT 1 FROM partner WHERE name = ? AND state = 'active'", (name,)) is not None:
            raise PartnerInvalid("name: another partner has it")
        tx.execute(
            "INSERT INTO partner (client_id, name, jwks, redirect_uris, webhook, about, state, added_at, changed_at) "
            "VALUES (?, ?, ?, ?, ?, ?, 'active', ?, ?)",
            (
                partner.client_id,
                partner.name,
                json.dumps(partner.jwks),
                json.dumps(partner.redirect_uris),
                partner.webhook,
                json.dumps(partner.about),
                now,
                now,
            ),
        )
    return partner


_COLUMNS = "client_id, name, jwks, redirect_uris, webhook, about, state"


def _partner_of(row: Sequence[Any]) -> Partner:
    return Partner(
        client_id=ClientId(row[0]),
        name=row[1],
        jwks=json.loads(row[2]),
        redirect_uris=tuple(json.loads(row[3])),
        webhook=row[4],
        about=json.loads(row[5]),
        active=row[6] == "active",
    )


def find_partner(tx: Transaction, client_id: str) -> Partner | None:
    """A partner by its identifier, removed ones included; the house's own clients too."""
    if client_id in HOUSE_CLIENTS:
        return HOUSE_CLIENTS[ClientId(client_id)]
    row = tx.one(f"SELECT {_COLUMNS} FROM partner WHERE client_id = ?", (client_id,))
    return None if row is None else _partner_of(row)


def list_partners(host: Host) -> list[Partner]:
    """All partners, removed ones included, by name."""
    with host.storage.read() as tx:
        return [_partner_of(row) for row in tx.all(f"SELECT {_COLUMNS} FROM partner ORDER BY name, client_id")]


def rotate_keys(host: Host, client_id: str, jwks: Mapping[str, Any]) -> Partner:
    """Replace a partner's keys; what the old ones signed is refused from the commit on.

    Raises:
        NoSuchPartner: no active partner has this identifier.
        PartnerInvalid: the keys are not as they must be.
    """
    keys = check_keys(jwks)
    with host.storage.write(urgent=True) as tx:
        changed = tx.execute(
            "UPDATE partner SET jwks = ?, changed_at = ? WHERE client_id = ? AND state = 'active'",
            (json.dumps(keys), microseconds(host.clock.now()), client_id),
        )
        partner = find_partner(tx, client_id)
    if not changed or partner is None:
        raise NoSuchPartner("No partner has this client identifier.")
    return partner


def remove_partner(host: Host, client_id: str) -> None:
    """Shut a partner out at once: keys, tokens and grants open nothing after the commit. Data already given stays.

    Raises:
        NoSuchPartner: no active partner has this identifier.
    """
    with host.storage.write(urgent=True) as tx:
        changed = tx.execute(
            "UPDATE partner SET state = 'removed', changed_at = ? WHERE client_id = ? AND state = 'active'",
            (microseconds(host.clock.now()), client_id),
        )
        tx.execute("DELETE FROM refresh_token WHERE client_id = ?", (client_id,))
        tx.execute("DELETE FROM authorization_code WHERE client_id = ?", (client_id,))
        tx.execute("DELETE FROM pushed_request WHERE client_id = ?", (client_id,))
    if not changed:
        raise NoSuchPartner("No partner has this client identifier.")


problems.declare(PartnerInvalid, "partner-invalid", "The partner cannot be registered like this", 400)
problems.declare(NoSuchPartner, "no-such-partner", "No such partner", 404)

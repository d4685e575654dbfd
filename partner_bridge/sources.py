"""Sources that this host asks for citizens' data, or that call it: what the operator said of each.

A source is a party of consents like any partner, but one that never comes by itself with a key of its own: this host asks
it, on a citizen's behalf, or is called by it. Its secrets are sealed for this host; nothing of them is shown again.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from partner_bridge.connectors import find_calculator, find_connector
from partner_bridge.errors import SourceInvalid
from pod_server import partners
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.clock import microseconds
from pod_server.identifiers import ClientId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pod_server.host import Host

Channel = Literal["oauth", "token", "calculation"]
Webhook = Literal["", "signed", "ping"]
_SHORTEST_WEBHOOK_SECRET = 24
_LABEL = "source"
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
_WORD = re.compile(r"[!-~]{1,300}\Z")
_SHORTEST = timedelta(seconds=5)
_LONGEST = timedelta(days=31)
_ADDRESSES = ("api", "issuer", "authorization_endpoint", "token_endpoint", "revocation_endpoint")


@dataclass(frozen=True)
class Source:
    """One source as the operator described it.

    Attributes:
        slug: Names it in addresses and commands: `sparebank1`.
        name: What people call it.
        channel: `oauth`: the citizen signs in there; `token`: the citizen pastes a token from there; `calculation`: it is
            asked nothing of a citizen, and reckons with sums (calculating.py).
        connector: Whose format it speaks.
        purpose: The purpose of the consents that it is asked under.
        client_id: The party of those consents.
        api: Where its data is asked for.
        every: How long to wait between two pulls.
        issuer: Its authorization server's identifier (RFC 8414, RFC 9207).
        authorization_endpoint, token_endpoint, revocation_endpoint: Where it publishes no metadata.
        oauth_client: What this host is called there.
        scopes: What is asked for there.
        parameters: Further parameters of its authorization endpoint (`finInst`).
        secret_in_body: It wants the client secret in the form, not in a header.
        signs_in_with_key: This host shows who it is by a signature of its own key (private_key_jwt), and has no secret
            there; the key's public part is at `/-/oauth/jwks`.
        secret: The client secret.
        webhook: `signed`: its calls are signed with `webhook_secret`, and believed; `ping`: they are not, and only make
            this host ask; empty: it does not call.
        webhook_secret: At least 24 characters that it and this host share.
    """

    slug: str
    name: str
    channel: Channel
    connector: str
    purpose: str
    client_id: ClientId
    api: str
    every: timedelta = timedelta(hours=6)
    issuer: str = ""
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    revocation_endpoint: str = ""
    oauth_client: str = ""
    scopes: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    secret_in_body: bool = False
    signs_in_with_key: bool = False
    secret: str = field(default="", repr=False)
    webhook: Webhook = ""
    webhook_secret: str = field(default="", repr=False)

    def redirect_uri(self, host: Host) -> str:
        """Where it sends browsers back to: one address a source, against mix-up (RFC 9700, section 4.4)."""
        return f"{host.base_url}/-/sources/{self.slug}/back"


def add_source(host: Host, source: Source, *, about: Mapping[str, str] | None = None) -> Source:
    """Add a source, or put another description in its place; citizens' connections to it stay.

    Args:
        host: This host.
        source: Its `client_id` may be empty: then it becomes a party of its own.
        about: What the consent screen tells of it (`contact`, `address`).

    Raises:
        SourceInvalid: says which part does not hold.
        UnknownConnector: no connector of that name.
        PartnerInvalid: another party has its name.
    """
    _check(host, source)
    with host.storage.read() as tx:
        before = tx.one("SELECT sealed FROM source WHERE slug = ?", (source.slug,))
    if not source.client_id:
        known = _opened(host, source.slug, str(before[0])).client_id if before is not None else ""
        source = replace(
            source,
            client_id=ClientId(known)
            if known
            else partners.add_partner(host, name=source.name, jwks=None, about=about).client_id,
        )
    with host.storage.write() as tx:
        if partners.find_partner(tx, source.client_id) is None:
            raise partners.NoSuchPartner("No partner has this client identifier.")
        tx.execute(
            "INSERT INTO source (slug, sealed, made_at) VALUES (?, ?, ?) "
            "ON CONFLICT (slug) DO UPDATE SET sealed = excluded.sealed",
            (source.slug, _sealed(host, source), microseconds(host.clock.protocol_now())),
        )
    return source


def list_sources(host: Host) -> list[Source]:
    """Every source, in the order they were added."""
    with host.storage.read() as tx:
        rows = tx.all("SELECT slug, sealed FROM source ORDER BY made_at, slug")
    return [_opened(host, slug, sealed) for slug, sealed in rows]


def find_source(host: Host, slug: str) -> Source:
    """The source of this name.

    Raises:
        SourceInvalid: there is none.
    """
    with host.storage.read() as tx:
        row = tx.one("SELECT sealed FROM source WHERE slug = ?", (slug[:40],))
    if row is None:
        raise SourceInvalid("there is no source of this name here; tvilling source list tells which there are")
    return _opened(host, slug, str(row[0]))


def remove_source(host: Host, slug: str) -> None:
    """Ask a source no more. Consents and what came under them stay; its tokens are of no more use and go.

    Raises:
        SourceInvalid: there is none.
    """
    with host.storage.write() as tx:
        if not tx.execute("DELETE FROM source WHERE slug = ?", (slug,)):
            raise SourceInvalid("there is no source of this name here")
        rows = tx.all("SELECT pod_id, grant_id FROM pull WHERE slug = ?", (slug,))
        for pod_id, grant in rows:
            tx.execute("DELETE FROM pull WHERE pod_id = ? AND grant_id = ?", (pod_id, grant))


def _check(host: Host, source: Source) -> None:
    if source.channel == "calculation":
        find_calculator(source.connector)
    else:
        find_connector(source.connector, host.connector_packages)
    if not _SLUG.match(source.slug):
        raise SourceInvalid("its short name is made of a-z, 0-9 and hyphens, at most 31 of them")
    if not _SHORTEST <= source.every <= _LONGEST:
        raise SourceInvalid("it is asked every five seconds to every 31 days")
    for member in _ADDRESSES:
        address = getattr(source, member)
        parts = urlsplit(address)
        if address and (
            not _WORD.match(address)
            or parts.scheme not in {"http", "https"}
            or not parts.netloc
            or parts.query
            or parts.fragment
        ):
            raise SourceInvalid(f"its {member.replace('_', ' ')} is an address without query and fragment")
    if not source.api:
        raise SourceInvalid("where its data is asked for (--api) is missing")
    if source.channel == "oauth":
        if not source.issuer:
            raise SourceInvalid("its issuer is missing: the identifier of its authorization server")
        if bool(source.authorization_endpoint) != bool(source.token_endpoint):
            raise SourceInvalid("both endpoints are given, or neither: then its metadata is asked (RFC 8414)")
        if not _WORD.match(source.oauth_client):
            raise SourceInvalid("what this host is called there (--client-id) is missing, or no word")
    if source.channel == "calculation" and not (
        source.token_endpoint and source.secret and _WORD.match(source.oauth_client)
    ):
        raise SourceInvalid("a calculation service needs --token-endpoint, --client-id and --secret-file")
    if source.signs_in_with_key and (source.channel != "oauth" or source.secret or source.secret_in_body):
        raise SourceInvalid("signing in with this host's key is for OAuth, and there is no secret then")
    if not all(_WORD.match(each) for each in (*source.scopes, *source.parameters, *source.parameters.values())):
        raise SourceInvalid("scopes and parameters are words")
    if source.webhook == "signed" and (
        len(source.webhook_secret) < _SHORTEST_WEBHOOK_SECRET or not _WORD.match(source.webhook_secret)
    ):
        raise SourceInvalid("the secret of its calls is one line of 24 to 300 visible characters")
    if source.secret and not _WORD.match(source.secret):
        raise SourceInvalid("its secret is one line of up to 300 visible characters")


def _sealed(host: Host, source: Source) -> str:
    members = asdict(source) | {"every": source.every.total_seconds()}
    del members["slug"]
    return seal(host.host_key, _LABEL, (source.slug,), json.dumps(members).encode())


def _opened(host: Host, slug: str, sealed: str) -> Source:
    members: dict[str, Any] = json.loads(unseal(host.host_key, _LABEL, (slug,), sealed))
    members["every"] = timedelta(seconds=members["every"])
    members["scopes"] = tuple(members["scopes"])
    members["client_id"] = ClientId(members["client_id"])
    return Source(slug=slug, **members)

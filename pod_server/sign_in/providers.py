"""Providers that know who somebody is: this host as a client of OpenID Connect (ID-porten, or any other provider).

The operator adds one by command; what it says of itself is fetched under the outbound rules and kept for some minutes.

Source: OpenID Connect Core 1.0 and Discovery 1.0; RFC 7523 (private_key_jwt); FAPI 2.0, section 5.3.3.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.clock import microseconds
from pod_server.outbound import OutboundError, origin_of
from pod_server.sign_in.errors import ProviderInvalid, ProviderUnreachable
from pod_server.signatures import SigningKey, base64url, sign_jws

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from pod_server.host import Host

_LABEL = "upstream-provider"
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
_WORD = re.compile(r"[!-~]{1,200}\Z")
_CLAIM = re.compile(r"[A-Za-z0-9_:/.-]{1,100}\Z")
_LONGEST_NAME = 40
_LONGEST_ADDRESS = 500
_ASSERTION_SECONDS = 60
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS256", "ES256")


@dataclass(frozen=True)
class Provider:
    """A provider as the operator described it.

    Attributes:
        slug: Names it in addresses: `id-porten`.
        name: What people call it.
        issuer: Its identifier, letter by letter.
        client_id: What this host is called there.
        subject_claim: The claim of the ID token that names a person: `pid` at ID-porten, else `sub`.
        levels: The `acr` values that are good enough, the wanted one first; empty where the provider has none.
        scopes: What is asked for.
        key: What this host signs its assertions with (private_key_jwt); None where it shows a secret.
        secret: The secret it shows (client_secret_basic); empty where it signs.
    """

    slug: str
    name: str
    issuer: str
    client_id: str
    subject_claim: str = "sub"
    levels: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("openid",)
    key: SigningKey | None = field(default=None, repr=False)
    secret: str = field(default="", repr=False)

    def redirect_uri(self, host: Host) -> str:
        """Where the provider sends browsers back to: one address a provider, against mix-up (RFC 9700, section 4.4)."""
        return f"{host.base_url}/-/sign-in/with/{self.slug}/back"


@dataclass(frozen=True)
class Configuration:
    """What a provider says of itself (Discovery, section 3).

    Attributes:
        authorization_endpoint: Where browsers are sent.
        token_endpoint: Where codes are redeemed.
        jwks_uri: Its keys.
        push_endpoint: Where requests are pushed (RFC 9126), or empty.
        end_session_endpoint: Where browsers are sent to sign out, or empty.
        names_itself: Whether its answers always carry `iss` (RFC 9207).
    """

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    push_endpoint: str
    end_session_endpoint: str
    names_itself: bool


def add_provider(
    host: Host,
    slug: str,
    *,
    name: str,
    issuer: str,
    client_id: str,
    subject_claim: str = "sub",
    levels: tuple[str, ...] = (),
    scopes: tuple[str, ...] = ("openid",),
    algorithm: Literal["RS256", "ES256"] = "RS256",
    secret: str = "",
) -> Provider:
    """Add a provider, or put another description in its place; links to it stay.

    Args:
        host: This host.
        slug: Names it in addresses.
        name: What people call it.
        issuer: Its identifier.
        client_id: What this host is called there.
        subject_claim: Which claim names a person.
        levels: The `acr` values that are good enough, the wanted one first.
        scopes: What is asked for; `openid` always is.
        algorithm: Of the key that is made for this host's assertions.
        secret: A client secret, where the provider takes no assertions; no key is made then.

    Raises:
        ProviderInvalid: says which of these does not hold.
    """
    provider = Provider(
        slug,
        name.strip(),
        issuer,
        client_id,
        subject_claim,
        levels,
        tuple(dict.fromkeys(("openid", *scopes))),
        None,
        secret,
    )
    _check(provider)
    if not secret:
        provider = replace(provider, key=SigningKey.generate(algorithm))
    with host.storage.write() as tx:
        present = tx.one("SELECT sealed FROM upstream_provider WHERE slug = ?", (slug,))
        if present is not None and not secret:
            known = _opened(host, slug, str(present[0])).key
            if known is not None and known.algorithm == algorithm:
                # The provider knows this key already; `remove` and `add` make another.
                provider = replace(provider, key=known)
        tx.execute(
            "INSERT INTO upstream_provider (slug, sealed, made_at) VALUES (?, ?, ?) "
            "ON CONFLICT (slug) DO UPDATE SET sealed = excluded.sealed",
            (slug, _sealed(host, provider), microseconds(host.clock.protocol_now())),
        )
    return provider


def list_providers(host: Host) -> list[Provider]:
    """Every provider, in the order they were added."""
    with host.storage.read() as tx:
        rows = tx.all("SELECT slug, sealed FROM upstream_provider ORDER BY made_at, slug", ())
    return [_opened(host, slug, sealed) for slug, sealed in rows]


def find_provider(host: Host, slug: str) -> Provider:
    """The provider of this name.

    Raises:
        ProviderInvalid: there is none.
    """
    with host.storage.read() as tx:
        row = tx.one("SELECT sealed FROM upstream_provider WHERE slug = ?", (slug[:40],))
    if row is None:
        raise ProviderInvalid("there is no provider of this name here")
    return _opened(host, slug, str(row[0]))


def remove_provider(host: Host, slug: str) -> int:
    """Take a provider and every link to it away; how many links there were.

    Raises:
        ProviderInvalid: there is none.
    """
    with host.storage.write() as tx:
        if not tx.execute("DELETE FROM upstream_provider WHERE slug = ?", (slug,)):
            raise ProviderInvalid("there is no provider of this name here")
        return tx.execute("DELETE FROM upstream_link WHERE slug = ?", (slug,))


def configuration_of(host: Host, provider: Provider) -> Configuration:
    """What the provider says of itself, as it said within the last five minutes.

    Raises:
        ProviderUnreachable: it does not answer, or what it says does not hold.
        LookupsBusy: too many other hosts are being waited for.
    """
    now = host.clock.protocol_now()
    return host.lookups.find("upstream", provider.issuer, now, lambda: _ask(host, provider.issuer), ProviderUnreachable)


def keys_of(host: Host, provider: Provider, *, again: bool = False) -> list[dict[str, Any]]:
    """The provider's public keys; `again` looks once more, at most once while those are kept.

    Raises:
        ProviderUnreachable, LookupsBusy: as `configuration_of`.
    """
    address = configuration_of(host, provider).jwks_uri
    subject = "upstream keys again" if again else "upstream keys"
    now = host.clock.protocol_now()
    return host.lookups.find(subject, address, now, lambda: _ask_keys(host, address), ProviderUnreachable)


def send(host: Host, provider: Provider, address: str, form: Mapping[str, str]) -> dict[str, Any]:
    """A form to one of the provider's own addresses, this host proved; the answer's JSON members.

    Raises:
        ProviderUnreachable: it does not answer with a JSON object, or refuses.
        LookupsBusy: too many other hosts are being waited for.
    """
    from urllib.parse import quote_plus, urlencode  # noqa: PLC0415

    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    members = dict(form) | {"client_id": provider.client_id}
    if provider.key is not None:
        members |= {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": _assertion(host, provider)}
    else:
        pair = f"{quote_plus(provider.client_id)}:{quote_plus(provider.secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    with host.lookups.turn():
        try:
            answer = host.outbound.post(address, urlencode(members).encode(), headers)
        except OutboundError as error:
            raise ProviderUnreachable(str(error)) from error
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ProviderUnreachable("its answer is not a JSON object")
    if answer.status not in {200, 201}:
        # Its error code alone: what it describes may name a person.
        code = value.get("error")
        shown = code if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else "no reason given"
        raise ProviderUnreachable(f"it refused ({shown})")
    return value


def _check(provider: Provider) -> None:
    parts = urlsplit(provider.issuer)
    if not _SLUG.match(provider.slug):
        raise ProviderInvalid("its short name is made of a-z, 0-9 and hyphens, at most 31 of them")
    if not provider.name or len(provider.name) > _LONGEST_NAME or not provider.name.isprintable():
        raise ProviderInvalid("what people call it has 1 to 40 letters")
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ProviderInvalid("its issuer is an address without query and fragment")
    if len(provider.issuer) > _LONGEST_ADDRESS or not _WORD.match(provider.client_id):
        raise ProviderInvalid("its issuer or client identifier is too long, or no word")
    if not _CLAIM.match(provider.subject_claim):
        raise ProviderInvalid("the claim that names a person is no claim's name")
    if not all(_WORD.match(each) for each in (*provider.levels, *provider.scopes)):
        raise ProviderInvalid("levels and scopes are words")
    if provider.secret and not _WORD.match(provider.secret):
        raise ProviderInvalid("the client secret is one line of up to 200 visible characters")


def _sealed(host: Host, provider: Provider) -> str:
    members = {
        "name": provider.name,
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "subject_claim": provider.subject_claim,
        "levels": list(provider.levels),
        "scopes": list(provider.scopes),
        "key": "" if provider.key is None else base64url.write(provider.key.private_bytes()),
        "secret": provider.secret,
    }
    return seal(host.host_key, _LABEL, (provider.slug,), json.dumps(members).encode())


def _opened(host: Host, slug: str, sealed: str) -> Provider:
    members = json.loads(unseal(host.host_key, _LABEL, (slug,), sealed))
    return Provider(
        slug,
        members["name"],
        members["issuer"],
        members["client_id"],
        members["subject_claim"],
        tuple(members["levels"]),
        tuple(members["scopes"]),
        SigningKey.read(base64url.read(members["key"])) if members["key"] else None,
        members["secret"],
    )


def _assertion(host: Host, provider: Provider) -> str:
    """RFC 7523, section 3, with the issuer as the one audience (FAPI 2.0, section 5.3.3.1)."""
    assert provider.key is not None
    now = int(host.clock.protocol_now().timestamp())
    claims = {
        "iss": provider.client_id,
        "sub": provider.client_id,
        "aud": provider.issuer,
        "iat": now,
        "exp": now + _ASSERTION_SECONDS,
        "jti": secrets.token_urlsafe(16),
    }
    return sign_jws(provider.key, claims, typ="JWT")


def _ask(host: Host, issuer: str) -> Configuration:
    said = _json_object(host, f"{issuer.rstrip('/')}/.well-known/openid-configuration", issuer)
    if said.get("issuer") != issuer:
        raise ProviderUnreachable("its configuration is another issuer's")
    return Configuration(
        _address(said, "authorization_endpoint"),
        _address(said, "token_endpoint"),
        _address(said, "jwks_uri"),
        _address(said, "pushed_authorization_request_endpoint", needed=False),
        _address(said, "end_session_endpoint", needed=False),
        said.get("authorization_response_iss_parameter_supported") is True,
    )


def _address(said: Mapping[str, Any], member: str, *, needed: bool = True) -> str:
    value = said.get(member)
    if value is None and not needed:
        return ""
    if isinstance(value, str) and len(value) <= _LONGEST_ADDRESS and _WORD.match(value[:200]):
        parts = urlsplit(value)
        if parts.scheme in {"https", "http"} and parts.netloc and not parts.fragment:
            return value
    raise ProviderUnreachable(f"its configuration has no {member}")


def _ask_keys(host: Host, address: str) -> list[dict[str, Any]]:
    keys = _json_object(host, address, None).get("keys")
    if not isinstance(keys, list) or len(keys) > 50:
        raise ProviderUnreachable("its keys cannot be read")
    return [key for key in keys if isinstance(key, dict)]


def _json_object(host: Host, address: str, origin: str | None) -> dict[str, Any]:
    try:
        answer = host.outbound.get(address, {"Accept": "application/json"})
    except OutboundError as error:
        raise ProviderUnreachable(str(error)) from error
    if answer.status != 200:
        raise ProviderUnreachable("it does not answer")
    if origin is not None and origin_of(urlsplit(answer.url)) != origin_of(urlsplit(origin)):
        raise ProviderUnreachable("its configuration lies on another origin")
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise ProviderUnreachable("its configuration or keys are not JSON") from error
    if not isinstance(value, dict):
        raise ProviderUnreachable("its configuration or keys are not a JSON object")
    return value

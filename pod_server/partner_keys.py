"""A partner changes its keys and addresses itself: the next key beside the present one, then the old one away."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pod_server.clock import microseconds
from pod_server.outbound import OutboundError
from pod_server.partner_standing import By, find, note
from pod_server.partners import (
    Partner,
    PartnerInvalid,
    check_keys,
    check_redirect_uri,
    find_partner,
    require_own_keys,
    thumbprint_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pod_server.host import Host

LARGEST_KEY_SET_BYTES = 65_536


@dataclass(frozen=True)
class Key:
    """One of a partner's public keys.

    Attributes:
        kid: Its name; empty where it has none.
        thumbprint: SHA-256 of the key itself (RFC 7638), base64url: the same wherever it is computed.
        kind: `EC P-256`, `OKP Ed25519` or `RSA 2048`.
    """

    kid: str
    thumbprint: str
    kind: str


def read_key_set(text: str | bytes) -> dict[str, Any]:
    """A key set, or one key, from JSON text; a key without a name gets its thumbprint for one.

    Raises:
        PartnerInvalid: it is neither, or not public and strong (`check_keys`).
    """
    if len(text) > LARGEST_KEY_SET_BYTES:
        raise PartnerInvalid("jwks: larger than a key set is")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PartnerInvalid("jwks: no JSON") from error
    if isinstance(value, dict) and "kty" in value:
        value = {"keys": [value]}
    if not isinstance(value, dict):
        raise PartnerInvalid('jwks: a JSON object {"keys": [...]}, or one key')
    keys = value.get("keys")
    if isinstance(keys, list) and 1 <= len(keys) <= 10:
        # Each by itself first: among several, each needs the name that it is about to get.
        value = {"keys": [named(each) for each in keys]}
    checked = check_keys(value)
    kids = [key["kid"] for key in checked["keys"]]
    if len(set(kids)) != len(kids):
        raise PartnerInvalid("jwks: each key a kid of its own")
    if any(not 1 <= len(kid) <= 100 or not kid.isprintable() for kid in kids):
        raise PartnerInvalid("jwks: a kid of 1 to 100 characters")
    return checked


def named(key: Any) -> dict[str, Any]:
    """A key with a name: its own, or its thumbprint.

    Raises:
        PartnerInvalid: as `check_keys`.
    """
    (checked,) = check_keys({"keys": [key]})["keys"]
    checked.setdefault("kid", thumbprint_of(checked))
    return dict(checked)


def fetch_key_set(host: Host, address: str) -> dict[str, Any]:
    """The key set at an address, under the rules for requests that leave the house.

    Raises:
        PartnerInvalid, LookupsBusy: as `fetch_key_set_for`.
    """
    return fetch_key_set_for(host, address)[0]


def fetch_key_set_for(host: Host, address: str) -> tuple[dict[str, Any], str]:
    """As `fetch_key_set`, and for how long it holds: the answer's `Cache-Control`, empty where it has none.

    Raises:
        PartnerInvalid: the address is not spoken to, does not answer, or answers something else.
        LookupsBusy: so many other hosts are being waited for that this is to come again.
    """
    check_redirect_uri(address)
    try:
        with host.lookups.turn():  # strangers choose the address: few are waited for at a time
            answer = host.outbound.get(address, {"Accept": "application/jwk-set+json, application/json"})
    except OutboundError as error:
        raise PartnerInvalid(f"jwks_uri: {error}") from error
    if answer.status != 200:
        raise PartnerInvalid(f"jwks_uri: it answered {answer.status}")
    return read_key_set(answer.body), answer.headers.get("cache-control", "")


def list_keys(partner: Partner) -> list[Key]:
    """A partner's keys, as its console shows them."""
    return [
        Key(str(key.get("kid", "")), thumbprint_of(key), f"{key['kty']} {key.get('crv') or _bits(key)}")
        for key in partner.jwks["keys"]
    ]


def _bits(key: Mapping[str, Any]) -> int:
    return len(str(key.get("n", ""))) * 6 // 256 * 256


def add_key(host: Host, client_id: str, text: str, *, by: By) -> list[Key]:
    """Add the next key, or keys, beside those there are: both sign until the old one is retired.

    Raises:
        NoSuchPartner: there is none.
        PartnerInvalid: no key, or one that is there already, or more than ten in all; or they come from an address.
    """
    added = read_key_set(text)["keys"]
    with host.storage.write(urgent=True) as tx:
        partner = find_partner(tx, client_id) or find(host, client_id)
        _require_no_address(partner)
        present = [named(key) for key in partner.jwks["keys"]]
        if {thumbprint_of(key) for key in added} & {thumbprint_of(key) for key in present}:
            raise PartnerInvalid("jwks: the key is there already")
        require_own_keys(tx, added, but=client_id)
        keys = check_keys({"keys": [*present, *added]})
        if len({key["kid"] for key in keys["keys"]}) != len(keys["keys"]):
            raise PartnerInvalid("jwks: another key has this kid; give the new one a name of its own")
        _write(host, tx, client_id, jwks=json.dumps(keys))
        note(host, tx, client_id, by, "add-key", kids=[key["kid"] for key in added])
    return list_keys(find(host, client_id))


def retire_key(host: Host, client_id: str, thumbprint: str, *, by: By) -> list[Key]:
    """Take a key away: what it signs is refused from the commit on.

    Raises:
        NoSuchPartner: there is none.
        PartnerInvalid: no such key, or the last one; or they come from an address.
    """
    with host.storage.write(urgent=True) as tx:
        partner = find_partner(tx, client_id) or find(host, client_id)
        _require_no_address(partner)
        kept = [key for key in partner.jwks["keys"] if thumbprint_of(key) != thumbprint]
        if len(kept) == len(partner.jwks["keys"]):
            raise PartnerInvalid("jwks: there is no such key")
        if not kept:
            raise PartnerInvalid("jwks: the last key stays; add the next one first")
        _write(host, tx, client_id, jwks=json.dumps({"keys": kept}))
        note(host, tx, client_id, by, "retire-key", thumbprint=thumbprint)
    return list_keys(find(host, client_id))


def _require_no_address(partner: Partner) -> None:
    """Hold that the keys are changed here: the next fetch would undo in silence what is done beside the address."""
    if partner.about.get("jwks_uri"):
        raise PartnerInvalid("jwks: they are fetched from your address; change them there")


def change_addresses(
    host: Host, client_id: str, *, redirect_uris: Sequence[str], webhook: str | None, by: By
) -> Partner:
    """Change where citizens' browsers come back, and where messages go; the municipality sees that it was done.

    Raises:
        NoSuchPartner: there is none.
        PartnerInvalid: an address is none that may be registered.
    """
    if not 1 <= len(redirect_uris) <= 10:
        raise PartnerInvalid("redirect_uri: one to ten, where citizens' browsers come back")
    checked = [check_redirect_uri(uri) for uri in redirect_uris]
    hook = check_redirect_uri(webhook) if webhook else None
    find(host, client_id)
    with host.storage.write(urgent=True) as tx:
        _write(host, tx, client_id, redirect_uris=json.dumps(checked), webhook=hook)
        note(host, tx, client_id, by, "addresses", redirect_uris=checked, webhook=hook or "")
    return find(host, client_id)


def _write(host: Host, tx: Any, client_id: str, **columns: str | None) -> None:
    names = ", ".join(f"{name} = ?" for name in columns)
    tx.execute(
        f"UPDATE partner SET {names}, changed_at = ? WHERE client_id = ? AND state <> 'removed'",
        (*columns.values(), microseconds(host.clock.now()), client_id),
    )

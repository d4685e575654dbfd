"""The keys of a partner that names an address for them (`jwks_uri`; OpenID Connect Core, section 10.1.1), kept and fetched anew.

What was fetched holds as long as the answer's `Cache-Control` says, within bounds, and is asked for again when that has
passed or when something is signed with a `kid` that is not among the keys. Strangers write the `kid`: however often one
asks, and in however many processes, a partner's address is asked once a minute at most. An address that fails leaves
the last good keys in force for a day past their time, and no longer. Nothing is held while another host is waited for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from werkzeug.datastructures import ResponseCacheControl
from werkzeug.http import parse_cache_control_header

from pod_server.clock import microseconds, moment
from pod_server.lookups import LookupsBusy
from pod_server.partner_keys import fetch_key_set_for
from pod_server.partner_standing import By, note
from pod_server.partners import REMOVED, Partner, PartnerInvalid, find_partner, require_own_keys, thumbprint_of

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

LEAST_FRESH = timedelta(minutes=5)
"""A shorter `max-age`, `no-cache` and `no-store` count as this."""

MOST_FRESH = timedelta(hours=24)
"""A longer `max-age` counts as this: a key taken away stops working after it at the latest."""

FRESH_UNLESS_TOLD = timedelta(hours=1)
KEPT_PAST_FRESH = timedelta(hours=24)
"""How long the last good keys hold after they should have been fetched anew, while the address fails."""

BETWEEN_TRIES = timedelta(minutes=1)


@dataclass(frozen=True)
class Fetching:
    """How a partner's address for its keys stands.

    Attributes:
        address: Where the keys are.
        fetched: When they last came, real time; None where they have not come since the application.
        fresh_until: When they are asked for again.
        kept_until: When they stop working unless they come again before.
        tried: When the address was last asked.
        failure: Why it brought nothing the last time, as `PartnerInvalid` says it; empty where it did.
    """

    address: str
    fetched: datetime | None
    fresh_until: datetime
    kept_until: datetime
    tried: datetime
    failure: str


def read_fetching(host: Host, partner: Partner) -> Fetching | None:
    """How a partner's address stands; None where it has none, or was not asked since the application."""
    address = partner.about.get("jwks_uri", "")
    if not address:
        return None
    with host.storage.read() as tx:
        return _fetching(tx, partner.client_id, address)


def _fetching(tx: Transaction, client_id: str, address: str) -> Fetching | None:
    row = tx.one(
        "SELECT fetched_at, fresh_until, kept_until, tried_at, failure FROM partner_key_set WHERE client_id = ?",
        (client_id,),
    )
    if row is None:
        return None
    fetched = None if row[0] is None else moment(row[0])
    return Fetching(address, fetched, moment(row[1]), moment(row[2]), moment(row[3]), row[4])


def with_keys_for(host: Host, partner: Partner, kid: object) -> Partner:
    """The partner with the keys that hold now, fetched anew where that is due or nothing there has this `kid`.

    Asked before a signature is judged, never within a transaction: it may wait for the partner's host, for five seconds
    at most.

    Args:
        host: This host.
        partner: As it was just read.
        kid: What the signature's header says; None where it says nothing.

    Returns:
        The same for a partner whose keys are registered by themselves; without any keys where the last good ones have
        been kept for as long as they may.
    """
    address = partner.about.get("jwks_uri", "")
    if not address or partner.state == REMOVED:
        return partner
    now = host.clock.protocol_now()
    with host.storage.read() as tx:
        known = _fetching(tx, partner.client_id, address)
    is_due = known is None or known.fresh_until <= now
    is_unknown = kid is not None and all(key.get("kid") != kid for key in partner.jwks["keys"])
    may_ask = known is None or known.tried <= now - BETWEEN_TRIES
    if (is_due or is_unknown) and may_ask and _take_turn(host, partner.client_id, now):
        _fetch(host, partner, address, now)
    with host.storage.read() as tx:
        partner = find_partner(tx, partner.client_id) or partner
        known = _fetching(tx, partner.client_id, address)
    if known is not None and known.kept_until <= now and partner.about.get("jwks_uri"):
        return replace(partner, jwks={"keys": []})
    return partner


def _take_turn(host: Host, client_id: str, now: datetime) -> bool:
    """Whether this request is the one that asks in this minute; every other, in any process, goes on with what there is."""
    at = microseconds(now)
    with host.storage.write() as tx:
        # The first time: the keys of the application hold for a day yet, should the address have gone meanwhile.
        begun = tx.execute(
            "INSERT INTO partner_key_set (client_id, fetched_at, fresh_until, kept_until, tried_at, failure) "
            "VALUES (?, NULL, ?, ?, ?, '') ON CONFLICT (client_id) DO NOTHING",
            (client_id, at, microseconds(now + KEPT_PAST_FRESH), at),
        )
        return bool(begun) or bool(
            tx.execute(
                "UPDATE partner_key_set SET tried_at = ? WHERE client_id = ? AND tried_at <= ?",
                (at, client_id, microseconds(now - BETWEEN_TRIES)),
            )
        )


def _fetch(host: Host, partner: Partner, address: str, now: datetime) -> None:
    try:
        keys, cache_control = fetch_key_set_for(host, address)
        _keep(host, partner, keys, now=now, fresh=fresh_for(cache_control))
    except LookupsBusy:
        return  # this host's own want of turns is no failure of the partner's; the next try is a minute away
    except PartnerInvalid as failure:
        with host.storage.write() as tx:
            tx.execute(
                "UPDATE partner_key_set SET failure = ? WHERE client_id = ?", (str(failure)[:300], partner.client_id)
            )


def fresh_for(cache_control: str) -> timedelta:
    """How long an answer with this `Cache-Control` is fresh here (RFC 9111, section 5.2.2), within our bounds."""
    said = parse_cache_control_header(cache_control, cls=ResponseCacheControl)
    if said.no_store or said.no_cache:
        return LEAST_FRESH
    if said.max_age is None:
        return FRESH_UNLESS_TOLD
    # Bounded as a number first: a million years of seconds are no timedelta.
    seconds = min(max(said.max_age, 0), int(MOST_FRESH.total_seconds()))
    return max(timedelta(seconds=seconds), LEAST_FRESH)


def _keep(host: Host, partner: Partner, keys: dict[str, Any], *, now: datetime, fresh: timedelta) -> None:
    """Put the fetched keys in the place of the old ones; what a missing one signs is refused from the commit on.

    Raises:
        PartnerInvalid: another partner has one of them.
    """
    with host.storage.write(urgent=True) as tx:
        client_id, asked = partner.client_id, partner.about["jwks_uri"]
        present = find_partner(tx, client_id)
        if present is None or present.state == REMOVED or present.about.get("jwks_uri") != asked:
            return  # the municipality was faster: what came belongs to nobody now
        require_own_keys(tx, keys["keys"], but=client_id)
        if keys != present.jwks:
            tx.execute(
                "UPDATE partner SET jwks = ?, changed_at = ? WHERE client_id = ?",
                (json.dumps(keys), microseconds(host.clock.now()), client_id),
            )
            before = {thumbprint_of(key) for key in present.jwks["keys"]}
            after = {thumbprint_of(key) for key in keys["keys"]}
            by = By("partner", present.name)
            note(host, tx, client_id, by, "fetch-keys", added=sorted(after - before), gone=sorted(before - after))
        tx.execute(
            "UPDATE partner_key_set SET fetched_at = ?, fresh_until = ?, kept_until = ?, failure = '' "
            "WHERE client_id = ?",
            (microseconds(now), microseconds(now + fresh), microseconds(now + fresh + KEPT_PAST_FRESH), client_id),
        )

"""A partner that one municipality admitted meets another: a signed statement of the admission (RFC 7591, section 2.3).

Each municipality admits partners for its own citizens. A host may take the admissions of others for its own: the
operator names them (`tvilling partner trust`), and a partner that was never here registers itself with a statement that
one of them signed. Without such a statement nobody becomes a partner by registering (FAPI 2.0; conformance point 44).

A statement is no secret: it holds public keys and addresses, so whoever brings it registers its partner and gains
nothing. It is short-lived; a newer one renews the admission and brings new keys, an older one is refused, so that keys
which were replaced do not come back.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pod_server import partner_notices, partner_standing, partners, signing_keys
from pod_server.authorization_server import external_issuers, jose
from pod_server.authorization_server.dpop import AHEAD, moment_of
from pod_server.authorization_server.errors import OAuthError, TokenRefused
from pod_server.clock import microseconds
from pod_server.partner_standing import By
from pod_server.signatures import sign_jws
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

TYPE = "admission+jwt"
LONGEST = timedelta(days=90)
"""How long one statement may hold; then the admitting host is to say it again."""

_ABOUT = ("contact", "address", "organisation_number", "country")
_LAPSED = "Its admission by another host has run out."
_ENDED = "This host does not take the admissions of that host any more."


def issue(host: Host, client_id: str, *, days: int = 30) -> str:
    """A statement that this host admitted a partner, for the partner to register with at others.

    Raises:
        NoSuchPartner: there is none.
        StandingChanged: it is not admitted, or is stopped.
        PartnerInvalid: `days` is not from 1 to 90, or the partner came by another host's statement itself.
    """
    if not 1 <= days <= LONGEST.days:
        raise partners.PartnerInvalid(f"days: a statement holds for 1 to {LONGEST.days} days")
    partner = partner_standing.find(host, client_id)
    if partner.state != partners.ACTIVE or partner.stopped is not None:
        raise partner_standing.StandingChanged(
            f"The partner is {partner.state}; only an admitted one can be vouched for."
        )
    with host.storage.read() as tx:
        if tx.one("SELECT 1 FROM admitted_elsewhere WHERE client_id = ?", (client_id,)):
            raise partners.PartnerInvalid("client_id: it was admitted elsewhere; who admitted it vouches for it")
        told = [each for each in partner_notices.of_partner(tx, client_id) if each.state == "current"]
    kinds = partner.limits.kinds
    if told:
        of_notices = frozenset(kind for each in told for kind in each.kinds)
        kinds = of_notices if kinds is None else kinds & of_notices
    now = host.clock.protocol_now()
    claims: dict[str, Any] = {
        "iss": host.base_url,
        "sub": client_id,
        "software_id": client_id,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(days=days)).timestamp()),
        "jti": secrets.token_urlsafe(16),
        "client_name": partner.name,
        "redirect_uris": list(partner.redirect_uris),
        "jwks": partner.jwks,
        "about": {name: partner.about[name] for name in _ABOUT if name in partner.about},
    }
    if partner.webhook:
        claims["webhook"] = partner.webhook
    if kinds is not None:
        claims["kinds"] = sorted(kinds)
    return sign_jws(signing_keys.current(host), claims, typ=TYPE)


def trust(host: Host, issuer: str, *, by: By) -> None:
    """Take another host's admissions for this host's own.

    Raises:
        PartnerInvalid: it is no issuer's address, or this host's own.
    """
    parts = urlsplit(issuer)
    # A trailing slash, a query or a fragment would make it another issuer's name (RFC 8414, section 2).
    if (
        parts.scheme not in {"https", "http"}
        or not parts.netloc
        or issuer.endswith("/")
        or parts.query
        or parts.fragment
    ):
        raise partners.PartnerInvalid("issuer: a host's address, without a slash at its end")
    if issuer == host.base_url:
        raise partners.PartnerInvalid("issuer: that is this host; whom it admits it knows")
    with host.storage.write() as tx:
        tx.execute(
            "INSERT INTO trusted_admitter (issuer, added_at, added_by) VALUES (?, ?, ?) ON CONFLICT (issuer) DO NOTHING",
            (issuer, microseconds(host.clock.protocol_now()), by.name),
        )
        partner_standing.note(host, tx, "", by, "trust", issuer=issuer)


def trusted(tx: Transaction) -> list[str]:
    """Whose admissions this host takes."""
    return [str(row[0]) for row in tx.all("SELECT issuer FROM trusted_admitter ORDER BY issuer")]


def end_trust(host: Host, issuer: str, *, by: By) -> int:
    """Take a host's admissions no more; the partners that came by one are suspended. Returns how many those are."""
    with host.storage.write() as tx:
        tx.execute("DELETE FROM trusted_admitter WHERE issuer = ?", (issuer,))
        partner_standing.note(host, tx, "", by, "end-trust", issuer=issuer)
        found = [str(row[0]) for row in tx.all("SELECT client_id FROM admitted_elsewhere WHERE issuer = ?", (issuer,))]
    return sum(_suspend(host, client_id, _ENDED, by) for client_id in found)


def suspend_lapsed(host: Host) -> int:
    """Suspend the partners whose admission elsewhere has run out; returns how many. The upkeep calls this."""
    with host.storage.read() as tx:
        lapsed = tx.all(
            "SELECT admitted_elsewhere.client_id FROM admitted_elsewhere "
            "JOIN partner ON partner.client_id = admitted_elsewhere.client_id "
            "WHERE admitted_elsewhere.until <= ? AND partner.state = 'active'",
            (microseconds(host.clock.protocol_now()),),
        )
    return sum(_suspend(host, str(row[0]), _LAPSED, By("operator", "the host's clock")) for row in lapsed)


def _suspend(host: Host, client_id: str, reason: str, by: By) -> bool:
    try:
        partner_standing.suspend(host, client_id, reason, by=by)
    except (partner_standing.StandingChanged, partners.NoSuchPartner):
        return False
    return True


def register_partner(host: Host, statement: object) -> dict[str, Any]:
    """Take in a partner that a trusted host admitted, or what is new of one; the answer's JSON members.

    Raises:
        OAuthError: `unapproved_software_statement` (not of a trusted host), `invalid_software_statement` (forged, run
            out, older than one that was taken) or `invalid_client_metadata` (what it says cannot stand here).
    """
    try:
        unverified = jose.read(statement if isinstance(statement, str) else "", jose.ISSUER_ALGORITHMS)
    except jose.JoseInvalid as error:
        raise _invalid(f"the statement cannot be read: {error}") from error
    issuer = unverified.claims.get("iss")
    with host.storage.read() as tx:
        known = trusted(tx)
    if not isinstance(issuer, str) or issuer not in known:
        # Said before anybody is asked: an address that a stranger wrote is not fetched.
        raise OAuthError(
            "unapproved_software_statement",
            f"this host takes admissions by {', '.join(known) or 'nobody else'}; apply at {host.base_url}/-/partners",
        )
    claims = _verified(host, issuer, unverified)
    issued, expires = moment_of(claims.get("iat")), moment_of(claims.get("exp"))
    now = host.clock.protocol_now()
    if issued is None or expires is None or issued > now + AHEAD or expires <= now or expires - issued > LONGEST:
        raise _invalid("the statement has run out, is dated ahead, or holds for longer than 90 days")
    software_id = claims.get("software_id")
    if not isinstance(software_id, str) or not 0 < len(software_id) <= 100:
        raise _invalid("software_id is a text of at most 100 characters")
    client_id = _taken_in(host, issuer, software_id, claims, issued, expires)
    with host.storage.read() as tx:
        partner = partners.find_partner(tx, client_id)
    assert partner is not None
    return {
        "client_id": partner.client_id,
        "client_id_issued_at": int(now.timestamp()),
        "client_name": partner.name,
        "redirect_uris": list(partner.redirect_uris),
        "jwks": partner.jwks,
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types": ["code"],
        "require_pushed_authorization_requests": True,
        "dpop_bound_access_tokens": True,
        "software_id": software_id,
        "software_statement": statement,
    }


def _invalid(why: str) -> OAuthError:
    return OAuthError("invalid_software_statement", why)


def _verified(host: Host, issuer: str, unverified: jose.Unverified) -> Mapping[str, Any]:
    if unverified.header.get("typ") != TYPE:
        raise _invalid(f"typ is to be {TYPE}")
    now = host.clock.protocol_now()
    key: dict[str, Any] | None = None
    try:
        for look in ("issuer", "issuer again"):
            # Perhaps the issuer has new keys: one look more while the first answer is kept.
            keys = host.lookups.find(look, issuer, now, lambda: external_issuers.keys_of(host, issuer), TokenRefused)
            key = external_issuers.key_for(unverified, keys)
            if key is not None:
                return jose.verify(unverified, key)
    except TokenRefused as error:
        raise _invalid("who signed the statement cannot be asked for its keys now") from error
    except jose.JoseInvalid as error:
        raise _invalid("the statement is not signed with a key of its issuer's") from error
    raise _invalid("the statement is not signed with a key of its issuer's")


def _taken_in(  # noqa: PLR0917 - called in one place
    host: Host, issuer: str, software_id: str, claims: Mapping[str, Any], issued: datetime, expires: datetime
) -> str:
    by = By("operator", f"admitted by {issuer}")
    about = claims.get("about", {})
    kinds = claims.get("kinds")
    redirect_uris, webhook = claims.get("redirect_uris"), claims.get("webhook")
    if (
        not isinstance(about, dict)
        or not isinstance(claims.get("jwks"), dict)
        or not isinstance(redirect_uris, list)
        or not 1 <= len(redirect_uris) <= 10
        or not all(isinstance(each, str) for each in redirect_uris)
        or not isinstance(webhook, str | None)
        or not (kinds is None or (isinstance(kinds, list) and all(isinstance(each, str) for each in kinds)))
    ):
        raise OAuthError("invalid_client_metadata", "jwks, redirect_uris, webhook, kinds or about is not as it must be")
    about = {name: str(about[name])[:200] for name in _ABOUT if name in about}
    about |= {"admitted_by": issuer, "software_id": software_id}
    allowed = None if kinds is None else frozenset(kinds) & load_kinds().by_slug.keys()
    if allowed is not None and not allowed:
        raise OAuthError("invalid_client_metadata", "kinds: none of them is known here")
    with host.storage.read() as tx:
        row = tx.one(
            "SELECT client_id, statement_at FROM admitted_elsewhere WHERE issuer = ? AND software_id = ?",
            (issuer, software_id),
        )
    is_new = row is None
    if row is None and (begun := _begun(host, issuer, software_id)) is not None:
        row = (begun, 0)
    try:
        if row is None:
            partner = partners.add_partner(
                host,
                name=str(claims.get("client_name", "")),
                jwks=claims["jwks"],
                redirect_uris=redirect_uris,
                webhook=webhook,
                about=about,
            )
            client_id = str(partner.client_id)
        else:
            client_id = str(row[0])
            _renew(host, client_id, row[1], claims, issued, about)
        _limit(host, client_id, allowed, by, is_new=is_new)
    except partners.PartnerInvalid as error:
        raise OAuthError("invalid_client_metadata", str(error)) from error
    with host.storage.write() as tx:
        tx.execute(
            "INSERT INTO admitted_elsewhere (issuer, software_id, client_id, statement_at, until) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (issuer, software_id) DO UPDATE SET statement_at = excluded.statement_at, until = excluded.until",
            (issuer, software_id, client_id, microseconds(issued), microseconds(expires)),
        )
        partner_standing.note(host, tx, client_id, by, "admit" if is_new else "renew-admission", issuer=issuer)
    return client_id


def _limit(host: Host, client_id: str, allowed: frozenset[str] | None, by: By, *, is_new: bool) -> None:
    """Hold the partner to the kinds that its admission names; what this host's operator set besides stays."""
    limits = partner_standing.find(host, client_id).limits
    if allowed is None or (limits.kinds is None and not is_new):
        return
    kinds = allowed if limits.kinds is None else limits.kinds & allowed
    if not kinds:
        raise partners.PartnerInvalid("kinds: the statement names none that this host lets the partner ask for")
    if kinds != limits.kinds:
        partner_standing.limit(host, client_id, replace(limits, kinds=kinds), by=by)


def _begun(host: Host, issuer: str, software_id: str) -> str | None:
    """A partner whose registration was cut off before it was written down that it came by a statement."""
    return next(
        (
            str(each.client_id)
            for each in partners.list_partners(host)
            if (each.about.get("admitted_by"), each.about.get("software_id")) == (issuer, software_id)
            and each.state != partners.REMOVED
        ),
        None,
    )


def _renew(  # noqa: PLR0917 - called in one place
    host: Host, client_id: str, statement_at: int, claims: Mapping[str, Any], issued: datetime, about: dict[str, str]
) -> None:
    """What a newer statement says in the place of the older one's; a lapsed admission holds again.

    Raises:
        OAuthError: the statement is older than the one that was taken, or this host has removed the partner.
        PartnerInvalid: keys or addresses are not as they must be.
    """
    if microseconds(issued) < statement_at:
        raise _invalid("a newer statement was taken; an older one would bring back keys that were replaced")
    try:
        partner = partner_standing.find(host, client_id)
    except partners.NoSuchPartner as error:
        raise _invalid("this host has removed the partner") from error
    jwks = partners.check_keys(claims["jwks"])
    redirect_uris = [partners.check_redirect_uri(uri) for uri in claims["redirect_uris"]]
    webhook = partners.check_redirect_uri(claims["webhook"]) if claims.get("webhook") else None
    with host.storage.write() as tx:
        tx.execute(
            "UPDATE partner SET jwks = ?, redirect_uris = ?, webhook = ?, about = ? WHERE client_id = ?",
            (json.dumps(jwks), json.dumps(redirect_uris), webhook, json.dumps(partner.about | about), client_id),
        )
    if partner.state == partners.SUSPENDED and partner.reason == _LAPSED:
        partner_standing.resume(host, client_id, by=By("operator", f"admitted by {about['admitted_by']}"))

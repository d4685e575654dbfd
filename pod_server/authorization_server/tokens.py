"""Access tokens (RFC 9068), and the two doors that take them: the bridge for partners, the pods for scripts and apps.

Each door refuses the other's tokens: a partner's names the bridge as `aud` and never a `webid`; a script's and an app's
names `solid` and always one. Tokens of other issuers open the pods' door alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pod_server import acting, partner_limits, partners, signing_keys
from pod_server.authorization_server import dpop_nonces, jose, scripts
from pod_server.authorization_server.connections import find_connection
from pod_server.authorization_server.dpop import AHEAD, check_proof, moment_of, nonce_headers
from pod_server.authorization_server.errors import (
    NonceNeeded,
    NonceRefused,
    ProofInvalid,
    ProofRefused,
    TokenMissing,
    TokenRefused,
)
from pod_server.authorization_server.external_issuers import stated_claims, verify_external
from pod_server.clock import microseconds
from pod_server.identifiers import ClientId, GrantId, WebId
from pod_server.parties import find_party
from pod_server.signatures import SignatureInvalid, sign_jws
from pod_server.spelling import spelled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from werkzeug.wrappers import Request

    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

LIFETIME = timedelta(minutes=10)
TYPE = "at+jwt"
SOLID_AUDIENCE = "solid"


@dataclass(frozen=True)
class AuthenticatedPartner:
    """A partner at the bridge's door.

    Attributes:
        client_id: Which.
        name: What people call it.
        grant: The one grant that the token is for, or None for a token of the partner's own (bulk).
        jkt: The thumbprint of its proof key.
        kinds: The kinds that the municipality lets it deliver; None for all.
        document: Where an app describes itself; empty for a partner.
        delivered_by: The integrator who came in its place, with leave to; empty where it came itself.
        through: That one's name.
    """

    client_id: ClientId
    name: str
    grant: GrantId | None
    jkt: str
    kinds: frozenset[str] | None = None
    document: str = ""
    delivered_by: str = ""
    through: str = ""

    @property
    def whose_deliveries(self) -> str:
        """Under which name its unfinished deliveries are kept: an integrator's apart from the partner's own."""
        return f"{self.client_id} by {self.delivered_by}" if self.delivered_by else self.client_id


@dataclass(frozen=True)
class Agent:
    """Whoever came to the Solid door.

    Attributes:
        webid: The person, or None for a stranger.
        client_id: The program, or empty.
        origin: The `Origin` header, or None.
        client_name: What the program calls itself, or empty.
        modes: The access modes that the citizen let the program use; None where it may use all that the person has.
    """

    webid: WebId | None
    client_id: str
    origin: str | None
    client_name: str = ""
    modes: frozenset[str] | None = None


def bridge_audience(host: Host) -> str:
    """The `aud` of partners' tokens."""
    return f"{host.base_url}/bridge"


def issue_access_token(
    host: Host, *, audience: str, client_id: str, subject: str, jkt: str, claims: Mapping[str, Any]
) -> str:
    """A token bound to a proof key, good for ten minutes."""
    now = host.clock.protocol_now()
    payload = {
        "iss": host.base_url,
        "aud": audience,
        "sub": subject,
        "client_id": client_id,
        "iat": int(now.timestamp()),
        "exp": int((now + LIFETIME).timestamp()),
        "jti": secrets.token_urlsafe(16),
        "cnf": {"jkt": jkt},
        **claims,
    }
    return sign_jws(signing_keys.current(host), payload, typ=TYPE)


def read_access_token(host: Host, token: str) -> dict[str, Any]:
    """The claims of a token of ours that is good now, whatever its audience.

    Raises:
        TokenRefused: forged, of another type, run out, revoked, or not ours.
    """
    try:
        claims = signing_keys.verify(host, token, typ=TYPE).payload
    except SignatureInvalid as error:
        raise TokenRefused("the access token is not one of this host's") from error
    now = host.clock.protocol_now()
    expires, issued = moment_of(claims.get("exp")), moment_of(claims.get("iat"))
    if claims.get("iss") != host.base_url or issued is None or issued > now + AHEAD:
        raise TokenRefused("the access token is not one of this host's")
    if expires is None or expires <= now:
        raise TokenRefused("the access token has run out")
    return claims


def _token_of(request: Request) -> str:
    headers = request.headers.getlist("Authorization")
    if not headers:
        raise TokenMissing
    scheme, _, token = headers[0].partition(" ")
    if len(headers) != 1 or scheme.lower() != "dpop" or not token:
        raise TokenRefused("the access token belongs in one Authorization header with the scheme DPoP")
    return token.strip()


def _address_of(host: Host, request: Request) -> str:
    return f"{host.base_url}{spelled(request.path)}"  # the path comes decoded, once


def _check_possession(
    host: Host, request: Request, token: str, claims: Mapping[str, Any], *, token_hash_needed: bool
) -> str:
    confirmation = claims.get("cnf")
    jkt = confirmation.get("jkt") if isinstance(confirmation, dict) else None
    if not isinstance(jkt, str):
        raise TokenRefused("the access token is bound to no key")
    try:
        return check_proof(
            host,
            request.headers.getlist("DPoP"),
            method=request.method,
            address=_address_of(host, request),
            access_token=token,
            token_hash_needed=token_hash_needed,
            key_thumbprint=jkt,
        )
    except NonceNeeded as needed:
        raise NonceRefused(needed) from needed
    except ProofInvalid as error:
        raise ProofRefused(str(error)) from error


def verify_partner_request(
    host: Host, request: Request, *, apps_too: bool = False, who_acts_too: bool = False
) -> AuthenticatedPartner:
    """Who is at the bridge's door.

    Args:
        host: This host.
        request: What came.
        apps_too: True at the doors where a consent is read or given up, which an app's may be as well.
        who_acts_too: True at the doors where an integrator may come in a partner's name (token_exchange.py): to deliver, and
            to fetch what became of it; never to read a citizen's data.

    Raises:
        TokenRefused: a subclass says whether the token is missing, or its proof does not hold; each is a 401.
        PartnerSuspended: it is who it says, and is stopped.
        PartnerLimited: it has used up what the municipality lets it do.
    """
    token = _token_of(request)
    claims = read_access_token(host, token)
    if claims.get("aud") != bridge_audience(host) or "webid" in claims:
        raise TokenRefused("the access token is for another door")
    jkt = _check_possession(host, request, token, claims, token_hash_needed=True)
    if "act" in claims:
        if not who_acts_too:
            raise TokenRefused("the access token is for delivering in another partner's name, and for nothing else")
        return _who_acts(host, request, claims, jkt)
    client_id = str(claims.get("client_id", ""))
    with host.storage.read() as tx:
        partner = find_party(host, tx, client_id)
        revoked = is_revoked(tx, claims)
    if partner is None or partner.state == partners.REMOVED or revoked:
        raise TokenRefused("the access token has been revoked")
    if partner.document and not (apps_too and isinstance(claims.get("grant"), str)):
        raise TokenRefused("the access token is for another door: an app reads under its consent, and delivers nothing")
    partner.require_active()
    if dpop_nonces.needed_by(partner) and not nonce_headers(host, request.headers.getlist("DPoP")):
        raise NonceRefused(NonceNeeded(dpop_nonces.current(host)))
    if not partner.document:
        partner_limits.count_request(host, partner)
    grant = claims.get("grant")
    return AuthenticatedPartner(
        partner.client_id,
        partner.name,
        GrantId(grant) if isinstance(grant, str) else None,
        jkt,
        partner.limits.kinds,
        partner.document,
    )


def _who_acts(host: Host, request: Request, claims: Mapping[str, Any], jkt: str) -> AuthenticatedPartner:
    """The principal, brought by an actor whose leave stands now; the token was made by `token_exchange` and no other way."""
    actor_id, principal_id = str(claims.get("client_id", "")), str(claims.get("sub", ""))
    if claims["act"] != {"sub": actor_id} or "grant" in claims:
        raise TokenRefused("the access token is not one of this host's")
    with host.storage.read() as tx:
        actor, principal = partners.find_partner(tx, actor_id), partners.find_partner(tx, principal_id)
        ended = is_revoked(tx, claims) or not acting.may_act(tx, principal_id, actor_id)
    if actor is None or principal is None or partners.REMOVED in {actor.state, principal.state}:
        raise TokenRefused("the access token has been revoked")
    for each in (principal, actor):
        each.require_active()
    if ended:
        raise TokenRefused("the access token has been revoked, or the leave to act has ended")
    if dpop_nonces.needed_by(actor) and not nonce_headers(host, request.headers.getlist("DPoP")):
        raise NonceRefused(NonceNeeded(dpop_nonces.current(host)))
    for each in (actor, principal):
        partner_limits.count_request(host, each)
    limits = [each.limits.kinds for each in (actor, principal) if each.limits.kinds is not None]
    return AuthenticatedPartner(
        principal.client_id,
        principal.name,
        None,
        jkt,
        frozenset.intersection(*limits) if limits else None,
        delivered_by=actor.client_id,
        through=actor.name,
    )


def verify_solid_request(host: Host, request: Request) -> Agent:
    """Who is at a pod's door; without an Authorization header a stranger, which is no error. Cookies say nothing here.

    Raises:
        TokenRefused: a token came and does not open this door, or its proof does not hold.
    """
    origin = request.headers.get("Origin")
    if "Authorization" not in request.headers:
        return Agent(None, "", origin)
    token = _token_of(request)
    foreign = _read_foreign(host, token)
    if foreign is not None:
        return _verify_foreign_agent(host, request, foreign, origin)
    claims = read_access_token(host, token)
    webid, client_id = claims.get("webid"), str(claims.get("client_id", ""))
    if claims.get("aud") != SOLID_AUDIENCE or not isinstance(webid, str) or "grant" in claims:
        raise TokenRefused("the access token is for another door")
    _check_possession(host, request, token, claims, token_hash_needed=False)
    with host.storage.read() as tx:
        revoked = is_revoked(tx, claims)
        connection = find_connection(host, tx, str(claims["connection"])) if "connection" in claims else None
        script = scripts.find_script(tx, client_id) if "connection" not in claims else None
    if revoked:
        raise TokenRefused("the access token has been revoked")
    if "connection" in claims:
        if connection is None or connection.webid != webid or connection.client_id != client_id:
            raise TokenRefused("the citizen has ended this app's access")
        return Agent(WebId(webid), client_id, origin, connection.name, connection.modes)
    if script is None or script.webid != webid:
        raise TokenRefused("the access token has been revoked")
    return Agent(WebId(webid), client_id, origin)


def _read_foreign(host: Host, token: str) -> jose.Unverified | None:
    """A token that says another issuer made it; None for every other text, which our own reader judges."""
    try:
        unverified = _read_token(token)
    except jose.JoseInvalid:
        return None
    return unverified if unverified.claims.get("iss") not in {host.base_url, None} else None


@lru_cache(maxsize=256)
def _read_token(token: str) -> jose.Unverified:
    """Reading follows from the text alone, and the same token comes with every request."""
    return jose.read(token, jose.ISSUER_ALGORITHMS)


def _verify_foreign_agent(host: Host, request: Request, unverified: jose.Unverified, origin: str | None) -> Agent:
    """Who another issuer says it is. The proof comes first: it costs the bearer more than it costs anybody else."""
    claims = stated_claims(host, unverified)
    _check_possession(host, request, unverified.text, claims, token_hash_needed=False)
    claims = verify_external(host, unverified)
    # Another issuer's client identifiers are its own affair; no name it gives may be one of ours.
    client_id = f"{claims['iss']} {claims['client_id']}"
    return Agent(WebId(str(claims["webid"])), client_id, origin)


def is_revoked(tx: Transaction, claims: Mapping[str, Any]) -> bool:
    """Whether a token of ours, or every token that came of its code, was ended before its time."""
    names = (str(claims.get("jti")), _family_name(str(claims.get("family", ""))))
    return tx.one("SELECT 1 FROM revoked_access_token WHERE token_id IN (?, ?)", names) is not None


def end_family(tx: Transaction, family: str, now: datetime) -> None:
    """End every access token that came of one code, in the caller's transaction: it was used twice (RFC 6749, 4.1.2)."""
    tx.execute(
        "INSERT INTO revoked_access_token (token_id, expires_at) VALUES (?, ?) "
        "ON CONFLICT (token_id) DO UPDATE SET expires_at = excluded.expires_at",
        (_family_name(family), microseconds(now + LIFETIME + AHEAD)),
    )


def _family_name(family: str) -> str:
    return f"family {family}"


def revoke_access_token(host: Host, claims: Mapping[str, Any]) -> None:
    """Remember a token as revoked until it would have run out."""
    with host.storage.write() as tx:
        now = microseconds(host.clock.protocol_now())
        tx.execute("DELETE FROM revoked_access_token WHERE expires_at <= ?", (now,))
        tx.execute(
            "INSERT INTO revoked_access_token (token_id, expires_at) VALUES (?, ?) ON CONFLICT (token_id) DO NOTHING",
            (str(claims["jti"]), int(claims["exp"]) * 1_000_000),
        )

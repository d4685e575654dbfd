"""Signing out at a provider, and being signed out by it.

Source: OpenID Connect RP-Initiated Logout 1.0, Front-Channel Logout 1.0 and Back-Channel Logout 1.0.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pod_server.authentication.session import end_sessions_of_provider, upstream_hint
from pod_server.lookups import LookupsBusy
from pod_server.sign_in.answers import session_hash, signed_claims
from pod_server.sign_in.errors import AnswerInvalid, ProviderInvalid, ProviderUnreachable
from pod_server.sign_in.providers import configuration_of, find_provider, list_providers
from pod_server.sign_in.requests import with_parameters

if TYPE_CHECKING:
    from pod_server.host import Host

_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_TYPES = frozenset({"logout+jwt", "jwt", ""})
_REMEMBERED_FOR = timedelta(hours=1)


def address_to_sign_out(host: Host, cookie: str | None) -> tuple[str, str] | None:
    """Where a session that a provider began is signed out there too: the provider's name and the address.

    None where no provider began it, or it has no such address; an unreachable one keeps nobody signed in here.
    """
    hint = upstream_hint(host, cookie)
    if hint is None:
        return None
    began: dict[str, str] = json.loads(hint)
    try:
        provider = find_provider(host, began["slug"])
        address = configuration_of(host, provider).end_session_endpoint
    except (ProviderInvalid, ProviderUnreachable, LookupsBusy):
        return None
    if not address:
        return None
    parameters = {
        "id_token_hint": began["id_token"],
        "client_id": provider.client_id,
        "post_logout_redirect_uri": f"{host.base_url}/-/",
    }
    return provider.name, with_parameters(address, parameters)


def end_by_name(host: Host, issuer: str, sid: str) -> int:
    """A provider signs somebody out through their browser (Front-Channel Logout, section 3); how many sessions ended.

    Whoever knows the session's unguessable name there may end it here; that is all they can do.
    """
    ended = 0
    for provider in list_providers(host):
        named = session_hash(host, provider, sid) if provider.issuer == issuer else None
        if named is not None:
            ended += end_sessions_of_provider(host, named)
    return ended


def end_by_token(host: Host, slug: str, token: str) -> int:
    """A provider signs somebody out by itself (Back-Channel Logout, section 2.6); how many sessions ended.

    Raises:
        AnswerInvalid: the logout token does not hold.
        ProviderInvalid, ProviderUnreachable, LookupsBusy: as they say.
    """
    provider = find_provider(host, slug)
    claims: dict[str, Any] = signed_claims(host, provider, token, types=_TYPES)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(_EVENT), dict) or "nonce" in claims:
        raise AnswerInvalid("it is no logout token")
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= 200:
        raise AnswerInvalid("the logout token has no jti")
    expires = host.clock.protocol_now() + _REMEMBERED_FOR
    if not host.replay.first_use(f"logout {provider.issuer} {identifier}", expires):
        raise AnswerInvalid("the logout token came already")
    named = session_hash(host, provider, claims.get("sid"))
    if named is None:
        raise AnswerInvalid("the logout token names no session (sid)")
    return end_sessions_of_provider(host, named)

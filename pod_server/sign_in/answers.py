"""The browser comes back with a code: it is redeemed, and the ID token judged (OpenID Connect Core 1.0, section 3.1.3).

What names the person there is used once, to make its keyed hash, and then forgotten: it is in no database and no log.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pod_server.authorization_server import jose
from pod_server.authorization_server.dpop import AHEAD, moment_of
from pod_server.sign_in.errors import AnswerInvalid, SignInRefusedThere
from pod_server.sign_in.providers import configuration_of, find_provider, keys_of, send
from pod_server.sign_in.requests import asked_before

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pod_server.host import Host
    from pod_server.sign_in.providers import Provider
    from pod_server.sign_in.requests import Asked

OLDEST = timedelta(minutes=10)
_TYPES = frozenset({"jwt", ""})
_NATIONAL_NUMBER = re.compile(r"[0-9]{11}\Z")
_LONGEST = 500


@dataclass(frozen=True)
class Known:
    """Somebody whom a provider knows.

    Attributes:
        provider: Which provider.
        asked: What was asked of it.
        subject_hash: The keyed hash of who they are there.
        session_hash: The keyed hash of their session there, or None where it names none.
        id_token: For signing out there; it names the person.
    """

    provider: Provider
    asked: Asked
    subject_hash: str = field(repr=False)
    session_hash: str | None = field(repr=False)
    id_token: str = field(repr=False)


def receive(host: Host, slug: str, parameters: Mapping[str, list[str]], cookie: str | None) -> Known:
    """Judge what a browser brought back from a provider.

    Args:
        host: This host.
        slug: The provider whose address it came to.
        parameters: The address's parameters, each with all its values.
        cookie: What the browser was given when it was sent there.

    Raises:
        AnswerInvalid: it is not the answer to this browser's request, or the ID token does not hold.
        SignInRefusedThere: the citizen broke off, or the provider refused.
        ProviderInvalid, ProviderUnreachable, LookupsBusy: as they say.
    """
    provider = find_provider(host, slug)
    single = {name: values[0] for name, values in parameters.items() if len(values) == 1}
    if len(single) != len(parameters):
        raise AnswerInvalid("a parameter came twice")
    asked = asked_before(host, slug, cookie, single.get("state", ""))
    configuration = configuration_of(host, provider)
    if single.get("iss", provider.issuer) != provider.issuer or (configuration.names_itself and "iss" not in single):
        raise AnswerInvalid("it is another issuer's (RFC 9207)")
    if "error" in single:
        raise SignInRefusedThere(provider.name)
    code = single.get("code", "")
    if not code or len(code) > _LONGEST * 4:
        raise AnswerInvalid("it holds no code")
    redeemed = send(
        host,
        provider,
        configuration.token_endpoint,
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": provider.redirect_uri(host),
            "code_verifier": asked.verifier,
        },
    )
    token = redeemed.get("id_token")
    if not isinstance(token, str):
        raise AnswerInvalid("it brought no ID token")
    claims = signed_claims(host, provider, token, types=_TYPES)
    _judge(host, provider, asked, claims)
    return Known(
        provider,
        asked,
        subject_hash(host, provider, claims),
        session_hash(host, provider, claims.get("sid")),
        token,
    )


def signed_claims(host: Host, provider: Provider, token: str, *, types: frozenset[str]) -> dict[str, Any]:
    """The claims of something that the provider signed for this host (section 3.1.3.7, points 2, 3 and 6 to 8).

    Raises:
        AnswerInvalid: not the provider's, not for this host, or of another type.
        ProviderUnreachable, LookupsBusy: its keys cannot be had.
    """
    try:
        unverified = jose.read(token, jose.ISSUER_ALGORITHMS)
    except jose.JoseInvalid as error:
        raise AnswerInvalid("what it signed cannot be read, or with another algorithm than is taken") from error
    if str(unverified.header.get("typ", "")).lower() not in types:
        raise AnswerInvalid("what it signed is something else")
    key = _key_for(unverified, keys_of(host, provider)) or _key_for(unverified, keys_of(host, provider, again=True))
    try:
        if key is None:
            raise jose.JoseInvalid("no such key")  # noqa: TRY301 - told like a wrong signature
        claims = jose.verify(unverified, key)
    except jose.JoseInvalid as error:
        raise AnswerInvalid("it is not signed with a key of the provider's") from error
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != provider.issuer or provider.client_id not in audiences:
        raise AnswerInvalid("it is another issuer's, or for somebody else")
    if claims.get("azp", provider.client_id) != provider.client_id or (len(audiences) > 1 and "azp" not in claims):
        raise AnswerInvalid("it is for somebody else")
    now = host.clock.protocol_now()
    issued = moment_of(claims.get("iat"))
    if issued is None or not now - OLDEST <= issued <= now + AHEAD:
        raise AnswerInvalid("it is older than ten minutes, or dated ahead of this host's clock")
    return claims


def subject_hash(host: Host, provider: Provider, claims: Mapping[str, Any]) -> str:
    """The keyed hash of who somebody is at a provider.

    Raises:
        AnswerInvalid: the ID token does not say who it is.
    """
    value = claims.get(provider.subject_claim)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        raise AnswerInvalid(f"its ID token has no {provider.subject_claim}")
    if provider.subject_claim == "pid" and not _NATIONAL_NUMBER.match(value):
        raise AnswerInvalid("its pid is not eleven digits")
    return _hash(host, "upstream subjects", provider.issuer, provider.subject_claim, value)


def session_hash(host: Host, provider: Provider, sid: object) -> str | None:
    """The keyed hash of a session at a provider; None where it has no name."""
    if not isinstance(sid, str) or not 0 < len(sid) <= _LONGEST:
        return None
    return _hash(host, "upstream sessions", provider.issuer, "sid", sid)


def _hash(host: Host, label: str, *words: str) -> str:
    return hmac.digest(host.host_key.derive(label), "\x00".join(words).encode(), "sha256").hex()


def _key_for(unverified: jose.Unverified, keys: list[dict[str, Any]]) -> dict[str, Any] | None:
    wanted = unverified.header.get("kid")
    fitting = [key for key in keys if wanted is None or key.get("kid") == wanted]
    return fitting[0] if len(fitting) == 1 else None


def _judge(host: Host, provider: Provider, asked: Asked, claims: Mapping[str, Any]) -> None:
    """The rest of section 3.1.3.7: it has not run out, answers this request, and is good enough."""
    now = host.clock.protocol_now()
    expires = moment_of(claims.get("exp"))
    if expires is None or expires <= now:
        raise AnswerInvalid("its ID token has run out")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), asked.nonce.encode()):
        raise AnswerInvalid("its ID token answers another request (nonce)")
    if provider.levels and claims.get("acr") not in provider.levels:
        raise AnswerInvalid("they signed in there in a way that is not safe enough (acr)")
    if "auth_time" in claims and asked.purpose == "link":
        when = moment_of(claims["auth_time"])
        if when is None or when.timestamp() < asked.at - AHEAD.total_seconds():
            raise AnswerInvalid("they did not sign in there just now")

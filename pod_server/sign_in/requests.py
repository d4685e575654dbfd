"""A citizen's browser is sent to a provider: code, PKCE, state and nonce, pushed where the provider takes that.

What must be known when the browser comes back travels with it, in a cookie sealed for this host: nobody else's browser
can bring it, and nothing is stored for those who never come back.

Source: OpenID Connect Core 1.0, section 3.1.2; RFC 7636; RFC 9126; RFC 9700.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pod_server.authorization.errors import SealBroken
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.sign_in.errors import AnswerInvalid, ProviderUnreachable
from pod_server.sign_in.providers import configuration_of, find_provider, send

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.sign_in.providers import Provider

LIFETIME = timedelta(minutes=15)
_LABEL = "upstream-request"
Purpose = Literal["sign-in", "link"]
_LOCALES = {"nb": "nb", "nn": "nn", "en": "en"}


@dataclass(frozen=True)
class Asked:
    """What was asked of a provider, as the browser brings it back.

    Attributes:
        slug: Which provider.
        purpose: `sign-in`, or `link` for a citizen who is signed in.
        session: The session that asked for a link; empty for signing in.
        state: Ties the answer to this request.
        nonce: Ties the ID token to it.
        verifier: PKCE's.
        following: Where to go on to.
        at: When it was asked, in seconds since 1970.
    """

    slug: str
    purpose: Purpose
    session: str
    state: str
    nonce: str
    verifier: str
    following: str
    at: int


@dataclass(frozen=True)
class Request:
    """A request under way.

    Attributes:
        address: Where to send the browser.
        cookie: What it must bring back.
    """

    address: str
    cookie: str


def begin(
    host: Host, slug: str, *, purpose: Purpose = "sign-in", session: str = "", following: str = "", language: str = "nb"
) -> Request:
    """Ask a provider who a browser's owner is.

    Args:
        host: This host.
        slug: Which provider.
        purpose: To sign in, or to link the one who is signed in.
        session: The name of the session that asks for a link.
        following: Where to go on to afterwards.
        language: The reader's.

    Raises:
        ProviderInvalid: there is no such provider.
        ProviderUnreachable: it does not answer.
        LookupsBusy: too many other hosts are being waited for.
    """
    provider = find_provider(host, slug)
    configuration = configuration_of(host, provider)
    asked = Asked(
        slug=slug,
        purpose=purpose,
        session=session,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(32),
        following=following,
        at=int(host.clock.protocol_now().timestamp()),
    )
    parameters = _parameters(host, provider, asked, language)
    if configuration.push_endpoint:
        pushed = send(host, provider, configuration.push_endpoint, parameters).get("request_uri")
        if not isinstance(pushed, str) or not pushed:
            raise ProviderUnreachable("it took the request and gave it no name")
        parameters = {"client_id": provider.client_id, "request_uri": pushed}
    cookie = seal(host.host_key, _LABEL, (slug,), json.dumps(asdict(asked)).encode())
    return Request(with_parameters(configuration.authorization_endpoint, parameters), cookie)


def asked_before(host: Host, slug: str, cookie: str | None, state: str) -> Asked:
    """What this browser asked of a provider; it is answered once.

    Raises:
        AnswerInvalid: nothing, something else, or too long ago.
    """
    try:
        asked = Asked(**json.loads(unseal(host.host_key, _LABEL, (slug,), (cookie or "")[:4000])))
    except (SealBroken, ValueError, TypeError) as error:
        raise AnswerInvalid("this browser has asked for nothing there, or its answer came already") from error
    if not hmac.compare_digest(state.encode(), asked.state.encode()):
        raise AnswerInvalid("its state is not the request's")
    now = host.clock.protocol_now()
    if not asked.at <= now.timestamp() <= asked.at + LIFETIME.total_seconds():
        raise AnswerInvalid("it took longer than fifteen minutes")
    if not host.replay.first_use(f"upstream {asked.state}", datetime.fromtimestamp(asked.at, UTC) + LIFETIME):
        raise AnswerInvalid("this answer came already")
    return asked


def with_parameters(address: str, parameters: dict[str, str]) -> str:
    """An address with parameters added to those it has."""
    parts = urlsplit(address)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *parameters.items()])
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def _parameters(host: Host, provider: Provider, asked: Asked, language: str) -> dict[str, str]:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(asked.verifier.encode()).digest()).rstrip(b"=").decode()
    parameters = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": provider.redirect_uri(host),
        "scope": " ".join(provider.scopes),
        "state": asked.state,
        "nonce": asked.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "ui_locales": _LOCALES.get(language, "nb"),
    }
    if provider.levels:
        parameters["acr_values"] = provider.levels[0]
    if asked.purpose == "link":
        # Whoever left a session of theirs at the provider in this browser must not come to be linked.
        parameters["prompt"] = "login"
    return parameters

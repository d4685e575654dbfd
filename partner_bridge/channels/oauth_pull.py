"""The channel of sources that a citizen signs in to: this host as an OAuth client, with requests-oauthlib.

    begin      code, PKCE S256 and state; what must be known at the return travels in a cookie sealed for this host
    receive    cookie, session, state and issuer are checked before the code is shown to anybody
    refresh    a new access token; the source may replace the refresh token with it

Source: RFC 6749, RFC 7636, RFC 9207 (issuer), RFC 8414 (metadata), RFC 7009; RFC 9700 (best current practice).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from partner_bridge.errors import AnswerNotOurs, SignInAgain, SourceBusy, SourceUnreachable
from partner_bridge.token_vault import Tokens
from pod_server import signing_keys
from pod_server.authorization.errors import SealBroken
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.outbound import OutboundError, origin_of
from pod_server.signatures import sign_jws

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import requests
    from requests_oauthlib import OAuth2Session

    from partner_bridge.sources import Source
    from pod_server.host import Host

LIFETIME = timedelta(minutes=15)
AHEAD_SECONDS = 30.0
"""An access token that ends so soon is not shown any more: it could end on the way."""

ASSERTION_SECONDS = 60
ASSERTION_TYPE = "client-authentication+jwt"

_LABEL = "source-request"
_FORBIDDEN_STATUS = frozenset({400, 401, 403})


@dataclass(frozen=True)
class Endpoints:
    """Where a source's authorization server is asked.

    Attributes:
        names_itself: Its answers always carry `iss` (RFC 9207).
    """

    authorization: str
    token: str
    revocation: str
    names_itself: bool


@dataclass(frozen=True)
class Asked:
    """What was asked of a source, as the browser brings it back; `at` in seconds since 1970."""

    slug: str
    session: str
    state: str
    verifier: str
    at: int


@dataclass(frozen=True)
class Request:
    """A request under way: where to send the browser, and what it must bring back."""

    address: str
    cookie: str


def begin(host: Host, source: Source, session: str) -> Request:
    """Ask a source, through the citizen's browser, to let this host read for them.

    Args:
        host: This host.
        source: Which.
        session: The name of the session that asks.

    Raises:
        SourceUnreachable: its metadata cannot be had.
        LookupsBusy: too many other hosts are being waited for.
    """
    endpoints = endpoints_of(host, source)
    asked = Asked(
        slug=source.slug,
        session=session,
        state=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        at=int(host.clock.protocol_now().timestamp()),
    )
    challenge = base64.urlsafe_b64encode(hashlib.sha256(asked.verifier.encode()).digest()).rstrip(b"=").decode()
    address, _ = _session(host, source, scope=list(source.scopes) or None).authorization_url(
        endpoints.authorization,
        state=asked.state,
        code_challenge=challenge,
        code_challenge_method="S256",
        **source.parameters,
    )
    cookie = seal(host.host_key, _LABEL, (source.slug,), json.dumps(asdict(asked)).encode())
    return Request(str(address), cookie)


def receive(
    host: Host, source: Source, parameters: Mapping[str, Sequence[str]], *, cookie: str | None, session: str
) -> Tokens:
    """Turn the answer that a browser brought back into tokens.

    Args:
        host: This host.
        source: The one whose own redirect address was called.
        parameters: The address's, each with every value that it came with.
        cookie: What the browser brought back beside them.
        session: The name of the session that is signed in.

    Raises:
        AnswerNotOurs: nothing was asked by this browser and session, or the answer is another's.
        SignInAgain: the citizen or the source said no.
        SourceUnreachable, SourceBusy: it does not answer as it should.
    """
    if any(len(values) != 1 for values in parameters.values()):
        raise AnswerNotOurs("a parameter came twice")
    answer = {name: values[0] for name, values in parameters.items()}
    asked = _asked_before(host, source, cookie, session, answer.get("state", ""))
    endpoints = endpoints_of(host, source)
    issuer = answer.get("iss")
    if issuer is None and endpoints.names_itself:
        raise AnswerNotOurs("its answer does not say whose it is")
    if issuer is not None and issuer != source.issuer:
        raise AnswerNotOurs("its answer is another issuer's")
    if "error" in answer or not answer.get("code"):
        raise SignInAgain("the sign-in there was broken off")
    if not host.replay.first_use(f"source {asked.state}", datetime.fromtimestamp(asked.at, UTC) + LIFETIME):
        raise AnswerNotOurs("this answer came already")
    return _tokens(
        host,
        lambda client: client.fetch_token(
            endpoints.token,
            code=answer["code"],
            code_verifier=asked.verifier,
            **_authentication(host, source),
        ),
        source,
    )


def refresh(host: Host, source: Source, tokens: Tokens) -> Tokens:
    """New tokens for old. The caller keeps them durably before it uses them.

    Raises:
        SignInAgain: the source takes the refresh token no more.
        SourceUnreachable, SourceBusy: it does not answer as it should; the old tokens may still be good.
    """
    if not tokens.refresh:
        raise SignInAgain("its leave has ended")
    endpoints = endpoints_of(host, source)
    authentication = _authentication(host, source)
    if authentication.pop("include_client_id", None):
        authentication |= {"client_id": source.oauth_client}
    return _tokens(
        host,
        lambda client: client.refresh_token(endpoints.token, refresh_token=tokens.refresh, **authentication),
        source,
        before=tokens,
    )


def revoke(host: Host, source: Source, tokens: Tokens) -> bool:
    """Tell a source that a citizen's tokens are not needed any more; False where it could not be told."""
    try:
        endpoints = endpoints_of(host, source)
        if not endpoints.revocation:
            return False
        authentication = _authentication(host, source)
        client_auth = authentication.pop("auth", None)
        form = {"token": tokens.refresh or tokens.access}
        if authentication.pop("include_client_id", None):
            form |= {"client_id": source.oauth_client, **authentication}
        answer = _session(host, source).post(endpoints.revocation, data=form, auth=client_auth, withhold_token=True)
    except (OutboundError, SourceUnreachable):
        return False
    return bool(answer.status_code == 200)


def get(host: Host, source: Source, tokens: Tokens, path: str, accept: str) -> bytes:
    """One request to a source's interface.

    Raises:
        SignInAgain: it does not take the access token.
        SourceBusy: it wants to be left alone for a while.
        SourceUnreachable: it does not answer, or not as it should.
    """
    client = _session(host, source, token={"access_token": tokens.access, "token_type": "Bearer"})
    return fetch(host, client, source.api.rstrip("/") + path, {"Accept": accept})


def fetch(host: Host, client: requests.Session, address: str, headers: Mapping[str, str]) -> bytes:
    """A GET that ends in a body or in one of this channel's errors; as `get`."""
    import requests  # noqa: PLC0415 - only who pulls needs it

    try:
        answer = client.get(address, headers=dict(headers))
    except (OutboundError, requests.RequestException) as error:
        raise SourceUnreachable(str(error) if isinstance(error, OutboundError) else "it redirects") from error
    if answer.status_code == 401:
        raise SignInAgain("it does not take the token any more")
    _require_answer(host, answer)
    if answer.status_code != 200:
        raise SourceUnreachable(f"it answered {answer.status_code}")
    return bytes(answer.content)


def endpoints_of(host: Host, source: Source) -> Endpoints:
    """Where to ask: as the operator said, or as the metadata of the named issuer says, and of no other.

    Raises:
        SourceUnreachable: there is no metadata, or it is another issuer's.
        LookupsBusy: too many other hosts are being waited for.
    """
    if source.authorization_endpoint:
        return Endpoints(
            source.authorization_endpoint, source.token_endpoint, source.revocation_endpoint, names_itself=False
        )
    now = host.clock.protocol_now()
    return host.lookups.find("source", source.issuer, now, lambda: _metadata(host, source.issuer), SourceUnreachable)


def _metadata(host: Host, issuer: str) -> Endpoints:
    parts = urlsplit(issuer)
    address = f"{origin_of(parts)}/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
    try:
        answer = host.outbound.get(address, {"Accept": "application/json"})
        said = json.loads(answer.body) if answer.status == 200 else None
    except (OutboundError, ValueError, RecursionError) as error:
        raise SourceUnreachable("its metadata cannot be read") from error
    if not isinstance(said, dict) or said.get("issuer") != issuer:
        raise SourceUnreachable("its metadata is another issuer's, or none")
    found = {name: said.get(f"{name}_endpoint", "") for name in ("authorization", "token", "revocation")}
    for name, endpoint in found.items():
        if not isinstance(endpoint, str) or (not endpoint and name != "revocation"):
            raise SourceUnreachable(f"its metadata has no {name} endpoint")
    if "S256" not in (said.get("code_challenge_methods_supported") or ["S256"]):
        raise SourceUnreachable("its metadata offers no PKCE with S256")
    return Endpoints(
        found["authorization"],
        found["token"],
        found["revocation"],
        said.get("authorization_response_iss_parameter_supported") is True,
    )


def _asked_before(host: Host, source: Source, cookie: str | None, session: str, state: str) -> Asked:
    try:
        asked = Asked(**json.loads(unseal(host.host_key, _LABEL, (source.slug,), (cookie or "")[:4000])))
    except (SealBroken, ValueError, TypeError) as error:
        raise AnswerNotOurs("this browser has asked for nothing there, or its answer came already") from error
    if not hmac.compare_digest(session.encode(), asked.session.encode()):
        raise AnswerNotOurs("somebody else is signed in here now")
    if not hmac.compare_digest(state.encode(), asked.state.encode()):
        raise AnswerNotOurs("its state is not the request's")
    now = host.clock.protocol_now().timestamp()
    if not asked.at <= now <= asked.at + LIFETIME.total_seconds():
        raise AnswerNotOurs("it took longer than fifteen minutes")
    return asked


def _session(host: Host, source: Source, **options: Any) -> OAuth2Session:
    from requests_oauthlib import OAuth2Session  # noqa: PLC0415 - only who pulls needs it

    from partner_bridge.outbound_adapter import guard  # noqa: PLC0415

    client = OAuth2Session(source.oauth_client, redirect_uri=source.redirect_uri(host), **options)
    guard(client, host.outbound)
    return client


def _authentication(host: Host, source: Source) -> dict[str, Any]:
    """How this host shows a source who it is: a secret, or a signature by its own key (RFC 7523, section 2.2)."""
    from requests.auth import HTTPBasicAuth  # noqa: PLC0415

    if source.signs_in_with_key:
        return {
            "include_client_id": True,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": _assertion(host, source),
        }
    if source.secret_in_body:
        return {"client_secret": source.secret, "include_client_id": True}
    return {"auth": HTTPBasicAuth(source.oauth_client, source.secret)}


def _assertion(host: Host, source: Source) -> str:
    """A minute's word that this host is who it says, to one source and once.

    The audience is the issuer alone and the type says what it is for, so that no other server takes it, nor any door of this
    house's (RFC 8725, section 3.11; RFC 7523bis, section 3; FAPI 2.0, section 5.3.3.1).
    """
    now = int(host.clock.protocol_now().timestamp())
    claims = {
        "iss": source.oauth_client,
        "sub": source.oauth_client,
        "aud": source.issuer,
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
        "jti": secrets.token_urlsafe(24),
    }
    return sign_jws(signing_keys.current(host), claims, typ=ASSERTION_TYPE)


def _tokens(host: Host, ask: Any, source: Source, *, before: Tokens | None = None) -> Tokens:
    import requests  # noqa: PLC0415
    from oauthlib.oauth2 import OAuth2Error  # noqa: PLC0415

    client = _session(host, source)

    def check(answer: requests.Response) -> requests.Response:
        _require_answer(host, answer)
        return answer

    for moment in ("access_token_response", "refresh_token_response"):
        client.register_compliance_hook(moment, check)
    try:
        said = ask(client)
    except OAuth2Error as error:
        if error.error in {"invalid_grant", "access_denied", "interaction_required"}:
            raise SignInAgain("its leave has ended") from error
        raise SourceUnreachable(f"it refused ({str(error.error)[:40]})") from error
    except (OutboundError, requests.RequestException, ValueError, Warning) as error:
        raise SourceUnreachable("it did not answer with tokens") from error
    access, new_refresh = said.get("access_token"), said.get("refresh_token") or (before.refresh if before else "")
    if (
        not isinstance(access, str)
        or not isinstance(new_refresh, str)
        or str(said.get("token_type")).lower() != "bearer"
    ):
        raise SourceUnreachable("it did not answer with bearer tokens")
    lasts = said.get("expires_in")
    now = host.clock.protocol_now().timestamp()
    return Tokens(access, new_refresh, now + float(lasts) if isinstance(lasts, int | float) else None)


def _require_answer(host: Host, answer: requests.Response) -> None:
    """Raise where the source is overloaded or ill: RFC 9110, sections 10.2.3 (Retry-After) and 15.6."""
    status = answer.status_code
    if status == 429 or (status == 503 and "Retry-After" in answer.headers):
        raise SourceBusy(retry_after(answer.headers.get("Retry-After", ""), host.clock.protocol_now()))
    if status >= 500:
        raise SourceUnreachable(f"it answered {status}")


def retry_after(text: str, now: datetime) -> timedelta:
    """How long a Retry-After header asks to wait: seconds or a date; between a second and a day, a minute if unreadable."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - rare

    wait = timedelta(minutes=1)
    if text.strip().isdigit() and len(text.strip()) <= 9:
        wait = timedelta(seconds=int(text))
    elif text:
        try:
            at = parsedate_to_datetime(text)
            wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
        except (ValueError, TypeError):
            pass
    return min(max(wait, timedelta(seconds=1)), timedelta(days=1))

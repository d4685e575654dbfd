"""Asking a calculation service: a token of this host's for one request, and the request; nothing of any citizen's in either.

Each goes out by the house's one way (pod_server/outbound.py): the operator's address judged, resolved once and pinned; no
redirect followed; 64 KiB and five seconds at most. One that asks for patience is left alone, whoever presses.

Source: RFC 6749, section 4.4 (client credentials); RFC 9110, section 10.2.3 (Retry-After).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import msgspec

from partner_bridge.channels.oauth_pull import retry_after
from partner_bridge.errors import SourceBusy, SourceUnreachable, UnusablePayload
from pod_server.clock import microseconds, moment
from pod_server.outbound import OutboundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from partner_bridge.connectors.calculator import Question
    from partner_bridge.sources import Source
    from pod_server.host import Host
    from pod_server.outbound import Response


class _Token(msgspec.Struct):
    access_token: str
    token_type: str


def token_of(host: Host, service: Source) -> str:
    """A token for one request, kept nowhere.

    Raises:
        SourceBusy: the service asks for patience.
        SourceUnreachable: it did not answer with a bearer token.
        UnusablePayload: it packed its answer.
    """
    pair = f"{quote_plus(service.oauth_client)}:{quote_plus(service.secret)}".encode()
    headers = {
        "Authorization": f"Basic {base64.b64encode(pair).decode()}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    form = "grant_type=client_credentials" + (
        f"&scope={quote_plus(' '.join(service.scopes))}" if service.scopes else ""
    )
    body = _post(host, service, service.token_endpoint, form.encode(), headers)
    try:
        said = msgspec.json.decode(body, type=_Token)
    except (msgspec.DecodeError, RecursionError):
        raise SourceUnreachable("it did not answer with a token") from None
    token = said.access_token
    if said.token_type.lower() != "bearer" or not (token.isascii() and token.isprintable() and " " not in token):
        raise SourceUnreachable("it did not answer with a bearer token")
    return token


def ask(host: Host, service: Source, token: str, question: Question) -> bytes:
    """The answer to one request; without a body it is a question for what everybody may see.

    Raises:
        SourceBusy, SourceUnreachable, UnusablePayload: as `token_of`.
    """
    address = service.api.rstrip("/") + question.path
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    if question.body:
        return _post(host, service, address, question.body, headers | {"Content-Type": "application/json"})
    try:
        answer = host.outbound.get(address, headers)
    except OutboundError as error:
        raise SourceUnreachable(str(error)) from error
    return _whole(host, service, answer)


def require_patience(host: Host, service: Source) -> None:
    """Refuse while the service asked to be left alone.

    Raises:
        SourceBusy: for how long still.
    """
    with host.storage.read() as tx:
        row = tx.one("SELECT not_before FROM calculation_pause WHERE slug = ?", (service.slug,))
    now = host.clock.protocol_now()
    if row is not None and moment(row[0]) > now:
        raise SourceBusy(moment(row[0]) - now)


def _post(host: Host, service: Source, address: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    try:
        answer = host.outbound.post(address, body, headers)
    except OutboundError as error:
        raise SourceUnreachable(str(error)) from error
    return _whole(host, service, answer)


def _whole(host: Host, service: Source, answer: Response) -> bytes:
    now = host.clock.protocol_now()
    if answer.status == 429 or (answer.status == 503 and "retry-after" in answer.headers):
        wait = retry_after(answer.headers.get("retry-after", ""), now)
        with host.storage.write() as tx:
            tx.execute(
                "INSERT INTO calculation_pause (slug, not_before) VALUES (?, ?) "
                "ON CONFLICT (slug) DO UPDATE SET not_before = excluded.not_before",
                (service.slug, microseconds(now + wait)),
            )
        raise SourceBusy(wait)
    if answer.status not in {200, 201, 204}:
        raise SourceUnreachable(f"it answered {answer.status}")
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnusablePayload("it packed an answer that was asked for plain")
    return answer.body

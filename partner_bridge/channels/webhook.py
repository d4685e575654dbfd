"""The channel of sources that call: signed calls are believed, pings are not.

A **signed** call carries `webhook-id`, `webhook-timestamp` and `webhook-signature` (`v1,` and the base64 HMAC-SHA-256 of
`id.timestamp.body` under the secret that the operator and the source share): the signature holds, the moment lies within five
minutes, and the id was never seen before, in any worker. What it tells of a citizen who is connected is delivered like any
payload, under their own grant, before it is answered.

A **ping** is not signed, as Garmin's are not, and nothing in it is believed: it makes the host ask the source itself, with the
citizen's token, at the source's own address, at most once a minute for each connection. The address that it names is fetched
first, once (callbacks.py); then the connection is pulled as ever. A forged one costs two requests.

Whom a call tells of, and who of them is connected, is never answered: unknown users are passed over.

Source: Standard Webhooks 1.0.0 (standardwebhooks.com), sections on signatures and replay.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from partner_bridge import callbacks
from partner_bridge.connectors import find_connector
from partner_bridge.connectors.normalising import Connector, Context, normalise, to_item
from partner_bridge.delivery import Item, deliver
from partner_bridge.errors import SourceInvalid, WebhookNotOurs
from partner_bridge.pulling import user_key
from pod_server import partners, pulls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from partner_bridge.connectors.normalising import Event
    from partner_bridge.sources import Source
    from pod_server.host import Host
    from pod_server.pulls import Pull

WINDOW = timedelta(minutes=5)
PING_EVERY = timedelta(minutes=1)
BODY_LIMIT_BYTES = 1024 * 1024
_ID_CHARACTERS = 200
_SIGNATURES_AT_MOST = 10


@runtime_checkable
class Called(Connector, Protocol):
    """A connector whose source calls.

    Attributes:
        callback_paths: Where below the source's interface a ping's callback is fetched; one elsewhere only hurries the pull.
        user_path: Where a citizen's token tells the name by which the source's calls tell of them.
    """

    callback_paths: frozenset[str]
    user_path: str

    def user_of(self, answer: bytes) -> str:
        """That name, out of the answer.

        Raises:
            UnusablePayload: it is not in the source's format.
        """
        ...

    def events(self, body: bytes) -> Iterator[Event]:
        """What a call tells.

        Raises:
            UnusablePayload: it is not in the source's format.
        """
        ...


@dataclass(frozen=True)
class Heard:
    """What became of a call, for the log of a test; its sender is told nothing of it."""

    events: int
    delivered: int
    hurried: int


def hear(host: Host, source: Source, headers: Mapping[str, str], body: bytes) -> Heard:
    """Take a call.

    Args:
        host: This host.
        source: Whose address was called.
        headers: As they came, names in lower case.
        body: All of it.

    Raises:
        WebhookNotOurs: the source does not call, or signature, moment or id do not hold.
        CallbackRefused: it asks for a fetch from somewhere else than the source's own interface.
        UnusablePayload: it is not in the source's format.
        StorageFull, StorageBusy: nothing was lost; the source calls again.
    """
    connector = find_connector(source.connector, host.connector_packages)
    if not source.webhook or not isinstance(connector, Called):
        raise WebhookNotOurs("this source does not call")
    if source.webhook == "signed":
        _require_signature(host, source, headers, body)
    events = list(connector.events(body))
    asked: dict[str, list[str]] = {}
    for event in events:
        if event.callback:
            path = callbacks.path_of(source, event.callback)
            if path.partition("?")[0] in connector.callback_paths:
                asked.setdefault(event.user, []).append(path)
    delivered = hurried = 0
    for event in events:
        held = _held(host, source, event.user)
        if held is None:
            continue
        if event.payload and source.webhook == "signed":
            delivered += _deliver(host, source, connector, held, event.payload)
        else:
            hurried += _hurry(host, held, list(dict.fromkeys(asked.get(event.user, ()))))
    return Heard(len(events), delivered, hurried)


def sign(secret: str, identifier: str, timestamp: int, body: bytes) -> str:
    """The signature header of a call; for simulators and tests as much as for checking."""
    digest = hmac.digest(secret.encode(), f"{identifier}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def _require_signature(host: Host, source: Source, headers: Mapping[str, str], body: bytes) -> None:
    identifier, said = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not 1 <= len(identifier) <= _ID_CHARACTERS or not identifier.isascii() or not identifier.isprintable():
        raise WebhookNotOurs("webhook-id is missing, or no short word")
    if not (said.isascii() and said.isdigit() and len(said) <= 12):
        raise WebhookNotOurs("webhook-timestamp is missing, or no whole number of seconds")
    wanted = sign(source.webhook_secret, identifier, int(said), body).encode()
    given = headers.get("webhook-signature", "").split(" ")[:_SIGNATURES_AT_MOST]
    if not any(hmac.compare_digest(each.encode(), wanted) for each in given):
        raise WebhookNotOurs("no signature holds")
    at = datetime.fromtimestamp(int(said), UTC)
    if abs(host.clock.protocol_now() - at) > WINDOW:
        raise WebhookNotOurs("the call is more than five minutes old, or ahead")
    # The moment is part of the name: a call that this host could not finish is made again, under its id, later.
    name = f"webhook {source.slug} {said} {identifier}"
    if not host.replay.covers(at) or not host.replay.first_use(name, at + 2 * WINDOW):
        raise WebhookNotOurs("the call came before")


def _held(host: Host, source: Source, user: str) -> Pull | None:
    with host.storage.read() as tx:
        return pulls.pull_of_user(tx, source.slug, user_key(host, source.slug, user))


def _deliver(host: Host, source: Source, connector: Called, held: Pull, payload: bytes) -> int:
    with host.storage.read() as tx:
        party = partners.find_partner(tx, source.client_id)
    if party is None or not party.active:
        raise SourceInvalid("the source is no party of consents any more")
    context = Context(host.clock.now())
    items: list[Item] = [to_item(held.grant, made, None) for made in normalise(connector, payload, context)]
    answers = deliver(host, party, items, only_grant=held.grant)
    return sum(answer.status in {"accepted", "pending"} for answer in answers)


def _hurry(host: Host, held: Pull, paths: list[str]) -> bool:
    now = host.clock.protocol_now()
    with host.storage.write() as tx:
        return pulls.hurry_again(tx, held.pod_id, held.grant, now, PING_EVERY, callbacks.keep(host, held, paths))

"""Subscriptions to a resource (Solid Notifications Protocol): asked for like a read, answered with a channel.

A WebSocket's or a stream's channel is an address to listen at, which carries the subscription, sealed for this host, so
that no table grows with listeners and the process that serves it (live.py) needs nothing but the address. It is good for
a day at most, and holding it proves only that somebody was let subscribe. A webhook's channel is a row (webhook.py).
Whichever it is, the access rules, and whether the citizen still lets the subscriber's app in, are asked again at each
event.

Sources: Solid Notifications Protocol (2024-05-12), WebSocketChannel2023, StreamingHTTPChannel2023, WebhookChannel2023.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from flask import Response
from pyoxigraph import NamedNode, Triple

from pod_server.access_rules import AccessRules
from pod_server.authorization.enforcement import require_rules
from pod_server.authorization.errors import AccessDenied, SealBroken, Unauthenticated
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.authorization.wac import AccessMode, Need
from pod_server.authorization_server import scripts
from pod_server.authorization_server.connections import find_connection_of
from pod_server.authorization_server.tokens import verify_solid_request
from pod_server.clock import moment
from pod_server.errors import NoSuchPod
from pod_server.identifiers import Actor, Handle, WebId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.notifications import features, webhook
from pod_server.notifications.changes import State, look
from pod_server.notifications.errors import ChannelGone, NoSuchChannel, NoSuchChannelType, SubscriptionNotProcessable
from pod_server.notifications.subscription_request import CONTEXT, NOTIFY, path_of, read_request, send_to_of
from pod_server.opening import OpenPod, find_pod, open_pod
from pod_server.outbound import OutboundError
from pod_server.representation import json_ld, negotiation
from pod_server.representation.graph import Graph
from pod_server.resources.description import DESCRIPTION_PATH
from pod_server.vault.errors import PodLocked

if TYPE_CHECKING:
    from flask import Request

    from pod_server.authorization_server.tokens import Agent
    from pod_server.host import Host
    from pod_server.opening import Pod
    from pod_server.storage.ports import Transaction

WEBSOCKET, STREAMING, WEBHOOK = "WebSocketChannel2023", "StreamingHTTPChannel2023", "WebhookChannel2023"
CHANNEL_TYPES = (WEBSOCKET, STREAMING, WEBHOOK)
SERVICES_PATH = ".notifications/"
RECEIVE_PATH = "/notifications/"
LONGEST = timedelta(days=1)
LONGEST_WEBHOOK = timedelta(days=14)

_LABEL = "notification channels"
_PLACE = ("notifications", "channel")
_SEALED = re.compile(r"[A-Za-z0-9_.-]{1,6000}\Z")


@dataclass(frozen=True)
class Listening:
    """Who listens, as the access rules see it; `modes` is the limit of an app that a citizen let in."""

    webid: WebId | None
    client_id: str
    origin: str | None
    modes: frozenset[str] | None = None


class Subscription(msgspec.Struct, frozen=True, array_like=True):
    """One channel; times in microseconds since 1970, real time.

    Attributes:
        type: The type of channel.
        handle: Of the pod.
        path: The topic's.
        webid: Who asked; None for strangers.
        client_id: With which app.
        origin: From which site's page.
        ends: When the channel ends.
        starts: Before this nothing is told.
        rate: The least time between two notifications.
        media_type: Of the notifications.
        state: What the subscriber knew of the resource, or None.
        limited: Whether the app was let in by a citizen, who may end its stay.
    """

    type: str
    handle: str
    path: str
    webid: str | None
    client_id: str
    origin: str | None
    ends: int
    starts: int = 0
    rate: int = 0
    media_type: str = json_ld.MEDIA_TYPE
    state: str | None = None
    limited: bool = False


def services(root_iri: str) -> Graph:
    """The subscription services of a pod, for its storage description."""
    return Graph.of(
        [triple for name in CHANNEL_TYPES for triple in _service(root_iri, name).triples], {"notify": NOTIFY}
    )


def _service(root_iri: str, name: str) -> Graph:
    service = NamedNode(f"{root_iri}{SERVICES_PATH}{name}")
    triples = [
        Triple(NamedNode(root_iri), NamedNode(NOTIFY + "subscription"), service),
        Triple(service, NamedNode(NOTIFY + "channelType"), NamedNode(NOTIFY + name)),
        *(Triple(service, NamedNode(NOTIFY + "feature"), NamedNode(NOTIFY + one)) for one in features.NAMES),
    ]
    return Graph.of(triples, {"notify": NOTIFY})


def describe_service(host: Host, request: Request, handle: str, name: str) -> Response:
    """GET of a subscription service: its description, the same for everyone.

    Raises:
        NoSuchChannelType: it is none of ours.
        NoSuchPod: there is no such pod.
    """
    _check_type(name)
    with host.storage.read() as tx:
        root_iri = find_pod(tx, handle).root(host.base_url)
    media_type = negotiation.choose(request.headers.get("Accept"), negotiation.RDF_MEDIA_TYPES)
    if media_type == json_ld.MEDIA_TYPE:
        # In the words of the Protocol's context, for clients that read it as JSON.
        content = json.dumps(
            {
                "@context": [CONTEXT],
                "id": f"{root_iri}{SERVICES_PATH}{name}",
                "channelType": NOTIFY + name,
                "feature": list(features.NAMES),
            }
        ).encode()
    else:
        content = negotiation.write(_service(root_iri, name), media_type)
    response = Response(content, content_type=media_type)
    response.headers["Allow"] = "GET, HEAD, OPTIONS, POST"
    response.headers["Accept-Post"] = json_ld.MEDIA_TYPE
    response.headers["Link"] = (
        f'<{root_iri}{DESCRIPTION_PATH}>; rel="http://www.w3.org/ns/solid/terms#storageDescription"'
    )
    response.vary.add("Accept")
    return response


def subscribe(host: Host, request: Request, handle: str, name: str) -> Response:
    """POST to a subscription service: a channel for one resource, for whoever may read it.

    Raises:
        SubscriptionMalformed, SubscriptionNotProcessable, NoSuchChannelType, UnsupportedMediaType: about the request.
        Unauthenticated, AccessDenied, PodLocked: as a read of the topic would raise; a webhook is for people only.
        OutboundRefused, OutboundFailed: the webhook's address is not spoken to.
        TooManyWebhooks: the pod has enough.
    """
    _check_type(name)
    root_iri = f"{host.base_url}/{handle}/"
    asked = read_request(request, name)
    path = path_of(asked["topic"], root_iri)
    wanted = features.read(asked, host.clock.protocol_now(), longest=LONGEST_WEBHOOK if name == WEBHOOK else LONGEST)
    agent = verify_solid_request(host, request)
    subscription = Subscription(
        type=name,
        handle=handle,
        path=path,
        webid=agent.webid,
        client_id=agent.client_id,
        origin=agent.origin,
        ends=wanted.ends,
        starts=wanted.starts,
        rate=wanted.rate,
        media_type=wanted.media_type,
        state=wanted.state,
        limited=agent.modes is not None,
    )
    pod, actor, state = _check_reading(host, agent, subscription)
    if name == WEBHOOK:
        answer = _make_webhook(host, pod, subscription, send_to_of(asked), state)
    else:
        answer = {
            "id": f"urn:uuid:{_uuid(secrets.token_bytes(16))}",
            "receiveFrom": _address(host, name) + seal_subscription(host, subscription),
        }
    if agent.webid not in {None, pod.webid(host.base_url)} or name == WEBHOOK:
        event = LogEvent(at=host.clock.now(), actor=actor, action="subscribe-document", detail={"path": path[:200]})
        with host.storage.write() as tx:
            append_to_log(tx, pod.pod_id, event, random=secrets.token_bytes)
    return _describe(host, subscription, answer)


def describe_channel(host: Host, request: Request, handle: str, name: str, channel_id: str) -> Response:
    """GET of a webhook's channel, for who asked for it and for the pod's owner: how it stands.

    Raises:
        NoSuchChannel: there is none, or it is somebody else's.
    """
    row, _ = _own_webhook(host, request, handle, name, channel_id)
    members = {**_webhook_members(host, row), "status": row.state, "lastAnswer": row.last_answer}
    return _describe(host, _subscription_of(row), members)


def unsubscribe(host: Host, request: Request, handle: str, name: str, channel_id: str) -> Response:
    """DELETE of a webhook's channel: nothing more is sent from this commit on.

    Raises:
        NoSuchChannel: there is none, or it is somebody else's.
    """
    row, agent = _own_webhook(host, request, handle, name, channel_id)
    with host.storage.write() as tx:
        webhook.remove(tx, row.pod_id, channel_id)
        event = LogEvent(
            at=host.clock.now(),
            actor=_actor(agent.webid, agent.client_id, WebId(f"{host.base_url}/{handle}/profile/card#me")),
            action="unsubscribe-document",
            detail={"path": _subscription_of(row).path[:200]},
        )
        append_to_log(tx, row.pod_id, event, random=secrets.token_bytes)
    response = Response(status=204)
    response.headers.remove("Content-Type")
    return response


def seal_subscription(host: Host, subscription: Subscription) -> str:
    """The last segment of a channel's address."""
    return seal(host.host_key, _LABEL, _PLACE, msgspec.json.encode(subscription))


def open_subscription(host: Host, sealed: str) -> Subscription:
    """What `seal_subscription` sealed.

    Raises:
        ChannelGone: it was not sealed by this host, or its time is over.
    """
    gone = ChannelGone("The address is mistyped, or its time is over; subscribe again.")
    if not _SEALED.match(sealed):
        raise gone
    try:
        subscription = msgspec.json.decode(unseal(host.host_key, _LABEL, _PLACE, sealed), type=Subscription)
    except (SealBroken, msgspec.DecodeError):
        raise gone from None
    if moment(subscription.ends) <= host.clock.protocol_now():
        raise gone
    return subscription


def listener_now(host: Host, tx: Transaction, subscription: Subscription) -> Listening:
    """Who listens, as far as the citizen still lets the subscriber's app or script in.

    Raises:
        AccessDenied: its stay was ended, or its credentials were revoked.
    """
    webid = WebId(subscription.webid) if subscription.webid is not None else None
    ended = AccessDenied("The citizen has ended this app's access.", [])
    modes = None
    if subscription.limited and webid is not None:
        handle = webid.removeprefix(f"{host.base_url}/").partition("/")[0]
        try:
            connection = find_connection_of(host, find_pod(tx, Handle(handle)).pod_id, subscription.client_id)
        except NoSuchPod:
            raise ended from None
        if connection is None:
            raise ended
        modes = connection.modes
    elif subscription.client_id.startswith("script-") and scripts.find_script(tx, subscription.client_id) is None:
        raise ended
    return Listening(webid, subscription.client_id, subscription.origin, modes)


def state_seen_by(tx: Transaction, rules: AccessRules, agent: Listening, path: str) -> tuple[State, Actor]:
    """A topic as the listener may see it, and in whose name.

    Raises:
        AuthorizationError: they may not read it.
    """
    permit, _ = rules.require(agent, Need(path, AccessMode.READ))
    return look(tx, OpenPod(rules.for_deciding.pod, permit, rules.for_deciding.vault), path), permit.actor


def _check_reading(host: Host, agent: Agent, subscription: Subscription) -> tuple[Pod, Actor, State]:
    if subscription.type == WEBHOOK and agent.webid is None:
        raise Unauthenticated("A webhook is asked for in somebody's name.")
    with host.storage.read() as tx:
        pod = find_pod(tx, subscription.handle)
        try:
            for_deciding = open_pod(host, require_rules(pod))
        except PodLocked:
            if agent.webid is None:
                raise Unauthenticated("The access rules of this place do not let strangers do this.") from None
            raise
        listening = Listening(agent.webid, agent.client_id, agent.origin, agent.modes)
        state, actor = state_seen_by(tx, AccessRules(host, tx, for_deciding), listening, subscription.path)
    return pod, actor, state


def _make_webhook(host: Host, pod: Pod, subscription: Subscription, send_to: str, state: State) -> dict[str, Any]:
    if not send_to.startswith("https://") and not host.allow_insecure:
        raise SubscriptionNotProcessable("sendTo is an https address (WebhookChannel2023, section 2).")
    # Strangers choose the name that is resolved here: so few at a time, and each answer kept for a while.
    host.lookups.find(
        "webhook", send_to, host.clock.protocol_now(), lambda: host.outbound.judge(send_to), OutboundError
    )
    knows = state if subscription.state is None else State(subscription.state, None)
    row = webhook.add(host, pod.pod_id, msgspec.json.encode(subscription), send_to, knows, ends=subscription.ends)
    host.signal.notify([webhook.CHANNELS_CHANGED])
    return _webhook_members(host, row, root_iri=pod.root(host.base_url))


def _webhook_members(host: Host, row: webhook.Row, *, root_iri: str | None = None) -> dict[str, Any]:
    root = root_iri or f"{host.base_url}/{_subscription_of(row).handle}/"
    return {
        "id": f"{root}{SERVICES_PATH}{WEBHOOK}/{row.channel_id}",
        "sendTo": row.send_to,
        "sender": webhook.sender(host),
    }


def _own_webhook(host: Host, request: Request, handle: str, name: str, channel_id: str) -> tuple[webhook.Row, Agent]:
    _check_type(name)
    agent = verify_solid_request(host, request)
    if agent.webid is None:
        raise Unauthenticated("A channel is shown to who asked for it.")
    with host.storage.read() as tx:
        pod = find_pod(tx, handle)
        row = webhook.find(host, tx, pod.pod_id, channel_id) if name == WEBHOOK else None
    is_owner = agent.webid == pod.webid(host.base_url) and agent.modes is None
    if row is None or not (is_owner or _asked_for(_subscription_of(row), agent)):
        raise NoSuchChannel("The channel has ended, or was asked for by somebody else.")
    return row, agent


def _asked_for(subscription: Subscription, agent: Agent) -> bool:
    return (subscription.webid, subscription.client_id) == (agent.webid, agent.client_id)


def _subscription_of(row: webhook.Row) -> Subscription:
    return msgspec.json.decode(row.subscription, type=Subscription)


def actor_of(host: Host, subscription: Subscription) -> Actor:
    """In whose name a channel was asked for, for the log."""
    owner = WebId(f"{host.base_url}/{subscription.handle}/profile/card#me")
    return _actor(subscription.webid, subscription.client_id, owner)


def _actor(webid: str | None, client_id: str, owner: WebId) -> Actor:
    return Actor("citizen", client_id) if webid == owner else Actor("app", webid or "", client_id)


def _describe(host: Host, subscription: Subscription, members: dict[str, Any]) -> Response:
    answer = {
        "@context": [CONTEXT],
        **members,
        "type": subscription.type,
        "topic": f"{host.base_url}/{subscription.handle}/{subscription.path}",
        "endAt": _time(subscription.ends),
    }
    if subscription.starts:
        answer["startAt"] = _time(subscription.starts)
    if subscription.rate:
        answer["rate"] = features.duration_text(subscription.rate)
    if subscription.media_type != json_ld.MEDIA_TYPE:
        answer["accept"] = subscription.media_type
    if subscription.state is not None:
        answer["state"] = subscription.state
    response = Response(json.dumps(answer), content_type=json_ld.MEDIA_TYPE)
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _check_type(name: str) -> None:
    if name not in CHANNEL_TYPES:
        raise NoSuchChannelType(f"The channels offered here are {', '.join(CHANNEL_TYPES)}.")


def _time(microseconds: int) -> str:
    return moment(microseconds).isoformat().replace("+00:00", "Z")


def _address(host: Host, name: str) -> str:
    base = host.live_url if name == STREAMING else "ws" + host.live_url.removeprefix("http")
    return base + RECEIVE_PATH


def _uuid(random: bytes) -> str:
    text = random.hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"

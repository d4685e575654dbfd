"""The channels of the live role: one greenlet or two a listener, one look a changed pod.

A single look reads what all listeners of a pod would see: the access rules are asked again for each of them, and who may
no longer read, or whose app's stay was ended, is told nothing and the channel is closed. Looks are taken when the signal
between processes names a pod, when its feed has moved (a signal may be lost), and once a minute besides.

Webhooks are listeners without a connection: what they are to be told is sent by a greenlet of their own, again and again
with longer pauses, and given up visibly (webhook.py).
"""

from __future__ import annotations

import json
import logging
import secrets
import time
import uuid
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import gevent
import msgspec
from gevent.event import Event as Waker
from gevent.lock import BoundedSemaphore
from gevent.socket import wait_read

from pod_server import problems
from pod_server.access_rules import AccessRules
from pod_server.authorization.enforcement import require_rules
from pod_server.authorization.errors import AuthorizationError
from pod_server.clock import microseconds
from pod_server.errors import NoSuchPod
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.notifications import webhook, websocket
from pod_server.notifications.changes import State, compare, notification
from pod_server.notifications.channel import (
    RECEIVE_PATH,
    STREAMING,
    WEBSOCKET,
    Subscription,
    actor_of,
    listener_now,
    open_subscription,
    state_seen_by,
)
from pod_server.notifications.errors import ChannelGone, TooManyChannels
from pod_server.opening import find_pod, open_pod
from pod_server.outbound import origin_of
from pod_server.vault.errors import PodLocked

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from pod_server.host import Host
    from pod_server.notifications.signal import Listener as Ear
    from pod_server.notifications.websocket import Readable

POLL_SECONDS = 5.0
ROUND_POLLS = 12
"""In so many polls every pod is looked at once, whether it changed or not: rights end without a change of the pod."""

HEARTBEAT_SECONDS = 15.0
CHANNELS_PER_POD = 2000
CHANNELS_IN_ALL = 8000
_WAITING_AT_MOST = 200
"""Notifications that wait for a listener too slow to take them; then the channel is closed."""

SENDERS = 64
"""Webhooks that are being sent at a time, to all receivers together: one that stands still holds up itself alone."""

SENDERS_PER_RECEIVER = 4
SHORTEST_WEBHOOK_RATE = timedelta(seconds=1)
"""Between two notifications of one webhook, since its receiver may be somebody who never asked for it."""

_GOING_AWAY, _POLICY, _OVERFLOW = 1001, 1008, 1013
_CLOSING_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 60.0

logger = logging.getLogger("tvilling.notifications")


class _Timeout(Exception):
    """The ear heard nothing for a while."""


@dataclass(eq=False)
class Listener:
    """One open channel.

    Attributes:
        subscription: What it listens to, and who.
        state: The resource as the listener knows it, once what waits has been sent.
        waiting: Notifications not yet sent.
        waker: Set when there is something to send or the channel ends.
        ended: The close code (RFC 6455, section 7.4.1) once the channel is to end.
        not_before: The monotonic second before which nothing may be sent, for the rate that was asked for.
        behind: Whether the resource was looked at while the listener was not free; it is looked at again then.
    """

    subscription: Subscription
    state: State = field(default_factory=State)
    waiting: deque[bytes] = field(default_factory=deque)
    waker: Waker = field(default_factory=Waker)
    ended: int | None = None
    not_before: float = 0.0
    behind: bool = False

    @property
    def is_free(self) -> bool:
        """False while a listener with a rate rests: what happens meanwhile is told as one."""
        return not self.subscription.rate or (not self.waiting and time.monotonic() >= self.not_before)

    def end(self, code: int) -> None:
        """Close the channel as soon as it looks."""
        self.ended = self.ended or code
        self.waker.set()

    def tell(self, messages: Iterable[bytes]) -> None:
        """Hand over notifications."""
        self.waiting.extend(messages)
        if len(self.waiting) > _WAITING_AT_MOST:
            self.end(_OVERFLOW)
        self.waker.set()

    def take(self) -> bytes | None:
        """The next notification that may go out now."""
        now = time.monotonic()
        if self.ended is not None or not self.waiting or now < self.not_before:
            return None
        self.not_before = now + self.subscription.rate / 1_000_000
        return self.waiting.popleft()

    def pause(self) -> float:
        """How long to wait for something to send, in seconds."""
        if not self.waiting and not self.behind:
            return HEARTBEAT_SECONDS
        return min(max(self.not_before - time.monotonic(), 0.0), HEARTBEAT_SECONDS)


@dataclass(eq=False)
class WebhookListener(Listener):
    """A webhook: nobody listens at a connection, so what waits is sent (Channels.deliver).

    Attributes:
        row: The channel as this process knows it.
        sending: Whether somebody is at it.
    """

    row: webhook.Row = field(kw_only=True)
    sending: bool = False

    @property
    def is_free(self) -> bool:
        """False until the receiver has all that waits, and rests: then the difference is made anew."""
        return not self.waiting and not self.sending and time.monotonic() >= self.not_before


class Channels:
    """All open channels, by pod."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._by_handle: dict[str, set[Listener]] = {}
        self._pods: dict[int, str] = {}
        self._heads: dict[int, int] = {}
        self._round: deque[str] = deque()
        self._webhooks: dict[str, WebhookListener] = {}
        self._newest_webhook = 0
        self._one_at_a_time = BoundedSemaphore()
        self._senders = BoundedSemaphore(SENDERS)
        self._receivers: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many listen at a connection."""
        return sum(len(each) for each in self._by_handle.values()) - len(self._webhooks)

    def enter(self, subscription: Subscription) -> Listener:
        """Open a channel, if its holder may read the topic now.

        Raises:
            TooManyChannels: the pod or the role has enough.
            AuthorizationError, PodLocked: the access rules refuse, as a read would be refused.
            ChannelGone: the pod is gone.
        """
        handle = subscription.handle
        if len(self._by_handle.get(handle, ())) >= CHANNELS_PER_POD or self.count >= CHANNELS_IN_ALL:
            raise TooManyChannels("Close channels that nobody listens to, or try again later.")
        listener = Listener(subscription)
        with self._one_at_a_time, self._host.storage.read() as tx:
            try:
                pod = find_pod(tx, handle)
            except NoSuchPod:
                raise ChannelGone("The pod is gone.") from None
            rules = AccessRules(self._host, tx, open_pod(self._host, require_rules(pod)))
            listener.state = _Sights(self._host, tx, rules).of(subscription)
            if subscription.state is not None:
                known = State(subscription.state, None)
                self._tell(listener, known, listener.state, rules.root_iri)
        self._add(listener, pod.pod_id)
        return listener

    def _add(self, listener: Listener, pod_id: int) -> None:
        handle = listener.subscription.handle
        self._pods[pod_id] = handle
        self._by_handle.setdefault(handle, set()).add(listener)

    def leave(self, listener: Listener) -> None:
        """Close a channel."""
        handle = listener.subscription.handle
        left = self._by_handle.get(handle)
        if left is not None:
            left.discard(listener)
            if not left:
                del self._by_handle[handle]
        if isinstance(listener, WebhookListener):
            self._webhooks.pop(listener.row.channel_id, None)

    def hear(self, ear: Ear) -> None:
        """Wait for signals for ever, and look at the pods they name; now and then at those that changed unheard."""
        self._in_safety(self._find_webhooks)
        next_poll = time.monotonic() + POLL_SECONDS
        while True:
            handles: set[str] = set()
            try:
                wait_read(ear.fileno(), timeout=max(next_poll - time.monotonic(), 0.001), timeout_exc=_Timeout)
                signalled = ear.wait(0)
                handles = {self._pods[pod_id] for pod_id in signalled if pod_id in self._pods}
                if webhook.CHANNELS_CHANGED in signalled:
                    self._in_safety(self._find_webhooks)
            except _Timeout:
                pass
            if time.monotonic() >= next_poll:
                next_poll = time.monotonic() + POLL_SECONDS
                self._in_safety(self._find_webhooks)
                self._end_what_is_over()
                handles |= self._next_of_the_round() | (self._in_safety(self._changed) or set())
            for handle in handles & self._by_handle.keys():
                self._in_safety(lambda handle=handle: self.look(handle))  # type: ignore[misc]
                gevent.sleep(0)  # so that many pods' looks do not hold up what is being sent

    @staticmethod
    def _in_safety(work: Callable[[], Any]) -> Any:
        """One pod's trouble must not silence the others; the next poll tries again."""
        try:
            return work()
        except Exception:
            logger.exception("listeners could not be served")
            return None

    def _changed(self) -> set[str]:
        """The pods whose feed has moved since the last poll."""
        moved: set[str] = set()
        pods = list(self._pods.items())
        with self._host.storage.read() as tx:
            for first in range(0, len(pods), 500):
                some = dict(pods[first : first + 500])
                marks = ", ".join("?" * len(some))
                for pod_id, head in tx.all(f"SELECT pod_id, head FROM feed WHERE pod_id IN ({marks})", list(some)):
                    if self._heads.get(pod_id) != head:
                        self._heads[pod_id] = head
                        moved.add(some[pod_id])
        for pod_id, handle in pods:
            if handle not in self._by_handle:
                self._pods.pop(pod_id, None)
                self._heads.pop(pod_id, None)
        return moved

    def _next_of_the_round(self) -> set[str]:
        if not self._round:
            self._round.extend(self._by_handle)
        share = -(-len(self._by_handle) // ROUND_POLLS)
        return {self._round.popleft() for _ in range(min(share, len(self._round)))}

    def _end_what_is_over(self) -> None:
        now = microseconds(self._host.clock.protocol_now())
        for listener in [one for each in self._by_handle.values() for one in each if one.subscription.ends <= now]:
            self._end(listener, _GOING_AWAY)

    def _end(self, listener: Listener, code: int) -> None:
        listener.end(code)
        if isinstance(listener, WebhookListener):
            self.leave(listener)
            with self._host.storage.write() as tx:
                webhook.remove(tx, listener.row.pod_id, listener.row.channel_id)

    def look(self, handle: str) -> None:
        """Tell the listeners of one pod what has happened since their last look."""
        over: list[Listener] = []
        with self._one_at_a_time:
            try:
                over = self._look(handle)
            except (NoSuchPod, PodLocked):
                over = list(self._by_handle.get(handle, ()))
        for listener in over:
            self._end(listener, _POLICY)
        for listener in list(self._by_handle.get(handle, ())):
            if isinstance(listener, WebhookListener) and listener.waiting and not listener.sending:
                listener.sending = True
                gevent.spawn(self.deliver, listener)

    def _look(self, handle: str) -> list[Listener]:
        now = microseconds(self._host.clock.protocol_now())
        refused: list[Listener] = []
        with self._host.storage.read() as tx:
            rules = AccessRules(
                self._host, tx, open_pod(self._host, require_rules(find_pod(tx, handle))), remember=True
            )
            sights = _Sights(self._host, tx, rules)
            for listener in list(self._by_handle.get(handle, ())):
                try:
                    after = sights.of(listener.subscription)
                except AuthorizationError:
                    refused.append(listener)
                    continue
                if listener.subscription.starts > now:
                    listener.state = after
                elif listener.is_free:
                    listener.behind = False
                    before, listener.state = listener.state, after
                    self._tell(listener, before, after, rules.root_iri)
                elif not listener.behind:
                    listener.behind = True
                    self._come_back(listener)
        return refused

    def _come_back(self, listener: Listener) -> None:
        """Have a listener that is not free looked at again when it is."""
        if not isinstance(listener, WebhookListener):
            listener.waker.set()  # its own greenlet counts the time
        elif not listener.sending:
            gevent.spawn_later(max(listener.not_before - time.monotonic(), 0.0), self.all_told, listener)

    def _tell(self, listener: Listener, before: State, after: State, root_iri: str) -> None:
        path, at, media_type = listener.subscription.path, self._host.clock.now(), listener.subscription.media_type
        messages = [
            notification(root_iri, path, change, at=at, identifier=uuid.uuid4().urn, media_type=media_type)
            for change in compare(path, before, after)
        ]
        if messages:
            listener.tell(messages)

    def all_told(self, listener: Listener) -> None:
        """What waited has been sent: look again where the resource may have changed meanwhile."""
        if listener.behind and listener.is_free and listener.ended is None:
            listener.behind = False
            gevent.spawn(self._in_safety, lambda: self.look(listener.subscription.handle))

    def _find_webhooks(self) -> None:
        """Take up the webhooks that were asked for since the last time; all of them at the start."""
        found: set[str] = set()
        with self._host.storage.read() as tx:
            for row in webhook.open_since(self._host, tx, self._newest_webhook):
                self._newest_webhook = row.created
                if row.channel_id in self._webhooks:
                    continue
                subscription = msgspec.json.decode(row.subscription, type=Subscription)
                listener = WebhookListener(subscription, row.told, row=row)
                self._webhooks[row.channel_id] = listener
                self._add(listener, row.pod_id)
                found.add(subscription.handle)
        for handle in found:
            self._in_safety(lambda handle=handle: self.look(handle))  # type: ignore[misc]

    def deliver(self, listener: WebhookListener) -> None:
        """Send what waits for one webhook, one notification after the other; come again later where it fails."""
        again_in: float | None = None
        try:
            while listener.waiting and listener.ended is None and again_in is None:
                gevent.sleep(max(listener.not_before - time.monotonic(), 0.0))
                again_in = self._deliver_next(listener)
        except Exception:
            logger.exception("a webhook could not be sent")
            again_in = _LOOK_AGAIN_SECONDS
        if again_in is None or listener.ended is not None:
            listener.sending = False
            if listener.behind:
                self._come_back(listener)
        else:
            gevent.spawn_later(again_in, self.deliver, listener)

    def _deliver_next(self, listener: WebhookListener) -> float | None:
        """Try one notification; in how many seconds to come again, None where it arrived or the webhook is over."""
        host = self._host
        receiver = origin_of(urlsplit(listener.row.send_to))
        while self._receivers.get(receiver, 0) >= SENDERS_PER_RECEIVER:
            gevent.sleep(0.2)
        with host.storage.write() as tx:
            taken = webhook.lease(host, tx, listener.row)
        if not taken:
            return self._look_after(listener)
        self._receivers[receiver] = self._receivers.get(receiver, 0) + 1
        try:
            with self._senders:
                sent = webhook.send(host, listener.row.send_to, listener.waiting[0], listener.subscription.media_type)
        finally:
            self._receivers[receiver] -= 1
            if not self._receivers[receiver]:
                del self._receivers[receiver]
        rate = max(timedelta(microseconds=listener.subscription.rate), SHORTEST_WEBHOOK_RATE)
        listener.not_before = time.monotonic() + rate.total_seconds()
        return self._settle(listener, sent)

    def _settle(self, listener: WebhookListener, sent: webhook.Sent) -> float | None:
        host, row = self._host, listener.row
        if sent.arrived:
            listener.waiting.popleft()
            told = None if listener.waiting else listener.state
            with host.storage.write() as tx:
                webhook.mark_arrived(host, tx, row, sent.answer, told)
            listener.row = replace(row, attempts=0, turn=row.turn + (told is not None))
            return None
        attempts = row.attempts + 1
        listener.row = replace(row, attempts=attempts)
        if sent.again and attempts < webhook.GIVE_UP_AFTER_ATTEMPTS:
            pause = webhook.pause_after(attempts)
            again_at = microseconds(host.clock.protocol_now() + pause)
            with host.storage.write() as tx:
                webhook.mark_failed(tx, row, sent.answer, again_at=again_at)
            return pause.total_seconds()
        event = LogEvent(
            at=host.clock.now(),
            actor=actor_of(host, listener.subscription),
            action="give-up-webhook",
            outcome="given-up",
            detail={"path": listener.subscription.path[:200], "answer": sent.answer},
        )
        with host.storage.write() as tx:
            webhook.mark_failed(tx, row, sent.answer, again_at=None)
            append_to_log(tx, row.pod_id, event, random=secrets.token_bytes)
        listener.end(_GOING_AWAY)
        self.leave(listener)
        return None

    def _look_after(self, listener: WebhookListener) -> float | None:
        """What has become of a webhook whose next try could not be taken."""
        with self._host.storage.read() as tx:
            row = webhook.find(self._host, tx, listener.row.pod_id, listener.row.channel_id)
        if row is None or row.state != "open":
            listener.end(_GOING_AWAY)
            self.leave(listener)
            return None
        known, listener.row = listener.row, row
        if row.turn != known.turn:
            # Another process told the receiver: what it knows now is what that one told.
            listener.waiting.clear()
            listener.state = row.told
            listener.behind = True
            return None
        due_in = (row.next_attempt - microseconds(self._host.clock.protocol_now())) / 1_000_000
        return min(max(due_in, 0.05), _LOOK_AGAIN_SECONDS)


class _Sights:
    """One pod's resources in one look; each is looked at once for all who see the same of it."""

    def __init__(self, host: Host, tx: Any, rules: AccessRules) -> None:
        self._host, self._tx, self._rules = host, tx, rules
        self._seen: dict[tuple[Any, ...], State | AuthorizationError] = {}

    def of(self, subscription: Subscription) -> State:
        """The topic as the listener may see it.

        Raises:
            AuthorizationError: the rules, or the end of the app's stay, refuse it.
        """
        who = (subscription.webid, subscription.client_id, subscription.origin, subscription.limited)
        key = (*who, subscription.path)
        if key not in self._seen:
            try:
                agent = listener_now(self._host, self._tx, subscription)
                self._seen[key], _ = state_seen_by(self._tx, self._rules, agent, subscription.path)
            except AuthorizationError as refused:
                self._seen[key] = refused
        found = self._seen[key]
        if isinstance(found, AuthorizationError):
            raise found
        return found


_PREFLIGHT = [
    ("Access-Control-Allow-Methods", "GET, OPTIONS"),
    ("Access-Control-Allow-Headers", "Accept, Authorization, Cache-Control, DPoP, Last-Event-ID"),
    ("Access-Control-Max-Age", "7200"),
]


def create_app(host: Host) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The channels as a WSGI application for gevent's server, which lends a WebSocket its connection."""
    channels = Channels(host)
    # From the start: webhooks of before wait for no connection.
    gevent.spawn(channels.hear, host.signal.listen())

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = [
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "default-src 'none'; sandbox"),
            # The address is the key, and no cookie counts here: any page that was given it may listen.
            ("Access-Control-Allow-Origin", "*"),
        ]
        if environ.get("REQUEST_METHOD") == "OPTIONS":
            # A browser asks before it sends the token that some clients send along though the address is enough.
            start_response("204 No Content", [*headers, *_PREFLIGHT])
            return []
        try:
            sealed = environ.get("PATH_INFO", "").removeprefix(RECEIVE_PATH)
            subscription = open_subscription(host, sealed if environ.get("REQUEST_METHOD") == "GET" else "")
            upgrade = websocket.handshake(environ) if subscription.type == WEBSOCKET else []
            # In a greenlet of its own, whose database connection ends with it and not with the channel.
            listener: Listener = gevent.spawn(_enter, channels, subscription).get()
        except Exception as refused:  # noqa: BLE001 - declared errors become problems, others are logged and told without detail
            return _refuse(host, refused, headers, start_response)
        if subscription.type == STREAMING:
            media_type = subscription.media_type
            start_response("200 OK", [*headers, ("Content-Type", media_type), ("X-Accel-Buffering", "no")])
            return _Body(_stream(channels, listener), lambda: channels.leave(listener))
        # For an upgrade gevent's server lends the connection itself as the input.
        start_response("101 Switching Protocols", upgrade)
        return _Body(_websocket(channels, listener, environ["wsgi.input"]), lambda: channels.leave(listener))

    return application


def _enter(channels: Channels, subscription: Subscription) -> Any:
    return channels.enter(subscription)


def _refuse(
    host: Host, refused: Exception, headers: list[tuple[str, str]], start_response: Callable[..., Any]
) -> list[bytes]:
    if problems.problem_type_of(refused) is None:
        logger.error("a channel could not be opened", exc_info=refused)
    details = problems.problem_details(refused, host.base_url)
    start_response(
        f"{details['status']} {details['title']}".encode("ascii", "replace").decode(),
        [*headers, ("Content-Type", problems.PROBLEM_MEDIA_TYPE)],
    )
    return [json.dumps(details).encode()]


class _Body:
    """A channel's outgoing side; its place is given back however it ends, also when it was never read."""

    def __init__(self, messages: Generator[bytes, None, None], leave: Callable[[], None]) -> None:
        self._messages = messages
        self._leave = leave

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._messages)

    def close(self) -> None:
        """Called by the server when the channel has ended or its listener has gone (PEP 3333)."""
        self._messages.close()
        self._leave()


def _stream(channels: Channels, listener: Listener) -> Generator[bytes, None, None]:
    """StreamingHTTPChannel2023: one JSON-LD document a line; empty lines keep the connection."""
    yield b"\n"
    while listener.ended is None:
        heard = listener.waker.wait(listener.pause())
        listener.waker.clear()
        if not heard and not listener.waiting:
            yield b"\n"
        while (message := listener.take()) is not None:
            yield message + b"\n"
        channels.all_told(listener)


def _websocket(channels: Channels, listener: Listener, source: Readable) -> Generator[bytes, None, None]:
    """WebSocketChannel2023: one JSON-LD document a text message; what the listener says is read and forgotten."""
    answers: deque[bytes] = deque()
    reader = gevent.spawn(_read_listener, listener, source, answers)
    try:
        yield websocket.frame(websocket.PING)  # the first bytes of the body carry the handshake's headers with them
        while listener.ended is None:
            heard = listener.waker.wait(listener.pause())
            listener.waker.clear()
            if not heard and not listener.waiting:
                yield websocket.frame(websocket.PING)
            while answers:
                yield answers.popleft()
            while (message := listener.take()) is not None:
                yield websocket.frame(websocket.TEXT, message)
            channels.all_told(listener)
        yield websocket.close_frame(listener.ended)
        reader.join(_CLOSING_SECONDS)  # the listener's own close frame
    finally:
        reader.kill()
        # The server closes the connection first (RFC 6455, section 7.1.1); gevent's would wait for another request.
        source.close()


def _read_listener(listener: Listener, source: Readable, answers: deque[bytes]) -> None:
    try:
        while (heard := websocket.read_frame(source)) is not None:
            opcode, payload = heard
            if opcode == websocket.CLOSE:
                listener.end(1000)
                return
            if opcode == websocket.PING and len(answers) < _WAITING_AT_MOST:
                answers.append(websocket.frame(websocket.PONG, payload))
                listener.waker.set()
    except OSError:
        pass  # the connection broke: the same as its end
    listener.end(_GOING_AWAY)

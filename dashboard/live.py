"""The live role: one event stream a page, on a port of its own, where waiting costs a greenlet and no thread.

A page opens its stream with a one-use ticket (`POST /-/live/ticket`). The stream sends `twin` (one event of the twin,
with its number as the event's id) and `figures` (the combined figures, when they have changed). It is woken by the
signal between processes and polls besides, since a signal may be lost. The right to read is asked for again as time
goes: once its own session is ended a stream sends nothing more and ends at its next look, two seconds later at most; when
the pod is locked, within ten. After five minutes it asks the page for a new ticket.

Source: HTML Living Standard, section 9.2 (server-sent events).
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

import gevent
from gevent.event import Event as Waker
from gevent.socket import wait_read

from dashboard.figures import public_figures
from pod_server import figures as stored_figures
from pod_server import problems
from pod_server.authentication.tickets import redeem_ticket
from pod_server.authorization.enforcement import require_owner
from pod_server.clock import microseconds
from pod_server.opening import OpenPod, open_pod
from pod_server.vault.errors import VaultError
from pod_server.vault.vault import unlock_with_root

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from pod_server.authentication.tickets import Redeemed
    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.notifications.signal import Listener

POLL_SECONDS = 2.0
HEARTBEAT_SECONDS = 15.0
RECHECK_SECONDS = 10.0
LIFETIME_SECONDS = 300.0
SHORTEST_GAP_SECONDS = 0.2
"""Between two bursts of one stream; what comes in between travels together."""

STREAMS_PER_POD = 12
STREAMS_IN_ALL = 4000
_EVENTS_AT_ONCE = 50

logger = logging.getLogger("tvilling.live")


class TooManyStreams(Exception):
    """One citizen, or all together, have more streams open than the role serves."""


class WrongOrigin(Exception):
    """A page of another site asked for the stream."""


problems.declare(TooManyStreams, "too-many-streams", "Too many live streams are open", 429)
problems.declare(WrongOrigin, "wrong-origin", "Only our own pages may open a live stream", 403)


@dataclass
class Streams:
    """Who is listening: per pod, the wakers of its open streams."""

    wakers: dict[PodId, set[Waker]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many streams are open."""
        return sum(len(each) for each in self.wakers.values())

    def enter(self, pod_id: PodId) -> Waker:
        """Open one.

        Raises:
            TooManyStreams: the pod or the role has enough.
        """
        if len(self.wakers.get(pod_id, ())) >= STREAMS_PER_POD or self.count >= STREAMS_IN_ALL:
            raise TooManyStreams("Close another window of these pages, or try again later.")
        waker = Waker()
        self.wakers.setdefault(pod_id, set()).add(waker)
        return waker

    def leave(self, pod_id: PodId, waker: Waker) -> None:
        """Close one."""
        left = self.wakers.get(pod_id)
        if left is not None:
            left.discard(waker)
            if not left:
                del self.wakers[pod_id]

    def wake(self, pod_ids: Iterable[PodId]) -> None:
        """Let the streams of these pods look."""
        for pod_id in pod_ids:
            for waker in self.wakers.get(pod_id, ()):
                waker.set()


def event_text(name: str, data: Any, number: int | None = None) -> bytes:
    """One server-sent event."""
    identifier = f"id: {number}\n" if number is not None else ""
    return (
        f"{identifier}event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
    )


def create_live_app(host: Host) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The live role as a WSGI application for gevent's server; it starts its own ear for signals at the first request."""
    streams = Streams()
    origin_parts = urlsplit(host.base_url)
    own_origin = f"{origin_parts.scheme}://{origin_parts.netloc}"
    ears: list[gevent.Greenlet] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not ears:
            ears.append(gevent.spawn(_hear, host.signal.listen(), streams))
        path = environ.get("PATH_INFO", "")
        headers = [
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "default-src 'none'; sandbox"),
            ("Vary", "Origin"),
        ]
        if path == "/healthz":
            start_response("200 OK", [*headers, ("Content-Type", "text/plain")])
            return [b"ok\n"]
        origin = environ.get("HTTP_ORIGIN")
        if origin == own_origin:
            headers.append(("Access-Control-Allow-Origin", own_origin))
        if origin is not None and origin != own_origin:
            return _refuse(host, WrongOrigin("The stream belongs to our own pages."), headers, start_response)
        try:
            if path != "/stream" or environ.get("REQUEST_METHOD") != "GET":
                start_response("404 Not Found", [*headers, ("Content-Type", "text/plain")])
                return [b"only GET /stream is served here\n"]
            query = parse_qs(environ.get("QUERY_STRING", ""))
            redeemed = redeem_ticket(host, query.get("ticket", [None])[0])
            own = open_pod(host, require_owner(redeemed), vault=redeemed.vault())
            after = query.get("after", [""])[0]
            seen = _beginning(
                host, own, int(after) if after.isascii() and after.isdigit() and len(after) < 16 else None
            )
            waker = streams.enter(redeemed.pod_id)
        except Exception as refused:  # noqa: BLE001 - declared errors become problems, others are logged and told without detail
            return _refuse(host, refused, headers, start_response)
        start_response(
            "200 OK",
            [*headers, ("Content-Type", "text/event-stream; charset=utf-8"), ("X-Accel-Buffering", "no")],
        )
        return _Body(_stream(host, redeemed, own, waker, seen), lambda: streams.leave(redeemed.pod_id, waker))

    return application


def _refuse(
    host: Host, refused: Exception, headers: list[tuple[str, str]], start_response: Callable[..., Any]
) -> list[bytes]:
    if problems.problem_type_of(refused) is None:
        logger.error("a live stream could not be opened", exc_info=refused)
    details = problems.problem_details(refused, host.base_url)
    start_response(
        f"{details['status']} {details['title']}".encode("ascii", "replace").decode(),
        [*headers, ("Content-Type", problems.PROBLEM_MEDIA_TYPE)],
    )
    return [json.dumps(details).encode()]


def _hear(listener: Listener, streams: Streams) -> None:
    """Wait for signals for ever and wake the streams they are for."""
    while True:
        wait_read(listener.fileno())
        streams.wake(listener.wait(0))


def _signed_in(host: Host, redeemed: Redeemed) -> bool:
    """Whether the session that opened the stream still holds; another one of the same citizen's is another browser."""
    with host.storage.read() as tx:
        found = tx.one(
            "SELECT 1 FROM session WHERE session_hash = ? AND pod_id = ? AND expires_at > ?",
            (redeemed.session_id, redeemed.pod_id, microseconds(host.clock.protocol_now())),
        )
    return found is not None


def _same_root(host: Host, redeemed: Redeemed) -> bool:
    """Whether the pod's root key is still the one the ticket held: locking makes a new one."""
    try:
        unlock_with_root(host.host_key, host.key_store, redeemed.pod_id, redeemed.vault().root_key)
    except VaultError:
        return False
    return True


class _Body:
    """A stream's body; its place is given back however it ends, also when it was never read."""

    def __init__(self, events: Generator[bytes, None, None], leave: Callable[[], None]) -> None:
        self._events = events
        self._leave = leave

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._events)

    def close(self) -> None:
        """Called by the server when the stream has ended or its reader has gone (PEP 3333)."""
        self._events.close()
        self._leave()


def _stream(
    host: Host, redeemed: Redeemed, own: OpenPod, waker: Waker, seen: tuple[int, bytes]
) -> Generator[bytes, None, None]:
    yield b"retry: 3000\n\n"
    seq, shown = seen
    loop = gevent.get_hub().loop
    loop.update_now()
    begun = heard = checked = loop.now()
    while True:
        waker.wait(POLL_SECONDS)
        waker.clear()
        loop.update_now()
        now = loop.now()
        if now - begun > LIFETIME_SECONDS:
            yield event_text("renew", {})
            return
        # Each look asks for the session first, so that nothing is sent after it was ended; the root key is costlier to ask for.
        if not _signed_in(host, redeemed):
            yield event_text("ended", {})
            return
        if now - checked > RECHECK_SECONDS:
            checked = now
            if not _same_root(host, redeemed):
                yield event_text("ended", {})
                return
        burst, seq, shown = _news(host, own, seq, shown)
        if burst:
            heard = now
            yield burst
            gevent.sleep(SHORTEST_GAP_SECONDS)
        elif now - heard > HEARTBEAT_SECONDS:
            heard = now
            yield b":\n\n"


def _beginning(host: Host, own: OpenPod, after: int | None) -> tuple[int, bytes]:
    """From which event on, and the fingerprint of the figures that the page has drawn."""
    with host.storage.read() as tx:
        newest = stored_figures.events_after(tx, own, 0, 1, newest_first=True)
        figures = stored_figures.load_figures(tx, own)
    last = newest[0][0] if newest else 0
    return (last if after is None else min(after, last)), _fingerprint(figures)


def _news(host: Host, own: OpenPod, seq: int, shown: bytes) -> tuple[bytes, int, bytes]:
    """What has come since: the text to send, the last event's number, the figures' fingerprint."""
    with host.storage.read() as tx:
        rows = stored_figures.events_after(tx, own, seq, _EVENTS_AT_ONCE)
        figures = stored_figures.load_figures(tx, own)
    burst = b""
    for number, content in rows:
        document = json.loads(content)
        document["seq"] = number
        burst += event_text("twin", document, number)
        seq = number
    fingerprint = _fingerprint(figures)
    if figures is not None and fingerprint != shown:
        burst += event_text("figures", public_figures(figures))
        shown = fingerprint
    return burst, seq, shown


def _fingerprint(content: bytes | None) -> bytes:
    return hashlib.sha256(content or b"").digest()

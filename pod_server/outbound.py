"""Requests to other hosts: WebIDs, keys, webhooks and callbacks, whose addresses strangers may have chosen.

A name is resolved once and the connection goes to the very address that was judged, so that a second answer of the
name server cannot lead elsewhere; every redirect is judged again; private, loopback, link-local and other special
ranges are refused. Loopback is reached only for origins that the operator named (`--allow-outbound`).

Source: OWASP, Server-Side Request Forgery Prevention; RFC 6890 (special-purpose addresses).
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urljoin, urlsplit

from pod_server import desk
from pod_server.problems import declare

TIMEOUT_SECONDS = 5.0
BODY_LIMIT_BYTES = 64 * 1024
REDIRECT_LIMIT = 3
_PIECE_BYTES = 256 * 1024

Resolver = Callable[[str, int], Sequence[str]]


class OutboundError(Exception):
    """A request to another host was not made, or not answered."""


class OutboundRefused(OutboundError):
    """The address is one that this host does not speak to."""


class OutboundFailed(OutboundError):
    """The other host did not answer in time, in full, or at all."""


@dataclass(frozen=True)
class Response:
    """Another host's answer.

    Attributes:
        status: The HTTP status.
        headers: Names in lower case.
        body: At most 64 KiB; a longer answer is an OutboundFailed.
        url: The address that answered, after redirects.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True)
class Exchange:
    """Another host's answer while it comes.

    Attributes:
        status: The HTTP status.
        headers: As they came, repeated ones too.
        pieces: The body; raises OutboundFailed where it breaks off.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    pieces: Iterator[bytes]


def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name, in the resolver's order.

    Raises:
        OutboundFailed: the name does not resolve.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OutboundFailed("the name of the other host does not resolve") from error
    return [str(entry[4][0]) for entry in found]


def is_public(address: str) -> bool:
    """Whether an address belongs to the open internet, looking through IPv6 forms that carry an IPv4 address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        carried = parsed.ipv4_mapped or parsed.sixtofour
        if parsed.teredo is not None or parsed in ipaddress.ip_network("64:ff9b::/96"):
            return False
        if carried is not None:
            return is_public(str(carried))
    return parsed.is_global and not parsed.is_multicast


def origin_of(parts: SplitResult) -> str:
    """Scheme, host and port as an origin is written (RFC 6454): the default port is left out."""
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    standard = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" if parts.port in {None, standard} else f"{parts.scheme}://{host}:{parts.port}"


@dataclass(frozen=True)
class Outbound:
    """The one way out.

    Attributes:
        allowed_loopback_origins: Origins such as `http://localhost:8091` that may be reached, on loopback only.
        resolver: Names to addresses; tests pass their own.
    """

    allowed_loopback_origins: frozenset[str] = frozenset()
    resolver: Resolver = field(default=resolve)

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Response:
        """Fetch, following at most three redirects, each judged like the first address.

        Raises:
            OutboundRefused: the address, or one it redirects to, is not spoken to.
            OutboundFailed: no whole answer within five seconds.
        """
        deadline = time.monotonic() + TIMEOUT_SECONDS
        for _ in range(REDIRECT_LIMIT + 1):
            with desk.away():
                response = self._request("GET", url, b"", dict(headers or {}), deadline)
            location = response.headers.get("location")
            if response.status not in {301, 302, 303, 307, 308} or location is None:
                return response
            following = urljoin(url, location)
            if origin_of(urlsplit(following)) != origin_of(urlsplit(url)):
                headers = None  # what was meant for one origin is not told to the next
            url = following
        raise OutboundFailed("the other host redirects too often")

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send. A redirect is returned, never followed: a message goes where its receiver was registered or nowhere.

        Raises:
            OutboundRefused: the address is not spoken to.
            OutboundFailed: no whole answer within five seconds.
        """
        with desk.away():
            return self._request("POST", url, body, dict(headers), time.monotonic() + TIMEOUT_SECONDS)

    @contextlib.contextmanager
    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] = b"",
        *,
        seconds: float,
    ) -> Iterator[Exchange]:
        """Send and receive any length, a piece at a time; for what a citizen asked for, never for a stranger's address.

        A redirect is returned, never followed. The answer is read within the block.

        Args:
            method: Of HTTP.
            url: Judged like every address.
            headers: Sent besides the host's own; `Content-Length` where `body` is a stream of known length.
            body: What is sent.
            seconds: For the whole of it, the body of the answer included.

        Raises:
            OutboundRefused: the address is not spoken to.
            OutboundFailed: no whole answer in time.
        """
        parts, address = self.judge(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = _PinnedConnection(parts, address, time.monotonic() + seconds)
        try:
            try:
                sent = {"User-Agent": "Tvilling", "Connection": "close", **headers}
                connection.request(method, target, body or None, sent)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise OutboundFailed("the other host did not answer as it should") from error
            yield Exchange(answer.status, answer.getheaders(), connection.pieces(answer))
        finally:
            connection.finish()

    def judge(self, url: str) -> tuple[SplitResult, str]:
        """The parts of an address and the one network address to connect to.

        Raises:
            OutboundRefused: scheme, form or range is not allowed.
            OutboundFailed: the name does not resolve.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise OutboundRefused("the address is malformed") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
            raise OutboundRefused("only http and https addresses without user names are spoken to")
        allowed_loopback = origin_of(parts) in self.allowed_loopback_origins
        if parts.scheme == "http" and not allowed_loopback:
            raise OutboundRefused("the address needs https")
        addresses = self.resolver(parts.hostname, port)
        if not addresses:
            raise OutboundFailed("the name of the other host does not resolve")
        for address in addresses:
            if allowed_loopback:
                if not ipaddress.ip_address(address).is_loopback:
                    raise OutboundRefused("an origin named for loopback leads away from loopback")
            elif not is_public(address):
                # One bad address among good ones is refused too: it is how rebinding begins.
                raise OutboundRefused("the address lies in a range that is not spoken to")
        return parts, addresses[0]

    def _request(self, method: str, url: str, body: bytes, headers: dict[str, str], deadline: float) -> Response:
        parts, address = self.judge(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = _PinnedConnection(parts, address, deadline)
        try:
            connection.request(
                method, target, body or None, {"User-Agent": "Tvilling", "Connection": "close", **headers}
            )
            answer = connection.getresponse()
            content = connection.read_all(answer)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OutboundFailed("the other host did not answer as it should") from error
        finally:
            connection.finish()
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content, url)


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to the judged address that still speaks to, and checks the certificate of, the name."""

    def __init__(self, parts: SplitResult, address: str, deadline: float) -> None:
        hostname = parts.hostname or ""
        super().__init__(hostname, parts.port or (443 if parts.scheme == "https" else 80))
        self._address = address
        self._tls = parts.scheme == "https"
        self._deadline = deadline
        self._connected: socket.socket | None = None
        self._alarm: threading.Timer | None = None
        self.default_port = 443 if self._tls else 80

    def connect(self) -> None:
        left = max(self._deadline - time.monotonic(), 0.001)
        connected = socket.create_connection((self._address, self.port), timeout=left)
        if self._tls:
            connected = ssl.create_default_context().wrap_socket(connected, server_hostname=self.host)
        self.sock = self._connected = connected
        # A socket's own timeout starts afresh at each byte; the alarm cuts a host off that drips them.
        self._alarm = threading.Timer(left, self._cut)
        self._alarm.daemon = True
        self._alarm.start()

    def _cut(self) -> None:
        if self._connected is not None:
            with contextlib.suppress(OSError):
                self._connected.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        """Let go of everything. `close` is the library's, which calls it before the body of a last answer is read."""
        if self._alarm is not None:
            self._alarm.cancel()
        self.close()
        if self._connected is not None:
            self._connected.close()

    def pieces(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        """The body as it comes, within the limit of time."""
        try:
            while piece := answer.read1(_PIECE_BYTES):
                yield piece
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OutboundFailed("the other host's answer broke off") from error
        if time.monotonic() >= self._deadline or (answer.length or 0) > 0:
            raise OutboundFailed("the other host's answer broke off")

    def read_all(self, answer: http.client.HTTPResponse) -> bytes:
        """The body, within the limits of size and time."""
        received = bytearray()
        while piece := answer.read1(16 * 1024):
            received += piece
            if len(received) > BODY_LIMIT_BYTES:
                raise OutboundFailed("the other host's answer is longer than 64 KiB")
        if time.monotonic() >= self._deadline or (answer.length or 0) > 0:
            raise OutboundFailed("the other host's answer broke off")
        return bytes(received)


declare(OutboundRefused, "outbound-refused", "That address is not spoken to", 422)
declare(OutboundFailed, "outbound-failed", "The other host did not answer", 502)

"""A request's body, read with a limit, and by some of a worker's threads only.

A worker has a number of threads, and reading a body holds one until the body has come. Whoever announces a thousand
bytes and sends one would hold it for as long as he keeps the connection. So bodies are read in a number of places, large
ones in fewer of them; the threads that remain answer everybody who only asks. (A read cannot be given up: granian stops
answering altogether when a response is returned while another thread still reads. slow_callers.py cuts the connections
of those who send nothing while others are refused.)
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager, nullcontext
from typing import IO, TYPE_CHECKING

from pod_server import desk, problems, slow_callers

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

MAX_BODY_BYTES = 32 * 1024 * 1024
"""The largest body that any door reads whole; only documents that are not RDF may be larger (binaries.py)."""

TOO_LARGE = f"a body is at most {MAX_BODY_BYTES} bytes; send it in parts"

BODIES_AT_ONCE = 48
"""How many of a worker's threads may wait for bodies."""

UPLOADS_AT_ONCE = 32
"""How many of these bodies may be large ones, which take their time."""

DOWNLOADS_AT_ONCE = 48
"""How many of a worker's threads may wait for the readers of large answers."""

TRANSFERS_A_POD = 12
"""How many large bodies, and how many large answers, one pod may have on their way: others' pods go on."""

FREE_THREADS = 16
"""How many of a worker's threads wait for nobody. (Threads are made as they are needed, and one works at a time:
desk.py.)"""

THREADS = BODIES_AT_ONCE + DOWNLOADS_AT_ONCE + FREE_THREADS

PLACE_SECONDS = 0.25
"""How long to wait for a place; bodies that come promptly leave theirs within milliseconds."""


class RequestRefused(Exception):
    """A request that no door takes."""


class BodyTooLarge(RequestRefused):
    """The body is larger than any door takes."""


class TooManyBodies(RequestRefused):
    """As many bodies are on their way as a worker waits for.

    Attributes:
        retry_after: Whole seconds after which to try again.
    """

    retry_after = 5


class TooManyTransfers(RequestRefused):
    """As many large bodies or answers are on their way, in all or for this pod, as a worker waits for.

    Attributes:
        retry_after: Whole seconds after which to try again.
    """

    retry_after = 10


class BodyIncomplete(RequestRefused):
    """The connection ended before the announced body had come."""


class BodyEncoded(RequestRefused):
    """The body is compressed: what it unpacks to is not known before it is unpacked, so none is.

    Attributes:
        headers: What may stand in Content-Encoding (RFC 9110, section 12.5.3).
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers = {"Accept-Encoding": "identity"}


class PartialBody(RequestRefused):
    """The body is a part of a document (Content-Range): documents are put whole."""


problems.declare(BodyTooLarge, "body-too-large", "The body is too large", 413)
problems.declare(TooManyBodies, "too-many-bodies", "Too many slow bodies are on their way", 503)
problems.declare(TooManyTransfers, "too-many-transfers", "Too many large documents are on their way", 503)
problems.declare(BodyIncomplete, "body-incomplete", "The body is incomplete", 400)
problems.declare(BodyEncoded, "body-encoded", "The body is compressed", 415)
problems.declare(PartialBody, "body-partial", "The body is a part of a document", 400)


def check_encoding(content_encoding: str | None) -> None:
    """Check a request's Content-Encoding (RFC 9110, section 8.4): none is undone here.

    Raises:
        BodyEncoded: there is one.
    """
    if content_encoding is not None and content_encoding.strip().lower() not in {"", "identity"}:
        raise BodyEncoded("send the body as it is, without Content-Encoding: nothing is unpacked here")


_places = threading.BoundedSemaphore(BODIES_AT_ONCE)


class Transfers:
    """The large bodies, or the large answers, that a worker has on their way."""

    def __init__(self, most: int, most_a_pod: int = TRANSFERS_A_POD) -> None:
        self._most = most
        self._most_a_pod = most_a_pod
        self._of_pods: Counter[Hashable] = Counter()
        self._guard = threading.Lock()

    @contextmanager
    def one(self, pod_id: Hashable) -> Iterator[None]:
        """The time of one transfer, of a pod's or of a partner's.

        Raises:
            TooManyTransfers: there are as many as may be, in all or of this pod.
        """
        with self._guard:
            if self._of_pods.total() >= self._most or self._of_pods[pod_id] >= self._most_a_pod:
                slow_callers.press()
                raise TooManyTransfers("Too many large documents are on their way; ask again a little later.")
            self._of_pods[pod_id] += 1
        try:
            yield
        finally:
            with self._guard:
                self._of_pods[pod_id] -= 1
                if not self._of_pods[pod_id]:
                    del self._of_pods[pod_id]


uploads = Transfers(UPLOADS_AT_ONCE)
downloads = Transfers(DOWNLOADS_AT_ONCE)


@contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(timeout=PLACE_SECONDS):
        slow_callers.press()
        raise TooManyBodies("Too many slow bodies are on their way; send this one again a little later.")
    try:
        yield
    finally:
        _places.release()


class LimitedBody:
    """A body as the application reads it: never more than the limit, never cut short without a word."""

    def __init__(self, stream: IO[bytes], announced: int | None) -> None:
        """Wrap a server's stream.

        Args:
            stream: The body as the server hands it over; its `read` may block for as long as the caller wishes.
            announced: The `Content-Length`, or None where the body comes in chunks.
        """
        self._stream = stream
        self._announced = announced
        self._received = 0
        self._limit = MAX_BODY_BYTES
        self._has_place = False

    @contextmanager
    def large(self, pod_id: Hashable) -> Iterator[None]:
        """The time in which a large body is read: it keeps its place, so that nobody takes it between two pieces.

        Raises:
            TooManyTransfers, TooManyBodies: there is none.
        """
        with uploads.one(pod_id), desk.away(), _place():
            self._has_place = True
            try:
                yield
            finally:
                self._has_place = False

    def allow(self, limit_bytes: int) -> None:
        """Let more come than any door takes whole: for a body that is never held whole, once its sender is known."""
        self._limit = limit_bytes

    def read(self, size: int = -1) -> bytes:
        """Read on.

        Raises:
            BodyTooLarge: there is more than the limit.
            TooManyBodies: every place is taken by a body that does not come.
            BodyIncomplete: less came than was announced.
        """
        left = self._limit - self._received
        wanted = left + 1 if size < 0 else min(size, left + 1)
        with desk.away(), nullcontext() if self._has_place else _place():
            data = self._stream.read(wanted)
        self._received += len(data)
        if self._received > self._limit:
            raise BodyTooLarge(TOO_LARGE)
        ended = size < 0 or (wanted > 0 and not data)
        if ended and self._announced is not None and self._received < self._announced:
            raise BodyIncomplete(f"{self._announced} bytes were announced, {self._received} came; nothing was kept")
        return data


def read_up_to(stream: LimitedBody, size_bytes: int) -> bytes:
    """The first bytes of a body: so many, or all there are."""
    data = b""
    while len(data) < size_bytes and (more := stream.read(size_bytes - len(data))):
        data += more
    return data

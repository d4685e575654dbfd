"""One query, one child process that can be killed and that holds nothing but the graphs it is given.

Source: SPARQL 1.1 Protocol (W3C Recommendation 2013), section 2.1; a query has no time-out of its own, and the library
would honour SERVICE, so it runs in a process without files, sockets, much memory or much time (child.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from pod_server.queries.errors import (
    QueriesBusy,
    QueryMalformed,
    QueryRefused,
    QueryTooExpensive,
    ResultFormatUnknown,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Limits:
    """What one query may cost."""

    seconds: float = 5.0
    cpu_seconds: int = 5
    memory_bytes: int = 768 * 1024 * 1024
    answer_bytes: int = 8 * 1024 * 1024
    waiting_seconds: float = 1.0


@dataclass(frozen=True)
class Answer:
    """A result and the form it has."""

    media_type: str
    body: bytes


@dataclass(frozen=True)
class QueryGraph:
    """One named graph of the data set, as N-Triples or, with a base for its relative IRIs, as Turtle."""

    iri: str
    content: bytes
    media_type: Literal["application/n-triples", "text/turtle"] = "application/n-triples"
    base: str = ""


@dataclass(frozen=True)
class DataSet:
    """Which graphs a query is over.

    Attributes:
        default_graphs: The graphs that together are the default graph; `union` for all of them, None where the query
            has its own FROM.
        named_graphs: The graphs that GRAPH sees; None for all of them, or what the query's FROM NAMED says.
    """

    default_graphs: tuple[str, ...] | Literal["union"] | None = "union"
    named_graphs: tuple[str, ...] | None = None


CHILD = Path(__file__).with_name("child.py")


class Turns:
    """How many queries of one door run at a time in this process."""

    def __init__(self, at_once: int) -> None:
        self._places = threading.BoundedSemaphore(at_once)

    def take(self, waiting_seconds: float) -> None:
        """Take a place.

        Raises:
            QueriesBusy: none became free.
        """
        if not self._places.acquire(timeout=waiting_seconds):
            raise QueriesBusy("Other queries are running; ask again in a moment.")

    def give_back(self) -> None:
        """Give the place to the next one."""
        self._places.release()


def run_query(
    query: str,
    graphs: Sequence[QueryGraph],
    *,
    data_set: DataSet,
    base: str,
    formats: Sequence[str],
    limits: Limits,
    turns: Turns,
) -> Answer:
    """Run one query, already checked (text.py), over some graphs.

    Args:
        query: SPARQL 1.1, any of its four forms.
        graphs: All there is; nothing else reaches the child.
        data_set: Which of them are the default graph, which are named.
        base: The IRI that relative IRIs in the query are resolved against.
        formats: Acceptable media types, the best first; `*/*` for any.
        limits: What it may cost.
        turns: The door's places.

    Raises:
        QueryRefused: it reached for something outside.
        QueryMalformed: it is not SPARQL 1.1.
        QueryTooExpensive: it ran into a limit; the child was killed.
        QueriesBusy: others are running.
        ResultFormatUnknown: none of `formats` fits the query's form.
    """
    request = {
        "query": query,
        "base": base,
        "formats": list(formats),
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory_bytes,
        "default_graphs": data_set.default_graphs,
        "named_graphs": data_set.named_graphs,
        "graphs": [(graph.iri, graph.media_type, graph.base, len(graph.content)) for graph in graphs],
    }
    document = json.dumps(request).encode() + b"\n" + b"".join(graph.content for graph in graphs)
    turns.take(limits.waiting_seconds)
    try:
        said = _run_child(document, limits)
    finally:
        turns.give_back()
    head, _, body = said.partition(b"\n")
    try:
        outcome = json.loads(head)
    except ValueError:
        # The child died without a word: the system ended it for its memory or its processor time.
        raise QueryTooExpensive(_too_expensive(limits)) from None
    match outcome.get("error"):
        case None:
            return Answer(outcome["ok"], body)
        case "malformed":
            raise QueryMalformed(outcome["message"])
        case "refused":
            raise QueryRefused("The query reached for something outside its graphs.")
        case "format":
            raise ResultFormatUnknown("None of the media types in Accept fits the form of this query.")
        case _:
            raise QueryTooExpensive(_too_expensive(limits))


def _run_child(document: bytes, limits: Limits) -> bytes:
    child = subprocess.Popen(  # noqa: S603 - our own script, under our own interpreter; the query travels by pipe
        [sys.executable, "-I", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={},
        close_fds=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    # One thread writes and a timer kills: the reader below then sees the end of the stream, whatever the child does.
    writer = threading.Thread(target=_feed, args=(child.stdin, document), daemon=True)
    alarm = threading.Timer(limits.seconds, child.kill)
    started = time.monotonic()
    alarm.start()
    writer.start()
    try:
        said = child.stdout.read(limits.answer_bytes + 1)
        if len(said) > limits.answer_bytes:
            raise QueryTooExpensive(f"The answer is larger than {limits.answer_bytes // 2**20} MB; ask for less.")
    finally:
        alarm.cancel()
        child.kill()
        child.wait()
        writer.join()
        child.stdout.close()
    if time.monotonic() - started >= limits.seconds:
        raise QueryTooExpensive(_too_expensive(limits))
    return said


def _feed(stream: IO[bytes], document: bytes) -> None:
    try:
        with stream:
            stream.write(document)
    except (BrokenPipeError, OSError):
        return  # the child is gone; the reader says why


def _too_expensive(limits: Limits) -> str:
    return (
        f"The query ran into its limits ({limits.seconds:g} seconds, {limits.memory_bytes // 2**20} MB). "
        "Narrow it, or take it in parts."
    )

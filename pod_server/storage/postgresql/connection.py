"""One connection in pipeline mode: what was sent, which answers are due, which statements the server knows by name."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import ConnStatus, ExecStatus

from pod_server import desk

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult


class PipelinedConnection(psycopg.Connection[Any]):
    """A connection, in pipeline mode from the first transaction on, and the statements that it knows by name."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.known: dict[str, bytes] = {}
        self.unsure: list[str] = []
        self.names = 0
        self.unread = 0

    def is_usable(self) -> bool:
        """Whether a transaction may begin: the last one has ended, and the server has not hung up since."""
        if self.closed:
            return False
        try:
            if self.unread:
                self.pgconn.consume_input()  # the end of a reader before this one lies there already
            while self.unread:
                self.read_until_sync()
        except psycopg.Error:
            return False
        # An idle connection has nothing to say but that the server goes away.
        return self.pgconn.status == ConnStatus.OK and not readable(self.pgconn.socket, 0)

    def sync(self) -> None:
        """End what was sent; the server answers it up to here."""
        self.pgconn.pipeline_sync()
        self.unread += 1

    def read_until_sync(self) -> list[PGresult]:
        """Every answer up to the first end that was not read yet; the last is an error where the connection broke."""
        answers: list[PGresult] = []
        while True:
            result = self._next_answer()
            if result.status == ExecStatus.PIPELINE_SYNC:
                self.unread -= 1
                return answers
            answers.append(result)
            if self._broke(result):
                return answers

    def read_answers(self, number: int) -> list[PGresult]:
        """The answers to so many statements, without ending what they are part of; fewer where the connection broke."""
        self.pgconn.send_flush_request()
        self.pgconn.flush()
        answers: list[PGresult] = []
        while len(answers) < number:
            result = self._next_answer()
            answers.append(result)
            if self._broke(result):
                break
        return answers

    def _broke(self, result: PGresult) -> bool:
        broke = result.status == ExecStatus.FATAL_ERROR and self.pgconn.status != ConnStatus.OK
        if broke:
            self.unread = 0
        return broke

    def _next_answer(self) -> PGresult:
        pgconn = self.pgconn
        while True:
            while pgconn.is_busy():
                # What was sent may still lie here: more than a socket takes at once (libpq, PQflush).
                unsent = bool(pgconn.flush())
                # Others sit at the desk meanwhile; under gevent, whose poll this is, only this greenlet waits.
                with desk.away():
                    something_came = readable(pgconn.socket, None, or_writable=unsent)
                if something_came:
                    pgconn.consume_input()
            result = pgconn.get_result()
            if result is not None:
                return result


def readable(socket: int, milliseconds: int | None, *, or_writable: bool = False) -> bool:
    """Wait until there is something to read, or the end, or, if so wished, until something more can be sent.

    Returns:
        True for the first; False for the second, and after that time (None: never).
    """
    poll = select.poll()
    poll.register(socket, select.POLLIN | (select.POLLOUT if or_writable else 0))
    return any(events & ~select.POLLOUT for _, events in poll.poll(milliseconds))

"""Answers of other hosts (WebIDs, issuers' keys, client identifier documents), kept for a while, within limits.

Strangers choose what is looked up, so the number of answers kept, of lookups at a time and of tries at what failed are
all bounded; one process keeps its own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from pod_server.problems import declare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

Answer = TypeVar("Answer")

KEPT_FOR = timedelta(minutes=5)
FAILURE_KEPT_FOR = timedelta(seconds=30)
MOST_KEPT = 1000
MOST_AT_A_TIME = 2


class LookupsBusy(Exception):
    """So many answers of other hosts are being waited for that this request is to come again.

    Attributes:
        retry_after: Seconds.
    """

    retry_after = 5

    def __init__(self) -> None:
        super().__init__("This host is waiting for other hosts' answers just now. Try again in a few seconds.")


@dataclass(frozen=True)
class _Kept:
    answer: Any
    failure: Exception | None
    until: datetime


class Lookups:
    """What other hosts answered lately."""

    def __init__(self, *, most_kept: int = MOST_KEPT, most_at_a_time: int = MOST_AT_A_TIME) -> None:
        """Begin with nothing kept.

        Args:
            most_kept: How many answers; the one unused for longest goes first.
            most_at_a_time: How many lookups may wait at the same moment, so that slow hosts never hold every thread.
        """
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._most_kept = most_kept
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(most_at_a_time)

    def find(
        self, subject: str, address: str, now: datetime, look_up: Callable[[], Answer], failures: type[Exception]
    ) -> Answer:
        """What is kept, or what `look_up` brings; an expected failure is kept too, for a shorter while.

        Args:
            subject: What kind of answer: `webid`, `issuer`, `client`.
            address: Of what.
            now: Real time.
            look_up: Asks the other host; called outside every lock.
            failures: What `look_up` raises when the other host is at fault.

        Raises:
            LookupsBusy: too many lookups wait already.
        """
        kept = self._recall((subject, address), now)
        if kept is None:
            with self.turn():
                kept = self._ask(now, look_up, failures)
            self._keep((subject, address), kept)
        if kept.failure is not None:
            raise kept.failure
        answer: Answer = kept.answer
        return answer

    def forget(self, subject: str, address: str) -> None:
        """Ask anew next time."""
        with self._lock:
            self._kept.pop((subject, address), None)

    def __len__(self) -> int:
        return len(self._kept)

    def _recall(self, key: tuple[str, str], now: datetime) -> _Kept | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept.until <= now:
                return None
            self._kept.move_to_end(key)
            return kept

    def _keep(self, key: tuple[str, str], kept: _Kept) -> None:
        with self._lock:
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > self._most_kept:
                self._kept.popitem(last=False)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One of the few turns to wait for another host, kept while it is waited for.

        Raises:
            LookupsBusy: all are taken.
        """
        if not self._turns.acquire(blocking=False):
            raise LookupsBusy
        try:
            yield
        finally:
            self._turns.release()

    @staticmethod
    def _ask(now: datetime, look_up: Callable[[], Any], failures: type[Exception]) -> _Kept:
        try:
            return _Kept(look_up(), None, now + KEPT_FOR)
        except failures as failure:
            return _Kept(None, failure.with_traceback(None), now + FAILURE_KEPT_FOR)


declare(LookupsBusy, "lookups-busy", "Too many other hosts are being waited for", 503)

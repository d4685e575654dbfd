"""What this process made of sealed documents lately: parsed access rules, representations.

An entry is found by the sealed head of its document, whose nonce is drawn anew at each sealing: so it is right for
exactly that version of that document and for no other, whatever is written, rolled back or restored meanwhile. Whoever
looks must have found the row, under a name that takes the pod's keys to make, and with a vault that is open.

Opened contents are kept in memory within limits: some megabytes in all, and for a few seconds after they were last
asked for, which takes an open vault. A pod that is locked is not asked for any more.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

KEPT_SECONDS = 10.0
"""How long something opened stays in memory after it was used last: after a pod was locked, say."""

MOST_BYTES = 32 * 1024 * 1024
LARGEST_BYTES = 16 * 1024 * 1024
"""What is said of the members of a very large container is remembered too."""

OVERHEAD_BYTES = 1024
"""What an entry costs besides its content, roughly."""


class OpenedLately:
    """The entries, the one unused for longest first; for many threads."""

    def __init__(self, *, most_bytes: int = MOST_BYTES, kept_seconds: float = KEPT_SECONDS) -> None:
        self._entries: OrderedDict[tuple[str, bytes], tuple[float, int, Any]] = OrderedDict()
        self._guard = threading.Lock()
        self._bytes = 0
        self._most_bytes = most_bytes
        self._kept_seconds = kept_seconds
        self._sweeper: threading.Timer | None = None

    def find(self, use: str, sealed_head: bytes) -> Any:
        """What was made of the document for this use, or None."""
        with self._guard:
            self._forget_what_is_over()
            found = self._entries.get((use, sealed_head))
            if found is None:
                return None
            self._entries[use, sealed_head] = (time.monotonic(), *found[1:])
            self._entries.move_to_end((use, sealed_head))
            return found[2]

    def keep(self, use: str, sealed_head: bytes, made: Any, size_bytes: int) -> None:
        """Remember what was made, if it is not too large."""
        if size_bytes > LARGEST_BYTES:
            return
        with self._guard:
            self._drop((use, sealed_head))
            self._entries[use, sealed_head] = (time.monotonic(), size_bytes + OVERHEAD_BYTES, made)
            self._bytes += size_bytes + OVERHEAD_BYTES
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._entries)))
            self._forget_what_is_over()
            if self._sweeper is None:
                self._sweep_later()

    def _forget_what_is_over(self) -> None:
        """The one unused for longest is the first."""
        while self._entries:
            key, (used, _, _) = next(iter(self._entries.items()))
            if time.monotonic() - used <= self._kept_seconds:
                return
            self._drop(key)

    def _sweep_later(self) -> None:
        """Nothing stays because nobody asks for anything any more."""
        self._sweeper = threading.Timer(self._kept_seconds, self._sweep)
        self._sweeper.daemon = True
        self._sweeper.start()

    def _sweep(self) -> None:
        with self._guard:
            self._forget_what_is_over()
            self._sweeper = None
            if self._entries:
                self._sweep_later()

    def __len__(self) -> int:
        return len(self._entries)

    def _drop(self, key: tuple[str, bytes]) -> None:
        dropped = self._entries.pop(key, None)
        if dropped is not None:
            self._bytes -= dropped[1]


OPENED_LATELY = OpenedLately()

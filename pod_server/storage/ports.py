"""What the house asks of a storage engine: transactions over portable SQL, with a turnstile for urgent writers.

Whoever keeps rows writes SQL that SQLite and PostgreSQL both understand, with `?` for parameters; the adapter
translates. Every table of citizen data leads with `pod_id`, and no statement joins two pods.

A writing transaction is alone with what it reads: on SQLite with the whole database, on PostgreSQL with the pods that
its statements name and with the tables that are not reached by pod (statements.py). So "read, decide, write" in one
block is safe on both. One that concerns many pods takes them in ascending order, or two of them may wait for each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Row = tuple[Any, ...]

Question = tuple[str, Sequence[Any]]
"""A SELECT and its parameters."""


class Transaction(Protocol):
    """One transaction. A reader's statements see one snapshot; a writer's take effect together at commit.

    Attributes:
        memory: What was read in this transaction and is asked for again and again, by the names that its readers choose.
            Whoever changes it in the same transaction takes it out.
        skip_locked: What makes a SELECT take the rows it finds and pass over those that another writer holds; empty
            where there is one writer.
    """

    memory: dict[Hashable, Any]
    skip_locked: str

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement that changes rows; returns how many it changed."""
        ...

    def foresee(self, questions: Iterable[Question]) -> None:
        """Ask several questions at once whose answers are needed soon, in one round trip; each is about one pod, or none.

        `one` and `all` with the same words are then answered from here, until this transaction changes the same pod
        in the same table. Nobody else can: the questions take their pods, and the tables that are not reached by pod.
        """
        ...

    def must_change(self, sql: str, parameters: Sequence[Any], otherwise: Exception) -> None:
        """Run one UPDATE or DELETE that must change a row, or nothing of the transaction stands.

        For whoever needs to know no more than that: a server far away then answers it together with the COMMIT.

        Raises:
            Exception: `otherwise`, where it changed none: here, with a later statement, or at the end of the block.
        """
        ...

    def send(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement whose count nobody needs: a server far away need not answer at once.

        What it raises may come with a later statement, or at the end of the block.
        """
        ...

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one INSERT for many rows."""
        ...

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row, or None."""
        ...

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Every row."""
        ...


class Storage(Protocol):
    """A storage engine.

    Attributes:
        is_embedded: True where statements are worked out in this process; False where each one waits for a server, so
            that threads do well to wait side by side (pod_server/desk.py).
    """

    is_embedded: bool

    def read(self) -> AbstractContextManager[Transaction]:
        """A read-only snapshot."""
        ...

    def look(self) -> AbstractContextManager[Transaction]:
        """Reading without a snapshot: each question, or each `foresee`, sees what was committed when it was asked.

        For one question, or for several that need not agree: with a server each is then one round trip and no more.
        """
        ...

    def write(self, *, urgent: bool = False) -> AbstractContextManager[Transaction]:
        """A writing transaction: commits durably when the block ends, rolls back when it raises.

        `urgent` writers (withdrawals, erasures) pass the turnstile before bulk writers. Keep blocks under 20 ms.

        Raises:
            StorageFull: the disk is full; nothing was written.
            StorageBusy: no turn came within the time-out.
            StorageUnavailable: the database server went away; what was sent again counts once.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...

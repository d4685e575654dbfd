"""One transaction in pipeline mode: what it takes, what it sends, what it foresaw, and what a conflict makes it say again."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus

from pod_server.storage.errors import StorageError
from pod_server.storage.postgresql.failures import CONFLICT, translate
from pod_server.storage.postgresql.values import numbered, rows_of, says_the_same, type_of, without_nul
from pod_server.storage.statements import Subject, subject_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from psycopg.pq.abc import PGresult

    from pod_server.storage.ports import Question, Row
    from pod_server.storage.postgresql.connection import PipelinedConnection

_PIPELINED_AT_MOST = 200
"""Statements sent before an answer is read: neither side's socket buffer may fill while both are writing."""

SAID_AGAIN_AT_MOST = 4
"""Times that a transaction is said again after a conflict, before whoever wrote it is told."""

_LOCK_SPACE = 0x7476696C
"""'tvil': other programs' advisory locks in the same database are not ours."""

_BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_TAKE_POD = "SELECT 1 FROM pod WHERE pod_id = ? FOR NO KEY UPDATE"
_TAKE_PODS = f"SELECT 1 FROM pod WHERE pod_id IN ({', '.join('?' * 16)}) ORDER BY pod_id FOR NO KEY UPDATE"
_TAKEN_AT_ONCE = 16
"""Sixteen in one statement, in their order; where there are fewer the last is named again."""

_TAKE_TABLE = {
    "alone": f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, ?::int4)",
    "shared": f"SELECT pg_advisory_xact_lock_shared({_LOCK_SPACE}, ?::int4)",
}

_Asked = tuple[str, tuple[Any, ...]]
"""A question as the key to its answer."""


_NO_POD = 0
"""Under which it is kept what was foreseen of a table that is not reached by pod; no pod has the number."""


class PostgresqlTransaction:
    """One transaction on one connection, in pipeline mode."""

    skip_locked = " FOR UPDATE SKIP LOCKED"

    __slots__ = (
        "_answered",
        "_batch",
        "_begun",
        "_committed",
        "_connection",
        "_foreseen",
        "_pgconn",
        "_pods",
        "_required",
        "_said",
        "_snapshot",
        "_tables",
        "_waiting",
        "_writing",
        "memory",
    )

    def __init__(self, connection: PipelinedConnection, *, writing: bool, snapshot: bool = True) -> None:
        self._connection = connection
        self._snapshot = snapshot and not writing
        self._pgconn = connection.pgconn
        self._writing = writing
        self._waiting = 0
        self._begun = False
        self._committed = False
        self._pods: set[int] = set()
        self._tables: set[str] = set()
        self.memory: dict[Hashable, Any] = {}
        self._foreseen: dict[int, dict[_Asked, list[Row]]] = {}
        self._said: list[_Asked] = []
        self._required: dict[_Asked, Exception] = {}
        self._answered: list[PGresult] = []
        self._batch: list[bool] = []
        if self._pgconn.pipeline_status == PipelineStatus.OFF:
            self._pgconn.enter_pipeline_mode()
        if writing:
            self._send(_BEGIN_WRITING, ())

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement that changes rows; returns how many it changed."""
        return self._ask(sql, parameters).command_tuples or 0

    def send(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement whose count nobody needs; it goes out with the next question, or with the COMMIT."""
        self._take(sql, parameters)
        self._send(sql, parameters)

    def must_change(self, sql: str, parameters: Sequence[Any], otherwise: Exception) -> None:
        """Run one statement without which nothing shall stand; it goes out with the next question, or with the COMMIT.

        The server itself refuses where no row changed (a division by their number), and then carries out nothing of what
        stands behind it in the pipeline, the COMMIT among it.
        """
        self._take(sql, parameters)
        counted = f"WITH changed AS ({sql} RETURNING 1) SELECT 1 / COUNT(*) FROM changed"
        self._required[counted, tuple(parameters)] = otherwise
        self._send(counted, parameters)

    def foresee(self, questions: Iterable[Question]) -> None:
        """Ask several questions in one round trip; each must be about one pod, or about none."""
        asked: list[tuple[int, _Asked, int]] = []
        chosen = [(_pod_of(sql, parameters), sql, parameters) for sql, parameters in questions]
        self._take_pods({pod_id for pod_id, _, _ in chosen if pod_id})
        for pod_id, sql, parameters in chosen:
            self._take(sql, parameters)
            self._send(sql, parameters)
            asked.append((pod_id, (sql, tuple(parameters)), self._waiting - 1))
            if self._waiting >= _PIPELINED_AT_MOST:
                self._keep(asked)
                asked.clear()
        if asked:
            self._keep(asked)

    def _keep(self, asked: Sequence[tuple[int, _Asked, int]]) -> None:
        answers = self._answers()
        for pod_id, question, place in asked:
            answer = answers[place]
            self._foreseen.setdefault(pod_id, {})[question] = rows_of(answer, at_most=answer.ntuples)

    def _foreseen_answer(self, sql: str, parameters: Sequence[Any]) -> list[Row] | None:
        pods = subject_of(sql).pods_named(parameters)
        if len(pods) > 1:
            return None
        return self._foreseen.get(pods[0] if pods else _NO_POD, {}).get((sql, tuple(parameters)))

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one INSERT for many rows, in one round trip for each two hundred."""
        for row in rows:
            self.send(sql, row)

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row, or None. Also runs a changing statement with a RETURNING clause."""
        if self._foreseen and (known := self._foreseen_answer(sql, parameters)) is not None:
            return known[0] if known else None
        result = self._ask(sql, parameters)
        return rows_of(result, at_most=1)[0] if result.ntuples else None

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Every row."""
        if self._foreseen and (known := self._foreseen_answer(sql, parameters)) is not None:
            return known
        result = self._ask(sql, parameters)
        return rows_of(result, at_most=result.ntuples)

    def commit(self) -> None:
        """End the transaction; what it wrote is on the disk when this returns."""
        tag = self._ask("COMMIT", ()).command_status
        if tag != b"COMMIT":
            # A statement failed and somebody caught its error inside the block: PostgreSQL has rolled back.
            message = "the transaction was rolled back: one of its statements had failed"
            raise RuntimeError(message)
        self._committed = True

    def leave(self) -> bool:
        """End what is not committed; whether the connection may be used again.

        Nobody waits for the answer to a ROLLBACK: whoever uses the connection next reads it first.
        """
        try:
            if self._pgconn.status != ConnStatus.OK:
                return False
            if not self._committed:
                self._required.clear()  # its error is not the one that the block ends with
                self._forget_unsure()
                if self._writing:
                    self._send("ROLLBACK", ())
                if self._begun:
                    self._connection.sync()
        except (psycopg.Error, StorageError):
            return False
        return True

    def _take(self, sql: str, parameters: Sequence[Any]) -> None:
        """Take what the statement is about, before it runs; see the module's text."""
        if not self._writing:
            return
        subject = subject_of(sql)
        if subject.skips:
            return
        for pod_id in subject.pods_named(parameters):
            if pod_id not in self._pods:
                self._send(_TAKE_POD, (pod_id,))
                self._pods.add(pod_id)
        if subject.changes and self._foreseen:
            self._forget_foreseen(subject, subject.pods_named(parameters))
        for table, how in subject.takes:
            if table in self._tables or (how == "shared" and f"{table} shared" in self._tables):
                continue
            self._send(_TAKE_TABLE[how], (zlib.crc32(table.encode()) - (1 << 31),))
            self._tables.add(table if how == "alone" else f"{table} shared")

    def _forget_foreseen(self, subject: Subject, pods: Sequence[int]) -> None:
        """What was foreseen of these pods, and of none, in the tables that are changed; of every pod where none is named."""
        for pod_id in (*pods, _NO_POD) if pods else list(self._foreseen):
            foreseen = self._foreseen.get(pod_id, {})
            for asked in [each for each in foreseen if not set(subject_of(each[0]).tables).isdisjoint(subject.tables)]:
                del foreseen[asked]

    def _take_pods(self, pods: set[int]) -> None:
        """Take several pods, in their order."""
        if not self._writing:
            return
        new = sorted(pods - self._pods)
        for start in range(0, len(new), _TAKEN_AT_ONCE):
            some = new[start : start + _TAKEN_AT_ONCE]
            if len(some) > 1:
                self._send(_TAKE_PODS, (*some, *[some[-1]] * (_TAKEN_AT_ONCE - len(some))))
                self._pods.update(some)

    def _send(self, sql: str, parameters: Sequence[Any]) -> None:
        """Put a statement on its way."""
        values: list[bytes | None] = []
        formats: list[int] = []
        for value in parameters:
            if value is None:
                values.append(None)
                formats.append(0)
            elif isinstance(value, str):
                if "\0" in value:
                    value = without_nul(sql, value)  # noqa: PLW2901 - the same value, as it can be asked for
                values.append(value.encode())
                formats.append(0)
            elif isinstance(value, int):
                values.append(b"%d" % value)
                formats.append(0)
            else:
                values.append(bytes(value))
                formats.append(1)
        try:
            if self._waiting >= _PIPELINED_AT_MOST + 16:
                self._read_answers()
            name = self._connection.known.get(sql) or self._prepare(sql, parameters)
            self._begun = True
            self._pgconn.send_query_prepared(name, values, formats, 1)
        except psycopg.Error as error:
            raise translate(error, writing=self._writing) from error
        self._waiting += 1
        if self._writing:
            self._said.append((sql, tuple(parameters)))
            self._batch.append(True)

    def _prepare(self, sql: str, parameters: Sequence[Any]) -> bytes:
        connection = self._connection
        connection.names += 1
        name = b"s%d" % connection.names
        self._pgconn.send_prepare(name, numbered(sql), [type_of(value) for value in parameters])
        self._waiting += 1
        self._batch.append(False)
        connection.known[sql] = name
        connection.unsure.append(sql)
        return name

    def _ask(self, sql: str, parameters: Sequence[Any]) -> PGresult:
        """Send a statement and wait for its answer, and with it for those of everything sent before."""
        self._take(sql, parameters)
        self._send(sql, parameters)
        return self._answers()[-1]

    def _answers(self) -> list[PGresult]:
        """Wait for every answer that is due, in order.

        Raises:
            StorageError: what the first statement that failed says; those after it were not carried out.
        """
        try:
            return self._read_answers()
        except psycopg.Error as error:
            raise translate(error, writing=self._writing) from error

    def _read_answers(self) -> list[PGresult]:
        connection = self._connection
        waiting, self._waiting = self._waiting, 0
        if self._snapshot:
            answers = connection.read_answers(waiting)
        else:
            connection.sync()
            while connection.unread > 1:  # of a reader before this one, or of an interrupted wait
                connection.read_until_sync()
            answers = connection.read_until_sync()
            self._begun = self._writing
        failed = next((answer for answer in answers if answer.status == ExecStatus.FATAL_ERROR), None)
        batch, self._batch = self._batch, []
        if failed is not None:
            self._forget_unsure()
            conflict = errors.error_from_result(failed)
            if not (self._writing and isinstance(conflict, CONFLICT)):
                raise self._why(conflict, answers, batch)
            fresh = iter(self._say_again(conflict))
            return [next(fresh) if is_statement else failed for is_statement in batch]
        connection.unsure.clear()
        if self._writing:
            self._answered += [answer for answer, is_statement in zip(answers, batch, strict=True) if is_statement]
        return answers

    def _say_again(self, conflict: psycopg.Error) -> list[PGresult]:
        """The answers that a conflict has cost, from the same statements said once more from the beginning.

        The engine ended this transaction because another one and it waited for each other. Whoever writes the block must
        not see that, as long as it changes nothing for them: every statement is said again, and where every answer that
        they have had already comes out the same, what they did with those is right as well. Where one does not, the block
        itself would have to run again, which is its caller's affair (conflicts.py).

        Raises:
            psycopg.Error: the conflict itself, where an answer is another now, or conflicts went on.
        """
        said, had = self._said, self._answered
        for _ in range(SAID_AGAIN_AT_MOST):
            try:
                self._run([("ROLLBACK", ())])
                now = self._run(said[: len(had)])
                if not all(map(says_the_same, had, now)):
                    break
                # Only now: among these may be the COMMIT.
                fresh = self._run(said[len(had) :])
            except CONFLICT:
                continue
            self._said, self._answered = said, now + fresh
            return fresh
        raise conflict

    def _run(self, statements: Sequence[_Asked]) -> list[PGresult]:
        """Send statements and read their answers, without a word about it to whoever reads or repeats."""
        answers: list[PGresult] = []
        for start in range(0, len(statements), _PIPELINED_AT_MOST):
            self._said, self._batch = [], []
            for sql, parameters in statements[start : start + _PIPELINED_AT_MOST]:
                self._send(sql, parameters)
            batch, self._batch, self._waiting = self._batch, [], 0
            self._connection.sync()
            said = self._connection.read_until_sync()
            failed = next((answer for answer in said if answer.status == ExecStatus.FATAL_ERROR), None)
            if failed is not None:
                self._forget_unsure()
                raise self._why(errors.error_from_result(failed), said, batch)
            self._connection.unsure.clear()
            answers += [answer for answer, is_statement in zip(said, batch, strict=True) if is_statement]
        return answers

    def _why(self, error: psycopg.Error, answers: Sequence[PGresult], batch: Sequence[bool]) -> Exception:
        """What its writer is told of a statement that failed: what `must_change` was given, where it changed nothing."""
        if isinstance(error, errors.DivisionByZero) and self._required:
            place = next(at for at, answer in enumerate(answers) if answer.status == ExecStatus.FATAL_ERROR)
            if batch[place]:
                return self._required.get(self._said[-sum(batch) :][sum(batch[:place])], error)
        return error

    def _forget_unsure(self) -> None:
        """After a failure: what was to be prepared behind it was not, and is prepared anew under another name."""
        for sql in self._connection.unsure:
            self._connection.known.pop(sql, None)
        self._connection.unsure.clear()


def _pod_of(sql: str, parameters: Sequence[Any]) -> int:
    """The one pod that a question is about; 0 where it is about none.

    Raises:
        ValueError: it is about several.
    """
    pods = subject_of(sql).pods_named(parameters)
    if len(pods) > 1:
        message = "what is foreseen is about one pod, or about none"
        raise ValueError(message)
    return pods[0] if pods else _NO_POD

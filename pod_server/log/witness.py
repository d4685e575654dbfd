"""A witness of logs: it cosigns a checkpoint only if it continues the last one it cosigned (c2sp.org/tlog-witness).

It knows no citizens: a log's name is the host and a random number. It keeps the last checkpoint of each log, and so
refuses a log that was shortened, forked or rewritten, whoever asks and whatever key signed. It needs nothing of a host
but the public key of its logs, and anybody can run one: `tvilling witness serve`.
"""

from __future__ import annotations

import base64
import binascii
import re
import sqlite3
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server.log.checkpoint import VerifierKey, parse_unverified, verify_checkpoint
from pod_server.log.cosignature import cosign
from pod_server.log.errors import LogBroken
from pod_server.log.hand_over import read_hand_over
from pod_server.log.tree import EMPTY_ROOT, HASH_BYTES, verify_consistency

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pod_server.clock import Clock
    from pod_server.log.checkpoint import Checkpoint
    from pod_server.signatures import SigningKey

BODY_LIMIT_BYTES = 16 * 1024
_PROOF_LINES = 63
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")
_SCHEMA_KEYS = "CREATE TABLE IF NOT EXISTS hand_over (name TEXT NOT NULL, old BLOB NOT NULL, new BLOB NOT NULL, note TEXT NOT NULL, PRIMARY KEY (name, old))"
_SCHEMA = "CREATE TABLE IF NOT EXISTS seen (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, at INTEGER NOT NULL)"


@dataclass(frozen=True)
class Answer:
    """What a witness answers.

    Attributes:
        status: The HTTP status.
        media_type: Of the body.
        body: Cosignature lines (200), the size it cosigned last (409), else a sentence.
    """

    status: int
    media_type: str
    body: str


@dataclass(frozen=True)
class Request:
    """An add-checkpoint request, before anything is checked.

    Attributes:
        old_size: Of the checkpoint that the sender believes was cosigned last.
        proof: From there to the new one.
        note: The signed checkpoint.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: str

    def encoded(self) -> bytes:
        """The request's body."""
        lines = [f"old {self.old_size}", *(base64.b64encode(each).decode() for each in self.proof), ""]
        return ("\n".join(lines) + "\n" + self.note).encode()


def parse_request(body: bytes) -> Request:
    """Read a request's body.

    Raises:
        LogBroken: it is none.
    """
    failure = LogBroken("The body is no add-checkpoint request: an old size, a proof, an empty line, a checkpoint.")
    try:
        head, blank, note = body.decode().partition("\n\n")
        first, *lines = head.split("\n")
        proof = tuple(base64.b64decode(line, validate=True) for line in lines)
    except (UnicodeDecodeError, ValueError, binascii.Error):
        raise failure from None
    found = _OLD.fullmatch(first)
    if not blank or found is None or len(proof) > _PROOF_LINES or any(len(each) != HASH_BYTES for each in proof):
        raise failure
    return Request(int(found[1]), proof, note)


class Witness:
    """One witness with its memory; safe among threads and processes."""

    def __init__(self, path: Path, name: str, key: SigningKey, logs: Sequence[VerifierKey], clock: Clock) -> None:
        """Open the memory, or make it.

        Args:
            path: The SQLite file in which it remembers what it cosigned. Whoever loses it retires the key.
            name: Its own, a URL without scheme.
            key: Its own, Ed25519.
            logs: Whose checkpoints it takes; a name that ends in `/` stands for every log whose name begins so.
            clock: Dates cosignatures.
        """
        self._path, self._name, self._key, self._clock = path, name, key, clock
        self._logs = tuple(logs)
        self._guard = threading.Lock()
        with closing(self._connect()) as connection:
            connection.execute(_SCHEMA)
            connection.execute(_SCHEMA_KEYS)
            if "signed_by" not in {row[1] for row in connection.execute("PRAGMA table_info(seen)")}:
                connection.execute("ALTER TABLE seen ADD COLUMN signed_by BLOB")

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer one add-checkpoint request."""
        try:
            request = parse_request(body)
            claimed, _, _ = parse_unverified(request.note)
        except LogBroken as error:
            return _words(400, str(error))
        known = self._log_of(claimed.origin)
        if known is None:
            return _words(404, "No log of this name is witnessed here.")
        try:
            signed_by, checkpoint = self._signer(request.note, self._keys(known, claimed.origin))
        except LogBroken as error:
            return _words(403, str(error))
        if request.old_size > checkpoint.size:
            return _words(400, "The old size is greater than the checkpoint's.")
        with self._guard, closing(self._connect()) as connection:
            # Looking and writing are one step, also among processes: of two requests from the same old size one wins.
            connection.execute("BEGIN IMMEDIATE")
            answer = self._judge(connection, request, checkpoint, signed_by)
            connection.execute("COMMIT" if answer.status == 200 else "ROLLBACK")
            return answer

    def add_hand_over(self, body: bytes) -> Answer:
        """Follow a host's logs to their next key, if the one that is known here hands over to it."""
        try:
            hand_over = read_hand_over(body.decode())
        except (UnicodeDecodeError, LogBroken) as error:
            return _words(400, str(error))
        log = next((log for log in self._logs if log.name == hand_over.name), None)
        if log is None:
            return _words(404, "No log of this name is witnessed here.")
        with self._guard, closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            chain = self._chain(connection, log)
            if hand_over.new in chain:
                answer = _words(200, "It is known.")
            elif hand_over.old == chain[-1]:
                connection.execute(
                    "INSERT INTO hand_over VALUES (?, ?, ?, ?)",
                    (log.name, hand_over.old, hand_over.new, hand_over.note),
                )
                answer = _words(200, "It is followed.")
            else:
                # Also a second hand-over from a key that has handed over: whoever has that key makes no other future.
                answer = _words(409, "The key that is known here hands over to another.")
            connection.execute("COMMIT")
        return answer

    def seen(self, origin: str) -> int:
        """The size of a log that was cosigned last; 0 for none."""
        with closing(self._connect()) as connection:
            row = connection.execute("SELECT size FROM seen WHERE origin = ?", (origin,)).fetchone()
        return 0 if row is None else int(row[0])

    def _judge(
        self, connection: sqlite3.Connection, request: Request, checkpoint: Checkpoint, signed_by: bytes
    ) -> Answer:
        row = connection.execute("SELECT size, root FROM seen WHERE origin = ?", (checkpoint.origin,)).fetchone()
        size, root = (0, b"") if row is None else (int(row[0]), bytes(row[1]))
        if request.old_size != size:
            return Answer(409, "text/x.tlog.size", f"{size}\n")
        if size == checkpoint.size and row is not None and root != checkpoint.root:
            return Answer(409, "text/x.tlog.size", f"{size}\n")
        if not size and request.proof:
            return _words(422, "A proof from an empty log is empty.")
        try:
            verify_consistency(size, root if size else EMPTY_ROOT, checkpoint.size, checkpoint.root, request.proof)
        except LogBroken as error:
            return _words(422, str(error))
        at = int(self._clock.protocol_now().timestamp())
        connection.execute(
            "INSERT OR REPLACE INTO seen (origin, size, root, at, signed_by) VALUES (?, ?, ?, ?, ?)",
            (checkpoint.origin, checkpoint.size, checkpoint.root, at, signed_by),
        )
        return Answer(200, "text/plain; charset=utf-8", cosign(checkpoint, self._name, self._key, at))

    def _log_of(self, origin: str) -> VerifierKey | None:
        for log in self._logs:
            if log.name == origin or (log.name.endswith("/") and origin.startswith(log.name)):
                return log
        return None

    @staticmethod
    def _chain(connection: sqlite3.Connection, log: VerifierKey) -> list[bytes]:
        """The key that the witness was given, and those to which it handed over one after another."""
        follows = dict(connection.execute("SELECT old, new FROM hand_over WHERE name = ?", (log.name,)).fetchall())
        chain = [log.public_key]
        while (following := follows.get(chain[-1])) is not None and following not in chain:
            chain.append(following)
        return chain

    def _keys(self, log: VerifierKey, origin: str) -> list[bytes]:
        """The keys that this log may still be signed with: none from before the one that signed what was seen last."""
        with closing(self._connect()) as connection:
            chain = self._chain(connection, log)
            row = connection.execute("SELECT signed_by FROM seen WHERE origin = ?", (origin,)).fetchone()
        last = None if row is None else row[0]
        return chain[chain.index(last) :] if last in chain else chain

    @staticmethod
    def _signer(note: str, keys: Sequence[bytes]) -> tuple[bytes, Checkpoint]:
        """Which of these keys signed a checkpoint, and what it states.

        Raises:
            LogBroken: none of them did.
        """
        origin = parse_unverified(note)[0].origin
        for key in reversed(keys[1:]):
            with suppress(LogBroken):
                return key, verify_checkpoint(note, [VerifierKey(origin, key)])
        return keys[0], verify_checkpoint(note, [VerifierKey(origin, keys[0])])

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection


def _words(status: int, words: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{words}\n")

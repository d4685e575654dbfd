"""A delivery as long as a partner likes: lines are taken in piece by piece, and answered as one.

    1. read      up to a mebibyte of whole lines; what is not read yet waits in the partner's own socket
    2. deliver   them (delivery.py): each record under its own grant, committed before the next piece is read
    3. keep      their answers, compressed; with an `Idempotency-Key` also in the database, sealed, under the key
    4. answer    every item in the order it came, when the last line has come

So memory does not grow with the delivery but by its answers, and who sends faster than is written waits. A connection that
is cut loses nothing: pieces that were taken stand, and the same records again are duplicates. With an `Idempotency-Key`
nothing need be sent twice: `HEAD /bridge/deliveries/<key>` tells how many bytes were taken (`Upload-Offset`), the rest
follows with that offset, and the answer is the whole delivery's. Whoever sends everything again under the same key is
answered as before, byte for byte; other bytes under the same key are refused (draft-ietf-httpbis-resumable-upload and
draft-ietf-httpapi-idempotency-key-header, as far as they go without interim responses).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec

from partner_bridge.channels.push import BODY_LIMIT_BYTES, LONGEST_LINE_BYTES, item_of_line
from partner_bridge.delivery import REFUSED, ItemAnswer, deliver
from partner_bridge.errors import BodyTooLarge, BodyUnreadable, KeyReused, KeyUnusable, NoSuchDelivery, OffsetMismatch
from partner_bridge.receipts import issue_receipt, issue_summary
from pod_server import desk
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.clock import microseconds
from pod_server.partner_limits import PartnerLimited, count_delivered
from pod_server.storage.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from partner_bridge.delivery import Item
    from pod_server.authorization_server.tokens import AuthenticatedPartner
    from pod_server.host import Host

PIECE_BYTES = 1024 * 1024
MOST_BYTES = 1024 * 1024 * 1024
MOST_ITEMS = 1_000_000
_READ_BYTES = 256 * 1024
_KEY = re.compile(r"[A-Za-z0-9._~:/+-]{1,128}\Z")
_LABEL = "bulk answers"


class Readable(Protocol):
    """A body as it comes."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to so many bytes; none at its end."""
        ...


@dataclass(frozen=True)
class Piece:
    """Some whole lines of a delivery.

    Attributes:
        size_bytes: How much of the body they are, with their line ends.
        sha256: Of those bytes.
        lines: Without the empty ones; None is a line longer than any item.
    """

    size_bytes: int
    sha256: bytes
    lines: Sequence[bytes | None]


@dataclass(frozen=True)
class Progress:
    """How far a delivery has come.

    Attributes:
        offset_bytes: So much of its body was taken.
        items: So many items were answered.
        complete: Nothing more is expected.
        receipt: The id of its receipt, once it is complete.
    """

    offset_bytes: int
    items: int
    complete: bool
    receipt: str


@dataclass(frozen=True)
class _Taken:
    """One piece that was taken, and what became of its items.

    Attributes:
        size_bytes: Of the piece.
        sha256: Of the piece.
        items: How many items it held.
        answers: Theirs, joined by commas and compressed.
        receipt: The receipt's id; empty where it held none.
    """

    size_bytes: int
    sha256: bytes
    items: int
    answers: bytes
    receipt: str


@dataclass
class Answered:
    """A whole delivery's answer.

    Attributes:
        items: How many.
        receipt: The receipt's id.
    """

    items: int
    receipt: str
    _parts: list[bytes] = field(default_factory=list, repr=False)

    def body(self) -> Iterator[bytes]:
        """A JSON array, a piece at a time."""
        yield b"["
        for number, part in enumerate(self._parts):
            if number:
                yield b","
            yield zlib.decompress(part)
        yield b"]"


class PieceReader:
    """Cuts a body into pieces of whole lines; holds no more than one of them."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._ended = False

    def next(self, exactly: int | None = None) -> Piece | None:
        """The next piece, or None at the end.

        Args:
            exactly: Its size in bytes, where it was cut before; less is returned at the end of the body alone.

        Raises:
            BodyTooLarge, BodyIncomplete, TooManyBodies: as the body's `read`.
        """
        if exactly is not None:
            self._fill(exactly)
            return self._piece(bytes(self._take(min(exactly, len(self._buffer)))))
        self._fill(PIECE_BYTES)
        if not self._buffer:
            return None
        end = len(self._buffer) if self._ended else self._buffer.rfind(b"\n") + 1
        return self._piece(bytes(self._take(end))) if end else self._overlong()

    def _overlong(self) -> Piece:
        """A line that is longer than a piece: read to its end, and forgotten.

        Raises:
            BodyTooLarge: it has no end; what came before it stands.
        """
        size, digest = 0, hashlib.sha256()
        while True:
            end = self._buffer.find(b"\n") + 1
            part = bytes(self._take(end or len(self._buffer)))
            size += len(part)
            digest.update(part)
            if end or self._ended:
                return Piece(size, digest.digest(), [None])
            if size > BODY_LIMIT_BYTES:
                raise BodyTooLarge(f"a line of the delivery is longer than {BODY_LIMIT_BYTES} bytes: is it NDJSON?")
            self._fill(_READ_BYTES)

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size and not self._ended:
            data = self._stream.read(_READ_BYTES)
            self._ended = not data
            self._buffer += data

    def _take(self, size: int) -> bytearray:
        taken = self._buffer[:size]
        del self._buffer[:size]
        return taken

    @staticmethod
    def _piece(raw: bytes) -> Piece:
        lines: list[bytes | None] = [
            line if len(line) <= LONGEST_LINE_BYTES else None
            for line in raw.split(b"\n")
            if line and not line.isspace()
        ]
        return Piece(len(raw), hashlib.sha256(raw).digest(), lines)


def take_in_lines(
    host: Host, partner: AuthenticatedPartner, stream: Readable, *, key: str | None = None, offset: int = 0
) -> Answered:
    """Take a delivery in, and answer it.

    Args:
        host: This host.
        partner: Who delivers.
        stream: The body, from `offset` on.
        key: The `Idempotency-Key`.
        offset: How much of the body was sent before under the same key.

    Raises:
        BodyUnreadable: it holds no item.
        BodyTooLarge: it holds more than a million items, or the stream's own limit.
        BodyIncomplete: the connection ended early; what was taken stands.
        KeyUnusable, KeyReused, OffsetMismatch: about the key and the offset; nothing more was taken.
        PartnerLimited, StorageError: nothing was taken. Where some was, the rest is answered as refused instead.
    """
    work = _Work(host, partner, key, offset)
    reader = PieceReader(stream)
    while (piece := work.next_piece(reader)) is not None:
        with desk.seated_for_bulk() if host.storage.is_embedded else nullcontext():
            work.take(piece)
    return work.finish()


class _Work:
    """One delivery on its way in."""

    def __init__(self, host: Host, partner: AuthenticatedPartner, key: str | None, offset: int) -> None:
        if key is not None and not _KEY.match(key):
            raise KeyUnusable("an Idempotency-Key is 1 to 128 letters, digits and . _ ~ : / + -")
        if key is None and offset:
            raise KeyUnusable("Upload-Offset goes with the Idempotency-Key of the delivery that it continues")
        self._host = host
        self._partner = partner
        self._kept = None if key is None else KeptDelivery(host, partner.whose_deliveries, key)
        self._taken: list[_Taken] = []
        self._items = 0
        self._stopped: Exception | None = None
        self._before = [] if self._kept is None else self._kept.pieces()
        self._skip_to(offset)

    def _skip_to(self, offset: int) -> None:
        """Go on where the body was cut.

        Raises:
            OffsetMismatch: it was cut elsewhere.
        """
        if not offset:
            return
        reached = sum(each.size_bytes for each in self._before)
        if offset != reached:
            raise OffsetMismatch(reached)
        for each in self._before:
            self._add(each)
        self._before = []

    def next_piece(self, reader: PieceReader) -> Piece | None:
        """The next lines to take: those that were taken under the same key before are compared and passed over.

        Raises:
            KeyReused: they are others.
        """
        while self._before:
            before = self._before.pop(0)
            piece = reader.next(exactly=before.size_bytes)
            if piece is None or piece.sha256 != before.sha256:
                raise KeyReused("another delivery was sent under this Idempotency-Key: give this one a key of its own")
            self._add(before)
        piece = reader.next()
        if piece is not None and self._kept is not None and self._kept.receipt is not None:
            raise KeyReused("the delivery of this Idempotency-Key is complete: give what comes after a key of its own")
        return piece

    def take(self, piece: Piece) -> None:
        """Deliver one piece and keep its answers; once storage or a limit said no, the rest is answered so."""
        items = [item_of_line(line) for line in piece.lines]
        answers = self._deliver(items)
        encoded = b",".join(msgspec.json.encode(each.to_json(self._host.base_url)) for each in answers)
        receipt = ""
        if items and self._stopped is None:
            receipt = issue_receipt(
                self._host,
                self._partner.client_id,
                items,
                answers,
                request_sha256=piece.sha256.hex(),
                response_sha256=hashlib.sha256(b"[" + encoded + b"]").hexdigest(),
                delivered_by=(self._partner.delivered_by, self._partner.through),
            )
        taken = _Taken(piece.size_bytes, piece.sha256, len(items), zlib.compress(encoded, 1), receipt)
        if self._kept is not None and self._stopped is None:
            self._kept.keep(len(self._taken), taken)
        self._add(taken)

    def _deliver(self, items: Sequence[Item]) -> list[ItemAnswer]:
        if not items:
            return []
        if self._stopped is None:
            try:
                if self._items + len(items) > MOST_ITEMS:
                    raise BodyTooLarge(f"a delivery holds at most {MOST_ITEMS} items; send these in another")  # noqa: TRY301
                count_delivered(self._host, self._partner.client_id, len(items))
                return deliver(self._host, self._partner, items, only_grant=self._partner.grant)
            except (BodyTooLarge, PartnerLimited, StorageError) as error:
                if not self._items:
                    raise
                self._stopped = error
        return [ItemAnswer(REFUSED, error=self._stopped) for _ in items]

    def _add(self, taken: _Taken) -> None:
        self._taken.append(taken)
        self._items += taken.items

    def finish(self) -> Answered:
        """The answer, with a receipt for all of it.

        Raises:
            BodyUnreadable: there was no item.
        """
        if not self._items:
            raise BodyUnreadable("the delivery holds no item")
        receipt = None if self._kept is None else self._kept.receipt
        if receipt is None:
            receipt = self._receipt()
            if self._kept is not None and self._stopped is None:
                self._kept.complete(receipt)
        return Answered(self._items, receipt, [each.answers for each in self._taken if each.items])

    def _receipt(self) -> str:
        """The receipt of the one piece there was, or one that names those of all pieces."""
        parts = [each for each in self._taken if each.receipt]
        if len(parts) == 1 and self._stopped is None:
            return parts[0].receipt
        return issue_summary(
            self._host,
            self._partner.client_id,
            self._items,
            [
                {"receipt": each.receipt, "bytes": each.size_bytes, "requestSha256": each.sha256.hex()}
                for each in self._taken
            ],
            (self._partner.delivered_by, self._partner.through),
        )


class KeptDelivery:
    """What is kept of a delivery under its `Idempotency-Key`, for a week: pieces, answers, and whether it is complete.

    Attributes:
        receipt: The receipt's id once it is complete, else None.
    """

    def __init__(self, host: Host, client_id: str, key: str) -> None:
        """Find what there is."""
        self._host = host
        self._client_id = client_id
        self._key = key
        with host.storage.read() as tx:
            row = tx.one("SELECT receipt FROM bulk_delivery WHERE client_id = ? AND delivery_key = ?", (client_id, key))
        self._is_there = row is not None
        self.receipt: str | None = (row[0] or None) if row is not None else None

    @classmethod
    def find(cls, host: Host, client_id: str, key: str) -> KeptDelivery:
        """The delivery of a key.

        Raises:
            NoSuchDelivery: this partner sent none under it within a week.
        """
        kept = cls(host, client_id, key[:128])
        if not kept._is_there:
            raise NoSuchDelivery("No delivery of yours is kept under this Idempotency-Key; they are kept for a week.")
        return kept

    def progress(self) -> Progress:
        """How far it has come."""
        with self._host.storage.read() as tx:
            row = tx.one(
                "SELECT COALESCE(SUM(size_bytes), 0), COALESCE(SUM(items), 0) FROM bulk_piece "
                "WHERE client_id = ? AND delivery_key = ?",
                (self._client_id, self._key),
            )
        assert row is not None
        return Progress(int(row[0]), int(row[1]), self.receipt is not None, self.receipt or "")

    def pieces(self) -> list[_Taken]:
        """Its pieces, in order."""
        with self._host.storage.read() as tx:
            rows = tx.all(
                "SELECT number, size_bytes, sha256, items, answers, receipt FROM bulk_piece "
                "WHERE client_id = ? AND delivery_key = ? ORDER BY number",
                (self._client_id, self._key),
            )
        return [
            _Taken(
                int(size),
                bytes(sha256),
                int(items),
                unseal(self._host.host_key, _LABEL, self._place(number), answers),
                str(receipt),
            )
            for number, size, sha256, items, answers, receipt in rows
        ]

    def answered(self) -> Answered:
        """The answers there are."""
        pieces = self.pieces()
        items = sum(each.items for each in pieces)
        return Answered(items, self.receipt or "", [each.answers for each in pieces if each.items])

    def keep(self, number: int, taken: _Taken) -> None:
        """Keep one more piece.

        Raises:
            OffsetMismatch: another connection, perhaps one that broke, brought another piece in its place meanwhile.
        """
        at = microseconds(self._host.clock.protocol_now())
        sealed = seal(self._host.host_key, _LABEL, self._place(number), taken.answers)
        with self._host.storage.write() as tx:
            if not number:
                tx.execute(
                    "INSERT INTO bulk_delivery (client_id, delivery_key, at, receipt) VALUES (?, ?, ?, '') "
                    "ON CONFLICT (client_id, delivery_key) DO NOTHING",
                    (self._client_id, self._key, at),
                )
            tx.execute(
                "INSERT INTO bulk_piece (client_id, delivery_key, number, at, size_bytes, sha256, items, answers, receipt) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (client_id, delivery_key, number) DO NOTHING",
                (
                    self._client_id, self._key, number, at, taken.size_bytes, taken.sha256, taken.items, sealed,
                    taken.receipt,
                ),
            )  # fmt: skip
            row = tx.one(
                "SELECT sha256 FROM bulk_piece WHERE client_id = ? AND delivery_key = ? AND number = ?",
                (self._client_id, self._key, number),
            )
            if row is None or bytes(row[0]) != taken.sha256:
                (reached,) = tx.one(
                    "SELECT SUM(size_bytes) FROM bulk_piece WHERE client_id = ? AND delivery_key = ?",
                    (self._client_id, self._key),
                ) or (0,)
                raise OffsetMismatch(int(reached))

    def complete(self, receipt: str) -> None:
        """Say that nothing more is expected."""
        with self._host.storage.write() as tx:
            tx.execute(
                "UPDATE bulk_delivery SET receipt = ? WHERE client_id = ? AND delivery_key = ?",
                (receipt, self._client_id, self._key),
            )

    def _place(self, number: int) -> list[str]:
        return ["bulk_piece", self._client_id, self._key, str(number)]

"""Which records a grant has delivered already: idempotency marks, packed a segment at a time.

A mark is a keyed hash of the record's id (8 bytes) and one of its content (4 bytes), both under the grant's mark key,
so that marks at rest tell nothing. They lie in the segment's row; a process keeps those of the grants it serves in
memory and reads what other processes added since, by the segments' ordinals. A row a mark would cost more than
twice the bytes and halve the speed (measured; DESIGN.md, section 10).
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, cast

from pod_server.vault.scope_keys import marks_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pod_server.identifiers import GrantId, PodId
    from pod_server.storage.ports import Transaction

ID_MARK_BYTES = 8
CONTENT_MARK_BYTES = 4
MARK_BYTES = ID_MARK_BYTES + CONTENT_MARK_BYTES
_MARK = struct.Struct("<QI")

_MARKS_IN_MEMORY = 1_000_000
"""At most some 130 MB a process, and only as many as are used. The grants used longest ago are let go of first; they are read again from their segments."""

_MARKS_A_GRANT = 8
"""What a grant takes beside its marks, counted in marks: a city of single records must not fill the memory with grants."""

Mark = tuple[int, int]
"""The id's mark and the content's."""


def marks_of(mark_key: bytes, records: Sequence[tuple[str, bytes]]) -> list[Mark]:
    """The marks of records given as (id, content)."""
    ids = marks_with(mark_key, [record_id for record_id, _ in records], ID_MARK_BYTES)
    # The zero byte, which no id holds, keeps a content's mark from ever being an id's.
    contents = marks_with(mark_key, ["\0" + content.decode() for _, content in records], CONTENT_MARK_BYTES)
    return cast("list[Mark]", list(_MARK.iter_unpack(b"".join(map(bytes.__add__, ids, contents)))))


def pack(marks: Iterable[Mark]) -> bytes:
    """Marks as a segment's row keeps them."""
    return b"".join([_MARK.pack(*mark) for mark in marks])


class KnownOfGrant:
    """The marks of one grant, complete up to one ordinal: of its segments, and of deliveries that wait to become some."""

    __slots__ = ("_content_of", "count", "ordinal", "superseded")

    def __init__(self) -> None:
        self.ordinal = 0
        self.count = 0
        self._content_of: dict[int, int] = {}
        self.superseded: set[Mark] = set()

    def catch_up(self, tx: Transaction, pod_id: PodId, grant: GrantId) -> None:
        """Read what was added since, by whichever process."""
        rows = tx.all(
            "SELECT ordinal, marks FROM segment WHERE pod_id = ? AND grant_id = ? AND ordinal > ? UNION ALL "
            "SELECT number, marks FROM pending_delivery WHERE pod_id = ? AND grant_id = ? AND form = 'host' AND number > ? "
            "ORDER BY 1",
            (pod_id, grant, self.ordinal) * 2,
        )
        for ordinal, packed in rows:
            self.add(_MARK.iter_unpack(packed))
            self.ordinal = ordinal

    def add(self, marks: Iterable[Mark]) -> None:
        """Add one segment's marks. A later mark of the same id is a correction; the earlier stays known."""
        known = self._content_of
        fresh = list(marks)
        if len(known) == 0 or known.keys().isdisjoint([id_mark for id_mark, _ in fresh]):
            before = len(known)
            known.update(fresh)
            self.count += len(fresh)
            if len(known) - before == len(fresh):
                return
            # The segment itself holds a record and its correction: take them one by one.
            for id_mark, _ in fresh:
                known.pop(id_mark, None)
        for id_mark, content_mark in fresh:
            earlier = known.get(id_mark)
            if earlier is not None and earlier != content_mark:
                self.superseded.add((id_mark, earlier))
            known[id_mark] = content_mark

    def content_of(self, id_mark: int) -> int | None:
        """The content's mark of the latest record with this id, or None where the id is new."""
        return self._content_of.get(id_mark)

    def holds_none_of(self, id_marks: set[int]) -> bool:
        """Whether all these ids are new."""
        return self._content_of.keys().isdisjoint(id_marks)

    def was_superseded(self, mark: Mark) -> bool:
        """Whether this very content was accepted once, and corrected since."""
        return mark in self.superseded

    def marks(self) -> dict[int, int]:
        """Every id's mark with its latest content's."""
        return dict(self._content_of)


class KnownRecords:
    """The grants' marks that this process has in memory."""

    def __init__(self, capacity: int = _MARKS_IN_MEMORY) -> None:
        self.guard = threading.RLock()
        self._capacity = capacity
        self._total = 0
        self._counted: dict[tuple[PodId, GrantId], int] = {}
        self._grants: OrderedDict[tuple[PodId, GrantId], KnownOfGrant] = OrderedDict()

    def of_grant(self, pod_id: PodId, grant: GrantId) -> KnownOfGrant | None:
        """What is known of a grant, perhaps behind; None where nothing is in memory. Hold `guard`."""
        known = self._grants.get((pod_id, grant))
        if known is not None:
            self._grants.move_to_end((pod_id, grant))
        return known

    def keep(self, pod_id: PodId, grant: GrantId, known: KnownOfGrant) -> None:
        """Remember a grant, and let go of others where there is no room. Hold `guard`."""
        place = (pod_id, grant)
        count = known.count + _MARKS_A_GRANT
        self._total += count - self._counted.get(place, 0)
        self._counted[place] = count
        self._grants[place] = known
        self._grants.move_to_end(place)
        while self._total > self._capacity and len(self._grants) > 1:
            dropped, _ = self._grants.popitem(last=False)
            self._total -= self._counted.pop(dropped)

    def forget(self, pod_id: PodId, grant: GrantId) -> None:
        """Let go of one grant; it is read again from its segments. Hold `guard`."""
        place = (pod_id, grant)
        if self._grants.pop(place, None) is not None:
            self._total -= self._counted.pop(place)

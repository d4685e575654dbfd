"""How much a pod's documents may take: a running sum, kept in the transaction of each write, never counted by a scan.

Every document counts its body and a little for its row, RDF and binaries alike. An upload that is under way reserves
what it announces, so that two of them cannot pass the quota together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server import problems

if TYPE_CHECKING:
    from pod_server.identifiers import PodId
    from pod_server.storage.ports import Question, Transaction

DOCUMENT_BYTES = 512
"""What a document counts beside its body, so that a million empty ones count too."""

DEFAULT_QUOTA_BYTES = 10 << 30
DEFAULT_LARGEST_BINARY_BYTES = 8 << 30


class PodFull(Exception):
    """The pod's documents take as much as they may; nothing of the request was kept.

    Attributes:
        used_bytes: What they take.
        reserved_bytes: What uploads under way have reserved beside it.
        allowed_bytes: What they may take.
        needed_bytes: What the request would add, as far as it is known.
    """

    def __init__(self, use: Use, needed_bytes: int) -> None:
        super().__init__(
            "The pod has no room for this; nothing of it was kept. Delete what is not needed, or ask whoever runs the "
            "host for a larger quota."
        )
        self.used_bytes = use.used_bytes
        self.reserved_bytes = use.reserved_bytes or None
        self.allowed_bytes = use.allowed_bytes
        self.needed_bytes = needed_bytes


problems.declare(
    PodFull,
    "pod-full",
    "The pod is full",
    507,
    members=("used_bytes", "reserved_bytes", "allowed_bytes", "needed_bytes"),
)


@dataclass(frozen=True)
class Use:
    """What a pod's documents take and may take, in bytes."""

    used_bytes: int
    reserved_bytes: int
    allowed_bytes: int

    @property
    def free_bytes(self) -> int:
        """What may still come; never below zero."""
        return max(0, self.allowed_bytes - self.used_bytes - self.reserved_bytes)


def count_document(size_bytes: int) -> int:
    """What a document counts."""
    return size_bytes + DOCUMENT_BYTES


def charge(tx: Transaction, pod_id: PodId, added_bytes: int) -> None:
    """Add to the running sum, or take away from it; whether that is too much is `require_room`'s business."""
    if added_bytes:
        tx.send(
            "INSERT INTO storage_use (pod_id, used_bytes) VALUES (?, ?) "
            "ON CONFLICT (pod_id) DO UPDATE SET used_bytes = storage_use.used_bytes + excluded.used_bytes",
            (pod_id, added_bytes),
        )


def use_of(tx: Transaction, pod_id: PodId, quota_bytes: int) -> Use:
    """What a pod's documents take.

    Args:
        tx: Any transaction.
        pod_id: Whose.
        quota_bytes: The host's, for pods that have none of their own.
    """
    of_use, of_uploads = use_questions(pod_id)
    used, allowed = tx.one(*of_use) or (0, None)
    reserved = tx.one(*of_uploads)
    return Use(int(used), int(reserved[0]) if reserved else 0, quota_bytes if allowed is None else int(allowed))


def use_questions(pod_id: PodId) -> tuple[Question, Question]:
    """What `use_of` asks; for whoever asks ahead."""
    return (
        ("SELECT used_bytes, allowed_bytes FROM storage_use WHERE pod_id = ?", (pod_id,)),
        ("SELECT COALESCE(SUM(reserved_bytes), 0) FROM upload WHERE pod_id = ?", (pod_id,)),
    )


def require_room(tx: Transaction, pod_id: PodId, quota_bytes: int, before: Use) -> None:
    """Check a write that was carried out in this transaction; a pod over its quota may still be made smaller.

    Raises:
        PodFull: it takes more than before, and more than is allowed; let the transaction roll back.
    """
    now = use_of(tx, pod_id, quota_bytes)
    added = now.used_bytes - before.used_bytes
    if added > 0 and now.used_bytes + now.reserved_bytes > now.allowed_bytes:
        raise PodFull(before, added)


def reserve(tx: Transaction, pod_id: PodId, name: bytes, reserved_bytes: int, quota_bytes: int) -> None:
    """Reserve room for an upload, or more room for one that has some.

    Args:
        tx: A writing transaction.
        pod_id: Whose.
        name: The file's.
        reserved_bytes: In all, for this upload.
        quota_bytes: The host's.

    Raises:
        PodFull: there is not so much; let the transaction roll back.
    """
    # The row that all writers of the pod change: on an engine with many writers this is where they wait for each other.
    tx.send("INSERT INTO storage_use (pod_id, used_bytes) VALUES (?, 0) ON CONFLICT (pod_id) DO NOTHING", (pod_id,))
    tx.send("UPDATE storage_use SET used_bytes = used_bytes WHERE pod_id = ?", (pod_id,))
    release(tx, pod_id, name)
    use = use_of(tx, pod_id, quota_bytes)
    if reserved_bytes > use.free_bytes:
        raise PodFull(use, reserved_bytes)
    tx.send("INSERT INTO upload (pod_id, binary_name, reserved_bytes) VALUES (?, ?, ?)", (pod_id, name, reserved_bytes))


def release(tx: Transaction, pod_id: PodId, name: bytes) -> None:
    """End an upload's reservation; again does no harm."""
    tx.send("DELETE FROM upload WHERE pod_id = ? AND binary_name = ?", (pod_id, name))


def set_quota(tx: Transaction, pod_id: PodId, allowed_bytes: int | None) -> None:
    """Give a pod a quota of its own, or (None) the host's again."""
    tx.send(
        "INSERT INTO storage_use (pod_id, used_bytes, allowed_bytes) VALUES (?, 0, ?) "
        "ON CONFLICT (pod_id) DO UPDATE SET allowed_bytes = excluded.allowed_bytes",
        (pod_id, allowed_bytes),
    )


def recount(tx: Transaction, pod_id: PodId) -> tuple[int, int]:
    """The running sum, and what a scan of the pod's documents gives; for tests and operators."""
    row = tx.one("SELECT used_bytes FROM storage_use WHERE pod_id = ?", (pod_id,))
    counted = tx.one("SELECT COALESCE(SUM(size_bytes), 0), COUNT(*) FROM document WHERE pod_id = ?", (pod_id,))
    size, documents = counted or (0, 0)
    return (int(row[0]) if row else 0), int(size) + int(documents) * DOCUMENT_BYTES


def mend(tx: Transaction, pod_id: PodId) -> None:
    """Set the running sum to what a scan gives; for an operator who changed rows by hand."""
    used, counted = recount(tx, pod_id)
    charge(tx, pod_id, counted - used)


_SIZE = re.compile(r"(\d{1,15})\s*(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?\Z", re.IGNORECASE)
_UNITS: dict[str, int] = {"": 1, "b": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for suffix, base in (("b", 1000), ("ib", 1024))
}


def parse_size(text: str) -> int:
    """A size in bytes, as an operator writes it.

    Raises:
        ValueError: the text is no size.

    >>> parse_size("10GiB"), parse_size("500 MB"), parse_size("7")
    (10737418240, 500000000, 7)
    """
    found = _SIZE.match(text.strip())
    if found is None:
        message = f"{text!r} is no size such as 500MB or 10GiB"
        raise ValueError(message)
    return int(found[1]) * _UNITS[(found[2] or "").lower()]

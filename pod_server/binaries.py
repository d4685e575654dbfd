"""Large binaries on their way: sealed piece by piece into a file, opened piece by piece out of it, swept after a crash.

    1. reserve   the file is made and locked, its room reserved: one short transaction that the caller decides in
    2. seal      the body is read, sealed and written, one chunk in memory at a time; then synced
    3. commit    the caller's transaction names the file and ends the reservation
    4. free      the file of what was replaced or deleted is removed

Whatever fails before step 3 removes the file and the reservation; whatever dies leaves a file that no row names and
nobody locks, which `sweep` removes. After step 3 the file stays, however the request ends.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from pod_server import desk, problems, quota
from pod_server.bodies import BodyTooLarge
from pod_server.storage.errors import StorageError
from pod_server.vault.chunks import (
    CHUNK_BYTES,
    PREFIX,
    SEALED_CHUNK_BYTES,
    ChunkedFile,
    ChunkKey,
    count_chunks,
    new_secret,
)
from pod_server.vault.errors import Tampered

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.storage.binary_files import Draft
    from pod_server.storage.ports import Transaction
    from pod_server.vault.randomness import RandomBytes

INLINE_BYTES = 256 * 1024
"""Bodies up to this lie in the database: one row and one commit, and the backup of the database holds them."""

_RESERVED_AHEAD_BYTES = 64 * 1024 * 1024
"""How much room an upload that does not say its length reserves at a time."""

SWEEP_EVERY_SECONDS = 600.0
SWEEP_EVERYTHING_EVERY = 144
"""Rounds: once a day."""

_log = structlog.get_logger("tvilling.binaries")


class BinaryTooLarge(BodyTooLarge):
    """The binary is larger than the host takes; `largest_bytes` is what it takes."""

    def __init__(self, largest_bytes: int) -> None:
        super().__init__(f"a document is at most {largest_bytes} bytes on this host; nothing of it was kept")
        self.largest_bytes = largest_bytes


problems.declare(
    BinaryTooLarge, "binary-too-large", "The document is larger than the host takes", 413, members=("largest_bytes",)
)


class Readable(Protocol):
    """What a body is read from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class Upload:
    """One large binary on its way in."""

    def __init__(self, host: Host, pod_id: PodId, announced: int | None, random: RandomBytes = os.urandom) -> None:
        """Begin; nothing is made yet.

        Args:
            host: The host.
            pod_id: Whose pod.
            announced: How many bytes were announced; None where the body comes in chunks.
            random: Draws the file's name and secret.

        Raises:
            BinaryTooLarge: more was announced than the host takes.
        """
        self._host = host
        self._pod_id = pod_id
        self._name, self._secret = new_secret(random)
        self._largest = host.largest_binary_bytes
        self._reserved = announced or 0
        self._announced = announced
        self._draft: Draft | None = None
        if announced is not None and announced > self._largest:
            raise BinaryTooLarge(self._largest)

    def reserve(self, tx: Transaction) -> None:
        """Step 1, in the transaction in which the caller decides that the body may come.

        Raises:
            PodFull: the pod has no room for what was announced.
            StorageFull: the disk has none.
        """
        quota.reserve(tx, self._pod_id, self._name, quota.count_document(self._reserved), self._host.quota_bytes)
        self._draft = self._host.binaries.create(self._pod_id, self._name)

    def seal(self, stream: Readable, begun: bytes = b"") -> ChunkedFile:
        """Step 2: read the body to its end.

        Args:
            stream: The rest of the body; each read blocks until it has what was asked for, or the body has ended.
            begun: What was read of it before.

        Raises:
            BinaryTooLarge, PodFull: there is more of it than may be.
            StorageFull: the disk has no room.
            BodyIncomplete: it ended before what was announced had come.
        """
        assert self._draft is not None
        key = ChunkKey(self._name, self._secret, self._pod_id)
        self._draft.write(PREFIX)
        number = size = 0
        waiting = b""
        # A chunk is sealed when the next one has begun, since the last one says that it is the last.
        for piece in _pieces(stream, begun):
            if waiting:
                self._draft.write(key.seal(number, waiting, last=False))
                number += 1
            waiting = piece
            size += len(piece)
            self._keep_room(size)
        self._draft.write(key.seal(number, waiting, last=True))
        self._draft.sync()
        return ChunkedFile(self._name, self._secret, size)

    def finish(self, tx: Transaction) -> None:
        """Step 3, in the transaction that names the file: the running sum takes the reservation's place."""
        quota.release(tx, self._pod_id, self._name)

    def keep(self) -> None:
        """After the commit: the file is a document's now."""
        if self._draft is not None:
            self._draft.close()

    def give_up(self) -> None:
        """Remove file and reservation, unless the commit went through although it seemed to fail."""
        if self._draft is None:
            return
        try:
            if is_named(self._host, self._pod_id, self._name):
                self._draft.close()
                return
            self._draft.discard()
            with self._host.storage.write() as tx:
                quota.release(tx, self._pod_id, self._name)
        except StorageError:
            # The storage does not answer: the sweeper looks at the file later.
            self._draft.close()

    def _keep_room(self, size_bytes: int) -> None:
        if size_bytes > self._largest:
            raise BinaryTooLarge(self._largest)
        if size_bytes <= self._reserved:
            return
        self._reserved += max(_RESERVED_AHEAD_BYTES, size_bytes - self._reserved)
        with self._host.storage.write() as tx:
            try:
                wanted = quota.count_document(self._reserved)
                quota.reserve(tx, self._pod_id, self._name, wanted, self._host.quota_bytes)
            except quota.PodFull:
                # Near the quota's end: no more ahead, but what has come.
                self._reserved = size_bytes
                wanted = quota.count_document(size_bytes)
                quota.reserve(tx, self._pod_id, self._name, wanted, self._host.quota_bytes)


def _pieces(stream: Readable, begun: bytes) -> Iterator[bytes]:
    """A body in pieces of one chunk each; the last one is what is left, and never empty."""
    waiting = begun
    while True:
        while len(waiting) < CHUNK_BYTES and (more := stream.read(CHUNK_BYTES - len(waiting))):
            waiting += more
        if not waiting:
            return
        yield waiting[:CHUNK_BYTES]
        waiting = waiting[CHUNK_BYTES:]


def seal_file(host: Host, pod_id: PodId, stream: Readable, size_bytes: int) -> tuple[Upload, ChunkedFile]:
    """Seal a body that lies at hand (a pod that is loaded): steps 1 and 2; the caller goes on as for an upload.

    Raises:
        PodFull, BinaryTooLarge, StorageFull: nothing was kept.
    """
    upload = Upload(host, pod_id, size_bytes)
    try:
        with host.storage.write() as tx:
            upload.reserve(tx)
        return upload, upload.seal(stream)
    except BaseException:
        upload.give_up()
        raise


class BinaryReader:
    """One large binary on its way out. Close it, or read it to its end."""

    def __init__(self, host: Host, pod_id: PodId, file: ChunkedFile) -> None:
        """Open the file; what it holds is the same from now on, whatever becomes of the document.

        Raises:
            BinaryMissing: it is not there (any more).
            Tampered: it has another length, or another form.
        """
        self.pod_id = pod_id
        self.size_bytes = file.size_bytes
        self._descriptor = -1
        self._key = ChunkKey(file.name, file.secret, pod_id)
        self._last = count_chunks(file.size_bytes) - 1
        self._descriptor = host.binaries.open(pod_id, file.name)
        length = os.fstat(self._descriptor).st_size
        if length != file.sealed_bytes or os.pread(self._descriptor, len(PREFIX), 0) != PREFIX:
            raise Tampered

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The plaintext from `start` to before `stop`, at most a chunk at a time; closes the file at its end.

        Raises:
            Tampered: a chunk is not what was sealed; nothing of it is given out.
        """
        stop = self.size_bytes if stop is None else min(stop, self.size_bytes)
        try:
            while start < stop:
                number = start // CHUNK_BYTES
                first = number * CHUNK_BYTES
                # At the desk for the work alone: whoever reads slowly holds a thread between two pieces, and no turn.
                with desk.seated():
                    piece = self._chunk(number)[start - first : stop - first]
                yield piece
                start = first + CHUNK_BYTES
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        # A server may drop an answer of which it never asked for the first piece.
        self.close()

    def _chunk(self, number: int) -> bytes:
        try:
            sealed = os.pread(self._descriptor, SEALED_CHUNK_BYTES, len(PREFIX) + number * SEALED_CHUNK_BYTES)
        except OSError:
            raise Tampered from None
        return self._key.open(number, sealed, last=number == self._last)


def is_named(host: Host, pod_id: PodId, name: bytes) -> bool:
    """Whether a document's row names the file."""
    with host.storage.read() as tx:
        row = tx.one("SELECT 1 FROM document WHERE pod_id = ? AND binary_name = ?", (pod_id, name))
    return row is not None


def named_files(tx: Transaction, pod_id: PodId) -> dict[bytes, int]:
    """The files that a pod's documents name: name and plaintext's length in bytes."""
    rows = tx.all(
        "SELECT binary_name, size_bytes FROM document WHERE pod_id = ? AND binary_name IS NOT NULL", (pod_id,)
    )
    return {bytes(name): int(size) for name, size in rows}


@dataclass(frozen=True)
class Swept:
    """What a sweep removed."""

    files: int
    size_bytes: int
    reservations: int


def sweep(host: Host, *, changed_since: float = 0.0) -> Swept:
    """Remove files that no document names and no writer holds, and reservations whose upload is gone.

    Args:
        host: The host.
        changed_since: Look at the folders alone that changed since then (seconds since 1970), and at those of uploads
            that died; 0 for all.
    """
    with host.storage.read() as tx:
        reserved = tx.all("SELECT pod_id, binary_name FROM upload")
    ended = [(pod_id, bytes(name)) for pod_id, name in reserved if not host.binaries.is_being_written(pod_id, name)]
    if ended:
        with host.storage.write() as tx:
            for pod_id, name in ended:
                quota.release(tx, pod_id, name)
    files = size_bytes = 0
    for pod_id in {*host.binaries.pods(changed_since=changed_since), *(pod_id for pod_id, _ in ended)}:
        host.binaries.finish_removals(pod_id)
        lying = host.binaries.names(pod_id)
        with host.storage.read() as tx:
            named = named_files(tx, pod_id)
        for name in lying.keys() - named.keys():
            if host.binaries.remove_abandoned(pod_id, name, partial(is_named, host, pod_id, name)):
                files += 1
                size_bytes += lying[name]
    return Swept(files, size_bytes, len(ended))


def run_sweeper(host: Host, stop: threading.Event) -> None:
    """Sweep everything now and once a day, and what changed every ten minutes, until `stop` is set."""
    rounds = 0
    while True:
        began = host.clock.protocol_now().timestamp()
        everything = rounds % SWEEP_EVERYTHING_EVERY == 0
        # A storage that does not answer now is asked again at the next turn.
        with contextlib.suppress(StorageError):
            swept = sweep(host, changed_since=0.0 if everything else began - 2 * SWEEP_EVERY_SECONDS)
            if swept.files or swept.reservations:
                _log.warning("binaries.swept", files=swept.files, size_bytes=swept.size_bytes)
        rounds += 1
        if stop.wait(SWEEP_EVERY_SECONDS):
            return

"""Large binaries put into a pod without HTTP, for tests of what becomes of them afterwards."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

from deliveries import owner_permit

from pod_server import documents
from pod_server.binaries import BinaryReader, seal_file
from pod_server.opening import OpenPod, custodian_vault, open_pod
from pod_server.vault.chunks import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pod_server.host import Host
    from pod_server.identifiers import PodId

SIZE = CHUNK_BYTES + 4321


def content_of(seed: int, size: int = SIZE) -> bytes:
    """Bytes that no compression shrinks, the same for one seed."""
    return random.Random(seed).randbytes(size)


def opened(host: Host, pod_id: PodId) -> OpenPod:
    return open_pod(host, owner_permit(custodian_vault(host, pod_id)))


def put_large(
    host: Host,
    pod_id: PodId,
    path: str,
    content: bytes,
    *,
    public: bool = False,
    at_step: Callable[[str], None] = lambda _: None,
) -> bytes:
    """The steps of an upload, each told to `at_step`; the file's name."""
    upload, binary = seal_file(host, pod_id, io.BytesIO(content), len(content))
    at_step("sealed")
    own = opened(host, pod_id)
    with host.storage.write() as tx:
        old = documents.find_file(tx, own, path)
        upload.finish(tx)
        documents.put(tx, own, path, "video/mp4", b"", public=public, at=host.clock.now(), binary=binary)
        at_step("written")
    at_step("committed")
    upload.keep()
    if old is not None:
        host.binaries.remove(pod_id, [old])
    at_step("freed")
    return binary.name


def read_large(host: Host, pod_id: PodId, path: str) -> bytes | None:
    """What a document holds; None where there is none."""
    own = opened(host, pod_id)
    with host.storage.read() as tx:
        found = documents.get(tx, own, path)
        if found is None or found.binary is None:
            return None if found is None else found.content
        reader = BinaryReader(host, pod_id, found.binary)
    return b"".join(reader.pieces())

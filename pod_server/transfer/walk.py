"""Every document of a pod in an order that can be written again: a container before its members, a subject before its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pod_server import binaries, documents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pod_server.documents import Document
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Transaction


def walk(tx: Transaction, opened: OpenPod) -> Iterator[Document]:
    """All documents, each followed by its access rules and its description, the root container first.

    Raises:
        Tampered: a row was changed or swapped at rest.
    """
    waiting = [""]
    while waiting:
        path = waiting.pop()
        for one in (path, *(path + suffix for suffix in documents.AUXILIARY_SUFFIXES)):
            found = documents.get(tx, opened, one)
            if found is not None:
                yield found
        if path == "" or path.endswith("/"):
            waiting += [entry.path for entry in reversed(documents.members(tx, opened, path))]


def body_of(host: Host, opened: OpenPod, found: Document) -> Iterator[bytes]:
    """A document's stored body, a large one a chunk at a time.

    Raises:
        BinaryMissing: the file of a large one is gone: it was replaced or deleted meanwhile.
        Tampered: a chunk is not what was sealed.
    """
    if found.binary is None:
        yield found.content
    else:
        yield from binaries.BinaryReader(host, opened.pod_id, found.binary).pieces()

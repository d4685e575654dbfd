"""Solid resources at rest: sealed bodies under hashed names, in the public or the citizen's own scope.

What a resource means (media types, containers, access rules) is decided in pod_server/resources; here are places,
versions and sealing. The caller appends the log leaf in the same transaction.

Paths are relative to the pod's root: `""` is the root container, containers end in `/`, and the access rules of a
resource are `<path>.acl`, its description is `<path>.meta`.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from pod_server import feed, key_epochs, quota
from pod_server.clock import microseconds, moment
from pod_server.errors import PermitExceeded
from pod_server.opened_lately import OPENED_LATELY
from pod_server.storage.errors import StorageDamaged
from pod_server.vault.chunks import ChunkedFile
from pod_server.vault.envelope import PUBLIC, Place, Scope
from pod_server.vault.errors import Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from pod_server.identifiers import PodId
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Question, Row, Transaction
    from pod_server.vault.vault import Vault

Made = TypeVar("Made")

RULES_SUFFIX = ".acl"
AUXILIARY_SUFFIXES = (RULES_SUFFIX, ".meta")
"""What belongs to another resource is no member of a container."""


IN_ROW_BYTES = 8 * 1024
"""A longer body lies beside its row as a first part, since a row that is changed is written anew with all that is in it."""

MOST_PARTS = 256
"""With so many parts a body is sealed anew as one: each part costs a little at every opening."""


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """What of a document is sealed apart from its body, so that listing a container opens no bodies.

    Attributes:
        path: Relative to the pod's root.
        media_type: As it was put.
        parameters: The media type's.
        in_file: Whether the body is the reference of a large binary's file.
        parts: How many parts follow on what lies in the row.
        chain: SHA-256 over the chain before it and the next sealed part, part by part: none is lost or exchanged at rest.
        added_bytes: How much of the body was added since it was put.
        row_version: Under which version the body in the row was sealed; 0 for the head's own.
    """

    path: str
    media_type: str
    parameters: str = ""
    in_file: bool = False
    parts: int = 0
    chain: bytes = b""
    added_bytes: int = 0
    row_version: int = 0


@dataclass(frozen=True)
class Entry:
    """A document without its body.

    Attributes:
        path: Relative to the pod's root.
        media_type: As it was put.
        version: Never used twice for one path, not even after a deletion: it serves as the ETag.
        modified: City's time. A container's also changes when a direct member comes or goes.
        size_bytes: Of the body.
        public: Whether it lies in the public scope, which the host can open while the pod is locked.
    """

    path: str
    media_type: str
    version: int
    modified: datetime
    size_bytes: int
    public: bool


@dataclass(frozen=True)
class Document:
    """A document with its body; the other members are as in `Entry`.

    Attributes:
        content: The whole body; empty where it lies in a file.
        parameters: Of the media type, as they were put (`charset=utf-8`), or "".
        binary: The file of a large binary; None where `content` is the body.
    """

    path: str
    media_type: str
    content: bytes
    version: int
    modified: datetime
    public: bool
    parameters: str = ""
    binary: ChunkedFile | None = None

    @property
    def size_bytes(self) -> int:
        """Of the body."""
        return len(self.content) if self.binary is None else self.binary.size_bytes


def parent_of(path: str) -> str | None:
    """The container of a path; None for the root.

    >>> parent_of("profile/card"), parent_of("profile/"), parent_of("card"), parent_of("")
    ('profile/', '', '', None)
    """
    if path == "":
        return None
    return path[: path.rstrip("/").rfind("/") + 1]


def get(tx: Transaction, open_pod: OpenPod, path: str) -> Document | None:
    """One document, or None where there is none that these keys can find.

    Raises:
        PermitExceeded: the Permit is for access rules only and this is no such document.
        Tampered: the row was changed or swapped at rest.
    """
    _check_readable(open_pod, path)
    known = _known_rows(tx, open_pod)
    if path in known:
        found = known[path]
        if found is None:
            return None
        row = tx.one(
            "SELECT sealed_body FROM document WHERE pod_id = ? AND name_key = ?", (open_pod.pod_id, found.name_key)
        )
        assert row is not None, "one transaction sees one state"
        sealed_body = row[0]
    else:
        names = _names(open_pod.vault, _readable_scopes(tx, open_pod), (path,))
        rows = tx.all(*_question(open_pod.pod_id, names, with_body=True))
        if not rows:
            known[path] = None
            return None
        *columns, sealed_body = rows[-1]
        found = known[path] = _found(names, columns)[1]
    head = _open_head(open_pod, found.scope, found.name_key, found.version, found.sealed_head)
    at = SealedAt(found.scope, found.name_key, found.version)
    content = _open_body(tx, open_pod.vault, at, head, sealed_body)
    binary = None
    if head.in_file:
        content, binary = b"", ChunkedFile.decode(content)
    return Document(
        path=head.path,
        media_type=head.media_type,
        content=content,
        version=found.version,
        modified=moment(found.modified),
        public=found.scope == PUBLIC,
        parameters=head.parameters,
        binary=binary,
    )


class SealedAt(NamedTuple):
    """Where a document is sealed: the epoch of its scope, its name's keyed hash, its version."""

    scope: Scope
    name_key: bytes
    version: int


def _open_body(tx: Transaction, vault: Vault, at: SealedAt, head: _Head, sealed_body: bytes) -> bytes:
    scope, name_key, version = at
    body = vault.open(scope, Place("document", name_key, head.row_version or version), sealed_body)
    if not head.parts:
        return body
    parts = tx.all(
        "SELECT version, sealed FROM document_part WHERE pod_id = ? AND name_key = ? ORDER BY version",
        (vault.pod_id, name_key),
    )
    chain = b""
    for _, sealed in parts:
        chain = _chained(chain, bytes(sealed))
    if len(parts) != head.parts or not hmac.compare_digest(chain, head.chain):
        raise Tampered
    return body + b"".join(
        [vault.open(scope, Place("document-part", name_key, of), bytes(sealed)) for of, sealed in parts]
    )


def _chained(chain: bytes, sealed_part: bytes) -> bytes:
    return hashlib.sha256(chain + sealed_part).digest()


def open_whole(
    tx: Transaction, vault: Vault, at: SealedAt, sealed_head: bytes, sealed_body: bytes
) -> tuple[str, bytes, bytes]:
    """A row's path, the head that it has with its body in the row, and that whole body; for sealing anew.

    Raises:
        Tampered: the row or a part of its body was changed or swapped at rest.
    """
    opened_head = vault.open(at.scope, Place("document-head", at.name_key, at.version), sealed_head)
    head = msgspec.msgpack.decode(opened_head, type=_Head)
    body = _open_body(tx, vault, at, head, sealed_body)
    whole = _Head(head.path, head.media_type, head.parameters, head.in_file)
    return head.path, msgspec.msgpack.encode(whole), body


def path_in_head(opened_head: bytes) -> str:
    """The path that a document's opened head names."""
    return msgspec.msgpack.decode(opened_head, type=_Head).path


def recall(
    tx: Transaction, open_pod: OpenPod, path: str, use: str, make: Callable[[Document], tuple[Made, int]]
) -> Made | None:
    """What `make` makes of a document: made now, or remembered from the last time this version was asked for.

    Args:
        tx: A transaction.
        open_pod: The pod.
        path: Which document.
        use: What it is made for, with everything but the document that `make` goes by.
        make: Gives what is wanted (never None, and never changed by anybody) and its size in bytes.

    Returns:
        None where there is no such document.

    Raises:
        PermitExceeded, Tampered: as `get` does.
    """
    _check_readable(open_pod, path)
    found = _find(tx, open_pod, path)
    if found is None:
        return None
    made: Made | None = OPENED_LATELY.find(use, found.sealed_head)
    if made is None:
        document = get(tx, open_pod, path)
        assert document is not None, "one transaction sees one state"
        made, size_bytes = make(document)
        OPENED_LATELY.keep(use, found.sealed_head, made, size_bytes + len(use))
    return made


def find_entry(tx: Transaction, open_pod: OpenPod, path: str) -> Entry | None:
    """One document without its body, or None."""
    _check_readable(open_pod, path)
    found = _find(tx, open_pod, path)
    return None if found is None else _entry(open_pod, found.scope, found.name_key, found[2:6])


def exists(tx: Transaction, open_pod: OpenPod, path: str) -> bool:
    """Whether a name is in use; opens nothing, and so is also for Permits that only decide."""
    return _find(tx, open_pod, path) is not None


def lies_in_public(tx: Transaction, open_pod: OpenPod, path: str) -> bool:
    """Whether a document lies in the public scope; opens nothing, and so is also for Permits that only decide."""
    found = _find(tx, open_pod, path)
    return found is not None and found.scope == PUBLIC


def find_version(tx: Transaction, open_pod: OpenPod, path: str) -> int | None:
    """A document's version; None where there is none. Opens nothing."""
    found = _find(tx, open_pod, path)
    return None if found is None else int(found.version)


def find_file(tx: Transaction, open_pod: OpenPod, path: str) -> bytes | None:
    """The name of the file that a document's body lies in; None where there is none. Opens nothing."""
    found = _find(tx, open_pod, path)
    return None if found is None else found.binary_name


def put(
    tx: Transaction,
    open_pod: OpenPod,
    path: str,
    media_type: str,
    content: bytes,
    *,
    public: bool,
    at: datetime,
    parameters: str = "",
    binary: ChunkedFile | None = None,
) -> Document:
    """Create or replace a document.

    Args:
        tx: A writing transaction.
        open_pod: The pod.
        path: Where.
        media_type: Without parameters.
        content: The body; empty where it lies in a file.
        public: Which scope.
        at: The city's time.
        parameters: The media type's.
        binary: The file, durable already. The file of what is replaced is the caller's to remove after the commit.

    Raises:
        PermitExceeded: the Permit is for reading rules, or for public documents, only.
    """
    _check_writable(open_pod)
    existed = _find(tx, open_pod, path)
    version = feed.note_change(tx, open_pod.pod_id, "document", at=at)
    if existed is not None:
        _delete_row(tx, open_pod, path, existed.name_key)
    stored = Document(path, media_type, content, version, at, public, parameters, binary)
    _insert(tx, open_pod, stored)
    _forget(tx, open_pod, path)
    replaced = 0 if existed is None else quota.count_document(existed.size_bytes)
    quota.charge(tx, open_pod.pod_id, quota.count_document(stored.size_bytes) - replaced)
    if existed is None:
        _touch_parent(tx, open_pod, path, at)
    return stored


def put_first(
    tx: Transaction, open_pod: OpenPod, new: Iterable[tuple[str, str, bytes, bool]], *, after: int, at: datetime
) -> int:
    """Write a new pod's first documents, in the transaction that makes the pod: nothing is there, so nothing is asked.

    Args:
        tx: The transaction.
        open_pod: The new pod, its first keys in force.
        new: Path, media type, body and whether it is public, of each.
        after: The feed's number before the first of them.
        at: The city's time.

    Returns:
        The feed's number after the last.

    Raises:
        PermitExceeded: the Permit is for reading only.
    """
    _check_writable(open_pod)
    key_epochs.note_own_scopes(tx, open_pod.pod_id, 1, 1)
    version, taken = after, 0
    for path, media_type, content, public in new:
        version += 1
        _insert(tx, open_pod, Document(path, media_type, content, version, at, public))
        taken += quota.count_document(len(content))
    quota.charge(tx, open_pod.pod_id, taken)
    return version


def _insert(tx: Transaction, open_pod: OpenPod, document: Document) -> None:
    """Seal a document's row, for which there is room."""
    path, version, binary = document.path, document.version, document.binary
    scope = PUBLIC if document.public else key_epochs.own_scope(tx, open_pod.pod_id)
    name_key = name_key_of(open_pod.vault, scope, path)
    body = document.content if binary is None else binary.encoded()
    head, row_body = _Head(path, document.media_type, document.parameters, binary is not None), body
    if len(body) > IN_ROW_BYTES:
        sealed_part = _add_part(tx, open_pod, SealedAt(scope, name_key, version), body)
        head = _Head(path, document.media_type, document.parameters, False, 1, _chained(b"", sealed_part))
        row_body = b""
    tx.send(
        "INSERT INTO document (pod_id, name_key, parent_key, scope, epoch, version, modified, size_bytes, sealed_head, "
        "sealed_body, binary_name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            open_pod.pod_id,
            name_key,
            parent_key_of(open_pod.vault, scope, path),
            scope.kind,
            scope.epoch,
            version,
            microseconds(document.modified),
            document.size_bytes,
            open_pod.vault.seal(scope, Place("document-head", name_key, version), msgspec.msgpack.encode(head)),
            open_pod.vault.seal(scope, Place("document", name_key, version), row_body, compress=binary is None),
            None if binary is None else binary.name,
        ),
    )
    _forget(tx, open_pod, path)


def move(tx: Transaction, open_pod: OpenPod, path: str, *, public: bool) -> bool:
    """Seal a document anew in the other scope, as it is: the same version, time and file. False where it lies there.

    Raises:
        PermitExceeded: the Permit is for reading only.
        Tampered: the row was changed or swapped at rest.
    """
    _check_writable(open_pod)
    found = _find(tx, open_pod, path)
    if found is None or (found.scope == PUBLIC) == public:
        return False
    document = get(tx, open_pod, path)
    assert document is not None, "one transaction sees one state"
    _delete_row(tx, open_pod, path, found.name_key)
    _insert(tx, open_pod, replace(document, public=public))
    return True


def append(tx: Transaction, open_pod: OpenPod, path: str, addition: bytes, *, at: datetime) -> bool:
    """Add to the end of a body without opening it; False, and nothing done, where the body is better put whole.

    That is where the body lies in a file, where half as much as was there would have been added, or where it still lies
    under older keys.

    Raises:
        PermitExceeded: the Permit is for reading rules, or for public documents, only.
    """
    _check_writable(open_pod)
    found = _find(tx, open_pod, path)
    if found is None or found.binary_name is not None or found.scope not in _present_scopes(tx, open_pod):
        return False
    head = _open_head(open_pod, found.scope, found.name_key, found.version, found.sealed_head)
    added_bytes = head.added_bytes + len(addition)
    if head.in_file or head.parts >= MOST_PARTS or added_bytes > found.size_bytes // 2:
        return False
    version = feed.note_change(tx, open_pod.pod_id, "document", at=at)
    sealed_part = _add_part(tx, open_pod, SealedAt(found.scope, found.name_key, version), addition)
    head = msgspec.structs.replace(
        head,
        parts=head.parts + 1,
        chain=_chained(head.chain, sealed_part),
        added_bytes=added_bytes,
        row_version=head.row_version or found.version,
    )
    tx.send(
        "UPDATE document SET version = ?, modified = ?, size_bytes = ?, sealed_head = ? WHERE pod_id = ? AND name_key = ?",
        (
            version,
            microseconds(at),
            found.size_bytes + len(addition),
            open_pod.vault.seal(
                found.scope, Place("document-head", found.name_key, version), msgspec.msgpack.encode(head)
            ),
            open_pod.pod_id,
            found.name_key,
        ),
    )
    quota.charge(tx, open_pod.pod_id, len(addition))
    _forget(tx, open_pod, path)
    return True


def _add_part(tx: Transaction, open_pod: OpenPod, at: SealedAt, plaintext: bytes) -> bytes:
    scope, name_key, version = at
    sealed = open_pod.vault.seal(scope, Place("document-part", name_key, version), plaintext, compress=True)
    tx.send(
        "INSERT INTO document_part (pod_id, name_key, version, sealed) VALUES (?, ?, ?, ?)",
        (open_pod.pod_id, name_key, version, sealed),
    )
    return sealed


def delete(tx: Transaction, open_pod: OpenPod, path: str, *, at: datetime) -> bool:
    """Delete a document; False where there was none. Members of a container are the caller's business."""
    _check_writable(open_pod)
    existed = _find(tx, open_pod, path)
    if existed is None:
        return False
    feed.note_change(tx, open_pod.pod_id, "document", at=at)
    _delete_row(tx, open_pod, path, existed.name_key)
    quota.charge(tx, open_pod.pod_id, -quota.count_document(existed.size_bytes))
    _touch_parent(tx, open_pod, path, at)
    return True


def members(tx: Transaction, open_pod: OpenPod, container_path: str) -> list[Entry]:
    """The direct members of a container by path, without access rules."""
    _check_readable(open_pod, container_path)
    entries: list[Entry] = []
    for scope in _readable_scopes(tx, open_pod):
        rows = tx.all(
            "SELECT name_key, version, modified, size_bytes, sealed_head FROM document "
            "WHERE pod_id = ? AND parent_key = ?",
            (open_pod.pod_id, _key(open_pod.vault, scope, "members", container_path)),
        )
        entries += [_entry(open_pod, scope, row[0], row[1:]) for row in rows]
    return sorted(entries, key=lambda entry: entry.path)


def recall_members(
    tx: Transaction, open_pod: OpenPod, container_path: str, use: str, make: Callable[[Entry], tuple[Made, int]]
) -> list[tuple[str, int, Made]]:
    """What `make` makes of each direct member, by path: (path, version, made); see `recall`.

    Only members that came, changed or were forgotten are opened.
    """
    _check_readable(open_pod, container_path)
    found = _find(tx, open_pod, container_path)
    if found is None:
        return []
    known: dict[tuple[bytes, int], tuple[str, int, Made, int]] = OPENED_LATELY.find(use, found.sealed_head) or {}
    present: dict[tuple[bytes, int], tuple[str, int, Made, int]] = {}
    for scope in _readable_scopes(tx, open_pod):
        for name_key, version, modified, size_bytes, sealed_head in tx.all(
            "SELECT name_key, version, modified, size_bytes, sealed_head FROM document "
            "WHERE pod_id = ? AND parent_key = ?",
            (open_pod.pod_id, _key(open_pod.vault, scope, "members", container_path)),
        ):
            # A container's time also changes when its own members come and go, without its being sealed anew.
            key = bytes(sealed_head), modified
            one = known.get(key)
            if one is None:
                entry = _entry(open_pod, scope, name_key, (version, modified, size_bytes, sealed_head))
                made, made_bytes = make(entry)
                one = entry.path, version, made, made_bytes + len(entry.path) + len(sealed_head) + _MEMBER_BYTES
            present[key] = one
    OPENED_LATELY.keep(use, found.sealed_head, present, sum([size for *_, size in present.values()]))
    return sorted([(path, version, made) for path, version, made, _ in present.values()], key=_by_path)


_MEMBER_BYTES = 400
"""What a remembered member costs besides its texts, roughly."""


def _by_path(member: tuple[str, int, Made]) -> str:
    return member[0]


def document_paths(tx: Transaction, open_pod: OpenPod) -> list[str]:
    """The paths of all documents, without containers, rules and descriptions; opens no bodies.

    For Permits that only decide, too: which of the names somebody may know is the caller's to decide, one by one.

    Raises:
        StorageDamaged: a row says that it lies under a key that the pod never had.
    """
    known = {(scope.kind, scope.epoch): scope for scope in _readable_scopes(tx, open_pod)}
    paths: list[str] = []
    for kind, epoch, *row in tx.all(
        "SELECT scope, epoch, name_key, version, sealed_head FROM document WHERE pod_id = ?", (open_pod.pod_id,)
    ):
        if (scope := known.get((kind, epoch))) is not None:
            paths.append(_open_head(open_pod, scope, *row).path)
        elif open_pod.permit.authority != "public":
            raise StorageDamaged  # it is sealed under a key that the pod never had: better named than left out
    return sorted(path for path in paths if path and not path.endswith("/") and not path.endswith(AUXILIARY_SUFFIXES))


def count_members(tx: Transaction, open_pod: OpenPod, container_path: str) -> int:
    """How many direct members a container has, without access rules; opens nothing."""
    count = 0
    for scope in _readable_scopes(tx, open_pod):
        row = tx.one(
            "SELECT COUNT(*) FROM document WHERE pod_id = ? AND parent_key = ?",
            (open_pod.pod_id, _key(open_pod.vault, scope, "members", container_path)),
        )
        count += int(row[0]) if row else 0
    return count


def _check_readable(open_pod: OpenPod, path: str) -> None:
    permit = open_pod.permit
    if permit.authority == "rules" and not path.endswith(RULES_SUFFIX):
        raise PermitExceeded
    if permit.authority == "grant" and (permit.terms is None or path not in permit.terms.documents):
        raise PermitExceeded  # a consent opens the documents that it names, each by its name


def _check_writable(open_pod: OpenPod) -> None:
    if open_pod.permit.authority not in {"owner", "app", "script"}:
        raise PermitExceeded


def _readable_scopes(tx: Transaction, open_pod: OpenPod) -> list[Scope]:
    if open_pod.permit.authority == "public":
        return [PUBLIC]
    return [*key_epochs.own_scopes(tx, open_pod.pod_id), PUBLIC]


def _present_scopes(tx: Transaction, open_pod: OpenPod) -> tuple[Scope, Scope]:
    """The scopes that are sealed under now."""
    return PUBLIC, key_epochs.own_scope(tx, open_pod.pod_id)


def _key(vault: Vault, scope: Scope, use: str, text: str) -> bytes:
    return vault.index_name(scope, f"{use}\0{text}")


def name_key_of(vault: Vault, scope: Scope, path: str) -> bytes:
    """By which a document's row is found, under one epoch of its scope's key."""
    return _key(vault, scope, "document", path)


def parent_key_of(vault: Vault, scope: Scope, path: str) -> bytes:
    """By which the members of a document's container are found, under one epoch of the scope's key."""
    if path.endswith(AUXILIARY_SUFFIXES):
        return _key(vault, scope, "rules", path)
    parent = parent_of(path)
    return _key(vault, scope, "root" if parent is None else "members", parent or "")


class _Found(NamedTuple):
    """A document's row without its body."""

    scope: Scope
    name_key: bytes
    version: int
    modified: int
    size_bytes: int
    sealed_head: bytes
    binary_name: bytes | None


def _find(tx: Transaction, open_pod: OpenPod, path: str) -> _Found | None:
    """A document's row, asked for once in a transaction."""
    known = _known_rows(tx, open_pod)
    if path not in known:
        look_up(tx, open_pod, (path,))
    return known[path]


def look_up(tx: Transaction, open_pod: OpenPod, paths: Iterable[str]) -> None:
    """Find several documents' rows with one statement; what is asked about them afterwards asks the database no more."""
    known = _known_rows(tx, open_pod)
    names = _names(open_pod.vault, _readable_scopes(tx, open_pod), [path for path in paths if path not in known])
    if not names:
        return
    rows = tx.all(*_question(open_pod.pod_id, names))
    known.update((path, None) for _, path in names.values())
    known.update(_found(names, row) for row in rows)


def look_up_question(vault: Vault, own_scopes: Iterable[Scope], paths: Iterable[str]) -> Question:
    """What `look_up` asks about new paths; for whoever asks ahead and guesses the scopes."""
    return _question(vault.pod_id, _names(vault, [*own_scopes, PUBLIC], paths))


def body_question(vault: Vault, own_scopes: Iterable[Scope], path: str) -> Question:
    """What `get` asks about a document that was not looked up; as above."""
    return _question(vault.pod_id, _names(vault, [*own_scopes, PUBLIC], (path,)), with_body=True)


_ROW = "name_key, version, modified, size_bytes, sealed_head, binary_name"


def _question(pod_id: PodId, names: Iterable[bytes], *, with_body: bool = False) -> Question:
    keys = tuple(names)
    columns = f"{_ROW}, sealed_body" if with_body else _ROW
    sql = f"SELECT {columns} FROM document WHERE pod_id = ? AND name_key IN ({', '.join('?' * len(keys))})"
    return sql, (pod_id, *keys)


def _names(vault: Vault, scopes: Iterable[Scope], paths: Iterable[str]) -> dict[bytes, tuple[Scope, str]]:
    """By which names documents would lie in each scope; where there is one in several, the last is the one."""
    asked = list(paths)
    return {
        index_name(f"document\0{path}"): (scope, path)
        for scope, index_name in [(scope, vault.keys(scope).index_name) for scope in scopes]
        for path in asked
    }


def _found(names: dict[bytes, tuple[Scope, str]], row: Sequence[Any]) -> tuple[str, _Found]:
    name_key, version, modified, size_bytes, sealed_head, binary_name = row
    scope, path = names[bytes(name_key)]
    return path, _Found(scope, bytes(name_key), version, modified, size_bytes, bytes(sealed_head), binary_name)


def _known_rows(tx: Transaction, open_pod: OpenPod) -> dict[str, _Found | None]:
    """The rows that this transaction has found, by path; whoever reads the public scope alone has a list of his own."""
    of_everybody = open_pod.permit.authority == "public"
    known: dict[str, _Found | None] = tx.memory.setdefault(("documents", open_pod.pod_id, of_everybody), {})
    return known


def _forget(tx: Transaction, open_pod: OpenPod, *paths: str) -> None:
    for of_everybody in (True, False):
        known = tx.memory.get(("documents", open_pod.pod_id, of_everybody), {})
        for path in paths:
            known.pop(path, None)


def _open_head(open_pod: OpenPod, scope: Scope, name_key: bytes, version: int, sealed_head: bytes) -> _Head:
    head = open_pod.vault.open(scope, Place("document-head", name_key, version), sealed_head)
    return msgspec.msgpack.decode(head, type=_Head)


def _entry(open_pod: OpenPod, scope: Scope, name_key: bytes, row: Row) -> Entry:
    version, modified, size_bytes, sealed_head = row
    head = _open_head(open_pod, scope, name_key, version, sealed_head)
    return Entry(head.path, head.media_type, version, moment(modified), size_bytes, scope == PUBLIC)


def _delete_row(tx: Transaction, open_pod: OpenPod, path: str, name_key: bytes) -> None:
    tx.send("DELETE FROM document WHERE pod_id = ? AND name_key = ?", (open_pod.pod_id, name_key))
    tx.send("DELETE FROM document_part WHERE pod_id = ? AND name_key = ?", (open_pod.pod_id, name_key))
    _forget(tx, open_pod, path)


def _touch_parent(tx: Transaction, open_pod: OpenPod, path: str, at: datetime) -> None:
    parent = parent_of(path)
    if parent is None or path.endswith(AUXILIARY_SUFFIXES):
        return
    found = _find(tx, open_pod, parent)
    if found is not None:
        tx.send(
            "UPDATE document SET modified = ? WHERE pod_id = ? AND name_key = ?",
            (microseconds(at), open_pod.pod_id, found.name_key),
        )
        _forget(tx, open_pod, parent)

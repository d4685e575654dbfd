"""Bringing an exported pod in, as a new pod of this host.

Everything in the file is read and checked before the pod is made. Documents keep their paths, and IRIs of the old pod
become the new one's; activities come in under visible, erasable grants to the citizen, one for each grant they came
under there; the old log and consents are kept as documents in `archive/`: their promises were made by another host.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from pyoxigraph import NamedNode, Triple

from consent.errors import ConsentError
from consent.grant import EARLIEST, EVENT, GrantTerms
from pod_server import activities, documents, grants, household, quota
from pod_server.activities import Delivery, Record
from pod_server.authorization import enforcement
from pod_server.binaries import INLINE_BYTES, BinaryTooLarge, seal_file
from pod_server.household import Household
from pod_server.identifiers import Actor, GrantId, WebId
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.log.verification import verify_log
from pod_server.opening import OpenPod
from pod_server.partners import SELF
from pod_server.pods import create_pod, remove_pod
from pod_server.representation import stored, trig, turtle
from pod_server.representation.errors import RepresentationError
from pod_server.resources.errors import PathNotAllowed
from pod_server.resources.non_rdf_source import parameters_of
from pod_server.resources.operations import is_virtual
from pod_server.resources.path import canonical_path
from pod_server.resources.seed import CARD_PATH, WEBID_FRAGMENT
from pod_server.transfer.errors import PodFileInvalid
from pod_server.transfer.pod_file import PodFileReader
from vocab.errors import NotAnActivity
from vocab.kinds import load_kinds
from vocab.purposes import find_purpose

if TYPE_CHECKING:
    from pathlib import Path

    from pod_server.host import Host
    from pod_server.representation.graph import Graph
    from pod_server.storage.ports import Transaction
    from pod_server.vault.chunks import ChunkedFile
    from pod_server.vault.key_derivation import Passphrase

ARCHIVE = "archive/"
_ISSUER = NamedNode("http://www.w3.org/ns/solid/terms#oidcIssuer")
_VALID_FOR = timedelta(days=5 * 365)
_DOCUMENTS_A_TRANSACTION = 20


@dataclass(frozen=True)
class Loaded:
    """What became of a file.

    Attributes:
        webid: The new pod's owner.
        recovery_code: The new pod's; shown once.
        documents: How many were put.
        accepted: Activities taken in.
        refused: Activities that this host's rules refuse, such as ones in the future.
        grants: The grants to the citizen under which they came.
        log_entries: Of the old log, which verified and is kept in the archive.
        archive: Where the old log and consents lie.
    """

    webid: WebId
    recovery_code: str
    documents: int
    accepted: int
    refused: int
    grants: tuple[str, ...]
    log_entries: int
    archive: str


class _Listed(NamedTuple):
    """One document of the file."""

    path: str
    file: str
    media_type: str
    public: bool
    modified: datetime
    parameters: str


@dataclass(frozen=True)
class _Origin:
    """Where the pod was."""

    handle: str
    root: str
    issuer: str
    webid: str
    exported: datetime


def load_pod(
    host: Host, source: Path, *, handle: str | None = None, passphrase: Passphrase | None = None, actor: Actor
) -> Loaded:
    """Make a pod of an exported one.

    Args:
        host: The host.
        source: The file.
        handle: The new pod's; the old one's where None.
        passphrase: The new pod's, or None.
        actor: Who does it, for the log.

    Raises:
        PodFileInvalid: the file is not whole, or holds what no export holds; no pod was made.
        HandleMalformed, HandleTaken: about the handle; no pod was made.
        PodFull, BinaryTooLarge: the documents do not fit into a new pod here; no pod was made.
        StorageFull: there was no room; no pod was made.
    """
    file = PodFileReader(source)
    try:
        origin = _origin(file)
        listed = [_listed(one) for one in _list_of(file.read_json("documents.json"))]
        if len({one.path for one in listed}) != len(listed):
            raise PodFileInvalid("documents.json names a path twice")
        lives_here = _household(file.read_json("household.json"))
        held = {str(one.get("id")): one for one in _list_of(file.read_json("grants.json")) if isinstance(one, dict)}
        months = _months(file)
        # Everything is read once before anything is made: what cannot be loaded leaves no half a pod behind.
        for one in listed:
            if not _is_large(file, one):
                _stored_form(file, one, origin, origin.issuer)
        _check_room(host, file, listed)
        for names in months.values():
            for name in names:
                for _ in _records(file, name):
                    pass
        log = file.read_json("log.json")
        entries = verify_log(log).size
        made = create_pod(
            host,
            handle or origin.handle,
            passphrase=passphrase,
            name=lives_here.name,
            household_size=lives_here.household_size,
            area=lives_here.area,
            dwelling=lives_here.dwelling,
            language=lives_here.language,
            actor=actor,
        )
        try:
            opened = OpenPod(made.pod, enforcement.require_owner(made.vault, assisted=True), made.vault)
            _put_documents(host, opened, file, listed, origin)
            with host.storage.write() as tx:
                household.save(tx, opened, lives_here, at=host.clock.now())
            archived = _archive(host, opened, origin, log, list(held.values()))
            taken: list[tuple[str, int, int]] = []
            # In the order of the old names: where two grants tell of the same, the name may decide which of them counts.
            for (old_grant, names), grant_id in zip(
                months.items(), sorted(grants.new_grant_id() for _ in months), strict=True
            ):
                old = held.get(old_grant, {})
                taken.append(_take_in(host, opened, file, names, actor=actor, old=old, grant_id=grant_id))
            with host.storage.write() as tx:
                detail: dict[str, str | int] = {"from": origin.webid[:200], "entries": entries}
                ledger.append(
                    tx,
                    opened.pod_id,
                    LogEvent(at=host.clock.now(), actor=actor, action="load-pod", count=len(listed), detail=detail),
                )
        except BaseException:
            remove_pod(host, made.pod_id, retire_handle=False)
            raise
    finally:
        file.close()
    return Loaded(
        webid=made.webid,
        recovery_code=made.recovery_code,
        documents=len(listed),
        accepted=sum(accepted for _, accepted, _ in taken),
        refused=sum(refused for _, _, refused in taken),
        grants=tuple(grant for grant, _, _ in taken),
        log_entries=entries,
        archive=f"{made.pod.root(host.base_url)}{archived}",
    )


def _origin(file: PodFileReader) -> _Origin:
    try:
        origin = _Origin(
            handle=str(file.manifest["handle"]),
            root=str(file.manifest["root"]),
            issuer=NamedNode(file.manifest["issuer"]).value,
            webid=str(file.manifest["webid"]),
            exported=datetime.fromisoformat(file.manifest["exported"]),
        )
        parts = urlsplit(NamedNode(origin.root).value)
    except (KeyError, ValueError, TypeError) as error:
        raise PodFileInvalid("the manifest does not say whose pod this is") from error
    if parts.scheme not in {"http", "https"} or not origin.root.endswith("/") or parts.query or parts.fragment:
        raise PodFileInvalid("the manifest's root is no pod's address")
    if origin.exported.tzinfo is None:
        raise PodFileInvalid("the manifest's time has no zone")
    return origin


def _list_of(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise PodFileInvalid("a list in the file is none")
    return value


def _listed(members: Any) -> _Listed:
    try:
        listed = _Listed(
            path=members["path"],
            file=str(members["file"]),
            media_type=str(members["media_type"]),
            public=members["public"] is True,
            modified=datetime.fromisoformat(members["modified"]),
            parameters=parameters_of(f";{members.get('parameters', '')}"),
        )
        canonical = canonical_path(unquote(listed.path, errors="strict"))
    except (PathNotAllowed, UnicodeDecodeError) as error:
        raise PodFileInvalid("documents.json names a path that cannot be in a pod") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PodFileInvalid("documents.json does not have its form") from error
    if canonical != listed.path or is_virtual(canonical):
        raise PodFileInvalid("documents.json names a path that cannot be in a pod")
    if listed.modified.tzinfo is None or not listed.file.startswith("documents/"):
        raise PodFileInvalid("documents.json does not have its form")
    return listed


def _household(members: Any) -> Household:
    try:
        return Household(
            name=str(members["name"])[:200],
            language=members["language"] if members["language"] in {"nb", "nn", "en"} else "nb",
            household_size=int(members["household_size"]),
            area=str(members["area"])[:20],
            dwelling=str(members["dwelling"])[:20],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PodFileInvalid("household.json does not have its form") from error


def _months(file: PodFileReader) -> dict[str, list[str]]:
    """The JSON-LD files of each old grant, in order; the N-Quads beside them say the same."""
    months: dict[str, list[str]] = {}
    for name in file.names("activities/"):
        parts = name.split("/")
        if len(parts) != 3 or not name.endswith((".jsonld", ".nq")):
            raise PodFileInvalid(f"{name} is in no place of an exported pod")
        if name.endswith(".jsonld"):
            months.setdefault(parts[1], []).append(name)
    return months


def _stored_form(file: PodFileReader, one: _Listed, origin: _Origin, issuer: str) -> bytes:
    """A document as it is sealed: RDF relative to the pod's root, so that it is the new pod's from now on."""
    content = file.read(one.file)
    if one.media_type not in {turtle.MEDIA_TYPE, trig.MEDIA_TYPE}:
        return content
    try:
        graph: Graph = (trig if one.media_type == trig.MEDIA_TYPE else turtle).read(content, origin.root + one.path)
    except RepresentationError as error:
        raise PodFileInvalid(f"{one.file} cannot be read: {error}") from error
    if one.path == CARD_PATH:
        owner = NamedNode(origin.root + CARD_PATH + WEBID_FRAGMENT)
        old = Triple(owner, _ISSUER, NamedNode(origin.issuer))
        new = Triple(owner, _ISSUER, NamedNode(issuer))
        graph = replace(graph, triples=tuple(new if triple == old else triple for triple in graph.triples))
    return stored.write(graph, origin.root)


def _is_large(file: PodFileReader, one: _Listed) -> bool:
    return one.media_type not in {turtle.MEDIA_TYPE, trig.MEDIA_TYPE} and file.size(one.file) > INLINE_BYTES


def _check_room(host: Host, file: PodFileReader, listed: list[_Listed]) -> None:
    """Check that the documents fit into a new pod, as far as can be told before they are read.

    Raises:
        PodFull, BinaryTooLarge: they do not.
    """
    sizes = [file.size(one.file) for one in listed if _is_large(file, one)]
    needed = sum(quota.count_document(size) for size in sizes)
    if max(sizes, default=0) > host.largest_binary_bytes:
        raise BinaryTooLarge(host.largest_binary_bytes)
    if needed > host.quota_bytes:
        raise quota.PodFull(quota.Use(0, 0, host.quota_bytes), needed)


def _put_documents(host: Host, opened: OpenPod, file: PodFileReader, listed: list[_Listed], origin: _Origin) -> None:
    waiting: list[tuple[_Listed, bytes]] = []

    def put_waiting() -> None:
        with host.storage.write() as tx:
            for one, content in waiting:
                _put(tx, opened, one, content)
        waiting.clear()

    for one in listed:
        if _is_large(file, one):
            put_waiting()
            _put_large(host, opened, file, one)
        else:
            waiting.append((one, _stored_form(file, one, origin, host.base_url)))
        if len(waiting) == _DOCUMENTS_A_TRANSACTION:
            put_waiting()
    put_waiting()


def _put_large(host: Host, opened: OpenPod, file: PodFileReader, one: _Listed) -> None:
    with file.stream(one.file) as stream:
        upload, binary = seal_file(host, opened.pod_id, stream, file.size(one.file))
    try:
        with host.storage.write() as tx:
            upload.finish(tx)
            _put(tx, opened, one, b"", binary)
    except BaseException:
        upload.give_up()
        raise
    upload.keep()


def _put(tx: Transaction, opened: OpenPod, one: _Listed, content: bytes, binary: ChunkedFile | None = None) -> None:
    documents.put(
        tx,
        opened,
        one.path,
        one.media_type,
        content,
        public=one.public,
        at=one.modified,
        parameters=one.parameters,
        binary=binary,
    )


def _archive(host: Host, opened: OpenPod, origin: _Origin, log: dict[str, Any], held: list[Any]) -> str:
    """The old log and consents as documents, for the citizen alone; the log's path."""
    at = host.clock.now()
    stamp = origin.exported.strftime("%Y%m%dT%H%M%SZ")
    path = f"{ARCHIVE}log-{stamp}.json"
    with host.storage.write() as tx:
        if not documents.exists(tx, opened, ARCHIVE):
            documents.put(tx, opened, ARCHIVE, turtle.MEDIA_TYPE, b"", public=False, at=at)
        for one, value in ((path, log), (f"{ARCHIVE}consents-{stamp}.json", held)):
            content = json.dumps(value, ensure_ascii=False, indent=1).encode()
            documents.put(tx, opened, one, "application/json", content, public=False, at=at)
    return path


def _records(file: PodFileReader, name: str) -> Iterator[Record]:
    """The activities of one month's file, each decoded like any partner's."""
    document = file.read_json(name)
    members = document.get("@graph") if isinstance(document, dict) else None
    kinds = load_kinds()
    for member in _list_of(members):
        try:
            activity = kinds.decode(json.dumps(member).encode())
        except (NotAnActivity, ValueError, RecursionError) as error:
            raise PodFileInvalid(f"{name} holds what is no activity: {error}") from error
        yield Record(
            activity.id, kinds.encode(activity), activity.kind, activity.start, activity.end, activity.correction
        )


def _take_in(
    host: Host,
    opened: OpenPod,
    file: PodFileReader,
    names: list[str],
    *,
    actor: Actor,
    old: dict[str, Any],
    grant_id: GrantId,
) -> tuple[str, int, int]:
    """One old grant's activities under a new grant to the citizen: the grant, how many came in, how many did not."""
    terms_there = old.get("terms")
    purpose = str(terms_there.get("purpose", "")) if isinstance(terms_there, dict) else ""
    kinds = frozenset(record.kind for name in names for record in _records(file, name))
    at = host.clock.now()
    try:
        terms = GrantTerms(
            client_id=SELF.client_id,
            purpose=purpose if find_purpose(purpose) else "personal-footprint",
            kinds=kinds,
            operations=frozenset({"append"}),
            granularity=EVENT,
            history_from=EARLIEST,
            expires_at=at + _VALID_FOR,
        )
    except ConsentError as error:
        raise PodFileInvalid(f"no grant can be made for these activities: {error}") from error
    given = grants.give(host, opened.pod_id, terms, actor=actor, vault=opened.vault, grant_id=grant_id)
    permit = enforcement.require_grant(host, SELF, given.id, (), "append", host.clock.now())
    accepted = refused = 0
    for name in names:
        records = list(_records(file, name))
        fitting = [
            record
            for record in records
            if permit.refusal_for(record.kind, record.start, record.end, host.clock.now()) is None
        ]
        (outcome,) = activities.append(host, [Delivery(permit, fitting)], actor=actor)
        accepted += outcome.count("accepted")
        refused += len(records) - outcome.count("accepted")
    return given.id, accepted, refused

"""A request to a pod, told in eight steps (DESIGN.md, section 2).

1. receive: the method, the path in one spelling, the headers that count;
2. authenticate: whose token and proof these are, or nobody's; a page's cookie never counts here. Then the body comes,
   whole; of a large binary only the beginning: when steps 3 to 6 have been taken on trial and its room is reserved, it
   is sealed to a file piece by piece, and the steps are taken again in earnest;
3. locate: the pod, the resource, and what of it is there;
4. authorise: the access rules give a Permit, or a reasoned refusal;
5. open: the vault, under that Permit;
6. represent: read or change the resource, in the representation that was asked for or sent;
7. record: a leaf in the pod's log, in the same transaction;
8. respond: with the headers that Solid clients steer by; or, wherever something was raised, with a problem
   (http_problems.py).

Steps 3 to 7 run in one transaction, so that the access rules that were read are those in force when the change is
committed.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from werkzeug.http import http_date
from werkzeug.wrappers import Response

from pod_server import desk, documents, settling
from pod_server.access_rules import AccessRules
from pod_server.asking_ahead import ask_ahead
from pod_server.authorization.enforcement import require_public, require_rules
from pod_server.authorization.errors import Unauthenticated
from pod_server.authorization.wac import (
    ACL_SUFFIX,
    DESCRIPTION_SUFFIX,
    Access,
    AccessMode,
    Need,
    container_of,
    is_auxiliary,
    is_description,
    subject_of,
)
from pod_server.authorization_server.tokens import verify_solid_request
from pod_server.binaries import INLINE_BYTES, BinaryReader, Upload
from pod_server.bodies import (
    MAX_BODY_BYTES,
    TOO_LARGE,
    BodyTooLarge,
    PartialBody,
    check_encoding,
    downloads,
    read_up_to,
)
from pod_server.identifiers import WebId
from pod_server.integrity import LOGGED_PATH
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.notifications.channel import services
from pod_server.opening import OpenPod, Pod, find_pod, open_pod
from pod_server.quota import require_room, use_of
from pod_server.representation import negotiation
from pod_server.resources import activity_documents, calculation_documents, operations
from pod_server.resources.byte_ranges import choose_range, range_is_of_this
from pod_server.resources.container import LDP
from pod_server.resources.description import DESCRIPTION_PATH, describe
from pod_server.resources.errors import MethodNotSupported, ResourceConflict, ResourceNotFound
from pod_server.resources.interaction_model import asks_for_container
from pod_server.resources.non_rdf_source import parameters_of
from pod_server.resources.operations import (
    Body,
    LargeBody,
    Outcome,
    Prepared,
    Target,
    Workplace,
    allowed_methods,
    is_virtual,
    may_be_large,
)
from pod_server.resources.path import canonical_path, check_raw_target, is_container
from pod_server.resources.rdf_source import PATCH_MEDIA_TYPES
from pod_server.resources.seed import CARD_PATH, WEBID_FRAGMENT
from pod_server.storage.binary_files import BinaryMissing
from pod_server.vault.chunks import CHUNK_BYTES
from pod_server.vault.errors import PodLocked
from vocab.kinds import CONTEXT_PATH, load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from werkzeug.wrappers import Request

    from pod_server.authorization.enforcement import Agent
    from pod_server.authorization.permit import Permit
    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.representation.patch import Patch
    from pod_server.storage.ports import Transaction

READING = frozenset({"GET", "HEAD"})
METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE")


@dataclass(frozen=True)
class Received:
    """Step 1's result: what the client wants, with nothing decided yet."""

    method: str
    handle: str
    target: Target
    body: Body
    accept: str | None
    slug: str | None
    new_container: bool


@dataclass(frozen=True)
class Located:
    """Step 3's result: the pod, opened for deciding only (None while it is locked), and what is there.

    Attributes:
        pod: The pod.
        for_deciding: Opened under a Permit that reads access rules; None where the citizen has locked the pod.
        exists: Whether the resource is there.
        nearest: The nearest container above it that is there.
    """

    pod: Pod
    for_deciding: OpenPod | None
    exists: bool
    nearest: str


@dataclass(frozen=True)
class Asked:
    """Steps 1 and 2 together: what is wanted, by whom.

    Attributes:
        host: This host.
        received: The request.
        agent: Who asks.
        prepared: The body, read; None where there is none to read.
        upload: The file that a large body was sealed to; None for every other.
        group: The group of the owner's reads that this one begins; None for every other request.
    """

    host: Host
    received: Received
    agent: Agent
    prepared: Prepared | None
    group: tuple[str, str, int] | None
    upload: Upload | None = None

    @property
    def owner(self) -> WebId:
        """The WebID of the pod's owner."""
        return WebId(f"{self.received.target.root_iri}{CARD_PATH}{WEBID_FRAGMENT}")

    @property
    def is_reading(self) -> bool:
        """True for GET and HEAD."""
        return self.received.method in READING


class ReadGroups:
    """Groups the owner's own reads: one leaf in the log for each client and hour that this process sees."""

    def __init__(self, most: int = 10_000) -> None:
        self._seen: OrderedDict[tuple[str, str, int], None] = OrderedDict()
        self._most = most

    def is_first(self, handle: str, client_id: str, hour: int) -> bool:
        """True when this group has no leaf yet."""
        return (handle, client_id, hour) not in self._seen

    def note(self, handle: str, client_id: str, hour: int) -> None:
        """Remember that the group's leaf is written."""
        self._seen[handle, client_id, hour] = None
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)


def answer(host: Host, request: Request, handle: str, decoded_path: str, read_groups: ReadGroups) -> Response:
    """Carry out one request to a pod.

    Raises:
        Any exception that is declared as a problem: the boundary answers with it.
    """
    # 1. Receive
    received = _receive(host, request, handle, decoded_path)
    if received.method == "OPTIONS":
        return _respond_to_options(received)

    # 2. Authenticate
    agent = verify_solid_request(host, request)
    if agent.webid is None and received.method not in READING:
        _turn_strangers_away(Asked(host, received, agent, None, None))
    received = replace(received, body=_receive_body(host, request, received))

    group = _read_group(host, received, agent, read_groups)
    with _large_body_in_a_file(Asked(host, received, agent, _prepare(host, received), group)) as asked:
        for tries_left in (2, 1, 0):
            try:
                with _transaction(asked) as tx:
                    # 3. Locate
                    located = _locate(asked, tx)

                    # 4. Authorise
                    permit, access = _authorise(asked, tx, located)

                    # 5. Open
                    opened = _open(host, located, permit)

                    # 6. Represent
                    outcome = _represent(asked, tx, located, opened)
                    reader = _open_file(asked, opened, outcome)

                    # 7. Record
                    event = _event(asked, tx, opened, outcome)
                    if event is not None:
                        append_to_log(tx, opened.pod_id, event, random=secrets.token_bytes)
                    mark = None if outcome.unsettled is None else settling.begin(tx, opened.pod_id)
                break
            except BinaryMissing:
                # Somebody replaced the document between this snapshot and the opening of its file.
                if not tries_left:
                    raise
    if group is not None:
        read_groups.note(*group)
    if not asked.is_reading:
        with desk.away():
            host.binaries.remove(opened.pod_id, outcome.freed)
        if mark is not None and outcome.unsettled is not None:
            turn, was_settled = mark
            place = outcome.unsettled if was_settled else ""
            settling.settle(host, opened, turn, place, seconds=settling.REQUEST_SECONDS)
        host.signal.notify([opened.pod_id])

    # 8. Respond
    return _respond(request, asked, outcome, access, reader)


def _receive(host: Host, request: Request, handle: str, decoded_path: str) -> Received:
    check_raw_target(request.environ.get("REQUEST_URI") or request.environ.get("RAW_URI") or "")
    path = canonical_path(decoded_path)
    if request.method not in METHODS:
        raise MethodNotSupported("use one of the methods in the Allow header", allowed=allowed_methods(path))
    target = Target(
        path=path,
        root_iri=f"{host.base_url}/{handle}/",
        if_match=request.if_match,
        if_none_match=request.if_none_match,
        if_unmodified_since=request.if_unmodified_since,
    )
    new_container = asks_for_container(request.headers.get("Link", ""))
    if request.method == "PUT" and new_container and not is_container(path):
        raise ResourceConflict("a container's path ends in a slash; PUT it there")
    return Received(
        method=request.method,
        handle=handle,
        target=target,
        body=Body(b"", ""),
        accept=request.headers.get("Accept"),
        slug=request.headers.get("Slug"),
        new_container=new_container,
    )


def _turn_strangers_away(asked: Asked) -> None:
    """Refuse who has no name, and may not write here, before a body is waited for.

    Raises:
        Unauthenticated: the access rules do not let everyone do this, whatever the body says.
    """
    with asked.host.storage.read() as tx:
        located = _locate(asked, tx)
        try:
            _authorise(asked, tx, located)
        except Unauthenticated:
            if asked.received.method != "PATCH" or located.for_deciding is None or not located.exists:
                raise
            # A patch may also only ask, which is reading; its body says so.
            path = asked.received.target.path
            AccessRules(asked.host, tx, located.for_deciding).require(asked.agent, Need(path, AccessMode.READ))


def _receive_body(host: Host, request: Request, received: Received) -> Body:
    path = received.target.path
    content_type = request.headers.get("Content-Type", "")
    media_type = negotiation.media_type_of(content_type)
    if request.method in READING:
        return Body(b"", media_type)
    check_encoding(request.headers.get("Content-Encoding"))
    if request.method == "PUT" and "Content-Range" in request.headers:
        raise PartialBody("a document is put whole: leave Content-Range out (RFC 9110, section 14.5)")
    parameters = parameters_of(content_type)
    announced = request.content_length
    stream = request.environ["wsgi.input"]
    ends_by_itself = announced is not None or request.environ.get("wsgi.input_terminated")
    if ends_by_itself and may_be_large(request.method, path, media_type, new_container=received.new_container):
        if announced is not None and announced > INLINE_BYTES:
            stream.allow(host.largest_binary_bytes)
            return Body(b"", media_type, parameters, LargeBody(stream, announced))
        if announced is None:
            begun = read_up_to(stream, INLINE_BYTES + 1)
            if len(begun) <= INLINE_BYTES:
                return Body(begun, media_type, parameters)
            stream.allow(host.largest_binary_bytes)
            return Body(b"", media_type, parameters, LargeBody(stream, None, begun))
    if (announced or 0) > MAX_BODY_BYTES:
        raise BodyTooLarge(TOO_LARGE)
    return Body(request.get_data(cache=False), media_type, parameters)


@contextmanager
def _large_body_in_a_file(asked: Asked) -> Iterator[Asked]:
    """For a large body, before the transaction: see that it may come, reserve its room, seal it to a file.

    The steps 3 to 6 are taken once before, since nobody who may not write here shall fill the disk, and once again in
    the block, since much may have changed while the body came. The file goes when the block raises.
    """
    large, prepared, host = asked.received.body.large, asked.prepared, asked.host
    if large is None or prepared is None:
        yield asked
        return
    upload: Upload | None = None
    try:
        with host.storage.write() as tx:
            located = _locate(asked, tx)
            permit, _ = _authorise(asked, tx, located)
            opened = _open(host, located, permit)
            operations.check_large(_workplace(asked, tx, located, opened), asked.received.target, prepared)
            upload = Upload(host, opened.pod_id, large.announced)
            upload.reserve(tx)
        with large.stream.large(opened.pod_id):
            file = upload.seal(large.stream, large.begun)
        yield replace(asked, prepared=replace(prepared, binary=file), upload=upload)
    except BaseException:
        if upload is not None:
            upload.give_up()
        raise
    upload.keep()


def _prepare(host: Host, received: Received) -> Prepared | None:
    """Read the body before the transaction begins: a writer holds up all others."""
    target, body = received.target, received.body
    if is_virtual(target.path) and received.method not in READING:
        raise MethodNotSupported(
            "the server makes what lies here; it cannot be written", allowed=allowed_methods(target.path)
        )
    if received.method == "PUT":
        return operations.prepare_put(target, body, _known_contexts(host))
    if received.method == "PATCH":
        return operations.prepare_patch(target, body)
    if received.method == "POST" and is_container(target.path):
        return _prepare_post(host, received, received.slug)
    return None


def _prepare_post(host: Host, received: Received, slug: str | None) -> Prepared:
    return operations.prepare_post(
        received.target,
        received.body,
        slug,
        known_contexts=_known_contexts(host),
        random_name=lambda: secrets.token_hex(12),
        new_container=received.new_container,
    )


def _known_contexts(host: Host) -> dict[str, Any]:
    context = load_kinds().context
    return {CONTEXT_PATH: context, host.base_url + CONTEXT_PATH: context}


def _read_group(host: Host, received: Received, agent: Agent, read_groups: ReadGroups) -> tuple[str, str, int] | None:
    """The group that the owner's read begins, or None: no read of the owner's, or its leaf is written already."""
    if received.method not in READING or agent.webid != f"{received.target.root_iri}{CARD_PATH}{WEBID_FRAGMENT}":
        return None
    group = (received.handle, agent.client_id, int(host.clock.now().timestamp() // 3600))
    return group if read_groups.is_first(*group) else None


def _transaction(asked: Asked) -> AbstractContextManager[Transaction]:
    """A snapshot where nothing will be written; what is logged is written too."""
    silent = asked.is_reading and asked.group is None and asked.agent.webid in {None, asked.owner}
    return asked.host.storage.read() if silent else asked.host.storage.write()


def _locate(asked: Asked, tx: Transaction) -> Located:
    path, writing = asked.received.target.path, not asked.is_reading
    around = operations.paths_around(path, writing=writing)
    ask_ahead(asked.host, tx, asked.received.handle, around, writing=writing)
    pod = find_pod(tx, asked.received.handle)
    try:
        for_deciding = open_pod(asked.host, require_rules(pod), pod=pod)
    except PodLocked:
        return Located(pod, None, exists=False, nearest="")
    documents.look_up(tx, for_deciding, around)
    exists = is_virtual(path) or documents.exists(tx, for_deciding, path)
    nearest = "" if exists else operations.nearest_container(tx, for_deciding, path)
    return Located(pod, for_deciding, exists, nearest)


def _authorise(asked: Asked, tx: Transaction, located: Located) -> tuple[Permit, Access]:
    """A Permit for what the request needs, and the modes that the answer tells of.

    Raises:
        Unauthenticated, AccessDenied: the access rules refuse.
        PodLocked: the citizen has locked the pod, and the caller is somebody who may know.
    """
    if asked.received.target.path == DESCRIPTION_PATH:
        return require_public(located.pod), _READ_BY_ALL
    if located.for_deciding is None:
        # Locked: what everyone may read lies in the public scope; _represent tells strangers nothing else.
        if asked.is_reading and settling.is_settled(tx, located.pod.pod_id):
            return require_public(located.pod), _READ_BY_ALL
        raise _closed_to(asked.agent)
    rules = AccessRules(asked.host, tx, located.for_deciding, remember=asked.is_reading)
    return rules.require(asked.agent, *_needs(asked.received, located, asked.prepared))


_READ_BY_ALL = Access(frozenset({AccessMode.READ}), frozenset({AccessMode.READ}), ())


def _closed_to(agent: Agent) -> Exception:
    if agent.webid is None:
        return Unauthenticated("The access rules of this place do not let strangers do this.")
    return PodLocked()


def _needs(received: Received, located: Located, prepared: Prepared | None) -> list[Need]:
    """The modes that a method needs (Web Access Control, section 4.2; Solid Protocol, section 5.3).

    Making a member is adding to its container, so it needs Append there; replacing needs Write on the resource.
    """
    path = received.target.path
    if path.startswith((activity_documents.ROOT, calculation_documents.ROOT)):
        # No rule that opens the pod to others opens this; they ask for a grant.
        return [Need(path, AccessMode.READ), Need(path, AccessMode.CONTROL)]
    if received.method in READING:
        return [Need(path, AccessMode.READ)]
    if received.method == "POST":
        return [Need(path, AccessMode.APPEND)]
    reading = [Need(path, AccessMode.READ)]
    if received.method == "DELETE":
        above = [Need(container, AccessMode.WRITE) for container in [container_of(path)] if container is not None]
        writing = [Need(path, AccessMode.WRITE), *([] if is_auxiliary(path) else above)]
        # That nothing is there, or that a container holds something, is told only to who may read it.
        return writing if located.exists and not is_container(path) else [*writing, *reading]
    if received.method != "PATCH" or prepared is None:
        reading = []
        # Of a patch whose body has not come yet, the least that could change something.
        changing = [Need(path, AccessMode.APPEND if received.method == "PATCH" else AccessMode.WRITE)]
    else:
        reading = reading if any(patch.needs_reading for patch in prepared.patches) else []
        changing = [Need(path, mode) for mode in _modes_of_patches(prepared.patches)]
    if not located.exists and not is_auxiliary(path):
        return [Need(located.nearest, AccessMode.APPEND), *reading]
    # An auxiliary resource's modes are its subject's (for rules: Control there); making one adds no member anywhere.
    return [*changing, *reading]


def _modes_of_patches(patches: tuple[Patch, ...]) -> list[AccessMode]:
    """Append to insert, Write to delete, and neither to ask whether conditions hold (Solid Protocol, section 5.3.1)."""
    if any(patch.deletions for patch in patches):
        return [AccessMode.WRITE]
    if any(patch.insertions for patch in patches):
        return [AccessMode.APPEND]
    return [] if any(patch.conditions for patch in patches) else [AccessMode.APPEND]


def _open(host: Host, located: Located, permit: Permit) -> OpenPod:
    """The pod under the request's Permit; the vault that was opened for deciding need not be opened twice."""
    if permit.authority == "public" or located.for_deciding is None:
        return open_pod(host, permit, pod=located.pod)
    return OpenPod(located.pod, permit, located.for_deciding.vault)


def _represent(asked: Asked, tx: Transaction, located: Located, opened: OpenPod) -> Outcome:
    received, host = asked.received, asked.host
    target = received.target
    if target.path == DESCRIPTION_PATH:
        graph = describe(target.root_iri, asked.owner, host.base_url).joined(services(target.root_iri))
        media_type = negotiation.choose(received.accept, negotiation.RDF_MEDIA_TYPES)
        return Outcome(200, target.path, negotiation.write(graph, media_type), media_type)
    if target.path.startswith(activity_documents.ROOT) and located.for_deciding is not None:
        return activity_documents.read(host, opened, target, received.accept)
    if target.path.startswith(calculation_documents.ROOT) and located.for_deciding is not None:
        return calculation_documents.read(tx, opened, target, received.accept)
    work = _workplace(asked, tx, located, opened)
    if asked.is_reading:
        try:
            return operations.read(work, target, received.accept)
        except ResourceNotFound as missing:
            if located.for_deciding is None:
                raise _closed_to(asked.agent) from None
            missing.headers = _headers_for_making(target.path)
            raise
    before = use_of(tx, opened.pod_id, host.quota_bytes)
    if asked.upload is not None:
        asked.upload.finish(tx)
    outcome = _change(asked, work)
    require_room(tx, opened.pod_id, host.quota_bytes, before)
    return outcome


def _workplace(asked: Asked, tx: Transaction, located: Located, opened: OpenPod) -> Workplace:
    rules = AccessRules(asked.host, tx, located.for_deciding or opened)
    return Workplace(tx, opened, asked.host.clock.now(), rules.is_public)


def _change(asked: Asked, work: Workplace) -> Outcome:
    received, target = asked.received, asked.received.target
    if received.method == "DELETE":
        return operations.delete(work, target)
    if received.method == "POST":
        return operations.post(work, target, asked.prepared, lambda: _prepare_post(asked.host, received, None))
    assert asked.prepared is not None
    return operations.put(work, asked.prepared) if received.method == "PUT" else operations.patch(work, asked.prepared)


def _open_file(asked: Asked, opened: OpenPod, outcome: Outcome) -> BinaryReader | None:
    """The file of what is read, opened while the snapshot that names it holds."""
    if outcome.binary is None or asked.received.method != "GET":
        return None
    return BinaryReader(asked.host, opened.pod_id, outcome.binary)


def _event(asked: Asked, tx: Transaction, opened: OpenPod, outcome: Outcome) -> LogEvent | None:
    """The log's event; None for what is only counted.

    That is everyone's reading of public documents, and the owner's own after the first of an hour. What is written is
    told with its version, so that an older document that is put back disagrees with the log (integrity.py).
    """
    at, actor = asked.host.clock.now(), opened.permit.actor
    detail: dict[str, str | int] = {"path": outcome.path[:LOGGED_PATH]}
    if not asked.is_reading:
        version = documents.find_version(tx, opened, outcome.path)
        if version is not None:
            detail["version"] = version
        action = "delete-document" if asked.received.method == "DELETE" else "write-document"
        return LogEvent(at=at, actor=actor, action=action, detail=detail)
    if asked.group is not None:
        return LogEvent(at=at, actor=actor, action="read-own-documents", detail={"grouped": "hour"})
    if asked.agent.webid in {None, asked.owner}:
        return None
    return LogEvent(at=at, actor=actor, action="read-document", detail=detail)


def _respond_to_options(received: Received) -> Response:
    path = received.target.path
    return _response(None, 204, [*_link_headers(received.target.root_iri, path), *_method_headers(path)])


def _response(content: bytes | None, status: int, headers: list[tuple[str, str]]) -> Response:
    """An answer with these headers and no others; all at once, since each that is set is looked for among all."""
    response = Response(content, status=status)
    response.headers.clear()
    response.headers.extend(headers)
    return response


def _respond(request: Request, asked: Asked, outcome: Outcome, access: Access, reader: BinaryReader | None) -> Response:
    received = asked.received
    root_iri = received.target.root_iri
    user, public = (" ".join(mode for mode in AccessMode if mode in modes) for modes in (access.user, access.public))
    headers = [
        # A document is a stranger to the pages: no scripts, forms or plug-ins of its own (and, set for every answer of
        # the house, no guessing of types).
        ("Content-Security-Policy", "sandbox"),
        ("WAC-Allow", f'user="{user}",public="{public}"'),
        ("Cache-Control", "no-cache" if AccessMode.READ in access.public else "private, no-cache"),
        ("Vary", "Accept, Authorization, Origin"),
        *_link_headers(root_iri, outcome.path),
        *_method_headers(outcome.path),
    ]
    if outcome.media_type:
        parameters = f"; {outcome.parameters}" if outcome.parameters else ""
        headers.append(("Content-Type", outcome.media_type + parameters))
    if outcome.tag is not None:
        headers.append(("ETag", f'"{outcome.tag}"'))
    if outcome.modified is not None:
        headers.append(("Last-Modified", http_date(outcome.modified)))
    if outcome.status == 201:
        headers.append(("Location", root_iri + outcome.path))
    if received.method in READING:
        headers.append(("Accept-Ranges", "bytes" if outcome.as_stored else "none"))
        headers.append(("Content-Length", str(outcome.size_bytes)))
    response = _response(outcome.content, outcome.status, headers)
    if received.method in READING:
        # Conditions come before the range (RFC 9110, section 13.2.2).
        if any(name in request.headers for name in _CONDITIONS):
            response.make_conditional(request)
        if response.status_code == 200 and received.method == "GET":
            _add_content(asked.host, request, response, outcome, reader)
    return response


_CONDITIONS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


def _add_content(
    host: Host, request: Request, response: Response, outcome: Outcome, reader: BinaryReader | None
) -> None:
    """The body of an answer to GET: the whole representation, or the part that Range asks for."""
    whole = (0, outcome.size_bytes)
    wanted = None
    if outcome.as_stored and range_is_of_this(
        request.headers.get("If-Range"), outcome.tag, outcome.modified, host.clock.now()
    ):
        wanted = choose_range(request.headers.get("Range"), outcome.size_bytes)
    start, stop = wanted or whole
    if wanted is not None:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{outcome.size_bytes}"
        response.headers["Content-Length"] = str(stop - start)
    if reader is None:
        response.set_data((outcome.content or b"")[start:stop])
        return
    pieces = reader.pieces(start, stop)
    if stop - start > CHUNK_BYTES:
        pieces = _in_a_place(reader.pod_id, pieces)
    # The first piece is opened before the answer begins: what cannot be read is then a problem, not a cut.
    response.response = _all_of(next(pieces, b""), pieces)
    response.direct_passthrough = True


def _in_a_place(pod_id: PodId, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """An answer that holds a thread for as long as its reader takes."""
    with downloads.one(pod_id):
        yield from pieces


def _all_of(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def _link_headers(root_iri: str, path: str) -> list[tuple[str, str]]:
    links = [f'<{LDP}Resource>; rel="type"']
    if is_container(path):
        links += [f'<{LDP}Container>; rel="type"', f'<{LDP}BasicContainer>; rel="type"']
    if path == "":
        links.append('<http://www.w3.org/ns/pim/space#Storage>; rel="type"')
        links.append(f'<{root_iri}{CARD_PATH}{WEBID_FRAGMENT}>; rel="http://www.w3.org/ns/solid/terms#owner"')
    if is_description(path):
        links.append(f'<{root_iri}{subject_of(path)}>; rel="describes"')
    elif not is_auxiliary(path) and not is_virtual(path):
        links.append(f'<{root_iri}{path}{ACL_SUFFIX}>; rel="acl"')
        links.append(f'<{root_iri}{path}{DESCRIPTION_SUFFIX}>; rel="describedby"')
    links.append(f'<{root_iri}{DESCRIPTION_PATH}>; rel="http://www.w3.org/ns/solid/terms#storageDescription"')
    return [("Link", link) for link in links]


def _headers_for_making(path: str) -> dict[str, str]:
    """How what is not there could be made: clients that write by PATCH look for it in the 404 (Comunica does)."""
    if is_virtual(path):
        return {}
    making = ", ".join(method for method in allowed_methods(path) if method not in {"DELETE", "POST"})
    return {"Allow": making, "Accept-Put": "*/*", "Accept-Patch": ", ".join(PATCH_MEDIA_TYPES)}


@lru_cache(maxsize=256)
def _method_headers(path: str) -> tuple[tuple[str, str], ...]:
    methods = allowed_methods(path)
    headers = [("Allow", ", ".join(methods))]
    if "PUT" in methods:
        only_rdf = is_container(path) or is_auxiliary(path)
        headers.append(("Accept-Put", ", ".join(negotiation.RDF_MEDIA_TYPES) if only_rdf else "*/*"))
        headers.append(("Accept-Patch", ", ".join(PATCH_MEDIA_TYPES)))
    if "POST" in methods:
        headers.append(("Accept-Post", _ACCEPTED_BY_SERVICES.get(path.partition("/")[0], "*/*")))
    return tuple(headers)


_ACCEPTED_BY_SERVICES = {
    "sparql": "application/sparql-query, application/x-www-form-urlencoded",
    ".notifications": "application/ld+json",
}

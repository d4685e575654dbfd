"""Putting a pod on any other Solid server, through the solid-file package (docs/adr/0003).

Everything goes below one container there: documents under the names they have here, RDF as Turtle whose IRIs below the
pod's root became IRIs below that container, activities as a document a month. Access rules go along only where the
citizen's WebID there is given, since rules that name nobody there would lock them out. What is there already is kept, so
that a second run goes on where a first one broke off. The other server gets no log, no keys and no consents' states.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from pyoxigraph import NamedNode, Quad, Triple

from pod_server import documents
from pod_server.authorization.wac import ACL_SUFFIX, is_acl, is_auxiliary, subject_of
from pod_server.errors import PermitExceeded
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.representation import n_triples, stored, trig, turtle
from pod_server.representation.graph import Graph
from pod_server.resources import activity_documents, calculation_documents
from pod_server.resources.path import is_container
from pod_server.transfer.errors import OtherServerError
from pod_server.transfer.links import linked
from pod_server.transfer.walk import body_of, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from solid.solid_api import SolidAPI

    from pod_server.documents import Document
    from pod_server.host import Host
    from pod_server.opening import OpenPod

TRIES = 3


@dataclass
class Uploaded:
    """What became of an upload.

    Attributes:
        documents: Put there, RDF and other.
        containers: Made there.
        rules: Access control documents put.
        there_already: What was there and was kept.
        left: What was not put: its path here, and why.
    """

    documents: int = 0
    containers: int = 0
    rules: int = 0
    there_already: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Item:
    """One document as it goes out."""

    path: str
    media_type: str
    content: bytes
    found: Document | None = None
    """The document itself, where its body is a large one that is sent a piece at a time."""


@dataclass(frozen=True)
class _Signed:
    """What solid-file takes for its own `Auth`: an object with a client."""

    client: httpx.Client


def upload_pod(host: Host, opened: OpenPod, target: str, client: httpx.Client, *, webid_there: str = "") -> Uploaded:
    """Put everything of a pod below a container of another server.

    Args:
        host: The host.
        opened: The pod, under its owner's Permit.
        target: The container there: an http(s) IRI that ends in a slash; made where it is missing.
        client: Signed in at that server, see `other_server.client_for`.
        webid_there: The citizen's WebID there; with it access rules go along, and the citizen keeps control of all.

    Raises:
        PermitExceeded: somebody else's Permit.
        OtherServerError: the container cannot be made; solid-file is not installed.
    """
    if opened.permit.authority != "owner":
        raise PermitExceeded
    parts = urlsplit(target)
    if parts.scheme not in {"http", "https"} or not parts.netloc or not target.endswith("/") or parts.query:
        raise OtherServerError(f"{target} is no container's address: it must be http(s) and end in a slash")
    api = _solid_file(client)
    report = Uploaded()
    moving = _Moving(opened.pod.root(host.base_url), target, opened.pod.webid(host.base_url), webid_there)
    try:
        if not api.item_exists(target):
            make_container(api, target)
            report.containers += 1
    except httpx.HTTPError as error:
        raise OtherServerError(f"{target} cannot be made: {_words(error)}") from error
    sender = _Sender(host, opened, api, moving, report)
    rules: list[_Item] = []
    made: set[str] = set()
    try:
        for item in _items(host, opened, moving):
            if is_acl(item.path):
                rules.append(item)
            elif is_auxiliary(item.path):
                # Of what was there before, the description was too; statements with blank nodes would come twice.
                if subject_of(item.path) in made:
                    sender.put_description(item)
            elif item.path != "" and sender.put(item):
                made.add(item.path)
        # Last: from here on the rules hold there too.
        for item in reversed(rules):
            sender.put_rules(item)
    finally:
        _note(host, opened, target, report)
    return report


def _solid_file(client: httpx.Client) -> SolidAPI:
    try:
        from solid.solid_api import SolidAPI  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise OtherServerError("the solid-file package is not installed: pip install 'tvilling[upload]'") from error
    return SolidAPI(_Signed(client))


def _items(host: Host, opened: OpenPod, moving: _Moving) -> Iterator[_Item]:
    """Everything of the pod, containers before what lies in them."""
    root = moving.root
    with host.storage.read() as tx:
        paths = [found.path for found in walk(tx, opened)]
    for path in paths:
        # A snapshot a document: the other server may take hours, and no transaction is held open for it.
        with host.storage.read() as tx:
            found = documents.get(tx, opened, path)
        if found is None:
            continue  # deleted meanwhile
        if found.media_type == turtle.MEDIA_TYPE:
            graph = moving.moved(stored.read(found.content, root), in_rules=is_acl(path))
            yield _Item(path, turtle.MEDIA_TYPE, turtle.write(graph))
        elif found.media_type == trig.MEDIA_TYPE:
            yield _Item(path, trig.MEDIA_TYPE, trig.write(moving.moved(stored.read(found.content, root))))
        else:
            yield _Item(path, found.media_type, found.content, found if found.binary is not None else None)
    with host.storage.read() as tx:
        answers = calculation_documents.documents_of(tx, opened, root)
    for path, content in (activity_documents.documents_of(host, opened, root) | answers).items():
        graph = moving.moved(n_triples.read(content, root + path))
        yield _Item(path, turtle.MEDIA_TYPE, turtle.write(graph))


@dataclass(frozen=True)
class _Moving:
    """From where to where.

    Attributes:
        root: The pod's, here.
        target: The container there.
        owner: The citizen's WebID here.
        webid_there: The citizen's WebID there, or "".
    """

    root: str
    target: str
    owner: str
    webid_there: str

    def moved(self, graph: Graph, *, in_rules: bool = False) -> Graph:
        """A graph as it shall be there; in rules the citizen is who they are there."""
        moved = (Triple(*(self._term(one, in_rules=in_rules) for one in each)) for each in graph.triples)
        named = (Quad(*(self._term(one, in_rules=in_rules) for one in each)) for each in graph.named)
        return Graph.of(moved, graph.prefixes, named)

    def _term(self, term: Any, *, in_rules: bool) -> Any:
        if not isinstance(term, NamedNode):
            return term
        if in_rules and term.value == self.owner and self.webid_there:
            return NamedNode(self.webid_there)
        if term.value.startswith(self.root):
            return NamedNode(self.target + term.value.removeprefix(self.root))
        return term


@dataclass(frozen=True)
class _Sender:
    """Puts one thing after another there, and reports."""

    host: Host
    opened: OpenPod
    api: SolidAPI
    moving: _Moving
    report: Uploaded

    def put(self, item: _Item) -> bool:
        """Put one document or container; False where it was there, or could not be put."""
        address = self.moving.target + item.path
        try:
            if self.api.item_exists(address):
                self.report.there_already += 1
                return False
            if is_container(item.path):
                make_container(self.api, address)
                self.report.containers += 1
            else:
                _again(lambda: self._put_body(address, item))
                self.report.documents += 1
        except httpx.HTTPError as error:
            self.report.left.append((item.path, _words(error)))
            return False
        return True

    def _put_body(self, address: str, item: _Item) -> None:
        if item.found is None:
            self.api.put_file(address, item.content, item.media_type)
            return
        headers = {"Content-Type": item.media_type, "Content-Length": str(item.found.size_bytes)}
        self.api.put(address, {"headers": headers, "content": body_of(self.host, self.opened, item.found)})

    def put_description(self, item: _Item) -> None:
        """A description goes where the other server keeps its subject's."""
        subject = self.moving.target + subject_of(item.path)
        try:
            address = linked(self.api.head(subject).headers.get_list("Link"), subject, "describedby")
            if address is None:
                self.report.left.append((item.path, "the other server keeps no descriptions"))
                return
            statements = n_triples.write(turtle.read(item.content, address))
            change = b"INSERT DATA {\n" + statements + b"}"
            self.api.patch_file(address, change, "application/sparql-update")
            self.report.documents += 1
        except httpx.HTTPError as error:
            self.report.left.append((item.path, _words(error)))

    def put_rules(self, item: _Item) -> None:
        """Access rules, in which the citizen is who they are there."""
        if not self.moving.webid_there:
            self.report.left.append((item.path, "access rules go along only with the citizen's WebID there"))
            return
        subject = self.moving.target + subject_of(item.path)
        try:
            address = linked(self.api.head(subject).headers.get_list("Link"), subject, "acl")
            if address is None or not address.endswith(ACL_SUFFIX):
                self.report.left.append((item.path, "the other server has no Web Access Control"))
                return
            graph = turtle.read(item.content, self.moving.target + item.path)
            options = {"content": turtle.write(graph), "headers": {"Content-Type": turtle.MEDIA_TYPE}}
            _again(lambda: self.api.put(address, options))
            self.report.rules += 1
        except httpx.HTTPError as error:
            self.report.left.append((item.path, _words(error)))


def make_container(api: SolidAPI, address: str) -> None:
    """By PUT: solid-file's own `create_folder` wishes for a name, and a server may give another."""
    headers = {"Link": '<http://www.w3.org/ns/ldp#BasicContainer>; rel="type"', "Content-Type": turtle.MEDIA_TYPE}
    _again(lambda: api.put(address, {"headers": headers, "content": b""}))


def _again(call: Any) -> None:
    """Try a write that the other server was too busy for up to three times; every write here can be repeated."""
    for number in range(TRIES):
        try:
            call()
        except httpx.HTTPStatusError as error:
            if error.response.status_code < 500 or number == TRIES - 1:
                raise
        else:
            return


def _note(host: Host, opened: OpenPod, target: str, report: Uploaded) -> None:
    detail: dict[str, str | int] = {"to": target[:200], "left": len(report.left)}
    put = report.documents + report.containers + report.rules
    with host.storage.write() as tx:
        event = LogEvent(
            at=host.clock.now(), actor=opened.permit.actor, action="upload-pod", count=max(put, 1), detail=detail
        )
        append_to_log(tx, opened.pod_id, event)


def _words(error: httpx.HTTPError) -> str:
    """What went wrong, without anything of a body."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answered {error.response.status_code}"
    return str(error)

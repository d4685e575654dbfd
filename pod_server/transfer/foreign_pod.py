"""Bringing in what lies in a pod on another server, by the Solid protocol alone, as far as the citizen may read there.

    1. walk: containers by ldp:contains, only members that lie in the container that lists them, each once;
    2. fetch: each document that is not here yet, RDF as Turtle, everything else as it is, large files piece by piece;
    3. move: IRIs below the old root become IRIs below the place here; the old WebID becomes the citizen's;
    4. put: by the same functions as a PUT of the owner's, so paths, names and rules are held to the same checks;
    5. rules: WAC documents follow, after the rest, so that nothing is open for longer than it was.

Nothing that is there already is written over, and so a second run goes on where a first one broke off. What cannot be
brought in is named in the report; it never ends the run. Only the old root's own origin is spoken to.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import httpx
from pyoxigraph import NamedNode, Quad, Triple
from werkzeug.http import parse_options_header

from pod_server import documents, settling
from pod_server.access_rules import AccessRules
from pod_server.authorization.wac import ACL_SUFFIX, DESCRIPTION_SUFFIX
from pod_server.binaries import INLINE_BYTES, BinaryTooLarge, Upload
from pod_server.errors import PermitExceeded
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.quota import PodFull
from pod_server.representation import negotiation, trig, turtle
from pod_server.representation.errors import RepresentationError
from pod_server.representation.graph import Graph
from pod_server.resources import operations
from pod_server.resources.errors import PathNotAllowed, ResourceError
from pod_server.resources.operations import Body, Prepared, Target, Workplace
from pod_server.resources.path import canonical_path, is_container
from pod_server.transfer.errors import OtherServerError
from pod_server.transfer.links import linked
from vocab.kinds import CONTEXT_PATH, load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Transaction
    from pod_server.vault.chunks import ChunkedFile

MOST_RESOURCES = 50_000
DEEPEST = 32
LARGEST_DOCUMENT_BYTES = 32 << 20
"""Of RDF, which is read as a whole; files are as large as the host takes them."""

MOST_BYTES = 16 << 30
TRIES = 3
_ACCEPT = "text/turtle, application/ld+json;q=0.9, */*;q=0.1"
_CONTAINS = NamedNode("http://www.w3.org/ns/ldp#contains")
_TYPE = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
_ACL = "http://www.w3.org/ns/auth/acl#"
_AGENT, _DEFAULT, _ACCESS_TO, _MODE = (NamedNode(_ACL + name) for name in ("agent", "default", "accessTo", "mode"))
_SERVERS_OWN = (
    "http://www.w3.org/ns/ldp#",
    "http://www.w3.org/ns/posix/stat#",
    "http://purl.org/dc/terms/modified",
    "http://www.w3.org/ns/ma-ont#format",
)


@dataclass
class Imported:
    """What became of a foreign pod.

    Attributes:
        documents: RDF documents put.
        files: Documents that are no RDF.
        containers: Containers made.
        rules: Access control documents put.
        there_already: What was there and was kept as it is.
        left: What could not be brought in: its IRI and why.
        complete: False where a limit ended the walk.
    """

    documents: int = 0
    files: int = 0
    containers: int = 0
    rules: int = 0
    there_already: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)
    complete: bool = True


@dataclass(frozen=True)
class Limits:
    """Where a walk ends; it says so."""

    resources: int = MOST_RESOURCES
    depth: int = DEEPEST
    document_bytes: int = LARGEST_DOCUMENT_BYTES
    bytes: int = MOST_BYTES


@dataclass(frozen=True)
class _Fetched:
    """One resource of the other server."""

    status: int
    media_type: str
    content: bytes
    acl: str | None
    description: str | None
    large: tuple[Upload, ChunkedFile] | None = None


class _TooLarge(Exception):
    """The document is larger than one may be."""


class _Body:
    """What another server sends, to be read as one wishes; never more than there is room for."""

    def __init__(self, pieces: Iterator[bytes], room: int) -> None:
        self._pieces = pieces
        self._room = room
        self._waiting = b""
        self.taken = 0

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end.

        Raises:
            _TooLarge: there is more than there is room for.
        """
        while len(self._waiting) < size and (piece := next(self._pieces, b"")):
            self.taken += len(piece)
            if self.taken > self._room:
                raise _TooLarge
            self._waiting += piece
        read, self._waiting = self._waiting[:size], self._waiting[size:]
        return read

    def read_whole(self, begun: bytes, most: int) -> bytes:
        """All of it, with what was read before.

        Raises:
            _TooLarge: there is more than may be read as a whole, or than there is room for.
        """
        whole = begun + self.read(most + 1 - len(begun))
        if len(whole) > most:
            raise _TooLarge
        return whole


def import_pod(
    host: Host,
    opened: OpenPod,
    root: str,
    client: httpx.Client,
    *,
    into: str,
    old_webid: str = "",
    limits: Limits | None = None,
) -> Imported:
    """Bring a container of another server in, with everything below it.

    Args:
        host: The host.
        opened: The citizen's pod, under the owner's Permit.
        root: The container there: an http(s) IRI that ends in a slash.
        client: Speaks to that server, see `other_server.client_for`.
        into: The container here that it becomes, as a path that ends in a slash; "" for the pod's root.
        old_webid: The citizen's name there, which becomes their name here in rules and documents.
        limits: Where to end.

    Returns:
        What was brought in and what was left.

    Raises:
        PermitExceeded: somebody else's Permit.
        OtherServerError: the root is no container that can be read.
        PathNotAllowed: `into` is no container's path.
        StorageFull: there is no room; what was brought in stays, and a second run goes on.
    """
    if opened.permit.authority != "owner":
        raise PermitExceeded
    parts = urlsplit(root)
    if parts.scheme not in {"http", "https"} or not parts.netloc or not parts.path.endswith("/") or parts.query:
        raise OtherServerError(f"{root} is no container's address: it must be http(s) and end in a slash")
    if into and not into.endswith("/"):
        raise PathNotAllowed("the place for a pod's contents is a container: its path ends in a slash")
    run = _Run(host, opened, root, client, into=canonical_path(unquote(into)), old_webid=old_webid, limits=limits)
    try:
        run.walk()
    finally:
        run.note()
    return run.report


class _Run:
    """One import while it goes on."""

    def __init__(
        self,
        host: Host,
        opened: OpenPod,
        root: str,
        client: httpx.Client,
        *,
        into: str,
        old_webid: str,
        limits: Limits | None,
    ) -> None:
        self.report = Imported()
        self._host = host
        self._opened = opened
        self._root = root
        self._client = client
        self._into = into
        self._limits = limits or Limits()
        self._here = opened.pod.root(host.base_url)
        self._owner = opened.pod.webid(host.base_url)
        self._old_webid = old_webid
        self._bytes = 0
        self._contexts = {host.base_url + CONTEXT_PATH: load_kinds().context}
        self._rules: list[tuple[str, str]] = []

    def walk(self) -> None:
        """Everything below the root, then the rules."""
        waiting: deque[tuple[str, int]] = deque([(self._root, 0)])
        seen = {self._root}
        while waiting:
            iri, depth = waiting.popleft()
            if not is_container(iri) and self._is_here(iri):
                continue
            fetched = self._fetch(iri)
            if fetched is None:
                continue
            if not is_container(iri):
                self._put(iri, fetched)
                continue
            members = self._put_container(iri, fetched)
            for member in members:
                if member in seen:
                    continue
                if len(seen) >= self._limits.resources or depth >= self._limits.depth:
                    self._leave(member, "the limit of resources, or of containers in containers, was reached")
                    self.report.complete = False
                    continue
                seen.add(member)
                waiting.append((member, depth + 1))
        for acl, subject in self._rules:
            self._put_rules(acl, subject)
        # What everyone may read comes to lie where everyone is served from; after a crash the agent role does it.
        settling.settle_pod(self._host, self._opened.vault)

    def note(self) -> None:
        """One leaf in the log for the whole run."""
        put = self.report.documents + self.report.files + self.report.containers + self.report.rules
        detail: dict[str, str | int] = {"from": self._root[:200], "left": len(self.report.left)}
        with self._host.storage.write() as tx:
            event = LogEvent(
                at=self._host.clock.now(),
                actor=self._opened.permit.actor,
                action="import-pod",
                count=max(put, 1),
                detail=detail,
            )
            append_to_log(tx, self._opened.pod_id, event)
        self._host.signal.notify([self._opened.pod_id])

    # There

    def _fetch(self, iri: str) -> _Fetched | None:
        """One resource, or None where it cannot be had; the root's refusal ends the run."""
        why = ""
        for _ in range(TRIES):
            try:
                fetched = self._get(iri, may_be_large=not is_container(iri))
            except _TooLarge:
                why = "it is larger than a document may be, or all together than the run or the pod may"
                break
            except httpx.HTTPError as error:
                why = str(error)
                continue
            if fetched.status == 200:
                return fetched
            if fetched.large is not None:
                fetched.large[0].give_up()
            why = f"the server answered {fetched.status}"
            if fetched.status < 500 and fetched.status != 429:
                break
        if iri == self._root:
            raise OtherServerError(f"{iri} cannot be read: {why}")
        self._leave(iri, why)
        return None

    def _get(self, iri: str, *, may_be_large: bool = False) -> _Fetched:
        with self._client.stream("GET", iri, headers={"Accept": _ACCEPT}) as answer:
            media_type = parse_options_header(answer.headers.get("Content-Type", ""))[0].strip().lower()
            links = answer.headers.get_list("Link")
            acl, description = (linked(links, iri, relation) for relation in ("acl", "describedby"))
            room = self._limits.bytes - self._bytes
            body = _Body(answer.iter_bytes(), room)
            try:
                content = body.read(INLINE_BYTES + 1)
                large = None
                if len(content) > INLINE_BYTES and may_be_large and not negotiation.is_rdf(media_type):
                    content, large = b"", self._seal(body, content)
                else:
                    content = body.read_whole(content, self._limits.document_bytes)
            except _TooLarge:
                self.report.complete = self.report.complete and body.taken <= room
                raise
            self._bytes += body.taken
        return _Fetched(answer.status_code, media_type, content, acl, description, large)

    def _seal(self, body: _Body, begun: bytes) -> tuple[Upload, ChunkedFile]:
        """A large file, sealed while it comes: never in memory as a whole."""
        upload = Upload(self._host, self._opened.pod_id, None)
        try:
            with self._host.storage.write() as tx:
                upload.reserve(tx)
            return upload, upload.seal(body, begun)
        except BaseException as error:
            upload.give_up()
            if isinstance(error, BinaryTooLarge | PodFull):
                raise _TooLarge from error
            raise

    # Here

    def _path(self, iri: str) -> str:
        """Where a resource of theirs lies here."""
        return canonical_path(unquote(self._into + iri.removeprefix(self._root), errors="strict"))

    def _is_here(self, iri: str) -> bool:
        """Whether a document is here already, so that it need not be sent; its rules may be missing still."""
        try:
            path = self._path(iri)
        except (ResourceError, UnicodeDecodeError):
            return False
        with self._host.storage.read() as tx:
            if not documents.exists(tx, self._opened, path):
                return False
        self.report.there_already += 1
        try:
            answer = self._client.head(iri)
        except httpx.HTTPError:
            return True
        if answer.status_code == 200 and (acl := linked(answer.headers.get_list("Link"), iri, "acl")):
            self._rules.append((acl, iri))
        return True

    def _put_container(self, iri: str, fetched: _Fetched) -> list[str]:
        """Make a container with what it states of itself; the members that lie in it."""
        try:
            graph = negotiation.read(fetched.content, fetched.media_type, iri, self._contexts)
        except RepresentationError as error:
            if iri == self._root:
                raise OtherServerError(f"{iri} is no container: {error}") from error
            self._leave(iri, f"its listing cannot be read: {error}")
            return []
        if iri == self._root and not any(triple.subject == NamedNode(iri) for triple in graph.triples):
            raise OtherServerError(f"{iri} is no container: its document says nothing of it")
        own = [triple for triple in graph.triples if _is_own(triple, iri)]
        self._store(iri, Graph.of(own, graph.prefixes), fetched)
        members = []
        for triple in graph.triples:
            if (
                triple.predicate != _CONTAINS
                or triple.subject != NamedNode(iri)
                or not isinstance(triple.object, NamedNode)
            ):
                continue
            member = triple.object.value
            if _lies_in(member, iri):
                members.append(member)
            else:
                self._leave(member, f"{iri} lists it, but it does not lie there")
        return sorted(members)

    def _put(self, iri: str, fetched: _Fetched) -> None:
        if not negotiation.is_rdf(fetched.media_type):
            self._store(iri, fetched.content, fetched)
            return
        try:
            graph = negotiation.read(fetched.content, fetched.media_type, iri, self._contexts, named_graphs=True)
        except RepresentationError as error:
            self._leave(iri, f"it is not what its media type says: {error}")
            return
        self._store(iri, graph, fetched)

    def _store(self, iri: str, content: Graph | bytes, fetched: _Fetched) -> None:
        """Put one resource, unless something lies there already."""
        upload, file = fetched.large or (None, None)
        kept = False
        try:
            path = self._path(iri)
            if operations.is_virtual(path):
                self._leave(iri, "this server answers itself under that name")
                return
            if isinstance(content, Graph) and content.named:
                body = Body(trig.write(self._moved(content)), trig.MEDIA_TYPE)
            elif isinstance(content, Graph):
                body = Body(turtle.write(self._moved(content)), turtle.MEDIA_TYPE)
            else:
                body = Body(content, fetched.media_type)
            target = Target(path, self._here)
            with self._host.storage.write() as tx:
                if documents.exists(tx, self._opened, path):
                    self.report.there_already += 1
                else:
                    operations.put(self._work(tx), replace(self._prepared(target, body), binary=file))
                    if upload is not None:
                        upload.finish(tx)
                        kept = True
                    self._count(path, fetched.media_type)
            if upload is not None and kept:
                upload.keep()
        except (ResourceError, RepresentationError, PodFull, UnicodeDecodeError) as error:
            self._leave(iri, str(error) or "its name cannot be in a pod")
            return
        finally:
            if upload is not None:
                upload.give_up()  # nothing where a document names it
        if fetched.description and not is_container(path):
            self._put_description(fetched.description, iri, path)
        if fetched.acl:
            self._rules.append((fetched.acl, iri))

    def _put_description(self, description: str, iri: str, path: str) -> None:
        """What a resource's description says of it, without what the other server writes there itself."""
        if urlsplit(description)[:2] != urlsplit(self._root)[:2]:
            return  # somewhere in the world, and not a part of the pod
        try:
            fetched = self._get(description)
            if fetched.status != 200 or not negotiation.is_rdf(fetched.media_type):
                return
            graph = negotiation.read(fetched.content, fetched.media_type, description, self._contexts)
            own = Graph.of((each for each in graph.triples if _is_own(each, iri)), graph.prefixes)
            if not own.triples:
                return
            body = Body(turtle.write(self._moved(own)), turtle.MEDIA_TYPE)
            target = Target(path + DESCRIPTION_SUFFIX, self._here)
            with self._host.storage.write() as tx:
                if not documents.exists(tx, self._opened, target.path):
                    operations.put(self._work(tx), self._prepared(target, body))
                    self.report.documents += 1
        except (httpx.HTTPError, _TooLarge, ResourceError, RepresentationError) as error:
            self._leave(description, str(error) or "it is too large")

    def _prepared(self, target: Target, body: Body) -> Prepared:
        return operations.prepare_put(target, body, self._contexts)

    def _count(self, path: str, media_type: str) -> None:
        if is_container(path):
            self.report.containers += 1
        elif negotiation.is_rdf(media_type):
            self.report.documents += 1
        else:
            self.report.files += 1

    def _put_rules(self, acl: str, subject: str) -> None:
        """The rules of one resource, with the owner in control whatever they said."""
        path = self._path(subject) + ACL_SUFFIX
        if urlsplit(acl)[:2] != urlsplit(self._root)[:2]:
            self._leave(acl, "it lies on another server")
            return
        try:
            fetched = self._get(acl)
        except (httpx.HTTPError, _TooLarge):
            self._leave(acl, "the access rules cannot be read")
            return
        if fetched.status == 404:
            return  # inherited, as it will be here
        if fetched.status != 200 or not negotiation.is_rdf(fetched.media_type):
            self._leave(acl, f"the server answered {fetched.status}: what it protects is the citizen's alone here")
            return
        try:
            graph = negotiation.read(fetched.content, fetched.media_type, acl, self._contexts)
            if not any(triple.predicate == _MODE for triple in graph.triples):
                self._leave(
                    acl, "these are no rules of Web Access Control: what they protect is the citizen's alone here"
                )
                return
            body = Body(turtle.write(self._with_owner(self._moved(graph), self._path(subject))), turtle.MEDIA_TYPE)
            with self._host.storage.write() as tx:
                if documents.exists(tx, self._opened, path):
                    self.report.there_already += 1
                    return
                outcome = operations.put(self._work(tx), self._prepared(Target(path, self._here), body))
                if outcome.unsettled is not None:
                    settling.begin(tx, self._opened.pod_id)
        except (ResourceError, RepresentationError, UnicodeDecodeError) as error:
            self._leave(acl, str(error) or "its name cannot be in a pod")
            return
        self.report.rules += 1

    def _with_owner(self, graph: Graph, path: str) -> Graph:
        rule = NamedNode(f"{self._here}{path}{ACL_SUFFIX}#owner-here")
        subject = NamedNode(self._here + path)
        mine = [
            Triple(rule, _TYPE, NamedNode(_ACL + "Authorization")),
            Triple(rule, _AGENT, NamedNode(self._owner)),
            Triple(rule, _ACCESS_TO, subject),
            *(Triple(rule, _MODE, NamedNode(_ACL + mode)) for mode in ("Read", "Write", "Control")),
        ]
        if is_container(path):
            mine.append(Triple(rule, _DEFAULT, subject))
        return Graph.of((*graph.triples, *mine), graph.prefixes)

    def _moved(self, graph: Graph) -> Graph:
        triples = (Triple(*(self._moved_term(one) for one in each)) for each in graph.triples)
        named = (Quad(*(self._moved_term(one) for one in each)) for each in graph.named)
        return Graph.of(triples, graph.prefixes, named)

    def _moved_term(self, term: Any) -> Any:
        if not isinstance(term, NamedNode):
            return term
        if self._old_webid and term.value == self._old_webid:
            return NamedNode(self._owner)
        if term.value.startswith(self._root):
            return NamedNode(self._here + self._into + term.value.removeprefix(self._root))
        return term

    def _work(self, tx: Transaction) -> Workplace:
        rules = AccessRules(self._host, tx, self._opened)
        return Workplace(tx, self._opened, self._host.clock.now(), rules.is_public)

    def _leave(self, iri: str, why: str) -> None:
        if len(self.report.left) < self._limits.resources:
            self.report.left.append((iri[:500], why[:300]))


def _is_own(triple: Triple, iri: str) -> bool:
    """Whether a statement of a container's document is its author's and not the server's listing."""
    about = triple.subject.value if isinstance(triple.subject, NamedNode) else ""
    if about.startswith(iri) and about != iri and "#" not in about:
        return False  # about a member
    said = triple.object.value if triple.predicate == _TYPE and isinstance(triple.object, NamedNode) else ""
    return not triple.predicate.value.startswith(_SERVERS_OWN) and not said.startswith(
        ("http://www.w3.org/ns/ldp#", "http://www.w3.org/ns/pim/space#", "http://www.w3.org/ns/iana/media-types/")
    )


def _lies_in(member: str, container: str) -> bool:
    """Whether a member is what the hierarchy of paths says: one step below (Solid Protocol, section 4.2)."""
    step = member.removeprefix(container)
    if step == member or not step or any(sign in step for sign in "?#\\"):
        return False
    name = step.removesuffix("/")
    return bool(name) and "/" not in name and "/" not in unquote(name) and unquote(name) not in {".", ".."}

"""What the methods of a request do with a resource (Solid Protocol, sections 4 and 5), once the pod is open.

Each function runs within the request's transaction, under the Permit in `open_pod`, and returns an `Outcome`; the
story around them is pod_server/lifecycle.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pyoxigraph import NamedNode
from werkzeug.datastructures import ETags

from pod_server import documents
from pod_server.authorization.wac import ACL_SUFFIX, DESCRIPTION_SUFFIX, is_acl, is_auxiliary, subject_of
from pod_server.representation import negotiation
from pod_server.representation.errors import MalformedRepresentation
from pod_server.representation.graph import Graph
from pod_server.resources import container, non_rdf_source, rdf_source
from pod_server.resources.errors import (
    ContainerNotEmpty,
    MethodNotSupported,
    ResourceConflict,
    ResourceNotFound,
)
from pod_server.resources.etag import check_conditions, check_unmodified_since, container_version, version_tag
from pod_server.resources.path import containers_above, is_container, name_of, other_spelling
from pod_server.resources.slug import name_for

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.bodies import LimitedBody
    from pod_server.opening import OpenPod
    from pod_server.representation.patch import Patch
    from pod_server.storage.ports import Transaction
    from pod_server.vault.chunks import ChunkedFile


@dataclass(frozen=True)
class LargeBody:
    """A body that is too large to be held: what was read of it, and where the rest comes from.

    Attributes:
        stream: The rest.
        announced: How many bytes were announced in all; None where the body comes in chunks.
        begun: What was read before it turned out to be large.
    """

    stream: LimitedBody
    announced: int | None
    begun: bytes = b""


ROOT_RULES = ACL_SUFFIX


@dataclass(frozen=True)
class Body:
    """What a client sent.

    Attributes:
        content: The whole body; empty where it is large.
        media_type: Lower case and without parameters.
        parameters: The media type's, as they came, or "".
        large: A large body, still to be read; never RDF.
    """

    content: bytes
    media_type: str
    parameters: str = ""
    large: LargeBody | None = None


@dataclass(frozen=True)
class Target:
    """The resource a request is about, and what the request says about its version.

    Attributes:
        path: Canonical, relative to the pod's root.
        root_iri: Where the pod is reached, with its last slash.
        if_match: The If-Match header.
        if_none_match: The If-None-Match header.
        if_unmodified_since: The If-Unmodified-Since header, where it is a date.
    """

    path: str
    root_iri: str
    if_match: ETags = field(default_factory=ETags)
    if_none_match: ETags = field(default_factory=ETags)
    if_unmodified_since: datetime | None = None

    @property
    def iri(self) -> str:
        """The resource's IRI."""
        return self.root_iri + self.path


@dataclass(frozen=True)
class Workplace:
    """What every operation works with.

    Attributes:
        tx: The request's one transaction.
        open_pod: The pod, opened under the request's Permit.
        at: The city's time.
        is_public: Whether the access rules, as they stand in `tx`, let everyone read a path.
    """

    tx: Transaction
    open_pod: OpenPod
    at: datetime
    is_public: Callable[[str], bool]


@dataclass(frozen=True)
class Outcome:
    """What came of an operation.

    Attributes:
        status: The HTTP status.
        path: The resource that was read or changed (for POST, what was made).
        content: The representation; None where none is sent.
        media_type: The representation's.
        tag: The opaque part of the entity tag, or None.
        modified: When the resource changed last.
        parameters: The media type's.
        binary: The file that holds the representation, in place of `content`.
        as_stored: Whether the representation is the stored bytes themselves, so that a part of it means something.
        freed: The files of what was replaced or deleted, to be removed after the commit.
        unsettled: The container whose rules changed, so that what lies below it may have to be moved (settling.py).
    """

    status: int
    path: str
    content: bytes | None = None
    media_type: str = ""
    tag: str | None = None
    modified: datetime | None = None
    parameters: str = ""
    binary: ChunkedFile | None = None
    as_stored: bool = False
    freed: tuple[bytes, ...] = ()
    unsettled: str | None = None

    @property
    def size_bytes(self) -> int:
        """Of the representation."""
        return len(self.content or b"") if self.binary is None else self.binary.size_bytes


@dataclass(frozen=True)
class Prepared:
    """A body that has been read before the transaction begins, since parsing may take longer than a writer may.

    Attributes:
        target: What is made or changed; for POST the member, under the name it will have unless that is taken.
        content: The stored form; empty for a patch.
        media_type: What it is kept under.
        patches: A patch's operations, in order.
        parameters: The media type's.
        binary: The file that holds a large body.
    """

    target: Target
    content: bytes = b""
    media_type: str = ""
    patches: tuple[Patch, ...] = ()
    parameters: str = ""
    binary: ChunkedFile | None = None


def prepare_put(target: Target, body: Body, known_contexts: Mapping[str, Any]) -> Prepared:
    """Read the body of a document or container that is put.

    Raises:
        MalformedRepresentation, RemoteContextRefused, UnsupportedMediaType: about the body.
        ResourceConflict: it states what only the server can know about a container.
    """
    if is_container(target.path):
        content, media_type = _container_body(body, target, known_contexts), rdf_source.STORED_MEDIA_TYPE
    else:
        content, media_type = stored_form(body, target, known_contexts)
    parameters = body.parameters if media_type == body.media_type and not negotiation.is_rdf(media_type) else ""
    return Prepared(target, content, media_type, parameters=parameters)


def may_be_large(method: str, path: str, media_type: str, *, new_container: bool) -> bool:
    """Whether the body of a request becomes a document that is not RDF, and so need not be held whole to be read."""
    makes_document = not is_container(path) if method == "PUT" else method == "POST" and is_container(path)
    is_other = bool(media_type) and not negotiation.is_rdf(media_type) and not is_auxiliary(path)
    return makes_document and is_other and not new_container


def prepare_post(
    target: Target,
    body: Body,
    slug: str | None,
    *,
    known_contexts: Mapping[str, Any],
    random_name: Callable[[], str],
    new_container: bool,
) -> Prepared:
    """Read a body that is posted, under the name it will have if that is free; see `prepare_put`."""
    name = name_for(slug, random_name) + ("/" if new_container else "")
    member = Target(target.path + name, target.root_iri)
    return prepare_put(member, body, known_contexts)


def prepare_patch(target: Target, body: Body) -> Prepared:
    """Read a patch.

    Raises:
        MalformedRepresentation, PatchNotProcessable, UnsupportedMediaType: about the patch.
    """
    if not body.media_type:
        raise MalformedRepresentation("the request has a body but no Content-Type (Solid Protocol, section 2.1)")
    patches = rdf_source.read_patch(body.content, body.media_type, target.iri)
    return Prepared(target, patches=tuple(patches))


def read(work: Workplace, target: Target, accept: str | None) -> Outcome:
    """GET and HEAD.

    Raises:
        ResourceNotFound: nothing is there.
        NotAcceptable: none of the accepted media types can be made of it.
    """
    if is_container(target.path):
        return _listing(work, target, accept)

    def show(found: documents.Document) -> tuple[Outcome, int]:
        return (shown := _shown(found, target, accept)), len(shown.content or b"")

    shown = documents.recall(work.tx, work.open_pod, target.path, f"{accept} at {target.root_iri}", show)
    if shown is None:
        raise ResourceNotFound("there is no such resource in this pod")
    return shown


def _listing(work: Workplace, target: Target, accept: str | None) -> Outcome:
    found = documents.get(work.tx, work.open_pod, target.path)
    if found is None:
        raise ResourceNotFound("there is no such resource in this pod")
    own = rdf_source.from_stored(found.content, target.root_iri)
    media_type = negotiation.choose(accept, negotiation.offered(own))
    shows_activities = target.path == "" and work.open_pod.permit.authority != "public"
    made_here = ("activities/", "calculations/") if shows_activities else ()
    more = [container.Member(name, rdf_source.STORED_MEDIA_TYPE, None, None) for name in made_here]
    # A container that is being opened to everyone: strangers see of it what they will see when it is.
    being_opened = not found.public and work.open_pod.permit.webid is None and work.is_public(target.path)
    if media_type == rdf_source.STORED_MEDIA_TYPE and not being_opened:
        content, versions = _listing_in_turtle(work, target, found, own, more)
    else:
        entries = documents.members(work.tx, work.open_pod, target.path)
        entries = [one for one in entries if not being_opened or work.is_public(one.path)]
        versions = [(one.path, one.version) for one in entries]
        graph = container.listing(target.path, target.root_iri, own, found.modified, [*map(_member, entries), *more])
        content = negotiation.write(graph, media_type)
    tag = version_tag(container_version(found.version, versions), media_type)
    return Outcome(200, target.path, content, media_type, tag, found.modified)


def _listing_in_turtle(
    work: Workplace, target: Target, found: documents.Document, own: Graph, more: list[container.Member]
) -> tuple[bytes, list[tuple[str, int]]]:
    """What is said of each member is remembered: a container of ten thousand is listed much more often than changed."""
    root_iri = target.root_iri

    def say(entry: documents.Entry) -> tuple[str, int]:
        return (said := container.member_in_turtle(_member(entry), root_iri)), len(said)

    recalled = documents.recall_members(work.tx, work.open_pod, target.path, f"listing at {root_iri}", say)
    blocks = [(path, said) for path, _, said in recalled]
    blocks += [(member.path, container.member_in_turtle(member, root_iri)) for member in more]
    content = container.listing_in_turtle(target.path, root_iri, own, found.modified, blocks)
    return content, [(path, version) for path, version, _ in recalled]


def _member(entry: documents.Entry) -> container.Member:
    return container.Member(entry.path, entry.media_type, entry.modified, entry.size_bytes)


def _shown(found: documents.Document, target: Target, accept: str | None) -> Outcome:
    """A document in the representation that is accepted."""
    if not negotiation.is_rdf(found.media_type):
        media_type = negotiation.choose(accept, (found.media_type,))
        return Outcome(
            200,
            target.path,
            content=None if found.binary else found.content,
            media_type=media_type,
            tag=version_tag(str(found.version), media_type),
            modified=found.modified,
            parameters=found.parameters,
            binary=found.binary,
            as_stored=True,
        )
    graph = rdf_source.from_stored(found.content, target.root_iri)
    media_type = negotiation.choose(accept, negotiation.offered(graph))
    tag = version_tag(str(found.version), media_type)
    return Outcome(200, target.path, negotiation.write(graph, media_type), media_type, tag, found.modified)


def check_large(work: Workplace, target: Target, prepared: Prepared) -> None:
    """Check what would be refused after a large body had come, before it comes; `put` and `post` check it again.

    Raises:
        PreconditionFailed, ResourceConflict, ResourceNotFound: as those do.
    """
    if is_container(target.path):
        if not documents.exists(work.tx, work.open_pod, target.path):
            raise ResourceNotFound("there is no such container in this pod")
    else:
        check_place(work, prepared.target.path)
    _check_conditions(work, target)


def put(work: Workplace, prepared: Prepared) -> Outcome:
    """PUT: create or replace, making the containers above as needed (Solid Protocol, section 5.3).

    Raises:
        PreconditionFailed: If-Match or If-None-Match rules it out.
        ResourceConflict: the name is in use by the other type of resource, or the root's rules give nobody Control.
    """
    target = prepared.target
    existed = documents.exists(work.tx, work.open_pod, target.path)
    _check_conditions(work, target)
    check_place(work, target.path)
    if target.path == ROOT_RULES:
        _check_root_rules(rdf_source.from_stored(prepared.content, target.root_iri), target.root_iri)
    freed = _files_at(work, target.path)
    made = _store(work, prepared, target.path)
    tag = None if negotiation.is_rdf(made.media_type) else version_tag(str(made.version), made.media_type)
    unsettled = _follow_the_rules(work, subject_of(target.path)) if is_acl(target.path) else None
    return Outcome(204 if existed else 201, target.path, tag=tag, freed=freed, unsettled=unsettled)


def post(work: Workplace, target: Target, prepared: Prepared | None, prepare_again: Callable[[], Prepared]) -> Outcome:
    """POST to a container: make a member, named by the server (Solid Protocol, section 5.3).

    Args:
        work: Where.
        target: The container.
        prepared: The body, read under the name that the client wished for; None where the target is no
            container.
        prepare_again: Reads it under a random name; relative IRIs are relative to the name the member gets.

    Raises:
        ResourceNotFound: there is no such container.
        MethodNotSupported: the target is no container.
    """
    if not documents.exists(work.tx, work.open_pod, target.path):
        raise ResourceNotFound("there is no such container in this pod")
    if prepared is None:
        raise MethodNotSupported("only containers are posted to", allowed=allowed_methods(target.path))
    _check_conditions(work, target)
    path = prepared.target.path
    if is_virtual(path) or any(documents.exists(work.tx, work.open_pod, one) for one in (path, other_spelling(path))):
        prepared = replace(prepare_again(), binary=prepared.binary)
    _store(work, prepared, prepared.target.path)
    return Outcome(201, prepared.target.path)


def patch(work: Workplace, prepared: Prepared) -> Outcome:
    """PATCH of an RDF document or of a container's own statements; makes a document that is not there.

    Raises:
        PatchDoesNotMatch, PatchNotProcessable: the patch does not go with the document.
        PreconditionFailed: If-Match or If-None-Match rules it out.
        ResourceConflict: the resource is not RDF, or the patch states what only the server can.
    """
    target = prepared.target
    _check_conditions(work, target)
    check_place(work, target.path)
    if _append(work, prepared):
        return Outcome(204, target.path)
    found = documents.get(work.tx, work.open_pod, target.path)
    if found is not None and not negotiation.is_rdf(found.media_type):
        raise ResourceConflict("only RDF documents are patched")
    graph = rdf_source.from_stored(found.content, target.root_iri) if found else Graph()
    changed = rdf_source.patched(graph, prepared.patches)
    if found is not None and changed.triples == graph.triples:
        # A patch that only asks (its conditions hold) needs Read alone, and so must not write.
        return Outcome(204, target.path)
    if is_container(target.path):
        changed = container.own_statements(changed, target.path, target.root_iri)
    if target.path == ROOT_RULES:
        _check_root_rules(changed, target.root_iri)
    content = rdf_source.to_stored(changed, target.root_iri)
    _store(work, Prepared(target, content, rdf_source.stored_media_type(changed)), target.path)
    unsettled = _follow_the_rules(work, subject_of(target.path)) if is_acl(target.path) else None
    return Outcome(201 if found is None else 204, target.path, unsettled=unsettled)


def _append(work: Workplace, prepared: Prepared) -> bool:
    """Carry out a patch that only adds to a longer document, without opening it; False where that is not the case."""
    path = prepared.target.path
    entry = documents.find_entry(work.tx, work.open_pod, path)
    if entry is None or entry.media_type != rdf_source.STORED_MEDIA_TYPE or is_auxiliary(path) or is_container(path):
        return False
    addition = rdf_source.only_adds(prepared.patches, prepared.target.root_iri)
    return addition is not None and documents.append(work.tx, work.open_pod, path, addition, at=work.at)


def delete(work: Workplace, target: Target) -> Outcome:
    """DELETE, with the access rules and the description that belong to the resource (Solid Protocol, section 5.4).

    Raises:
        ResourceNotFound: nothing is there.
        MethodNotSupported: the root, or the root's access rules.
        ContainerNotEmpty: the container has members.
        PreconditionFailed: If-Match or If-None-Match rules it out.
    """
    if target.path in {"", ROOT_RULES}:
        raise MethodNotSupported(
            "the root and its access rules stay as long as the pod", allowed=allowed_methods(target.path)
        )
    if not documents.exists(work.tx, work.open_pod, target.path):
        raise ResourceNotFound("there is no such resource in this pod")
    _check_conditions(work, target)
    if is_container(target.path) and documents.count_members(work.tx, work.open_pod, target.path):
        raise ContainerNotEmpty("delete the container's members first")
    freed = _files_at(work, target.path)
    documents.delete(work.tx, work.open_pod, target.path, at=work.at)
    unsettled = None
    if is_acl(target.path):
        unsettled = _follow_the_rules(work, subject_of(target.path))
    elif not is_auxiliary(target.path):
        for suffix in (ACL_SUFFIX, DESCRIPTION_SUFFIX):
            documents.delete(work.tx, work.open_pod, target.path + suffix, at=work.at)
    return Outcome(204, target.path, freed=freed, unsettled=unsettled)


VIRTUAL = ("activities/", "calculations/", "sparql", ".well-known/", ".notifications/")
"""Names at the root that the server answers itself; nothing can be stored there."""


def is_virtual(path: str) -> bool:
    """True for what the server makes itself, and for what lies below it."""
    return any(path == name or (name.endswith("/") and path.startswith(name)) for name in VIRTUAL) or path in {
        "activities",
        "calculations",
        "sparql/",
        ".well-known",
        ".notifications",
    }


def allowed_methods(path: str) -> tuple[str, ...]:
    """The Allow header of a resource, by its kind."""
    methods = ["GET", "HEAD", "OPTIONS"]
    if path.startswith(".notifications/") and path.count("/") == 2:
        return (*methods, "DELETE")
    if path == "sparql" or path.startswith(".notifications/"):
        return (*methods, "POST")
    if is_virtual(path):
        return tuple(methods)
    if is_container(path):
        methods.append("POST")
    methods += ["PUT", "PATCH"]
    if path not in {"", ROOT_RULES}:
        methods.append("DELETE")
    return tuple(methods)


def paths_around(path: str, *, writing: bool) -> list[str]:
    """Everything that a request will ask the database about, so that it can be asked at once.

    The resource, and the access rules over it; for writing also the containers above, and whether each name is in use
    by the other type of resource.
    """
    above = containers_above(path)
    around = [path, *(one + ACL_SUFFIX for one in (path, *above))]
    if writing:
        around += [*above, *(other_spelling(one) for one in (path, *above) if one)]
    return around


def nearest_container(tx: Transaction, open_pod: OpenPod, path: str) -> str:
    """The nearest container above a path that exists; the root always does."""
    return next((above for above in containers_above(path) if documents.exists(tx, open_pod, above)), "")


def check_place(work: Workplace, path: str) -> None:
    """Check that a resource may be at this path.

    Raises:
        ResourceConflict: the same name without or with its last slash is in use, a document stands where a container
            would have to be, or access rules are for nothing.
    """
    if path and documents.exists(work.tx, work.open_pod, other_spelling(path)):
        raise ResourceConflict("this name is in use by a resource of the other type: a document or a container")
    above_and_here = [path, *containers_above(path)]
    if any(is_container(one) and is_auxiliary(one.rstrip("/")) for one in above_and_here if one):
        raise ResourceConflict(
            "names that end in .acl or .meta are kept for rules and descriptions, which hold nothing"
        )
    if is_auxiliary(path):
        subject = subject_of(path)
        if is_auxiliary(subject) or not documents.exists(work.tx, work.open_pod, subject):
            raise ResourceConflict("rules and descriptions belong to a resource that is there; make that first")
        return
    for above in containers_above(path):
        if above and documents.exists(work.tx, work.open_pod, other_spelling(above)):
            raise ResourceConflict(f"{name_of(above)!r} is a document, so nothing can lie in it")


def stored_form(body: Body, target: Target, known_contexts: Mapping[str, Any]) -> tuple[bytes, str]:
    """A document's body as it is sealed, and the media type it is kept under.

    Raises:
        MalformedRepresentation, RemoteContextRefused, UnsupportedMediaType: about the body.
    """
    if not body.media_type:
        raise MalformedRepresentation("the request has a body but no Content-Type (Solid Protocol, section 2.1)")
    if negotiation.is_rdf(body.media_type) or is_auxiliary(target.path):
        # Rules and descriptions are one graph each: what they say in a named graph would be said to nobody.
        graph = rdf_source.read_body(
            body.content, body.media_type, target.iri, known_contexts, named_graphs=not is_auxiliary(target.path)
        )
        return rdf_source.to_stored(graph, target.root_iri), rdf_source.stored_media_type(graph)
    return body.content, non_rdf_source.check_media_type(body.media_type)


_ACL = "http://www.w3.org/ns/auth/acl#"
_TYPE = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")


def _check_root_rules(graph: Graph, root_iri: str) -> None:
    """Check that the root's rules give Control of the root to somebody (Web Access Control, section 3.2).

    The owner keeps Control whatever the rules say; but rules that give it to nobody would tell every client otherwise.
    """
    said: dict[object, set[tuple[NamedNode, object]]] = {}
    for triple in graph.triples:
        said.setdefault(triple.subject, set()).add((triple.predicate, triple.object))
    needed = {
        (_TYPE, NamedNode(_ACL + "Authorization")),
        (NamedNode(_ACL + "accessTo"), NamedNode(root_iri)),
        (NamedNode(_ACL + "mode"), NamedNode(_ACL + "Control")),
    }
    if not any(needed <= one for one in said.values()):
        raise ResourceConflict("the rules of the root must give somebody acl:Control with acl:accessTo the root")


def _container_body(body: Body, target: Target, known_contexts: Mapping[str, Any]) -> bytes:
    """What a client states about a container that it makes or replaces; usually nothing."""
    if not body.content.strip():
        return b""
    graph = rdf_source.read_body(body.content, body.media_type, target.iri, known_contexts)
    return rdf_source.to_stored(container.own_statements(graph, target.path, target.root_iri), target.root_iri)


def _files_at(work: Workplace, path: str) -> tuple[bytes, ...]:
    name = documents.find_file(work.tx, work.open_pod, path)
    return () if name is None else (name,)


def _store(work: Workplace, prepared: Prepared, path: str) -> documents.Document:
    if not is_auxiliary(path):
        missing = [above for above in containers_above(path) if not documents.exists(work.tx, work.open_pod, above)]
        for above in reversed(missing):
            documents.put(
                work.tx,
                work.open_pod,
                above,
                rdf_source.STORED_MEDIA_TYPE,
                b"",
                public=work.is_public(above),
                at=work.at,
            )
    public = not is_acl(path) and work.is_public(path)
    return documents.put(
        work.tx,
        work.open_pod,
        path,
        prepared.media_type,
        prepared.content,
        public=public,
        at=work.at,
        parameters=prepared.parameters,
        binary=prepared.binary,
    )


def _check_conditions(work: Workplace, target: Target) -> None:
    # A container's version takes all its members to tell, so it is asked for only where a condition needs it.
    if target.if_match or target.if_none_match:
        check_conditions(target.if_match, target.if_none_match, _version(work, target.path))
    if target.if_unmodified_since is not None and not target.if_match:
        entry = documents.find_entry(work.tx, work.open_pod, target.path)
        check_unmodified_since(target.if_unmodified_since, None if entry is None else entry.modified)


def _version(work: Workplace, path: str) -> str | None:
    entry = documents.find_entry(work.tx, work.open_pod, path)
    if entry is None:
        return None
    if is_container(path):
        members = documents.members(work.tx, work.open_pod, path)
        return container_version(entry.version, ((one.path, one.version) for one in members))
    return str(entry.version)


def _follow_the_rules(work: Workplace, path: str) -> str | None:
    """After a change of a resource's rules: a document is moved to its scope at once, with its description.

    Returns:
        The path where it is a container: its rules hold below it too, and settling.py moves what is concerned.
    """
    if is_container(path):
        return path
    for one in (path, path + DESCRIPTION_SUFFIX):
        documents.move(work.tx, work.open_pod, one, public=work.is_public(one))
    return None

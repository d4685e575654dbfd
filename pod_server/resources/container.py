"""Containers (Solid Protocol, section 4.2; LDP Basic Containers): what they hold, as RDF.

The listing is made when it is asked for; only the container's own statements, if it was given any, are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from pyoxigraph import Literal, NamedNode, RdfFormat, Triple, serialize

from pod_server.representation.graph import Graph
from pod_server.resources.errors import ResourceConflict
from pod_server.resources.path import is_container

LDP = "http://www.w3.org/ns/ldp#"
_DCTERMS = "http://purl.org/dc/terms/"
_STAT = "http://www.w3.org/ns/posix/stat#"
_XSD = "http://www.w3.org/2001/XMLSchema#"
_IANA = "http://www.w3.org/ns/iana/media-types/"

_TYPE = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
_RESOURCE = NamedNode(LDP + "Resource")
_CONTAINER = NamedNode(LDP + "Container")
_BASIC_CONTAINER = NamedNode(LDP + "BasicContainer")
_CONTAINS = NamedNode(LDP + "contains")
_MODIFIED = NamedNode(_DCTERMS + "modified")
_MTIME = NamedNode(_STAT + "mtime")
_SIZE = NamedNode(_STAT + "size")
_STORAGE = NamedNode("http://www.w3.org/ns/pim/space#Storage")

SERVER_MANAGED = frozenset({_CONTAINS, _MODIFIED, _MTIME, _SIZE})
"""What clients cannot state about a container or its members (Solid Protocol, sections 4.2 and 5.3)."""

PREFIXES = {"ldp": LDP, "dc": _DCTERMS, "stat": _STAT, "xsd": _XSD}


@dataclass(frozen=True)
class Member:
    """One line of a listing; `path` is relative to the pod's root, `size_bytes` is None where it is not known."""

    path: str
    media_type: str
    modified: datetime | None
    size_bytes: int | None


def listing(path: str, root_iri: str, own: Graph, modified: datetime | None, members: Iterable[Member]) -> Graph:
    """The container as everybody who may read it sees it (LDP, section 5.2)."""
    container = NamedNode(root_iri + path)
    triples = [Triple(container, _TYPE, kind) for kind in (_RESOURCE, _CONTAINER, _BASIC_CONTAINER)]
    if path == "":
        triples.append(Triple(container, _TYPE, _STORAGE))
    if modified is not None:
        triples.append(Triple(container, _MODIFIED, _moment(modified)))
    members = list(members)
    triples.extend(Triple(container, _CONTAINS, NamedNode(root_iri + member.path)) for member in members)
    for member in members:
        iri = NamedNode(root_iri + member.path)
        triples.append(Triple(iri, _TYPE, _RESOURCE))
        if is_container(member.path):
            triples.extend(Triple(iri, _TYPE, kind) for kind in (_CONTAINER, _BASIC_CONTAINER))
        else:
            triples.append(Triple(iri, _TYPE, NamedNode(_class_of(member.media_type))))
        if member.modified is not None:
            triples.append(Triple(iri, _MODIFIED, _moment(member.modified)))
            triples.append(Triple(iri, _MTIME, Literal(int(member.modified.timestamp()))))
        if member.size_bytes is not None and not is_container(member.path):
            triples.append(Triple(iri, _SIZE, Literal(member.size_bytes)))
    return Graph.of([*triples, *own.triples], {**PREFIXES, **own.prefixes})


def listing_in_turtle(
    path: str, root_iri: str, own: Graph, modified: datetime | None, members: Sequence[tuple[str, str]]
) -> bytes:
    """The same as `listing`, written as Turtle at once: a long one is mostly what its members say of themselves.

    Args:
        path: The container's.
        root_iri: Where the pod is reached.
        own: The container's own statements.
        modified: When a member came or went last.
        members: Each member's path, and what `member_in_turtle` says of it.
    """
    storage = f", <{_STORAGE.value}>" if path == "" else ""
    lines = [f"@prefix {name}: <{iri}> .\n" for name, iri in PREFIXES.items()]
    lines.append(f"<{root_iri}{path}> a ldp:Resource, ldp:Container, ldp:BasicContainer{storage}")
    if modified is not None:
        lines.append(f" ;\n  dc:modified {_moment_in_turtle(modified)}")
    if members:
        lines.append(" ;\n  ldp:contains\n    ")
        lines.append(",\n    ".join([f"<{root_iri}{member}>" for member, _ in members]))
    lines.append(" .\n")
    lines.extend([block for _, block in members])
    return "".join(lines).encode() + (serialize(own.triples, format=RdfFormat.N_TRIPLES) or b"")


def member_in_turtle(member: Member, root_iri: str) -> str:
    """What a listing says of one member, with the prefixes of `listing_in_turtle`.

    Paths are spelled canonically (path.py), so that they hold nothing that ends an IRI.
    """
    said = [f"<{root_iri}{member.path}> a ldp:Resource, "]
    said.append(
        "ldp:Container, ldp:BasicContainer" if is_container(member.path) else f"<{_class_of(member.media_type)}>"
    )
    if member.modified is not None:
        said.append(f" ; dc:modified {_moment_in_turtle(member.modified)}")
        said.append(f" ; stat:mtime {int(member.modified.timestamp())}")
    if member.size_bytes is not None and not is_container(member.path):
        said.append(f" ; stat:size {member.size_bytes}")
    return "".join(said) + " .\n"


def _class_of(media_type: str) -> str:
    """The class of all documents of a media type, whose name may hold characters that an IRI may not."""
    return f"{_IANA}{quote(media_type, safe='/!$&_.+-')}#Resource"


def own_statements(graph: Graph, path: str, root_iri: str) -> Graph:
    """What a client states about a container, without what every listing says anyhow.

    Raises:
        ResourceConflict: it states what only the server can know (LDP, section 5.2.4.1).
    """
    container = NamedNode(root_iri + path)
    if any(triple.predicate in SERVER_MANAGED and _is_of(triple.subject, container) for triple in graph.triples):
        raise ResourceConflict(
            "what a container holds, and the size and time of it and its members, are stated by the server alone"
        )
    implied = {Triple(container, _TYPE, kind) for kind in (_RESOURCE, _CONTAINER, _BASIC_CONTAINER, _STORAGE)}
    return Graph.of((triple for triple in graph.triples if triple not in implied), graph.prefixes)


def _is_of(subject: object, container: NamedNode) -> bool:
    """The container itself, or one of its members."""
    return isinstance(subject, NamedNode) and subject.value.startswith(container.value) and "#" not in subject.value


def _moment(at: datetime) -> Literal:
    return Literal(_written(at), datatype=NamedNode(_XSD + "dateTime"))


def _moment_in_turtle(at: datetime) -> str:
    return f'"{_written(at)}"^^xsd:dateTime'


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

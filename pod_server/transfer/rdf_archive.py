"""A pod as a zip of RDF that any other system reads: each graph as Turtle, JSON-LD and N-Quads, other documents as put.

    README.txt                              what is where
    pod.nq                                  every graph of the pod under its document's IRI (N-Quads)
    documents/….ttl  documents/….jsonld     one document, twice; access rules and descriptions stand beside their subjects
    documents/…                             what is no RDF, byte for byte; documents with named graphs of their own (.trig)
    activities/<grant>/<YYYY-MM>.ttl  .jsonld
    manifest.json                           each file's size and SHA-256, and which file is which document

IRIs are absolute. rdflib writes; literals keep the very characters they were given. Consents' states, the log and the
household are in `tvilling-pod-1` files (export.py), which another Tvilling host loads; this one is for everybody else.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

import rdflib
from pyoxigraph import BlankNode, NamedNode
from rdflib.plugins.serializers.jsonld import from_rdf
from rdflib.plugins.serializers.turtle import TurtleSerializer

from pod_server.errors import PermitExceeded
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.representation import n_triples, stored, trig, turtle
from pod_server.resources import activity_documents, calculation_documents
from pod_server.transfer.pod_file import PodFileWriter
from pod_server.transfer.walk import body_of, walk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pyoxigraph import Literal, Triple

    from pod_server.host import Host
    from pod_server.opening import OpenPod

FORMAT = "tvilling-rdf-1"
_CHUNK = 1 << 20
_README = """A pod as RDF: {root}

pod.nq holds every graph under the IRI of its document (N-Quads). documents/ and activities/ hold the same graphs one by
one, as Turtle (.ttl) and as JSON-LD (.jsonld), and the documents that are no RDF as they were put. IRIs are absolute.
"""


@dataclass(frozen=True)
class Archived:
    """What an archive holds."""

    graphs: int
    triples: int
    other_documents: int


class _ExactTurtle(TurtleSerializer):
    """Writes every literal in its long form: the short form of a number loses digits (rdflib 7, `_literal_n3`)."""

    def label(self, node: Any, position: Any) -> str:
        """A term as text."""
        return node.n3() if isinstance(node, rdflib.Literal) else str(super().label(node, position))


class _Graphs:
    """Adds graphs to an archive, each in three forms."""

    def __init__(self, file: PodFileWriter, quads: IO[bytes]) -> None:
        self._file = file
        self._quads = quads
        self.names: dict[str, str] = {}
        self.triples = 0

    def add(self, name: str, iri: str, triples: Iterable[Triple]) -> None:
        dataset = rdflib.Dataset(default_union=False)
        graph = dataset.graph(rdflib.URIRef(iri))
        # Labels of blank nodes are one document's own: in the N-Quads of all documents equal ones must not meet.
        blank_nodes: dict[str, rdflib.BNode] = {}
        for triple in triples:
            graph.add(tuple(_term(one, blank_nodes) for one in triple))  # type: ignore[arg-type]
        name = self._file.free(f"{name}.ttl")
        self._file.add(name, [_turtle(graph)])
        self.names[name] = iri
        name = self._file.free(f"{name.removesuffix('.ttl')}.jsonld")
        # The serializer itself always writes native numbers, and so other digits (rdflib 7, serializers/jsonld.py).
        nodes = from_rdf(graph, use_native_types=False)  # type: ignore[no-untyped-call]
        self._file.add(name, [json.dumps(nodes, ensure_ascii=False, indent=1).encode()])
        self.names[name] = iri
        self._quads.write(dataset.serialize(format="nquads", encoding="utf-8").lstrip(b"\n"))
        self.triples += len(graph)


def archive_pod(host: Host, opened: OpenPod, target: Path) -> Archived:
    """Write the archive; the log says that the pod was exported.

    Raises:
        PermitExceeded: somebody else's Permit.
        PodFileInvalid: the target is there already.
        Tampered: something was changed at rest.
    """
    if opened.permit.authority != "owner":
        raise PermitExceeded
    root = opened.pod.root(host.base_url)
    others: dict[str, str] = {}
    with PodFileWriter(target) as file, tempfile.TemporaryFile(dir=target.parent) as quads:
        with host.storage.write() as tx:
            event = LogEvent(
                at=host.clock.now(), actor=opened.permit.actor, action="export-pod", detail={"form": FORMAT}
            )
            ledger.append(tx, opened.pod_id, event)
        file.add("README.txt", [_README.format(root=root).encode()])
        graphs = _Graphs(file, quads)
        with host.storage.read() as tx:
            for found in walk(tx, opened):
                if found.media_type == turtle.MEDIA_TYPE:
                    at_container = found.path == "" or found.path.endswith("/")
                    name = f"documents/{found.path}" + ("container" if at_container else "")
                    graphs.add(name, root + found.path, stored.read(found.content, root).triples)
                    continue
                ending, body = "", body_of(host, opened, found)
                if found.media_type == trig.MEDIA_TYPE:
                    # A dataset of its own: its graphs' names are its own too, and stand in no other file.
                    ending, body = ".trig", iter([trig.write(stored.read(found.content, root))])
                name = file.free(f"documents/{found.path}{ending}")
                file.add(name, body, compress=found.binary is None)
                others[name] = root + found.path
        for path, content in activity_documents.documents_of(host, opened, root).items():
            graphs.add(path, root + path, n_triples.read(content, root + path).triples)
        with host.storage.read() as tx:
            answers = calculation_documents.documents_of(tx, opened, root)
        for path, content in answers.items():
            graphs.add(path, root + path, n_triples.read(content, root + path).triples)
        quads.seek(0)
        file.add("pod.nq", iter(lambda: quads.read(_CHUNK), b""))
        file.finish({"root": root, "graphs": graphs.names, "others": others}, form=FORMAT)
    return Archived(len(graphs.names) // 2, graphs.triples, len(others))


def _term(term: NamedNode | BlankNode | Literal, blank_nodes: dict[str, rdflib.BNode]) -> rdflib.term.Node:
    if isinstance(term, NamedNode):
        return rdflib.URIRef(term.value)
    if isinstance(term, BlankNode):
        return blank_nodes.setdefault(term.value, rdflib.BNode())
    if term.language:
        return rdflib.Literal(term.value, lang=term.language)
    return rdflib.Literal(term.value, datatype=rdflib.URIRef(term.datatype.value), normalize=False)


def _turtle(graph: rdflib.Graph) -> bytes:
    written = BytesIO()
    _ExactTurtle(graph).serialize(written, encoding="utf-8")
    return written.getvalue()

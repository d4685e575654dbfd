"""The activities of a pod as a Solid client sees them: `/{handle}/activities/{grant}/{YYYY-MM}`, read-only.

The records stay sealed in their segments (pod_server/activities.py); these containers and documents are made when
they are asked for. Beside its records a document says which of them the figures leave out, and why
(counting_statements.py). A month is the month, in UTC, in which a record starts. Partners deliver through the bridge under
their grants, never here, and so nobody writes here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyoxigraph import NamedNode, Quad, RdfFormat, Triple, serialize

from pod_server import activities, left_out
from pod_server.identifiers import GrantId
from pod_server.representation import negotiation
from pod_server.representation.graph import Graph
from pod_server.resources import container, counting_statements
from pod_server.resources.errors import ResourceNotFound
from pod_server.resources.etag import version_tag
from pod_server.resources.operations import Outcome, Target
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pod_server.activities import StoredActivity
    from pod_server.host import Host
    from pod_server.left_out import Counting
    from pod_server.opening import OpenPod
    from vocab.kinds import Kinds

ROOT = "activities/"

_PLACE = re.compile(r"activities/(?:(?P<grant>[A-Za-z0-9-]{1,64})/(?P<month>[0-9]{4}-(?:0[1-9]|1[0-2]))?)?\Z")


_TYPE = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
_ACTIVITY = NamedNode("https://w3id.org/peco#EmissionGenerationActivity")
_PREFIXES = {
    "peco": "https://w3id.org/peco#",
    "prov": "http://www.w3.org/ns/prov#",
    "qudt": "http://qudt.org/schema/qudt/",
    "tv": "https://w3id.org/tvilling#",
    "unit": "http://qudt.org/vocab/unit/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


def read(host: Host, open_pod: OpenPod, target: Target, accept: str | None) -> Outcome:
    """GET and HEAD of the containers and their documents.

    Raises:
        ResourceNotFound: no such container or document.
        NotAcceptable: none of the accepted media types can be made.
    """
    place = _PLACE.match(target.path)
    if place is None:
        raise ResourceNotFound("there is no such resource in this pod")
    month = place["month"]
    grant = GrantId(place["grant"]) if place["grant"] else None
    if month is not None and grant is not None:
        graph = _month(host, open_pod, target, grant, month)
    elif grant is not None:
        months = activities.list_months(host, open_pod, grant=grant).get(grant, set())
        graph = _listing(target, sorted(target.path + one for one in months))
    else:
        graph = _listing(target, sorted(f"{target.path}{one}/" for one in activities.list_months(host, open_pod)))
    if grant is not None and not graph.triples and not _is_listed(host, open_pod, grant, month):
        raise ResourceNotFound("there are no activities of this grant and time")
    media_type = negotiation.choose(accept, negotiation.RDF_MEDIA_TYPES)
    content = negotiation.write(graph, media_type)
    return Outcome(
        200, target.path, content, media_type, version_tag(hashlib.sha256(content).hexdigest()[:24], media_type)
    )


def documents_of(host: Host, open_pod: OpenPod, root_iri: str) -> dict[str, bytes]:
    """All the documents at once, by path, as N-Triples: for queries over the whole pod."""
    kinds, counted = load_kinds(), _counted(host, open_pod, root_iri, activities.read_activities(host, open_pod))
    return {
        path: serialize(_document(kinds, records, path, counted), format=RdfFormat.N_TRIPLES) or b""
        for path, records in counted.by_document().items()
    }


def counting_quads(host: Host, open_pod: OpenPod, root_iri: str) -> Iterator[bytes]:
    """What the documents say beside their records, as N-Quads, a document at a time: for exports that hold the records."""
    counted = _counted(host, open_pod, root_iri, activities.read_activities(host, open_pod))
    for path, records in counted.by_document().items():
        graph = NamedNode(root_iri + path)
        quads = (Quad(each.subject, each.predicate, each.object, graph) for each in counted.statements(records, path))
        yield serialize(quads, format=RdfFormat.N_QUADS) or b""


@dataclass(frozen=True)
class _Counted:
    """Records and how they stand, with the addresses by which documents name each other."""

    root_iri: str
    owner: str
    records: dict[tuple[str, str], StoredActivity]
    counting: Counting

    def by_document(self) -> dict[str, list[StoredActivity]]:
        """The records of each document, by its path."""
        documents: dict[str, list[StoredActivity]] = {}
        for record in self.records.values():
            documents.setdefault(_path_of(record), []).append(record)
        return documents

    def statements(self, records: Iterable[StoredActivity], path: str) -> Iterator[Triple]:
        """What a document says beside its records."""
        return counting_statements.statements(
            self.root_iri + path,
            records,
            self.counting,
            every=self.records,
            document_of=lambda record: self.root_iri + _path_of(record),
            container_of=lambda grant: f"{self.root_iri}{ROOT}{grant}/",
            owner=self.owner,
        )


def _counted(host: Host, open_pod: OpenPod, root_iri: str, found: Iterable[StoredActivity]) -> _Counted:
    records = {(str(record.grant), left_out.record_id(record.raw)): record for record in found}
    counting = left_out.counting_of(host, open_pod, records.values())
    return _Counted(root_iri, open_pod.pod.webid(host.base_url), records, counting)


def _path_of(record: StoredActivity) -> str:
    return f"{ROOT}{record.grant}/{record.start.astimezone(UTC):%Y-%m}"


def _is_listed(host: Host, open_pod: OpenPod, grant: GrantId, month: str | None) -> bool:
    """Whether a month that holds nothing now is still a member of its grant's container: then it is an empty document."""
    return month in activities.list_months(host, open_pod, grant=grant).get(grant, set())


def _listing(target: Target, members: list[str]) -> Graph:
    if target.path != ROOT and not members:
        return Graph()
    lines = [container.Member(path, "text/turtle", None, None) for path in members]
    return container.listing(target.path, target.root_iri, Graph(), None, lines)


def _month(host: Host, open_pod: OpenPod, target: Target, grant: GrantId, month: str) -> Graph:
    found = list(activities.read_activities(host, open_pod, start=_first(month, 0), end=_first(month, 1), grant=grant))
    meeting = left_out.kinds_met_by({record.kind for record in found})
    if meeting:
        # What counts in a month follows from the two before it, and its last hours are the next month's by the local clock.
        around = activities.read_activities(host, open_pod, start=_first(month, -2), end=_first(month, 2))
        others = (each for each in around if each.kind in meeting)
        found = [*others, *(record for record in found if record.kind not in meeting)]
    counted = _counted(host, open_pod, target.root_iri, found)
    records = counted.by_document().get(f"{ROOT}{grant}/{month}", [])
    return Graph.of(_document(load_kinds(), records, target.path, counted), _PREFIXES)


def _first(month: str, later: int) -> datetime:
    """The first instant, in UTC, of the month so many months later."""
    number = int(month[:4]) * 12 + int(month[5:]) - 1 + later
    year, place = divmod(min(max(number, 12), 9999 * 12 + 11), 12)
    return datetime(year, place + 1, 1, tzinfo=UTC)


def _document(kinds: Kinds, records: list[StoredActivity], path: str, counted: _Counted) -> Iterator[Triple]:
    for record in records:
        yield from _statements(kinds, record.raw, counted.root_iri + path)
    if records:
        yield from counted.statements(records, path)


def _statements(kinds: Kinds, raw: bytes, document_iri: str) -> Iterator[Triple]:
    # A record's own name is relative to the document, as it would be in a file of the citizen's own.
    for quad in kinds.quads(raw, document_iri):
        yield quad.triple
        if quad.predicate == _TYPE:
            # Every kind is a subclass of this one (vocab/activities/*/kind.ttl); readers need not know them all.
            yield Triple(quad.subject, _TYPE, _ACTIVITY)

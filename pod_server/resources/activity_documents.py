"""The activities of a pod as a Solid client sees them: `/{handle}/activities/{grant}/{YYYY-MM}`, read-only.

The records stay sealed in their segments (pod_server/activities.py); these containers and documents are made when
they are asked for. A month is the month, in UTC, in which a record starts. Partners deliver through the bridge under
their grants, never here, and so nobody writes here.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from pyoxigraph import NamedNode, RdfFormat, Triple, serialize

from pod_server import activities
from pod_server.identifiers import GrantId
from pod_server.representation import negotiation
from pod_server.representation.graph import Graph
from pod_server.resources import container
from pod_server.resources.errors import ResourceNotFound
from pod_server.resources.etag import version_tag
from pod_server.resources.operations import Outcome, Target
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pod_server.host import Host
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


class _Started(msgspec.Struct, frozen=True):
    """As much of a record as says when it was."""

    start: datetime


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
    kinds = load_kinds()
    decoder = msgspec.json.Decoder(_Started)
    triples: dict[str, list[Triple]] = {}
    for record in activities.read_activities(host, open_pod):
        month = decoder.decode(record.raw).start.astimezone(UTC).strftime("%Y-%m")
        path = f"{ROOT}{record.grant}/{month}"
        triples.setdefault(path, []).extend(_statements(kinds, record.raw, root_iri + path))
    return {path: serialize(each, format=RdfFormat.N_TRIPLES) or b"" for path, each in triples.items()}


def _is_listed(host: Host, open_pod: OpenPod, grant: GrantId, month: str | None) -> bool:
    """Whether a month that holds nothing now is still a member of its grant's container: then it is an empty document."""
    return month in activities.list_months(host, open_pod, grant=grant).get(grant, set())


def _listing(target: Target, members: list[str]) -> Graph:
    if target.path != ROOT and not members:
        return Graph()
    lines = [container.Member(path, "text/turtle", None, None) for path in members]
    return container.listing(target.path, target.root_iri, Graph(), None, lines)


def _month(host: Host, open_pod: OpenPod, target: Target, grant: GrantId, month: str) -> Graph:
    start = datetime.strptime(f"{month}-01 +0000", "%Y-%m-%d %z")
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    kinds = load_kinds()
    found = activities.read_activities(host, open_pod, start=start, end=end, grant=grant)
    triples: list[Triple] = []
    for record in found:
        triples.extend(_statements(kinds, record.raw, target.iri))
    return Graph.of(triples, _PREFIXES)


def _statements(kinds: Kinds, raw: bytes, document_iri: str) -> Iterator[Triple]:
    # A record's own name is relative to the document, as it would be in a file of the citizen's own.
    for quad in kinds.quads(raw, document_iri):
        yield quad.triple
        if quad.predicate == _TYPE:
            # Every kind is a subclass of this one (vocab/activities/*/kind.ttl); readers need not know them all.
            yield Triple(quad.subject, _TYPE, _ACTIVITY)

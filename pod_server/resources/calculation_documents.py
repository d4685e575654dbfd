"""What calculation services answered, as a Solid client sees it: `/{handle}/calculations/{id}`, read-only.

The answers stay sealed in their rows (pod_server/calculations.py); the documents are made when they are asked for, and
opened to whoever may read the activities: the owner, and programs of the owner's own.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from pyoxigraph import RdfFormat, serialize

from pod_server import calculations
from pod_server.representation import negotiation
from pod_server.representation.graph import Graph
from pod_server.resources import container
from pod_server.resources.errors import ResourceNotFound
from pod_server.resources.etag import version_tag
from pod_server.resources.operations import Outcome, Target
from vocab.calculations import prefixes, triples

if TYPE_CHECKING:
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Transaction

ROOT = "calculations/"
_PLACE = re.compile(r"calculations/(?P<name>c-[0-9a-f]{24})?\Z")


def read(tx: Transaction, open_pod: OpenPod, target: Target, accept: str | None) -> Outcome:
    """GET and HEAD of the container and its documents.

    Raises:
        ResourceNotFound: no such document.
        NotAcceptable: none of the accepted media types can be made.
    """
    place = _PLACE.match(target.path)
    if place is None:
        raise ResourceNotFound("there is no such resource in this pod")
    kept = calculations.listed(tx, open_pod)
    if place["name"] is None:
        lines = [container.Member(ROOT + each.calculation_id, "text/turtle", None, None) for each in kept]
        graph = container.listing(target.path, target.root_iri, Graph(), None, lines)
    else:
        found = next((each for each in kept if each.calculation_id == place["name"]), None)
        if found is None:
            raise ResourceNotFound("there is no such resource in this pod")
        graph = Graph.of(triples(found.content, target.root_iri), prefixes())
    media_type = negotiation.choose(accept, negotiation.RDF_MEDIA_TYPES)
    content = negotiation.write(graph, media_type)
    return Outcome(
        200, target.path, content, media_type, version_tag(hashlib.sha256(content).hexdigest()[:24], media_type)
    )


def documents_of(tx: Transaction, open_pod: OpenPod, root_iri: str) -> dict[str, bytes]:
    """All the documents at once, by path, as N-Triples: for queries and copies of the whole pod."""
    return {
        ROOT + each.calculation_id: serialize(triples(each.content, root_iri), format=RdfFormat.N_TRIPLES) or b""
        for each in calculations.listed(tx, open_pod)
    }

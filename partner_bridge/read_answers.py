"""What was read, as RDF: JSON-LD with its context inside, and the same graph as Turtle.

Every IRI is the vocabulary's or lies below the grant's own address, so nothing in it is known to anybody but the one
partner: no pod, no WebID, no other partner, none of the names that records bear in the pod. The one time in it that is
not the data's own is the moment of the reading.

Source: JSON-LD 1.1; PROV-O (W3C Recommendation): what came of whom, by what, and when.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pyoxigraph import RdfFormat, parse, serialize

from consent.record import purpose_iri
from pod_server.representation import json_ld, turtle
from pod_server.representation.negotiation import choose
from pod_server.signatures import pairwise_name
from vocab.kinds import load_kinds
from vocab.terms import DCTERMS, PROV, QUDT, RDF, TVILLING, UNIT, XSD

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from partner_bridge.shared import SharedActivity, SharedValue
    from pod_server.authorization.permit import Permit
    from pod_server.host import Host

JSON = "application/json"
MEDIA_TYPES = (json_ld.MEDIA_TYPE, turtle.MEDIA_TYPE, JSON)
"""JSON-LD is JSON: whoever asks for no more than that gets the same bytes."""

_TERMS: dict[str, Any] = {
    "id": "@id",
    "type": "@type",
    "grant": {"@id": f"{TVILLING}underGrant", "@type": "@id"},
    "purpose": {"@id": f"{TVILLING}forPurpose", "@type": "@id"},
    "readAt": {"@id": f"{PROV}generatedAtTime", "@type": f"{XSD}dateTime"},
    "by": {"@id": f"{PROV}wasAttributedTo", "@type": "@id"},
    "keepFor": {"@id": f"{TVILLING}retention", "@type": f"{XSD}duration"},
    "part": {"@id": f"{DCTERMS}hasPart", "@type": "@id"},
}
_FIGURE_TERMS: dict[str, Any] = {
    "figure": {"@id": f"{TVILLING}figure", "@type": "@id"},
    "month": {"@id": f"{TVILLING}ofPeriod", "@type": f"{XSD}gYearMonth"},
    "day": {"@id": f"{TVILLING}ofPeriod", "@type": f"{XSD}date"},
    "low": {"@id": f"{TVILLING}low", "@type": f"{XSD}double"},
    "value": {"@id": f"{RDF}value", "@type": f"{XSD}double"},
    "high": {"@id": f"{TVILLING}high", "@type": f"{XSD}double"},
    "unit": {"@id": f"{QUDT}unit", "@type": "@id"},
}
_GRAPH_TERMS: dict[str, Any] = {
    "series": {"@id": f"{PROV}hadPrimarySource", "@type": "@id"},
    "sum": {"@id": f"{TVILLING}sumOverPeriod", "@type": f"{XSD}boolean"},
}
_PREFIXES = {"tv": TVILLING, "prov": PROV, "dct": DCTERMS, "qudt": QUDT, "unit": UNIT, "xsd": XSD}


def media_type_for(accept: str | None) -> str:
    """JSON-LD (also as plain JSON) or Turtle, as the partner wishes.

    Raises:
        NotAcceptable: none of them.
    """
    return choose(accept, MEDIA_TYPES)


def figures_document(host: Host, permit: Permit, values: Iterable[SharedValue], at: datetime) -> dict[str, Any]:
    """Figures as JSON-LD."""
    grant = f"{host.base_url}/bridge/grants/{permit.grant}"
    parts = []
    for each in values:
        period = "month" if each.figure.period == "month" else "day"
        part: dict[str, Any] = {
            "id": f"{grant}/figures#{each.figure.slug}-{each.period}",
            "type": "Figure",
            "figure": each.figure.iri,
            period: each.period,
            "value": each.best,
            "unit": each.figure.unit,
        }
        if each.low is not None:
            part |= {"low": each.low, "high": each.high}
        parts.append(part)
    context = {"@version": 1.1, "@vocab": TVILLING, **_TERMS, **_FIGURE_TERMS}
    return _document(host, permit, "figures", "SharedFigures", context, parts, at)


def graph_document(host: Host, permit: Permit, found: Iterable[SharedActivity], at: datetime) -> dict[str, Any]:
    """Activities as JSON-LD, in the words of their kinds."""
    assert permit.grant is not None
    grant, parts, kinds = f"{host.base_url}/bridge/grants/{permit.grant}", [], load_kinds().by_slug
    for each in found:
        kind = kinds[each.kind]
        part: dict[str, Any] = {
            "id": f"{grant}/graph#a-{pairwise_name(host.host_key, permit.grant, each.name)}",
            "type": kind.type_name,
            "start": _time(each.start),
            "end": _time(each.end),
            "quantity": each.quantity,
            "unit": kind.unit,
            **each.members,
            # Series of several sources are told apart, and no source is named.
            "series": f"{grant}/graph#s-{pairwise_name(host.host_key, permit.grant, 'series ' + each.source)}",
        }
        if each.is_sum:
            part["sum"] = True
        parts.append(part)
    context = {**load_kinds().context, **_TERMS, **_GRAPH_TERMS}
    return _document(host, permit, "graph", "SharedGraph", context, parts, at)


def _document(  # noqa: PLR0917 - called in two places, in one order
    host: Host,
    permit: Permit,
    door: str,
    type_: str,
    context: dict[str, Any],
    parts: list[dict[str, Any]],
    at: datetime,
) -> dict[str, Any]:
    assert permit.terms is not None
    grant = f"{host.base_url}/bridge/grants/{permit.grant}"
    return {
        "@context": context,
        "id": f"{grant}/{door}",
        "type": type_,
        "grant": f"{host.base_url}/-/oauth/grants/{permit.grant}",
        "purpose": purpose_iri(permit.terms),
        "readAt": _time(at),
        # The twin works figures out of activities; whose they are is said by the grant's pairwise subject alone.
        "by": f"{TVILLING}Twin" if door == "figures" else f"{TVILLING}Pod",
        "keepFor": permit.terms.retention,
        "part": parts,
    }


def written(document: dict[str, Any], media_type: str) -> bytes:
    """A document as JSON-LD, or the same graph as Turtle."""
    body = json.dumps(document, ensure_ascii=False).encode()
    if media_type != turtle.MEDIA_TYPE:
        return body
    # pyoxigraph's reading of the very document, so that the two forms cannot say different things.
    triples = (quad.triple for quad in parse(body, format=RdfFormat.JSON_LD))
    return serialize(triples, format=RdfFormat.TURTLE, prefixes=_PREFIXES) or b""


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")

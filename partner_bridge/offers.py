"""How a municipality publishes what it offers, and how everybody reads it: public data of the city's, none of a citizen's.

Whether an offer fits somebody is judged by the twin, in that citizen's pod; nothing of that comes through here.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pyoxigraph import RdfFormat, parse, serialize

from pod_server import offers
from pod_server.representation import turtle
from vocab.programmes import CONTEXT
from vocab.terms import DCTERMS, SKOS, TVILLING, XSD

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.offers import Published
    from pod_server.partners import Partner

PATH = "/vocab/offers"
_PREFIXES = {"tv": TVILLING, "xsd": XSD, "skos": SKOS, "dct": DCTERMS}


def answer_of(host: Host, published: Published) -> dict[str, Any]:
    """What a publisher is told of one offer."""
    return {
        "offer": f"{host.base_url}{PATH}#{published.programme.slug}",
        "version": published.programme.rule_version,
        "state": published.state,
        "published": published.published_at.isoformat(),
        "ended": None if published.ended_at is None else published.ended_at.isoformat(),
    }


def offers_as(host: Host, media_type: str) -> bytes:
    """What can be claimed now, as JSON-LD, or the very same graph as Turtle."""
    with host.storage.read() as tx:
        found = offers.standing(tx, host.clock.now())
        names = {each.programme.client_id: offers.operator_of(tx, each.programme) for each in found}
    listed = [_described(host.base_url, each, names[each.programme.client_id]) for each in found]
    return _written(json.dumps({"@context": CONTEXT, "@graph": listed}, ensure_ascii=False), media_type)


def _described(base_url: str, published: Published, partner: Partner | None) -> dict[str, Any]:
    programme = published.programme
    said = json.loads(published.content)
    return {
        "id": f"{base_url}{PATH}#{programme.slug}",
        "type": "Programme",
        "slug": programme.slug,
        "version": programme.rule_version,
        "publisher": "" if partner is None else partner.name,
        **said,
        # JSON has one kind of number; XSD has several, and a decimal is written as text.
        **({"atMost": format(said["atMost"], "f")} if said.get("atMost") is not None else {}),
    }


@lru_cache(maxsize=8)
def _written(document: str, media_type: str) -> bytes:
    if media_type != turtle.MEDIA_TYPE:
        return document.encode()
    triples = (quad.triple for quad in parse(document.encode(), format=RdfFormat.JSON_LD))
    return serialize(triples, format=RdfFormat.TURTLE, prefixes=_PREFIXES) or b""

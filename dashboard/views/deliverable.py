"""The catalogue of what can come into a pod: one address for people and machines, open to everybody."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask import Response, request

from dashboard import frame
from dashboard.views.vocabulary import public_file
from dashboard.visits import visit
from partner_bridge.calculating import services
from partner_bridge.catalogue import PATH, catalogue_bytes
from partner_bridge.connectors import CALCULATORS, MUNICIPALITY, registry
from partner_bridge.connectors.municipality import Municipality
from partner_bridge.sources import list_sources
from pod_server.representation import json_ld, turtle
from vocab.kinds import load_kinds
from vocab.terms import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dashboard.frame import Visit
    from partner_bridge.connectors.calculator import Calculator
    from partner_bridge.connectors.declaration import Declaration, Organisation, Words
    from partner_bridge.connectors.normalising import Connector
    from pod_server.host import Host
    from vocab.kinds import Kind

_JSON = "application/json"
_KEPT = "public, max-age=3600"
_MONTH = timedelta(days=31)


@dataclass(frozen=True)
class Offer:
    """One connector as the page tells of it.

    Attributes:
        name: Names it in addresses.
        title: What people call it.
        kinds: What comes: the kind, its name and what it can reveal.
        facts: How, how often, how fine, how far back, on what terms.
        guesses: What is guessed.
        limits: What is left out.
        connect: Where it can be connected now; empty where it cannot be.
        takes_files: Whether a file of it can be brought.
        is_pushed: Whether its supplier asks by itself.
        calculates: Whether it is shown sums and answers, and delivers nothing.
        publishes: Whether it says what it offers, and delivers nothing.
    """

    name: str
    title: str
    kinds: list[tuple[Kind, str, str]]
    facts: list[tuple[str, str]]
    guesses: list[str]
    limits: list[str]
    connect: str
    takes_files: bool
    is_pushed: bool
    calculates: bool
    publishes: bool


@dataclass(frozen=True)
class Supplier:
    """Who delivers, and what."""

    organisation: Organisation
    offers: list[Offer]


def catalogue(host: Host) -> Response:
    """The page, or the same as Turtle or JSON-LD, as the reader wishes."""
    offered = ["text/html", turtle.MEDIA_TYPE, json_ld.MEDIA_TYPE, _JSON]
    best = request.accept_mimetypes.best_match(offered, default="text/html")
    if best != "text/html":
        answer = catalogue_as(host, json_ld.MEDIA_TYPE if best == _JSON else best)
        answer.headers["Vary"] = "Accept"
        return answer
    seen = visit(host)
    page = frame.page(
        "catalogue.html.jinja",
        seen,
        suppliers=list(_suppliers(host, seen)),
        kinds=sorted(
            ((kind, kind.labels[seen.language].title) for kind in load_kinds().by_slug.values()),
            key=lambda pair: pair[1].lower(),
        ),
        request_path=PATH,
    )
    page.headers["Vary"] = "Accept, Cookie, Accept-Language"
    page.headers["Link"] = ", ".join(
        f'<{PATH}.{ending}>; rel="alternate"; type="{kind}"'
        for ending, kind in (("ttl", turtle.MEDIA_TYPE), ("jsonld", json_ld.MEDIA_TYPE))
    )
    return page


def catalogue_as(host: Host, media_type: str) -> Response:
    """The catalogue as data; whoever has today's already is told so (RFC 9110, section 13.1.2)."""
    body = catalogue_bytes(host.base_url, host.connector_packages, host.clock.now().date(), media_type)
    answer = Response(
        body, content_type=f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
    )
    answer.headers["Cache-Control"] = _KEPT
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.set_etag(hashlib.sha256(body).hexdigest()[:32])
    answer.make_conditional(request)
    return answer


def shape() -> Response:
    """The shapes that the catalogue keeps to."""
    return public_file(FOLDER / "catalogue-shape.ttl", "text/turtle; charset=utf-8")


def _suppliers(host: Host, seen: Visit) -> Iterable[Supplier]:
    connectable = {
        each.connector: f"/-/sources#{each.slug}" for each in list_sources(host) if each.channel != "calculation"
    }
    connectable |= {each.connector: f"/-/calculations#{each.slug}" for each in services(host)}
    offers: dict[str, tuple[Organisation, list[Offer]]] = {}
    connectable[MUNICIPALITY.name] = "/-/offers"
    every: list[Connector | Calculator | Municipality] = [
        *registry(host.connector_packages).connectors.values(),
        *CALCULATORS.values(),
        MUNICIPALITY,
    ]
    for connector in every:
        organisation = connector.declaration.organisation
        place = offers.setdefault(organisation.slug, (organisation, []))
        place[1].append(_offer(seen, connector, connectable.get(connector.name, "")))
    for organisation, made in sorted(offers.values(), key=lambda pair: pair[0].name.lower()):
        yield Supplier(organisation, made)


def _offer(seen: Visit, connector: Connector | Calculator | Municipality, address: str) -> Offer:
    t, declared = seen.words, connector.declaration
    kinds = [load_kinds().by_slug[each] for each in sorted(connector.kinds)]

    def said(lines: Iterable[Words]) -> list[str]:
        return [seen.wording.of(line._asdict()) for line in lines]

    facts: list[tuple[Any, Any]] = [
        (t("offer.channels"), "; ".join(str(t(f"offer.channel-{each}")) for each in declared.channels)),
        (t("offer.frequency"), t(f"offer.frequency-{declared.frequency}")),
        (t("offer.granularity"), t(f"granularity.{declared.granularity}")),
        (t("offer.history"), _history(seen, declared)),
        (t("offer.terms"), said((declared.terms,))[0]),
    ]
    return Offer(
        name=connector.name,
        title=connector.title,
        kinds=[(each, each.labels[seen.language].title, each.labels[seen.language].description) for each in kinds],
        facts=[(str(name), str(words)) for name, words in facts],
        guesses=said(declared.guesses),
        limits=said(declared.limits),
        connect=address,
        takes_files="file" in declared.channels,
        is_pushed=bool({"push", "agent"} & set(declared.channels)),
        calculates="calculation" in declared.channels,
        publishes="offers" in declared.channels,
    )


def _history(seen: Visit, declared: Declaration) -> str:
    t, history = seen.words, declared.history
    if history is None:
        return str(t("offer.history-all"))
    if not history:
        return str(t("offer.history-none"))
    if history < _MONTH:
        return str(t("offer.history-days", count=max(1, history.days)))
    return str(t("offer.history-months", count=round(history.days / 30.4)))

"""The queries and rules shipped here, and the vocabulary graph that they join with a pod's activities."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pyoxigraph as ox

from vocab.factors import load_factors
from vocab.kinds import load_kinds
from vocab.terms import FOLDER, RDF, SKOS, TVILLING, XSD, Graph

_PREFIXES = {"tv": TVILLING, "rdf": RDF, "skos": SKOS, "xsd": XSD}


@cache
def query(name: str) -> str:
    """The text of queries/<name>.rq."""
    return (FOLDER / "queries" / f"{name}.rq").read_text("utf-8")


@cache
def rule(name: str) -> str:
    """The text of rules/<name>.ru (SPARQL Update) or rules/<name>.rq (CONSTRUCT)."""
    for suffix in ("ru", "rq"):
        file = FOLDER / "rules" / f"{name}.{suffix}"
        if file.exists():
            return file.read_text("utf-8")
    raise FileNotFoundError(name)


@cache
def recompute_vocabulary(place: str = "NO-5001") -> tuple[ox.Quad, ...]:
    """Kinds and factors as recompute.rq wants them: for one place, with first and last day beside each factor."""
    quads: list[ox.Quad] = []

    def say(subject: str, predicate: str, value: ox.NamedNode | ox.Literal) -> None:
        quads.append(ox.Quad(ox.NamedNode(subject), ox.NamedNode(predicate), value))

    kinds = load_kinds()
    for kind in kinds.by_slug.values():
        say(kind.iri, f"{TVILLING}category", ox.Literal(kind.category))
        say(kind.iri, f"{TVILLING}householdLevel", ox.Literal(kind.household_level))
    table = load_factors()
    for factor in table.factors:
        if not table.applies(factor, place):
            continue
        say(factor.iri, f"{TVILLING}forKind", ox.NamedNode(kinds.by_slug[factor.kind_slug].iri))
        say(factor.iri, f"{TVILLING}discriminator", ox.Literal(factor.discriminator))
        for predicate, value in (
            (f"{TVILLING}low", factor.low),
            (f"{RDF}value", factor.mean),
            (f"{TVILLING}high", factor.high),
        ):
            say(factor.iri, predicate, ox.Literal(repr(value), datatype=ox.NamedNode(f"{XSD}double")))
        say(factor.iri, f"{TVILLING}firstDay", ox.Literal(factor.period_start.isoformat()))
        say(factor.iri, f"{TVILLING}lastDay", ox.Literal(factor.period_end.isoformat()))
    return tuple(quads)


@cache
def counting_vocabulary() -> bytes:
    """What queries/sum-of-a-pod.rq wants beside a pod's documents, and the reasons that these name, as Turtle."""
    reasons = (each.triple for each in Graph([FOLDER / "counting-rules.ttl"]).store)
    clock = local_clock(datetime(2000, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
    every = [*reasons, *(each.triple for each in (*recompute_vocabulary(), *clock))]
    return ox.serialize(every, format=ox.RdfFormat.TURTLE, prefixes=_PREFIXES) or b""


def local_clock(first: datetime, last: datetime, zone: str = "Europe/Oslo") -> list[ox.Quad]:
    """How far the clock of a place is ahead of UTC, from one change of summer time to the next.

    Args:
        first: An aware time no later than any activity's start.
        last: An aware time no earlier than any activity's start.
        zone: The place's time zone.

    Returns:
        Per stretch a blank node with tv:clockFrom (inclusive), tv:clockUntil (exclusive) and tv:clockOffset.
    """
    local = ZoneInfo(zone)
    hour = timedelta(hours=1)
    at = first.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    end = last.astimezone(UTC) + hour
    quads: list[ox.Quad] = []
    while at < end:
        offset = at.astimezone(local).utcoffset()
        assert offset is not None
        until = at
        for step in (timedelta(days=30), timedelta(days=1), hour):
            # Offsets last for months: ever smaller steps find the hour in which one ends.
            while until < end and (until + step).astimezone(local).utcoffset() == offset:
                until += step
        until += hour
        stretch = ox.BlankNode()
        for predicate, value, datatype in (
            ("clockFrom", _instant(at), "dateTime"),
            ("clockUntil", _instant(until), "dateTime"),
            ("clockOffset", f"PT{int(offset.total_seconds()) // 3600}H", "dayTimeDuration"),
        ):
            literal = ox.Literal(value, datatype=ox.NamedNode(f"{XSD}{datatype}"))
            quads.append(ox.Quad(stretch, ox.NamedNode(f"{TVILLING}{predicate}"), literal))
        at = until
    return quads


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")

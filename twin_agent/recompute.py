"""The whole footprint once more, by another road: every raw activity as RDF, every factor as RDF, one SPARQL query.

It shares no arithmetic with compute.py, so that agreement means something. The running sums must equal it to the last
bits of floating point.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

import pyoxigraph as ox

from pod_server import activities, household, rectifications
from twin_agent.compute import record_base
from vocab.kinds import load_kinds
from vocab.queries import local_clock, query, recompute_vocabulary, rule
from vocab.terms import TVILLING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pod_server.host import Host
    from pod_server.opening import OpenPod

RELATIVE_TOLERANCE = 1e-9
_MEMBERS = ox.NamedNode(f"{TVILLING}members")
_COUNTED_BY = ox.NamedNode(f"{TVILLING}countedBy")
_BECAUSE = ox.NamedNode(f"{TVILLING}notCountedBecause")

MonthFigures = dict[str, dict[str, list[float]]]
"""Local month → category → [low, mean, high, quantity]."""


def recompute(host: Host, open_pod: OpenPod) -> MonthFigures:
    """The figures of a pod from its raw activities.

    Args:
        host: The host.
        open_pod: Open under the owner's Permit or the twin's mandate.

    Returns:
        The same shape as the running figures' `months`.
    """
    with host.storage.read() as tx:
        size = household.load(tx, open_pod).household_size
        counts = rectifications.counting(tx, open_pod)
    kinds = load_kinds()
    standing = (
        (each.grant, each.raw)
        for each in activities.read_activities(host, open_pod)
        if counts(each.grant, kinds.decode(each.raw).id, each.raw)
    )
    return recompute_records(standing, household_size=size)


def recompute_records(records: Iterable[tuple[str, bytes]], *, household_size: int) -> MonthFigures:
    """`recompute` of canonical records with their grants, each the latest of its id."""
    kinds = load_kinds()
    store = ox.Store()
    first = last = None

    def quads() -> Iterable[ox.Quad]:
        nonlocal first, last
        graphs: dict[str, ox.NamedNode] = {}
        for grant, raw in records:
            graph = graphs.setdefault(grant, ox.NamedNode(f"urn:tvilling:grant:{grant}"))
            start = kinds.decode(raw).start
            first = start if first is None or start < first else first
            last = start if last is None or start > last else last
            for quad in kinds.quads(raw, record_base(grant)):
                yield ox.Quad(quad.subject, quad.predicate, quad.object, graph)

    store.bulk_extend(quads())
    if first is None or last is None:
        return {}
    store.extend(recompute_vocabulary())
    store.extend(local_clock(first - timedelta(days=1), last + timedelta(days=1)))
    store.add(ox.Quad(ox.BlankNode(), _MEMBERS, ox.Literal(household_size)))
    store.update(rule("electricity-hour-once"))
    store.update(rule("told-twice"))
    _pair(store)
    result: MonthFigures = {}
    solutions = store.query(query("recompute"))
    assert isinstance(solutions, ox.QuerySolutions)
    for row in solutions:
        amounts = [float(row[name].value) for name in ("low", "mean", "high", "amount")]
        result.setdefault(row["month"].value, {})[row["category"].value] = amounts
    return result


def _pair(store: ox.Store) -> None:
    """Take the pairs of payment and bill in their order, each payment and each bill once."""
    taken: set[ox.NamedNode] = set()
    found = store.query(query("pairs-of-payment-and-bill"))
    assert isinstance(found, ox.QuerySolutions)
    said = []
    for row in found:
        payment, bill = row["payment"], row["bill"]
        if payment not in taken and bill not in taken:
            taken |= {payment, bill}
            said.append(ox.Quad(payment, _COUNTED_BY, bill, row["grant"]))
            said.append(ox.Quad(payment, _BECAUSE, row["rule"], row["grant"]))
    store.extend(said)


def differences(
    running: Mapping[str, Mapping[str, list[float]]],
    recomputed: Mapping[str, Mapping[str, list[float]]],
    *,
    relative: float = RELATIVE_TOLERANCE,
) -> list[str]:
    """Where two sets of month figures disagree, in words; an empty list where they agree."""
    found: list[str] = []
    for month in sorted(running.keys() | recomputed.keys()):
        ours, theirs = running.get(month, {}), recomputed.get(month, {})
        for category in sorted(ours.keys() | theirs.keys()):
            one, other = ours.get(category), theirs.get(category)
            if one is None or other is None:
                found.append(f"{month} {category}: only {'recomputed' if one is None else 'running'}")
            elif not all(math.isclose(a, b, rel_tol=relative, abs_tol=1e-12) for a, b in zip(one, other, strict=True)):
                found.append(f"{month} {category}: {one} and {other}")
    return found

"""SPARQL over the releases: each a named graph, all of them together the default graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pod_server.queries.process import Answer, DataSet, Limits, QueryGraph, Turns, run_query
from pod_server.queries.text import check_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from research_views.release import ReleaseGraph

_turns = Turns(at_once=2)


def answer_query(
    query: str,
    graphs: Sequence[ReleaseGraph],
    *,
    base: str,
    formats: Sequence[str],
    limits: Limits | None = None,
) -> Answer:
    """Run one query over the releases; see `run_query` for the arguments.

    Raises:
        QueryRefused: it asks for what this endpoint does not do.
        QueryMalformed, QueryTooExpensive, QueriesBusy, ResultFormatUnknown: see `run_query`.
    """
    check_query(query)
    # Named one by one, so that not even a FROM that the check overlooked would choose anything else.
    iris = tuple(graph.iri for graph in graphs)
    return run_query(
        query,
        [QueryGraph(graph.iri, graph.n_triples) for graph in graphs],
        data_set=DataSet(iris, iris),
        base=base,
        formats=formats,
        limits=limits or Limits(),
        turns=_turns,
    )

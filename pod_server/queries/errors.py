"""What can go wrong with a query."""

from __future__ import annotations

from pod_server import problems


class QueryError(Exception):
    """The root of this folder's errors."""


class QueryRefused(QueryError):
    """A query that asks for what this endpoint does not do: updates, SERVICE, data of elsewhere, other forms."""


class QueryMalformed(QueryError):
    """A query that is not SPARQL 1.1."""


class QueryTooExpensive(QueryError):
    """A query that ran into the limit of time, memory or answer size."""


class QueriesBusy(QueryError):
    """Other queries are running; this one may be asked again."""

    retry_after = 2


class ResultFormatUnknown(QueryError):
    """No result format that the client accepts."""


problems.declare(QueryRefused, "query-refused", "The query asks for what this endpoint does not do", 400)
problems.declare(QueryMalformed, "query-malformed", "The query is not SPARQL 1.1", 400)
problems.declare(QueryTooExpensive, "query-too-expensive", "The query ran into its limits", 400)
problems.declare(QueriesBusy, "queries-busy", "Other queries are running", 503)
problems.declare(ResultFormatUnknown, "result-format-unknown", "No acceptable result format", 406)

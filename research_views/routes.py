"""The researchers' door: URL to query; nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flask import Response, request

from pod_server.queries.errors import QueryError
from pod_server.queries.protocol import accepted_formats, read_query
from research_views.endpoint import answer_query
from research_views.invitations import find_researcher, note_query

if TYPE_CHECKING:
    from flask import Flask

    from pod_server.host import Host


def register(app: Flask, host: Host) -> None:
    """Add `/research/sparql`."""

    def sparql() -> Response:
        researcher = find_researcher(host, _bearer_token())
        query = read_query(request).text
        # The release module reads pods; a worker that only answers queries loads it at the first of them.
        from research_views.release import release_graphs  # noqa: PLC0415

        graphs = release_graphs(host)
        started = time.monotonic()
        outcome = "answered"
        try:
            answer = answer_query(
                query, graphs, base=f"{host.base_url}/research/releases/", formats=accepted_formats(request)
            )
        except QueryError as error:
            outcome = type(error).__name__
            raise
        finally:
            note_query(host, researcher, query, outcome, int((time.monotonic() - started) * 1000))
        response = Response(answer.body, content_type=answer.media_type)
        response.headers["Vary"] = "Accept, Authorization"
        response.headers["Cache-Control"] = "private, no-store"
        return response

    app.add_url_rule("/research/sparql", "research_sparql", sparql, methods=["GET", "POST"])


def _bearer_token() -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None

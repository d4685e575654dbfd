"""A query as SPARQL 1.1 Protocol sends it (W3C Recommendation 2013, section 2.1): by GET, as a form, or as the body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server.queries.errors import QueryRefused

if TYPE_CHECKING:
    from flask import Request

QUERY_MEDIA_TYPE = "application/sparql-query"
_FORM_MEDIA_TYPE = "application/x-www-form-urlencoded"
_DEFAULT, _NAMED = "default-graph-uri", "named-graph-uri"
_DATASET_PARAMETERS = (_DEFAULT, _NAMED, "using-graph-uri", "using-named-graph-uri")


@dataclass(frozen=True)
class AskedQuery:
    """A query and the data set that its request names beside it, both empty where it names none."""

    text: str
    default_graphs: tuple[str, ...] = ()
    named_graphs: tuple[str, ...] = ()


def read_query(request: Request, *, may_choose_data_set: bool = False) -> AskedQuery:
    """The query of a request.

    Raises:
        QueryRefused: it is an update, chooses a data set where it may not, or is not there exactly once.
    """
    media_type = request.mimetype
    form = request.form if request.method == "POST" and media_type == _FORM_MEDIA_TYPE else None
    named = {*request.args, *(form or ())}
    if "update" in named or media_type == "application/sparql-update":
        raise QueryRefused("Nothing can be changed here; this endpoint answers queries only.")
    if not may_choose_data_set and named.intersection(_DATASET_PARAMETERS):
        raise QueryRefused("Every query here is over the same graphs; a parameter cannot choose the data set.")
    parameters = form if form is not None else request.args
    chosen = (tuple(parameters.getlist(_DEFAULT)), tuple(parameters.getlist(_NAMED)))
    if request.method == "POST" and media_type == QUERY_MEDIA_TYPE:
        try:
            return AskedQuery(request.get_data().decode("utf-8"), *chosen)
        except UnicodeDecodeError:
            raise QueryRefused("The query is not in UTF-8.") from None
    if request.method == "POST" and form is None:
        raise QueryRefused(f"Send the query as {QUERY_MEDIA_TYPE}, or as a form with the field `query`.")
    given = parameters.getlist("query")
    if len(given) != 1:
        raise QueryRefused("Send exactly one `query`.")
    return AskedQuery(given[0], *chosen)


def accepted_formats(request: Request) -> list[str]:
    """The client's media types, the best first; anything where it names none."""
    wanted = [media_type for media_type, quality in request.accept_mimetypes if quality > 0]
    return [_SYNONYMS.get(media_type, media_type) for media_type in wanted] or ["*/*"]


_SYNONYMS = {
    "application/json": "application/sparql-results+json",
    "application/xml": "application/sparql-results+xml",
    "text/xml": "application/sparql-results+xml",
    "text/plain": "application/n-triples",
    "text/*": "*/*",
    "application/*": "*/*",
}

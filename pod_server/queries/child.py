"""The child process of one query: it holds the graphs it was given, no files, no sockets, little memory and little time.

Run by process.py as a script of its own (`python -I child.py`), so that nothing of the house is loaded: no host, no
keys, no database. It reads one request on standard input, answers on standard output, and ends.

Request: a line of JSON (query, base, formats, cpu_seconds, memory_bytes, default_graphs, named_graphs, graphs: [[IRI,
media type, base, length]]), then the graphs. `default_graphs` is a list, or "union" for all of them, or null where the
query itself says (FROM); `named_graphs` is a list, or null for all of them or what the query says. Answer: a line of JSON ({"ok": media type} or {"error": kind, "message": …}), then the result.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any, BinaryIO

import pyoxigraph as ox

_INPUT_FORMATS = {"application/n-triples": ox.RdfFormat.N_TRIPLES, "text/turtle": ox.RdfFormat.TURTLE}
_RESULT_FORMATS = {
    "application/sparql-results+json": ox.QueryResultsFormat.JSON,
    "application/sparql-results+xml": ox.QueryResultsFormat.XML,
    "text/csv": ox.QueryResultsFormat.CSV,
    "text/tab-separated-values": ox.QueryResultsFormat.TSV,
}
_GRAPH_FORMATS = {
    "text/turtle": ox.RdfFormat.TURTLE,
    "application/n-triples": ox.RdfFormat.N_TRIPLES,
    "application/rdf+xml": ox.RdfFormat.RDF_XML,
    "application/ld+json": ox.RdfFormat.JSON_LD,
}


def answer(source: BinaryIO, sink: BinaryIO) -> None:
    """Read one request, close every way out, run the query, write the answer."""
    request: dict[str, Any] = json.loads(source.readline())
    store = ox.Store()
    for iri, media_type, base, length in request["graphs"]:
        store.bulk_load(
            input=source.read(length),
            format=_INPUT_FORMATS[media_type],
            base_iri=base or None,
            to_graph=ox.NamedNode(iri),
        )
    _close_every_way_out(request["cpu_seconds"], request["memory_bytes"])
    try:
        results = store.query(request["query"], base_iri=request["base"], **_data_set(request))
        media_type, body = _serialise(results, request["formats"])
    except SyntaxError as error:
        _write(sink, {"error": "malformed", "message": str(error)[:500]}, b"")
    except (MemoryError, OverflowError):
        _write(sink, {"error": "expensive", "message": "memory"}, b"")
    except OSError as error:
        _write(sink, {"error": "refused", "message": str(error)[:200]}, b"")
    except LookupError:
        _write(sink, {"error": "format", "message": ""}, b"")
    except (ValueError, RuntimeError) as error:
        _write(sink, {"error": "malformed", "message": str(error)[:500]}, b"")
    else:
        _write(sink, {"ok": media_type}, body)


def _data_set(request: dict[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    if request["default_graphs"] == "union":
        chosen["use_default_graph_as_union"] = True
    elif request["default_graphs"] is not None:
        # An empty list would be "as the query says"; the unnamed graph holds nothing here.
        chosen["default_graph"] = [ox.NamedNode(iri) for iri in request["default_graphs"]] or [ox.DefaultGraph()]
    if request["named_graphs"] is not None:
        chosen["named_graphs"] = [ox.NamedNode(iri) for iri in request["named_graphs"]]
    return chosen


def _close_every_way_out(cpu_seconds: int, memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # No file and no socket can be opened from here on: every descriptor below the limit is taken or refused.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _serialise(results: Any, formats: list[str]) -> tuple[str, bytes]:
    known: dict[str, Any] = _GRAPH_FORMATS if isinstance(results, ox.QueryTriples) else _RESULT_FORMATS
    media_type = next((each for each in formats if each in known), None)
    if media_type is None and "*/*" in formats:
        media_type = next(iter(known))
    if media_type is None:
        raise LookupError
    if isinstance(results, ox.QueryBoolean) and media_type in {"text/csv", "text/tab-separated-values"}:
        # SPARQL 1.1 defines no CSV for ASK; a bare word is what other endpoints give.
        return media_type, b"true\n" if bool(results) else b"false\n"
    body: bytes = results.serialize(format=known[media_type])
    return media_type, body


def _write(sink: BinaryIO, head: dict[str, str], body: bytes) -> None:
    sink.write(json.dumps(head).encode() + b"\n")
    sink.write(body)
    sink.flush()


if __name__ == "__main__":
    answer(sys.stdin.buffer, sys.stdout.buffer)

"""URL to lifecycle, and nothing else: the pods, the probes and the description of all doors."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, cast

from flask import Response, request
from werkzeug.wrappers import Request
from werkzeug.wrappers import Response as PlainResponse

from pod_server import desk
from pod_server.bodies import MAX_BODY_BYTES
from pod_server.http_problems import NoSuchPage, NotReady, begin, finish, problem_response
from pod_server.identifiers import HANDLE_PATTERN, RESERVED_WORDS
from pod_server.lifecycle import ReadGroups, answer
from pod_server.metrics import MEDIA_TYPE, describe, require_this_machine
from pod_server.notifications.channel import describe_channel, describe_service, subscribe, unsubscribe
from pod_server.queries.endpoint import answer_query
from pod_server.representation import negotiation
from pod_server.resources.description import describe_host

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from flask import Flask

    from pod_server.host import Host

POD_PATH = "/{handle}/{path}"

_SERVICES = (
    (re.compile(r"sparql\Z|\.notifications/[^/]+\Z"), frozenset({"GET", "HEAD", "POST"})),
    (re.compile(r"\.notifications/[^/]+/[^/]+\Z"), frozenset({"GET", "HEAD", "DELETE"})),
)
"""What lies in a pod and is no resource has routes of its own, for these methods; the lifecycle answers the others."""

OPENAPI_FILE = Path(__file__).parent / "openapi.json"


def register(app: Flask, host: Host) -> None:
    """Add the probes, /metrics, /openapi.json and the host's description, and put the pods' door before them all."""
    read_groups = ReadGroups()
    # A pod's path is taken as it comes: two slashes are two slashes, and the lifecycle refuses them.
    app.url_map.merge_slashes = False
    # The framework wraps an application in exactly this way; its types want a method kept.
    app.wsgi_app = PodDoor(app, app.wsgi_app, host, read_groups)  # type: ignore[method-assign]

    @app.get("/healthz")
    def healthz() -> Response:
        return _json({"status": "ok"})

    @app.get("/readyz")
    def readyz() -> Response:
        check_ready(host)
        return _json({"status": "ready"})

    @app.get("/metrics")
    def metrics() -> Response:
        require_this_machine(request.remote_addr)
        return Response(describe(host), mimetype=None, content_type=MEDIA_TYPE)

    @app.get("/openapi.json")
    def openapi() -> Response:
        return _json(describe_doors(host.base_url))

    @app.get("/.well-known/solid")
    def host_description() -> Response:
        media_type = negotiation.choose(request.headers.get("Accept"), negotiation.RDF_MEDIA_TYPES)
        response = Response(negotiation.write(describe_host(host.base_url), media_type), content_type=media_type)
        response.vary.add("Accept")
        return response

    @app.route("/<handle>/sparql", methods=["GET", "POST"], provide_automatic_options=False)
    def pod_query(handle: str) -> Response:
        _check_handle(handle)
        return answer_query(host, request, handle, read_groups)

    @app.route("/<handle>/.notifications/<channel>", methods=["GET"], provide_automatic_options=False)
    def notification_service(handle: str, channel: str) -> Response:
        _check_handle(handle)
        return describe_service(host, request, handle, channel)

    @app.route("/<handle>/.notifications/<channel>", methods=["POST"], provide_automatic_options=False)
    def notification_subscription(handle: str, channel: str) -> Response:
        _check_handle(handle)
        return subscribe(host, request, handle, channel)

    @app.route(
        "/<handle>/.notifications/<channel>/<channel_id>", methods=["GET", "DELETE"], provide_automatic_options=False
    )
    def notification_channel(handle: str, channel: str, channel_id: str) -> Response:
        _check_handle(handle)
        answer_channel = unsubscribe if request.method == "DELETE" else describe_channel
        return answer_channel(host, request, handle, channel, channel_id)


class PodDoor:
    """The one route to pods, `/{handle}/…`, before the framework's own routing, which costs more than most answers.

    All that follows the handle belongs to the path, whatever it is: the lifecycle has the one parser of paths, and
    refuses. Other addresses, and the doors inside a pod that are no resources, are the application's.
    """

    def __init__(self, app: Flask, others: WSGIApplication, host: Host, read_groups: ReadGroups) -> None:
        self._app = app
        self._others = others
        self._host = host
        self._read_groups = read_groups

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        handle, slash, path = environ.get("PATH_INFO", "")[1:].partition("/")
        is_pod = slash and HANDLE_PATTERN.match(handle) and handle not in RESERVED_WORDS
        if not is_pod or _is_service(path, environ["REQUEST_METHOD"]):
            return self._others(environ, start_response)
        # WSGI hands the path's bytes over as if they were latin-1; what is no UTF-8 the parser of paths refuses.
        decoded = path.encode("latin-1").decode("utf-8", "replace")
        request = Request(environ, populate_request=False)
        request.max_content_length = MAX_BODY_BYTES + 1
        with desk.seated() if self._host.storage.is_embedded else nullcontext():
            try:
                begin(request, takes_large_bodies=True)
                response = answer(self._host, request, handle, decoded, self._read_groups)
            except Exception as error:  # noqa: BLE001 - the boundary: whatever was raised becomes a problem
                response = problem_response(self._app, self._host, request, error)
            finish(response, request, self._host)
            return _send(response, environ, start_response)


def _is_service(path: str, method: str) -> bool:
    return any(methods for form, methods in _SERVICES if method in methods and form.match(path))


def _send(response: PlainResponse, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Hand an answer to the server.

    The framework's way to do it mends headers and drops bodies where none may be; a plain answer with its body in hand
    needs nothing of that.
    """
    body = response.response
    plain = response.status_code in _PLAIN and isinstance(body, list) and environ["REQUEST_METHOD"] != "HEAD"
    if not plain:
        return response(environ, start_response)
    if "Content-Length" not in response.headers:
        response.headers.add("Content-Length", str(sum(map(len, body))))
    start_response(response.status, response.headers.to_wsgi_list())
    return cast("list[bytes]", body)


_PLAIN = frozenset({200, 201})


def _check_handle(handle: str) -> None:
    if not HANDLE_PATTERN.match(handle) or handle in RESERVED_WORDS:
        raise NoSuchPage("the address is mistyped, or what was here is gone")


def check_ready(host: Host) -> None:
    """See that the database answers.

    Raises:
        NotReady: it does not.
    """
    try:
        with host.storage.read() as tx:
            tx.one("SELECT 1")
    except Exception as error:
        raise NotReady("the storage does not answer") from error


def describe_doors(base_url: str) -> dict[str, object]:
    """The OpenAPI description of the whole house, for this host."""
    document: dict[str, object] = json.loads(OPENAPI_FILE.read_text(encoding="utf-8"))
    document["servers"] = [{"url": base_url}]
    return document


def _json(value: object) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), content_type="application/json")

"""The boundary between HTTP and the house: what is raised becomes a problem (RFC 9457), and every answer its headers.

One place for what must hold of all doors alike: the largest body, what browsers may do with an answer, who may read
it from another origin (CORS), and how a refusal says what would help.
"""

from __future__ import annotations

import json
import logging
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import request as flask_request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response

from pod_server import problems
from pod_server.bodies import MAX_BODY_BYTES, TOO_LARGE, BodyTooLarge, LimitedBody, RequestRefused
from pod_server.errors import PodMoved
from pod_server.resources.errors import MethodNotSupported

if TYPE_CHECKING:
    from flask import Flask
    from flask import Response as FlaskResponse
    from werkzeug.wrappers import Request

    from pod_server.host import Host

logger = logging.getLogger("tvilling.http")


class NoSuchPage(RequestRefused):
    """No door answers to this address."""


class BadRequest(RequestRefused):
    """The request itself is broken."""


class NotReady(RequestRefused):
    """The server runs, but cannot serve now."""


problems.declare(NoSuchPage, "no-such-page", "No door answers to this address", 404)
problems.declare(BadRequest, "bad-request", "The request is broken", 400)
problems.declare(NotReady, "not-ready", "The server is not ready", 503)

_OPEN_TO_OTHER_ORIGINS = (
    "/.well-known/",
    "/vocab",
    "/problems",
    "/openapi.json",
    "/healthz",
    "/readyz",
    "/bridge/grants/",  # an app in a browser reads under its consent; a token of its own guards each
)
_OAUTH_OPEN_TO_OTHER_ORIGINS = ("token", "jwks", "register", "revoke", "introspect", "userinfo", "grants")
"""Apps in a browser call these; never `authorize`, which is a page (FAPI 2.0, section 5.3.2.2)."""
_NOT_PODS = ("/-/", "/bridge", "/research", "/metrics")

_EXPOSED = (
    "Accept-Patch, Accept-Post, Accept-Put, Accept-Ranges, Allow, Content-Range, Content-Security-Policy, "
    "Cross-Origin-Resource-Policy, DPoP-Nonce, Date, ETag, Link, Location, Permissions-Policy, Referrer-Policy, "
    "Retry-After, Server, Strict-Transport-Security, Vary, WAC-Allow, WWW-Authenticate, X-Content-Type-Options, "
    "X-Request-Id"
)
"""Every header that answers have, but those that scripts may read anyhow (Solid Protocol, section 8.1)."""
_PREFLIGHT_SECONDS = "7200"

_REQUEST_ID = "tvilling.request_id"
"""Where a request's environment holds the id by which the log and the problems name it."""

LARGE_BODIES_AT = "LARGE_BODIES_AT"
"""The setting of an application that names the paths whose doors read bodies piece by piece."""


def register(app: Flask, host: Host) -> None:
    """Put the boundary around an application."""
    # One more than is allowed: the framework cuts a chunked body at its limit without a word, and a body that was
    # cut must never pass for whole. LimitedBody refuses it instead.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1
    app.config["MAX_FORM_MEMORY_SIZE"] = 1024 * 1024

    @app.before_request
    def receive() -> None:
        begin(flask_request, takes_large_bodies=flask_request.path in app.config.get(LARGE_BODIES_AT, ()))

    @app.errorhandler(Exception)
    def answer_with_problem(error: Exception) -> Response:
        return problem_response(app, host, flask_request, error)

    @app.after_request
    def add_headers(response: FlaskResponse) -> FlaskResponse:
        finish(response, flask_request, host)
        return response


def begin(request: Request, *, takes_large_bodies: bool = False) -> None:
    """What every request meets first: an id, and a limit on its body.

    Args:
        request: The request.
        takes_large_bodies: Whether the door reads bodies piece by piece, and refuses itself what is too large for it.

    Raises:
        BodyTooLarge: more is announced than the door takes.
    """
    request.environ[_REQUEST_ID] = secrets.token_hex(16)
    if (request.content_length or 0) > MAX_BODY_BYTES and not takes_large_bodies:
        raise BodyTooLarge(TOO_LARGE)
    request.environ["wsgi.input"] = LimitedBody(request.environ["wsgi.input"], request.content_length)


def finish(response: Response, request: Request, host: Host) -> None:
    """The headers that every answer has."""
    add_security_headers(response, request, host)
    if open_to_other_origins(request.path):
        add_cors_headers(response, request)


def problem_response(app: Flask, host: Host, request: Request, error: Exception) -> Response:
    """The answer to whatever was raised; an undeclared exception is logged and told without detail."""
    if isinstance(error, HTTPException):
        if isinstance(error, RequestRedirect):
            # A redirect of the router's own is an answer, not a failure.
            redirect = error.get_response()
            return Response(status=redirect.status_code, headers={"Location": redirect.headers["Location"]})
        error = _retold(error)
    instance = f"urn:tvilling:request:{request.environ.get(_REQUEST_ID, '')}"
    details = problems.problem_details(error, host.base_url, instance=instance)
    if problems.problem_type_of(error) is None:
        # The exception's own words may hold anything, so they go to the operator and not to the caller.
        logger.error("request %s failed", instance, exc_info=error)
    show_page = app.config.get("PROBLEM_PAGE")
    if show_page is not None and request.path.startswith("/-/") and _prefers_html(request):
        response: Response = show_page(details)
    else:
        response = Response(json.dumps(details, ensure_ascii=False), content_type=problems.PROBLEM_MEDIA_TYPE)
    response.status_code = details["status"]
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = _challenge(error, host)
    if (retry_after := getattr(error, "retry_after", None)) is not None:
        response.headers["Retry-After"] = str(int(retry_after))
    if (nonce := getattr(error, "dpop_nonce", None)) is not None:
        response.headers["DPoP-Nonce"] = nonce
    if (allowed := getattr(error, "allowed", None)) is not None:
        response.headers["Allow"] = ", ".join(allowed)
    if (accepted := getattr(error, "accepted", None)) and request.method in {"PUT", "POST", "PATCH"}:
        response.headers[f"Accept-{request.method.capitalize()}"] = ", ".join(accepted)
    headers = getattr(error, "headers", None)
    if isinstance(headers, dict) and problems.problem_type_of(error) is not None:
        response.headers.update(headers)
    if isinstance(error, PodMoved):
        # The same path below the new root: the pod's own addresses are relative to it (RFC 9110, section 15.4.9).
        path = _raw_path(request).partition("/")[2]
        response.headers["Location"] = error.root + path
        response.headers.add("Link", f'<{error.root}{path}>; rel="canonical"')
    response.headers["Cache-Control"] = "no-store"
    return response


def _raw_path(request: Request) -> str:
    """The path and query as they were sent, without the first slash."""
    target = request.environ.get("REQUEST_URI") or request.environ.get("RAW_URI") or ""
    if not target.startswith("/"):
        query = request.environ.get("QUERY_STRING", "")
        target = quote(request.path, safe="/~:@!$&'()*+,;=-._") + (f"?{query}" if query else "")
    return str(target)[1:]


def add_security_headers(response: Response, request: Request, host: Host) -> None:
    """What browsers may do with any answer; where a door needs something else it has set it already."""
    headers = response.headers
    # A header that is set is looked for among all others first; so all are looked through once.
    there = {name.lower() for name, _ in headers}
    for name, value in _SECURITY_HEADERS:
        if name.lower() not in there:
            headers.add(name, value)
    if "x-request-id" not in there:
        headers.add("X-Request-Id", request.environ.get(_REQUEST_ID, ""))
    if host.base_url.startswith("https:") and "strict-transport-security" not in there:
        headers.add("Strict-Transport-Security", "max-age=31536000")


_SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)


def open_to_other_origins(path: str) -> bool:
    """Whether scripts of other origins may read what is at this path: pods (their tokens guard them), metadata."""
    if path.startswith("/-/oauth/"):
        return path.removeprefix("/-/oauth/").split("/")[0] in _OAUTH_OPEN_TO_OTHER_ORIGINS
    return path.startswith(_OPEN_TO_OTHER_ORIGINS) or not (path == "/" or path.startswith(_NOT_PODS))


def add_cors_headers(response: Response, request: Request) -> None:
    """The CORS protocol (Fetch, section 3.2), on errors too (Solid Protocol, section 8.1).

    A pod lets browsers send credentials along, or apps that do would be blocked by CORS rather than by the access rules.
    It gives nothing away: cookies open pages only and count for nothing here, and tokens travel in a header of their own.
    """
    headers = response.headers
    headers.remove("Access-Control-Allow-Origin")
    headers.add("Access-Control-Allow-Origin", request.headers.get("Origin", "*"))
    if "Origin" in request.headers and not request.path.startswith(("/-/", *_OPEN_TO_OTHER_ORIGINS)):
        headers.add("Access-Control-Allow-Credentials", "true")
    headers.add("Access-Control-Expose-Headers", _EXPOSED)
    headers.add("Cross-Origin-Resource-Policy", "cross-origin")
    if "origin" not in headers.get("Vary", "").lower():
        response.vary.add("Origin")
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"
        wanted = request.headers.get("Access-Control-Request-Headers")
        headers["Access-Control-Allow-Headers"] = (
            wanted or "Accept, Authorization, Content-Type, DPoP, If-Match, If-None-Match, Link, Slug"
        )
        headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
        response.vary.add("Access-Control-Request-Headers")


def _challenge(error: Exception, host: Host) -> str:
    """The WWW-Authenticate header (RFC 9449, section 7.1; RFC 9728, section 5.1)."""
    challenge = getattr(error, "www_authenticate", None) or "DPoP"
    if "resource_metadata" in challenge:
        return str(challenge)
    separator = ", " if " " in challenge else " "
    metadata = f"{host.base_url}/.well-known/oauth-protected-resource"
    return f'{challenge}{separator}algs="ES256 EdDSA PS256", resource_metadata="{metadata}"'


def _prefers_html(request: Request) -> bool:
    # whoever takes anything is a program; browsers ask for HTML by name
    best = request.accept_mimetypes.best_match([problems.PROBLEM_MEDIA_TYPE, "application/json", "text/html"])
    return best == "text/html"


def _retold(error: HTTPException) -> RequestRefused | MethodNotSupported:
    """The framework's own refusals, in the house's words; its messages may quote the request."""
    if error.code == 404:
        return NoSuchPage("the address is mistyped, or what was here is gone")
    if isinstance(error, MethodNotAllowed):
        return MethodNotSupported(
            "use one of the methods in the Allow header", allowed=tuple(error.valid_methods or ())
        )
    if error.code == 413:
        return BodyTooLarge(TOO_LARGE)
    return BadRequest("the request could not be understood")

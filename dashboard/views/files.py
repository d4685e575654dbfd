"""Bringing one's own files: chosen or dragged onto the page; without JavaScript an ordinary form, with it progress.

The form takes what any door takes whole; the page's script sends file by file, each up to what a file may hold. A file is held
in memory and never written down outside the vault: so few large ones are taken at a time, and one that is too large is
refused before any of it is read.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from flask import Response, jsonify, request

from dashboard import frame
from dashboard.views.footprint import private_json
from dashboard.visits import answered_form, citizens_visit
from partner_bridge.channels.file_drop import FILE_LIMIT_BYTES, require_size
from partner_bridge.connectors import find_connector, registry
from partner_bridge.errors import LengthRequired, MediaTypeUnknown
from partner_bridge.import_files import ImportReport, import_contents
from pod_server.bodies import MAX_BODY_BYTES, Transfers
from pod_server.identifiers import Actor

if TYPE_CHECKING:
    from dashboard.frame import Visit
    from pod_server.bodies import LimitedBody
    from pod_server.host import Host

FILES_AT_ONCE = 20
LARGE_FILES_AT_ONCE = 2
"""How many files that are larger than an ordinary body a worker holds in memory at a time; one a pod."""

_SHOWN_PROBLEMS = 5
_BYTES = "application/octet-stream"
_large_files = Transfers(LARGE_FILES_AT_ONCE, 1)


def files(host: Host) -> Response:
    """The page."""
    seen, _, _ = citizens_visit(host)
    return _page(host, seen)


def take_files(host: Host) -> Response:
    """Files from the form, or from the page's script, which wants to be told in JSON.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        UnknownConnector: a form that nobody offered.
        BodyTooLarge: more than one request holds.
    """
    seen, session, own = answered_form(host)
    brought = [each for each in request.files.getlist("file") if each.filename][:FILES_AT_ONCE]
    contents = [((each.filename or "")[-120:], each.read()) for each in brought]
    report = import_contents(
        host, session.pod_id, request.form.get("connector", ""), contents, actor=Actor("citizen"), vault=own.vault
    )
    words = _told(seen, report) if brought else str(seen.words("files.none"))
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        return private_json(jsonify({"words": words, "problems": _problems(report), "accepted": report.accepted}))
    return _page(host, seen, told=words, problems=_problems(report), well=bool(report.accepted or report.duplicates))


def take_one_file(host: Host) -> Response:
    """One file as its bytes, from the page's script; told in JSON.

    Raises:
        MediaTypeUnknown: it does not come as bytes.
        NotSignedIn, CsrfMismatch: as they say.
        UnknownConnector: a form that nobody offered.
        LengthRequired: its size is not announced.
        BodyTooLarge: it is larger than a file may be; nothing of it was read.
        TooManyTransfers: others are bringing large files just now.
    """
    seen, session, own = answered_form(host)
    if request.mimetype != _BYTES:
        raise MediaTypeUnknown(f"send the file's bytes as {_BYTES}")
    chosen, name = request.args.get("connector", ""), request.args.get("name", "")[-120:] or "?"
    find_connector(chosen, host.connector_packages)
    if request.content_length is None and request.environ.get("wsgi.input_terminated"):
        raise LengthRequired("a file says its length (Content-Length)")
    size_bytes = request.content_length or 0
    require_size(name, size_bytes)
    stream: LimitedBody = request.environ["wsgi.input"]
    is_large = size_bytes > MAX_BODY_BYTES
    stream.allow(FILE_LIMIT_BYTES)
    with ExitStack() as held:
        if is_large:
            held.enter_context(_large_files.one(session.pod_id))
            held.enter_context(stream.large(session.pod_id))
        content = stream.read() if size_bytes else b""
        report = import_contents(
            host, session.pod_id, chosen, [(name, content)], actor=Actor("citizen"), vault=own.vault
        )
    told = {"words": _told(seen, report), "problems": _problems(report), "accepted": report.accepted}
    return private_json(jsonify(told))


def _page(
    host: Host, seen: Visit, *, told: str = "", problems: list[str] | None = None, well: bool = False
) -> Response:
    known = registry(host.connector_packages).connectors.values()
    offered = [(each.name, each.title) for each in known if "file" in each.declaration.channels]
    return frame.page(
        "files.html.jinja",
        seen,
        limit=FILE_LIMIT_BYTES,
        connectors=sorted(offered, key=lambda pair: pair[1].lower()),
        told=told,
        problems=problems or [],
        well=well,
        request_path="/-/files",
    )


def _told(seen: Visit, report: ImportReport) -> str:
    w = seen.wording
    return str(
        seen.words(
            "files.told",
            accepted=w.number(report.accepted),
            duplicates=w.number(report.duplicates),
            refused=w.number(report.refused),
        )
    )


def _problems(report: ImportReport) -> list[str]:
    return [f"{each['file']}: {each.get('detail') or each.get('title')}" for each in report.problems[:_SHOWN_PROBLEMS]]

"""Bringing one's own files: chosen or dragged onto the page; without JavaScript an ordinary form, with it progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, jsonify, request

from dashboard import frame
from dashboard.views.footprint import private_json
from dashboard.visits import answered_form, citizens_visit
from partner_bridge.connectors import registry
from partner_bridge.import_files import ImportReport, import_contents
from pod_server.identifiers import Actor

if TYPE_CHECKING:
    from dashboard.frame import Visit
    from pod_server.host import Host

FILES_AT_ONCE = 20
_SHOWN_PROBLEMS = 5


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


def _page(
    host: Host, seen: Visit, *, told: str = "", problems: list[str] | None = None, well: bool = False
) -> Response:
    known = registry(host.connector_packages).connectors.values()
    offered = [(each.name, each.title) for each in known if "file" in each.declaration.channels]
    return frame.page(
        "files.html.jinja",
        seen,
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

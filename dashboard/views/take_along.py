"""Take everything along: the pod as a file to keep, a sealed file to move with, and the last step of a move."""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Response, request

from dashboard import frame
from dashboard.errors import ExportBusy
from dashboard.visits import answered_form, citizens_visit, strangers_visit
from pod_server.authentication.accounts import open_vault
from pod_server.authentication.session import cookie_settings
from pod_server.identifiers import Actor
from pod_server.transfer.errors import ArrivalRefused
from pod_server.transfer.export import export_pod
from pod_server.transfer.move import move_away, move_out
from pod_server.vault.errors import WrongPassphrase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from markupsafe import Markup
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.host import Host
    from pod_server.opening import OpenPod

_PIECE_BYTES = 256 * 1024
_LARGEST_STATEMENT_BYTES = 64 * 1024
_making = threading.BoundedSemaphore(1)
"""One file at a time in a worker: a large pod's takes its processor for seconds."""


def take_along(host: Host) -> AnyResponse:
    """What can be taken along, and how a pod moves.

    Raises:
        NotSignedIn: sign in first.
    """
    seen, _, own = citizens_visit(host)
    return _page(host, seen, own)


def download_pod(host: Host) -> AnyResponse:
    """The whole pod as one zip in plain, after the passphrase.

    Raises:
        NotSignedIn, CsrfMismatch, TooManyAttempts: as they say.
        ExportBusy: another file is being made.
    """
    seen, _, own = answered_form(host)
    if problem := _wrong_passphrase(host, seen, own):
        return _page(host, seen, own, problem=problem, status=403)
    name = f"tvilling-{own.pod.handle}.zip"
    return _file(host, name, "application/zip", lambda target: export_pod(host, own, target))


def download_move(host: Host) -> AnyResponse:
    """The sealed file for another host; only the citizen's passphrase or recovery code opens it.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        ExportBusy: another file is being made.
    """
    _, _, own = answered_form(host)
    name = f"tvilling-{own.pod.handle}.move"
    return _file(host, name, "application/octet-stream", lambda target: move_out(host, own, target))


def finish_move(host: Host) -> AnyResponse:
    """Let the pod's addresses lead to where it has arrived, and delete it here.

    Raises:
        NotSignedIn, CsrfMismatch, TooManyAttempts: as they say.
    """
    seen, _, own = answered_form(host)
    t = seen.words
    if request.form.get("handle", "").strip() != own.pod.handle:
        return _page(host, seen, own, problem=t("remove.differ"), status=422)
    if problem := _wrong_passphrase(host, seen, own):
        return _page(host, seen, own, problem=problem, status=403)
    uploaded = request.files.get("arrival")
    content = uploaded.stream.read(_LARGEST_STATEMENT_BYTES) if uploaded else b""
    try:
        statement: Any = json.loads(content)
        away = move_away(host, own.pod, statement, actor=Actor("citizen"))
    except ArrivalRefused as error:
        written_since = "written here since" in str(error)
        problem = t("move.written-since") if written_since else t("move.refused")
        return _page(host, seen, own, problem=problem, status=409 if written_since else 422)
    except (ValueError, RecursionError):
        return _page(host, seen, own, problem=t("move.refused"), status=422)
    answer = frame.page(
        "moved.html.jinja", strangers_visit(host), root=away.root, receipt=away.receipt, request_path="/-/"
    )
    settings = cookie_settings(host)
    answer.delete_cookie(
        settings.key, path=settings.path, secure=settings.secure, httponly=True, samesite=settings.samesite
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _wrong_passphrase(host: Host, seen: Visit, own: OpenPod) -> Markup | str:
    """Whoever finds a browser left open must not be able to carry its owner's pod away."""
    if not _asks_passphrase(host, own):
        return ""
    try:
        open_vault(host, own.pod.handle, request.form.get("passphrase", ""))
    except WrongPassphrase:
        return seen.words("lock.wrong")
    return ""


def _asks_passphrase(host: Host, own: OpenPod) -> bool:
    return "passphrase" in host.key_store.slot_kinds(own.pod_id)


def _page(host: Host, seen: Visit, own: OpenPod, *, problem: Markup | str = "", status: int = 200) -> AnyResponse:
    return frame.page(
        "download.html.jinja",
        seen,
        status=status,
        webid=own.pod.webid(host.base_url),
        handle=own.pod.handle,
        asks_passphrase=_asks_passphrase(host, own),
        problem=problem,
        request_path="/-/download",
    )


def _file(host: Host, name: str, media_type: str, make: Callable[[Path], object]) -> AnyResponse:
    """Make a file beside the data and send it a piece at a time; nothing of it stays on the disk."""
    if not _making.acquire(blocking=False):
        raise ExportBusy
    try:
        with tempfile.TemporaryDirectory(dir=host.data_folder / "run") as folder:
            target = Path(folder) / "file"
            make(target)
            # Open for reading while its name goes: whatever becomes of this process, the disk forgets it.
            file = target.open("rb")
    finally:
        _making.release()

    def pieces() -> Iterator[bytes]:
        with file:
            while piece := file.read(_PIECE_BYTES):
                yield piece

    size = file.seek(0, 2)
    file.seek(0)
    answer = Response(pieces(), content_type=media_type)
    answer.call_on_close(file.close)
    answer.content_length = size
    answer.headers["Content-Disposition"] = f"attachment; filename={name}"
    answer.headers["Cache-Control"] = "no-store"
    return answer

"""Deleting one's pod: a question with the handle and the passphrase, and a page with the signed receipt."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from flask import request

from dashboard import frame
from dashboard.visits import answered_form, citizens_visit, strangers_visit
from pod_server.authentication.accounts import open_vault
from pod_server.authentication.session import cookie_settings
from pod_server.identifiers import Actor
from pod_server.removal import remove_citizen
from pod_server.vault.errors import WrongPassphrase

if TYPE_CHECKING:
    from markupsafe import Markup
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.host import Host
    from pod_server.opening import OpenPod


def remove_page(host: Host) -> AnyResponse:
    """The question.

    Raises:
        NotSignedIn: sign in first.
    """
    seen, _, own = citizens_visit(host)
    return _question(host, seen, own)


def remove_form(host: Host) -> AnyResponse:
    """Delete the pod, and show the receipt this once.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        TooManyAttempts: too many wrong guesses at the passphrase.
    """
    seen, session, own = answered_form(host)
    if request.form.get("handle", "").strip() != own.pod.handle:
        return _question(host, seen, own, problem=seen.words("remove.differ"), status=422)
    if _asks_passphrase(host, own):
        # Whoever finds a browser left open must not be able to delete its owner's pod.
        try:
            open_vault(host, own.pod.handle, request.form.get("passphrase", ""))
        except WrongPassphrase:
            return _question(host, seen, own, problem=seen.words("lock.wrong"), status=403)
    removed = remove_citizen(host, session.pod_id, actor=Actor("citizen"))
    after = strangers_visit(host)
    answer = frame.page(
        "removed.html.jinja",
        after,
        receipt=removed.receipt,
        keys=after.wording.number(removed.says["keysDestroyed"]),
        rows=after.wording.number(sum(removed.says["rowsDeleted"].values())),
        date=after.wording.date(datetime.fromisoformat(removed.says["copiesOfKeysDieBy"])),
        request_path="/-/",
    )
    settings = cookie_settings(host)
    answer.delete_cookie(
        settings.key, path=settings.path, secure=settings.secure, httponly=True, samesite=settings.samesite
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _asks_passphrase(host: Host, own: OpenPod) -> bool:
    return "passphrase" in host.key_store.slot_kinds(own.pod_id)


def _question(host: Host, seen: Visit, own: OpenPod, *, problem: Markup | str = "", status: int = 200) -> AnyResponse:
    return frame.page(
        "remove.html.jinja",
        seen,
        status=status,
        handle=own.pod.handle,
        asks_passphrase=_asks_passphrase(host, own),
        problem=problem,
        request_path="/-/remove",
    )

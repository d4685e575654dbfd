"""Is everything in my pod as it was written? The answer in words, one sentence for each thing that is not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dashboard import frame
from dashboard.errors import RecomputeBusy
from dashboard.visits import citizens_visit
from pod_server import integrity

if TYPE_CHECKING:
    from flask import Response

    from pod_server.host import Host

_at_once = threading.BoundedSemaphore(2)
_SHOWN = 200


def check(host: Host) -> Response:
    """The page; it opens everything in the pod, so that a worker makes two of them at a time.

    Raises:
        NotSignedIn: sign in first.
        RecomputeBusy: two are being made.
    """
    seen, session, own = citizens_visit(host)
    if not _at_once.acquire(blocking=False):
        raise RecomputeBusy("Other pods are being checked just now; ask again in a few seconds.")
    try:
        examined = integrity.examine(host, session.vault(), own.pod_id)
    finally:
        _at_once.release()
    t = seen.words
    return frame.page(
        "check.html.jinja",
        seen,
        objects=examined.objects,
        damages=[
            t(f"damage.{each.kind}", what=t.plain(f"damage.what-{each.what}"), where=each.where)
            for each in examined.damages[:_SHOWN]
        ],
        request_path="/-/log/check",
    )

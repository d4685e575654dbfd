"""gevent's server waits for a request's headers for ever; this one does not, or silence would fill it (T14)."""

from __future__ import annotations

from typing import Any

import gevent
from gevent.pywsgi import WSGIHandler

HEADERS_SECONDS = 15.0


class ImpatientHandler(WSGIHandler):  # type: ignore[misc]
    """Ends a connection that takes too long to say what it wants; once it has, the channel lasts as long as it lasts."""

    def read_requestline(self) -> Any:
        """The first line, or the end."""
        try:
            with gevent.Timeout(HEADERS_SECONDS):
                return super().read_requestline()
        except gevent.Timeout:
            return ""

    def read_request(self, raw_requestline: str) -> Any:
        """The headers; a request that is cut off is a bad one."""
        try:
            with gevent.Timeout(HEADERS_SECONDS):
                return super().read_request(raw_requestline)
        except gevent.Timeout:
            return False

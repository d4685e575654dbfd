"""requests, under the outbound rules: every address judged, resolved once and pinned; answers whole or not at all."""

from __future__ import annotations

import io
import logging
import os
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from pod_server import desk
from pod_server.outbound import OutboundFailed

if TYPE_CHECKING:
    from pod_server.outbound import Outbound

SECONDS = 20.0
ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
_TOO_LONG = f"the other host's answer is longer than {ANSWER_LIMIT_BYTES} bytes"

# Which addresses are safe enough is for the outbound rules to say (https, or a loopback origin that the operator named);
# oauthlib's own check knows no such origin and would refuse those too.
os.environ.setdefault("OAUTHLIB_INSECURE_TRANSPORT", "1")
for _talkative in ("requests_oauthlib", "oauthlib"):
    # At the level of debugging these libraries write tokens and secrets.
    logging.getLogger(_talkative).setLevel(logging.WARNING)


class OutboundAdapter(BaseAdapter):
    """A transport of requests that goes through the house's one way out."""

    def __init__(self, outbound: Outbound) -> None:
        super().__init__()
        self._outbound = outbound

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **_: Any
    ) -> requests.Response:
        """Send and receive.

        Raises:
            OutboundRefused: the address is not spoken to.
            OutboundFailed: no whole, plain answer of at most 16 MiB within twenty seconds.
        """
        assert request.url is not None
        assert request.method is not None
        body = request.body or b""
        content = bytearray()
        with (
            desk.away(),
            self._outbound.exchange(
                request.method,
                request.url,
                {name: str(value) for name, value in request.headers.items()} | {"Accept-Encoding": "identity"},
                body.encode() if isinstance(body, str) else body,
                seconds=SECONDS,
            ) as exchange,
        ):
            headers = CaseInsensitiveDict(exchange.headers)
            if headers.get("Content-Encoding", "identity").lower() != "identity":
                raise OutboundFailed("the other host packed an answer that was asked for plain")
            for piece in exchange.pieces:
                content += piece
                if len(content) > ANSWER_LIMIT_BYTES:
                    raise OutboundFailed(_TOO_LONG)
        response = requests.Response()
        response.status_code = exchange.status
        response.headers = headers
        response.raw = io.BytesIO(bytes(content))
        response.url = request.url
        response.request = request
        return response

    def close(self) -> None:
        """Nothing stays open between two requests."""


def guard(session: requests.Session, outbound: Outbound) -> None:
    """Let a session speak through the outbound rules alone: no proxies, no .netrc, no redirects, no cookies kept."""
    session.trust_env = False
    session.max_redirects = 0
    session.mount("https://", OutboundAdapter(outbound))
    session.mount("http://", OutboundAdapter(outbound))

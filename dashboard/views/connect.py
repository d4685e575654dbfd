"""On the way to a partner that knows no host: the citizen's own host says what the partner will learn, and shows the way.

The page sends nobody anywhere by itself (no open redirector): the citizen presses a link whose goal stands beside it, and
takes along the name of this host (`iss`) and nothing else. Partners find hosts in the citizen's browser by the script at
/vocab/connect.js; this page is for those who come from the other side, and works without script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from flask import Response, request

from dashboard import frame
from dashboard.views.vocabulary import public_file
from dashboard.visits import visit
from pod_server.partners import PartnerInvalid, check_redirect_uri, list_partners

if TYPE_CHECKING:
    from pathlib import Path

    from pod_server.host import Host


def connect_page(host: Host) -> Response:
    """The page; a start address that no partner could have registered is not shown as one."""
    seen = visit(host)
    start = request.args.get("start", "")
    onwards, origin, partner = "", "", ""
    try:
        parts = urlsplit(check_redirect_uri(start))
    except PartnerInvalid:
        parts = None
    if parts is not None:
        origin = f"{parts.scheme}://{parts.netloc}"
        query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "iss"]
        onwards = urlunsplit((*parts[:3], urlencode([*query, ("iss", host.base_url)]), ""))
        partner = next(
            (each.name for each in list_partners(host) if each.is_admitted and _is_at(each.redirect_uris, origin)), ""
        )
    return frame.page(
        "connect.html.jinja",
        seen,
        status=200 if onwards or not start else 422,
        onwards=onwards,
        origin=origin,
        partner=partner,
        asked=bool(start),
        issuer=host.base_url,
        request_path="/-/connect",
    )


def _is_at(addresses: tuple[str, ...], origin: str) -> bool:
    return any(f"{parts.scheme}://{parts.netloc}" == origin for parts in map(urlsplit, addresses))


def connect_script(folder: Path) -> Response:
    """The script that a partner copies to its own site."""
    return public_file(folder / "own" / "connect.js", "text/javascript; charset=utf-8")

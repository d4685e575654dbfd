"""What a ping asks to be fetched: judged when it is heard, kept sealed, and fetched once with the citizen's own token.

    judged    the address lies at the exact origin, and below the path, of the interface that the operator registered
    kept      as the path below that interface alone: whatever is fetched later, is fetched from the operator's address
    fetched   by the agent that pulls, as one of the pull's own questions, and by no other way out; once, in any process

A ping is not believed: what its callback brings comes from the source, and the pull's own questions follow it, so that
a callback that was forged, cut or lost costs one request and hides nothing.

Source: OWASP, Server-Side Request Forgery Prevention.
"""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from partner_bridge.errors import CallbackRefused
from pod_server.authorization.errors import SealBroken
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.outbound import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from partner_bridge.sources import Source
    from pod_server.host import Host
    from pod_server.pulls import Pull

AT_MOST = 4
"""Callbacks of one ping for one citizen; what more there is, the pull's own questions find."""

REMEMBERED = timedelta(days=1)
"""How long a callback that was fetched is not fetched again; Garmin's own tokens in them last a day."""

_LABEL = "callbacks"
_ADDRESS = re.compile(r"[!-\[\]-~]{1,2000}\Z")  # visible, and no backslash, which some read as a slash
_HIDDEN = ("..", "%2e", "%2f", "%5c")


def path_of(source: Source, callback: str) -> str:
    """The path and query of a callback, below the source's interface.

    Raises:
        CallbackRefused: it lies elsewhere, or is written so that two readers could differ on where it lies.
    """
    try:
        called, own = urlsplit(callback), urlsplit(source.api)
        same = bool(_ADDRESS.match(callback)) and origin_of(called) == origin_of(own)
    except ValueError:
        same = False
    base = own.path.rstrip("/") if same else ""
    if (
        not same
        or "@" in called.netloc
        or "#" in callback
        or not called.path.startswith(base + "/")
        or any(each in called.path.lower() for each in _HIDDEN)
    ):
        raise CallbackRefused("what is fetched lies at the source's own interface; this address does not")
    return called.path[len(base) :] + (f"?{called.query}" if called.query else "")


def keep(host: Host, held: Pull, paths: Sequence[str]) -> str:
    """Seal callbacks for the row of the connection that they are for; empty where there are none."""
    if not paths:
        return ""
    return seal(host.host_key, _LABEL, _names(held), msgspec.json.encode(list(paths[:AT_MOST])))


def not_fetched_yet(host: Host, held: Pull) -> Iterator[str]:
    """The paths to fetch, each remembered as fetched the moment it is given; none that does not open here."""
    if not held.callbacks:
        return
    try:
        paths = msgspec.json.decode(unseal(host.host_key, _LABEL, _names(held), held.callbacks), type=list[str])
    except SealBroken:
        return
    for path in paths:
        name = hashlib.sha256(f"{held.slug}\x1f{held.user_key}\x1f{path}".encode()).hexdigest()
        if host.replay.first_use(f"callback {name}", host.clock.protocol_now() + REMEMBERED):
            yield path


def _names(held: Pull) -> tuple[str, str]:
    """What the seal is bound to: the connection, so that one citizen's row opens in no other's place."""
    return str(held.pod_id), str(held.grant)

"""Client identifier documents: an app whose identifier is an address describes itself there (Solid-OIDC, section 5.1).

The address is a stranger's, so it is fetched under the outbound rules, and what it says is kept for a few minutes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pod_server.authorization_server import apps
from pod_server.authorization_server.apps import App, AppInvalid
from pod_server.outbound import OutboundError

if TYPE_CHECKING:
    from pod_server.host import Host

_MEDIA_TYPES = frozenset({"application/ld+json", "application/json"})


def find_app(host: Host, client_id: str) -> App | None:
    """The app with this identifier, registered or described at its own address; None where there is none.

    Raises:
        AppInvalid: its document cannot be had, or does not hold; the message says why.
        LookupsBusy: too many other hosts are being waited for.
    """
    if client_id.startswith(apps.REGISTERED):
        return apps.find_registered(host, client_id)
    if not apps.is_document_address(client_id):
        return None
    now = host.clock.protocol_now()
    return host.lookups.find("client", client_id, now, lambda: _fetch(host, client_id), AppInvalid)


def _refused(description: str) -> AppInvalid:
    return AppInvalid("invalid_client_metadata", f"the client identifier document: {description}")


def _fetch(host: Host, client_id: str) -> App:
    if urlsplit(client_id).fragment or client_id.endswith("#"):
        raise _refused("its address has a fragment")
    try:
        answer = host.outbound.get(client_id, {"Accept": "application/ld+json, application/json;q=0.9"})
    except OutboundError as error:
        raise _refused(str(error)) from error
    if answer.status != 200 or answer.url != client_id:
        raise _refused("its address does not answer with it directly")
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() not in _MEDIA_TYPES:
        raise _refused("it is neither application/ld+json nor application/json")
    try:
        document: Any = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise _refused("it is not JSON") from error
    if not isinstance(document, dict) or document.get("client_id") != client_id:
        raise _refused("its client_id is not its own address, letter by letter")
    if document.get("token_endpoint_auth_method", "none") != "none" or "client_secret" in document:
        raise _refused("an app that is described in public has no secret")
    return apps.described(client_id, document, has_secret=False)

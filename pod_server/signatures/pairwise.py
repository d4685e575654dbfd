"""Pairwise names: one partner's name for one citizen says nothing to another partner (OpenID Connect Core, 8.1)."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

from pod_server.identifiers import ClientId, GrantId, PodId, Subject

if TYPE_CHECKING:
    from pod_server.vault.host_key import HostKey

_SUBJECT_BYTES = 20
_NAME_BYTES = 15


def pairwise_subject(host_key: HostKey, client_id: ClientId, pod_id: PodId) -> Subject:
    """`s-` and 32 lower-case base32 characters: the same for the same client and pod, unlinkable otherwise."""
    message = pod_id.to_bytes(8, "big") + client_id.encode()
    digest = hmac.digest(host_key.derive("pairwise subject"), message, "sha256")
    return Subject("s-" + base64.b32encode(digest[:_SUBJECT_BYTES]).decode().lower())


def pairwise_name(host_key: HostKey, grant: GrantId, thing: str) -> str:
    """A name for one thing in what is read under one grant: the same at each reading, and linked to no other name.

    Args:
        host_key: This host's.
        grant: Under which it is read; known to one partner alone.
        thing: What the pod calls it; nothing of that shows.

    Returns:
        24 lower-case base32 characters.
    """
    digest = hmac.digest(host_key.derive("read names"), f"{grant} {thing}".encode(), "sha256")
    return base64.b32encode(digest[:_NAME_BYTES]).decode().lower()

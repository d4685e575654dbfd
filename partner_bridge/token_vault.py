"""What a citizen's connection to a source needs, and nobody else may read: tokens, and how far the source was read.

Both are sealed as one under the key of the grant that they serve (pod_server/pulls.py): an open pod's agent can pull, a
locked pod's pulls wait for its citizen, and whoever erases the grant has destroyed the tokens too. They print as stars.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from partner_bridge.errors import ConnectionGone
from pod_server import pulls

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.pulls import Pull
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault


@dataclass(frozen=True)
class Tokens:
    """What a source gave.

    Attributes:
        access: Shown with each request.
        refresh: Gets a new access token; empty where there is none.
        expires_at: When the access token ends, seconds since 1970 in real time; None where nothing was said.
    """

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    expires_at: float | None = None


@dataclass(frozen=True)
class Content:
    """What is sealed.

    Attributes:
        tokens: The newest.
        cursor: How far the source was read; its members are its connector's own.
    """

    tokens: Tokens = field(repr=False)
    cursor: dict[str, Any]


def encode(content: Content) -> bytes:
    """As it is sealed; members are only ever added."""
    return msgspec.json.encode(content)


def read(vault: Vault, pull: Pull) -> Content:
    """Open a connection's content.

    Raises:
        KeyErased: the grant was erased.
        Tampered: it was changed, or lies in another row.
    """
    return msgspec.json.decode(pulls.open_content(vault, pull), type=Content)


def write(tx: Transaction, vault: Vault, pull: Pull, content: Content, leased_until: datetime) -> int:
    """Write a connection's content; returns the row's new version.

    Raises:
        ConnectionGone: it was ended, or taken over by somebody else; the transaction must not happen.
    """
    version = pulls.keep_content(tx, vault, pull, encode(content), leased_until)
    if version is None:
        raise ConnectionGone
    return version

"""Small texts that this host must read while a pod is locked, sealed so that a stolen database does not show them.

JWE in its compact form (RFC 7516, `dir`, A256GCM) under a key derived from the host's; the place is in the protected
header, so that a text moved to another row does not open there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from pod_server.authorization.errors import SealBroken

if TYPE_CHECKING:
    from collections.abc import Sequence


class DerivesKeys(Protocol):
    """The one thing asked of the host's key."""

    def derive(self, label: str, length: int = 32) -> bytes:
        """A key of its own for each label."""
        ...


_ALGORITHMS = ["dir", "A256GCM"]
_REGISTRY = jwe.JWERegistry(algorithms=_ALGORITHMS, strict_check_header=False)


def seal(host_key: DerivesKeys, label: str, place: Sequence[str], text: bytes) -> str:
    """Seal a text for the place (table and key) it is kept at."""
    key = OctKey.import_key(host_key.derive(label))
    header = {"alg": "dir", "enc": "A256GCM", "place": list(place)}
    return jwe.encrypt_compact(header, text, key, registry=_REGISTRY)


def unseal(host_key: DerivesKeys, label: str, place: Sequence[str], sealed: str) -> bytes:
    """Open what `seal` made for the same label and place.

    Raises:
        SealBroken: it was not made for them.
    """
    key = OctKey.import_key(host_key.derive(label))
    try:
        opened = jwe.decrypt_compact(sealed, key, registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise SealBroken("a text sealed for this host does not open") from error
    if opened.protected.get("place") != list(place) or opened.plaintext is None:
        raise SealBroken("a text sealed for this host lies in another place")
    return opened.plaintext

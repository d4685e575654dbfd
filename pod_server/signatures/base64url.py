"""Base64url without padding, as JOSE writes it (RFC 7515, section 2); reading accepts that one form alone."""

from __future__ import annotations

import base64
import binascii

from pod_server.signatures.errors import SignatureInvalid


def write(data: bytes) -> str:
    """Bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def read(text: str) -> bytes:
    """The bytes of a text that `write` made.

    Raises:
        SignatureInvalid: another alphabet, padding, or bits that do not belong.
    """
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise SignatureInvalid("A part is not base64url without padding.") from None
    if write(data) != text:
        raise SignatureInvalid("A part is not base64url without padding.")
    return data

"""What can go wrong with signatures."""

from __future__ import annotations

from pod_server import problems


class SignatureError(Exception):
    """The root of the signatures' errors."""


class SignatureInvalid(SignatureError):
    """A signed text does not verify: a wrong form, algorithm, key or signature. The message says which part."""


class ClaimInvalid(SignatureError):
    """A claim verifies as signed and does not hold here: expired, for somebody else, without the holder's proof."""


problems.declare(SignatureInvalid, "signature-invalid", "A signature does not verify", 400)
problems.declare(ClaimInvalid, "claim-invalid", "A signed claim does not hold here", 400)

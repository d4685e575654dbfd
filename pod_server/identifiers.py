"""The names by which the house knows things, each a type of its own so that none is passed for another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

PodId = NewType("PodId", int)
"""A pod's immutable number (63 random bits); it outlives every IRI the pod is reached by."""

Handle = NewType("Handle", str)
"""The public name in a pod's address, `[a-z][a-z0-9-]{1,30}`."""

GrantId = NewType("GrantId", str)
"""`g-` and 26 lower-case base32 characters (130 random bits)."""

ClientId = NewType("ClientId", str)
"""A partner's, an app's or a script's identifier at the authorization server."""

Subject = NewType("Subject", str)
"""The pairwise name by which one partner knows one citizen."""

Iri = NewType("Iri", str)
WebId = NewType("WebId", str)


@dataclass(frozen=True)
class Actor:
    """Who does something, as the log tells it.

    Attributes:
        kind: `citizen`, `partner`, `app`, `script`, `twin`, `research`, `operator`, `operator-assisted`, `guardian`,
            `attorney` or `anonymous`.
        id: A client identifier, a WebID, a representative's authority, or empty.
        name: What a person would call them.
        through: What a person would call whoever delivered for them; empty where they came themselves.
    """

    kind: str
    id: str = ""
    name: str = ""
    through: str = ""


HANDLE_PATTERN = re.compile(r"[a-z][a-z0-9-]{1,30}\Z")

RESERVED_WORDS = frozenset(
    {
        "account", "admin", "agent", "api", "app", "apps", "assets", "auth", "bridge", "consent", "dashboard", "demo",
        "docs", "health", "healthz", "help", "idp", "inbox", "internal", "live", "login", "logout", "metrics",
        "municipality", "oauth", "openapi", "partner", "partners", "pod", "pods", "problems", "public", "readyz",
        "research", "root", "sandbox", "sparql", "static", "status", "system", "test", "tvilling", "vocab", "well-known", "www",
    }
)  # fmt: skip
"""Words that the house uses, or may come to use, in its own addresses; never given out as handles."""


SANDBOX_PREFIX = "sandbox-"
"""How the handles of partners' sandbox citizens begin, and nobody else's."""


def parse_handle(text: str, *, sandbox: bool = False) -> Handle:
    """Check a handle against its pattern and the reserved words.

    Args:
        text: The handle.
        sandbox: Whether it is to be a partner's sandbox citizen's.

    Raises:
        ValueError: the text is not a handle, or is reserved; the message says which.
    """
    if not HANDLE_PATTERN.match(text):
        message = "a handle is 2 to 31 characters: a letter a-z first, then letters a-z, digits and hyphens"
        raise ValueError(message)
    if text in RESERVED_WORDS or (text.startswith(SANDBOX_PREFIX) and not sandbox):
        message = f"the word {text!r} is reserved for the house's own addresses"
        raise ValueError(message)
    return Handle(text)

"""What can be wrong with a consent that somebody tries to write down."""

from __future__ import annotations


class ConsentError(ValueError):
    """The root of this folder's errors."""


class TermsInvalid(ConsentError):
    """Terms that no citizen could be asked to agree to; the message says which part, and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class EventOutOfOrder(ConsentError):
    """An event that cannot follow the state a grant is in: nothing leads out of `erased`, say."""

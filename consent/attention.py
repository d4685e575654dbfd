"""What a citizen should look at again: a consent that ends soon, and one that nobody uses.

A consent is refreshed at fitting intervals and does not stand for longer than its purpose needs (GDPR Art. 5(1)(c, e);
EDPB Guidelines 05/2020, paragraphs 110 to 111). Nothing happens by itself but the end that was agreed: a reminder asks.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from consent.grant import GrantState

if TYPE_CHECKING:
    from datetime import datetime

    from consent.grant import Grant

REMIND_BEFORE = timedelta(days=30)
"""How long before its end a consent asks to be looked at; of a short one the last quarter."""

UNUSED_AFTER = timedelta(days=180)
"""How long nothing may have come or been read before a consent counts as unused."""


class Attention(StrEnum):
    """Why a consent should be looked at."""

    ENDS_SOON = "ends-soon"
    UNUSED = "unused"
    CONFIRM = "to-confirm"
    """A guardian gave it, and its citizen is old enough now (delegation.py); birthdays find these, not `attention`."""


def reminded_from(grant: Grant) -> datetime:
    """From when on a consent ends soon."""
    length = grant.terms.expires_at - grant.given_at
    return grant.terms.expires_at - min(REMIND_BEFORE, length / 4)


def attention(grant: Grant, last_use: datetime | None, at: datetime) -> Attention | None:
    """Why this consent should be looked at now, or None.

    Args:
        grant: The consent as it stands; one that has ended or is paused asks for nothing.
        last_use: When something was last delivered or read under it, or None.
        at: Now, in the city's time.
    """
    if grant.state_at(at) is not GrantState.ACTIVE:
        return None
    if at >= reminded_from(grant):
        return Attention.ENDS_SOON
    if at - max(last_use or grant.given_at, grant.changed_at) >= UNUSED_AFTER:
        return Attention.UNUSED
    return None

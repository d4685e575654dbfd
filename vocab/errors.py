"""What can be wrong with a record, or missing from the data beside this file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class VocabularyError(Exception):
    """The root of this package's errors."""


class BrokenVocabulary(VocabularyError):
    """The data shipped in this folder contradicts itself: a mistake in the house, never in a record."""


class NotAnActivity(VocabularyError):
    """A record is not an activity of a known kind.

    Attributes:
        path: The member at fault, as `$.quantity`; `$` for the record as a whole.
        reason: What was expected there. It never repeats the record's own values.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Implausible(NotAnActivity):
    """A record that no meter, watch or shop can have made: its rate is beyond what is physically there."""


class PersonInText(NotAnActivity):
    """A free text that holds what names a person: a national number, an e-mail address, a telephone number."""


class NotAProgramme(VocabularyError):
    """What a municipality would publish is no programme that the twin can judge.

    Attributes:
        path: The member at fault, as `title.nb`; empty for the whole.
        reason: What was expected there. It never repeats what was sent.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


class NoFactor(VocabularyError):
    """No emission factor is known for this kind, discriminator, time and place: the footprint is unknown, not zero."""

    def __init__(self, kind_slug: str, discriminator: str, at: datetime, place: str) -> None:
        what = f"{kind_slug} {discriminator}".strip()
        super().__init__(f"no emission factor for {what} in {place} at {at.date().isoformat()}")
        self.kind_slug = kind_slug
        self.discriminator = discriminator
        self.at = at
        self.place = place

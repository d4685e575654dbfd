"""What a record may say and still be true: bounds on rates, and no other person in its free text.

Bounds are data (tv:plausible in each kind's kind.ttl), each with its source. Above `impossible` a record is refused: a
wrong unit, a lost decimal point. Above `unlikely` it is taken in, and the page that explains it says so.

Free text is where people's names end up. A record is about the citizen who consented, so a national number, an e-mail
address or a Norwegian telephone number there is refused: whose it is, nobody can tell. Other persons' names cannot be told from the
names of shops; connectors leave such texts out (connectors/sparebank1.py). What a partner names its records by is its
own affair and not searched: one in several hundred elevenfold numbers passes for a person's.

Source: Skatteetaten on national identity numbers (fødselsnummer, D-number, H-number; synthetic ones add 80 to the
month, those of Norsk helsenett 65); the check digits are those of Folkeregisterforskriften § 2-2-1.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

Measure = Literal["per-hour", "per-minute", "quantity"]
UNIT_SECONDS = {"per-hour": 3600.0, "per-minute": 60.0}
LEAST_SECONDS = 60.0
"""A shorter record is judged as if it took a minute: what is rounded to the second says little of a rate."""


@dataclass(frozen=True)
class Bound:
    """How much a record of a kind may hold.

    Attributes:
        measure: Of what: the quantity, or the quantity by the hour or minute (records without length have none).
        unlikely: Above it the citizen is told that the figure is unusual.
        impossible: Above it the record is refused.
        source: Where the two come from.
    """

    measure: str
    unlikely: float
    impossible: float
    source: str

    def allowed(self, seconds: float) -> float:
        """The most that a record so long may hold."""
        return self._scaled(self.impossible, seconds)

    def usual(self, seconds: float) -> float:
        """The most that a record so long usually holds."""
        return self._scaled(self.unlikely, seconds)

    def _scaled(self, most: float, seconds: float) -> float:
        if self.measure == "quantity":
            return most
        if seconds <= 0:
            return math.inf
        return most * (max(LEAST_SECONDS, seconds)) / UNIT_SECONDS[self.measure]


_NUMBER = re.compile(r"(?<!\d)(\d{6})[ \u00a0.-]?(\d{5})(?!\d)")
_ADDRESS = re.compile(r"[^\s@<>]@[^\s@<>.]+(?:\.[^\s@<>.]+)+")
_TELEPHONE = re.compile(r"(?<![\d+])(?:\+|00)47(?:[ \u00a0]?\d){8}(?!\d)")
_FIRST = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)
_SECOND = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
_MONTH_ADDED = (0, 40, 65, 80)


def person_in(text: str) -> str | None:
    """What in a text names a person: "national-number", "e-mail" or "telephone"; None where nothing does."""
    if any(is_national_number(first + rest) for first, rest in _NUMBER.findall(text)):
        return "national-number"
    if "@" in text and _ADDRESS.search(text):
        return "e-mail"
    return "telephone" if _TELEPHONE.search(text) else None


def is_national_number(digits: str) -> bool:
    """Whether eleven digits are a national identity number, a D-number, an H-number or a synthetic one of either."""
    values = [int(digit) for digit in digits]
    if len(values) != 11:
        return False
    if sum(a * b for a, b in zip(values[:10], _FIRST, strict=True)) % 11:
        return False
    if sum(a * b for a, b in zip(values, _SECOND, strict=True)) % 11:
        return False
    day, month = values[0] * 10 + values[1], values[2] * 10 + values[3]
    shared_help_number = values[0] >= 8  # FH-numbers of the health services hold no date
    return shared_help_number or (
        day % 40 in range(1, 32) and day <= 71 and any(1 <= month - added <= 12 for added in _MONTH_ADDED)
    )

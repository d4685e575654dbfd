"""A service's team challenges: what is offered, and what is said there under a name made for one challenge alone.

All of it is guessed (G): that there are challenges, with teams whose winners need more than sixty per cent to take part, is
known of Ducky; addresses and members are nobody's published words. `GET /challenges` answers `{"challenges": [{"id", "title",
"measure", "goal", "starts", "ends", "participation"}]}`; `POST /challenges/{id}/join`, `/progress` and `/leave` take
`{"participant"}`, and progress `{"participant", "percent"}`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import msgspec

from partner_bridge.connectors.calculator import Question
from partner_bridge.connectors.normalising import decode_as, shown_text
from partner_bridge.errors import UnusablePayload

if TYPE_CHECKING:
    from collections.abc import Mapping

MEASURES: Mapping[str, str] = {"steps": "steps-day"}
"""The service's word → the figure of the twin's that says how far one is (vocab/shared-figures.ttl)."""

STEP_PERCENT = 25
LONGEST = timedelta(days=35)
"""The twin keeps its days for forty."""

MOST_OFFERED = 50
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}\Z")
_LONGEST_TITLE = 80
_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


@dataclass(frozen=True)
class Challenge:
    """One challenge as it is offered.

    Attributes:
        id: The service's.
        title: Free words of the service's, without what turns the direction of writing.
        measure: A key of `MEASURES`.
        goal: How much in all, in the figure's unit.
        starts, ends: Local days, the last one included.
        participation: How many per cent of the team take part; None where it does not say.
    """

    id: str
    title: str
    measure: str
    goal: float
    starts: date
    ends: date
    participation: int | None = None


class _Offered(msgspec.Struct, gc=False):
    id: str
    title: str
    measure: str
    goal: float
    starts: date
    ends: date
    participation: float | None = None


class _Answer(msgspec.Struct, gc=False):
    challenges: list[_Offered]


LIST = Question("/challenges", b"")


def read_challenges(body: bytes) -> list[Challenge]:
    """Those that somebody here can take part in; others are left out.

    Raises:
        UnusablePayload: the answer has another form, or no end.
    """
    said: _Answer = decode_as(body, _Answer)
    if len(said.challenges) > MOST_OFFERED:
        raise UnusablePayload(f"more than {MOST_OFFERED} challenges")
    found: dict[str, Challenge] = {}
    for each in said.challenges:
        plain = "".join(letter for letter in each.title if unicodedata.category(letter) not in _HIDDEN)
        title = shown_text(plain, _LONGEST_TITLE)
        lasts = each.ends - each.starts
        if not (_ID.match(each.id) and title and each.measure in MEASURES and timedelta(0) <= lasts <= LONGEST):
            continue
        if not 1 <= each.goal <= 10_000_000:
            continue
        share = each.participation
        told = None if share is None or not 0 <= share <= 100 else round(share)
        found[each.id] = Challenge(each.id, title, each.measure, each.goal, each.starts, each.ends, told)
    return list(found.values())


def join(challenge: str, participant: str) -> Question:
    """The name, and nothing else."""
    return Question(f"/challenges/{challenge}/join", msgspec.json.encode({"participant": participant}))


def progress(challenge: str, participant: str, percent: int) -> Question:
    """The name, and how far in whole quarters."""
    body = msgspec.json.encode({"participant": participant, "percent": percent})
    return Question(f"/challenges/{challenge}/progress", body)


def leave(challenge: str, participant: str) -> Question:
    """The name, to be forgotten."""
    return Question(f"/challenges/{challenge}/leave", msgspec.json.encode({"participant": participant}))

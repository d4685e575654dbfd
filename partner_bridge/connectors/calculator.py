"""What a calculation service is: it is asked with sums that say nothing of whom, and answers with figures of its own.

Unlike the other connectors it brings no activities in. What it is shown, and what is believed of its answer, is decided
here and in calculating.py; a service's own file knows its addresses, its words and its format.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from partner_bridge.errors import UnusablePayload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from partner_bridge.connectors.declaration import Declaration

VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,39}\Z")
"""The one free word of an answer that is kept."""

MOST_PER_KRONE = 1.0
"""kg CO2e. The greatest per krone that the house cites is 0.1 (vocab/factors/spending.ttl); ten times that is no figure."""


@dataclass(frozen=True)
class Line:
    """One sum as the service is shown it.

    Attributes:
        number: `1`, `2`, … in this request alone; it names nothing beyond it.
        spend_class: What the money went to, in the house's word; not sent.
        category: The same in the service's word.
        amount: Whole hundreds of kroner.
    """

    number: str
    spend_class: str
    category: str
    amount: int


@dataclass(frozen=True)
class Estimate:
    """What the service answered to one sum, in kg CO2e; the ends only where it told them."""

    number: str
    best: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    Attributes:
        version: The service's own word for what it reckoned with; empty where it told none.
        estimates: One a line, in the lines' order.
    """

    version: str
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True)
class Question:
    """One request: a path below the service's interface, and the exact bytes."""

    path: str
    body: bytes


class Calculator(Protocol):
    """One service's words and format.

    Attributes:
        name: As in commands and addresses.
        title: What people call it.
        kinds: The kinds that sums are made of.
        form: `json`.
        declaration: What it does, and on what terms.
        categories: The house's class of spending → the service's word; no other class is sent.
    """

    name: str
    title: str
    kinds: frozenset[str]
    form: Literal["json", "text"]
    declaration: Declaration
    categories: Mapping[str, str]

    def question(self, lines: Sequence[Line]) -> Question:
        """The request for some sums."""
        ...

    def read_answer(self, body: bytes, lines: Sequence[Line]) -> Answer:
        """What the service answered.

        Raises:
            UnusablePayload: another format or unit, too few or too many, or more than there can be.
        """
        ...


def require_whole(answer: Answer, lines: Sequence[Line]) -> Answer:
    """Hold an answer against what was asked: one estimate a line, finite, possible, its ends around it.

    Raises:
        UnusablePayload: it says what, and repeats nothing of the answer.
    """
    if answer.version and not VERSION.match(answer.version):
        raise UnusablePayload("its version is no short word")
    by_number = {each.number: each for each in answer.estimates}
    if len(answer.estimates) != len(lines) or by_number.keys() != {line.number for line in lines}:
        raise UnusablePayload("it did not answer each sum once")
    for line in lines:
        estimate = by_number[line.number]
        told = [each for each in (estimate.low, estimate.best, estimate.high) if each is not None]
        if not all(math.isfinite(each) and 0 <= each <= line.amount * MOST_PER_KRONE for each in told):
            raise UnusablePayload(f"a figure outside 0 to {MOST_PER_KRONE:g} kg a krone: check its unit")
        if told != sorted(told) or (estimate.low is None) is not (estimate.high is None):
            raise UnusablePayload("the ends of a figure are not around it")
    return Answer(answer.version, tuple(by_number[line.number] for line in lines))

"""Figures as intervals: the likely low end, the best figure, the likely high end, always in that order.

Sums add ends to ends: the errors of one source's factors are taken to lean the same way, which is the cautious reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Interval(NamedTuple):
    """Low, mean and high of one quantity, in one unit; 0 ≤ low ≤ mean ≤ high for all that the twin counts."""

    low: float
    mean: float
    high: float

    def plus(self, other: Interval) -> Interval:
        """The sum, end by end."""
        return Interval(self.low + other.low, self.mean + other.mean, self.high + other.high)

    def times(self, amount: float) -> Interval:
        """The interval for `amount` ≥ 0 units.

        Raises:
            ValueError: the amount is negative, which would turn low and high round.
        """
        if amount < 0:
            raise ValueError("an amount is not negative")
        return Interval(self.low * amount, self.mean * amount, self.high * amount)

    def divided_by(self, parts: int) -> Interval:
        """One of `parts` ≥ 1 equal shares.

        Raises:
            ValueError: fewer than one part.
        """
        if parts < 1:
            raise ValueError("a share is of at least one part")
        return Interval(self.low / parts, self.mean / parts, self.high / parts)

    def is_within(self, other: Interval) -> bool:
        """Whether both ends lie inside the other's ends."""
        return other.low <= self.low and self.high <= other.high


ZERO = Interval(0.0, 0.0, 0.0)


def total(intervals: Iterable[Interval]) -> Interval:
    """The sum of any number of intervals; `ZERO` of none."""
    result = ZERO
    for each in intervals:
        result = result.plus(each)
    return result

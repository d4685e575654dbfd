"""Steps that come minute by minute, or in pieces of any length, put together by device and quarter of an hour.

A minute is finer than any citizen is asked for, and a year of minutes is half a million records. What spans several
quarters is shared out among them by time. Devices stay apart, since several of them tell of one walk
(vocab/counting-rules.ttl, walk-once); they are named by what they are and never by what their owner calls them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from partner_bridge.connectors.normalising import Normalised, instant
from partner_bridge.errors import UnusablePayload

if TYPE_CHECKING:
    from collections.abc import Iterator

QUARTER = timedelta(minutes=15)
LONGEST = timedelta(days=1)
QUARTERS_AT_MOST = 2_000_000
"""Fifty-seven years of one device: more is an attack on memory, or no such file."""


@dataclass
class Quarters:
    """The steps and metres of each device and quarter of an hour.

    Attributes:
        prefix: Of the records' names.
        title: What a person calls the source.
    """

    prefix: str
    title: str
    _walked: dict[tuple[str, str], dict[int, list[float]]] = field(default_factory=dict)
    _count: int = 0

    def add(  # noqa: PLR0917 - a piece of a walk
        self, device: str, label: str, start: datetime, end: datetime, steps: float = 0.0, metres: float = 0.0
    ) -> None:
        """Add what a device told of a stretch of time.

        Args:
            device: Whatever tells the device from others; kept as a digest only.
            label: What kind of device it is, for people.
            start: When the stretch began.
            end: When it ended.
            steps: How many.
            metres: How far.

        Raises:
            UnusablePayload: it ends before it starts, or spans more than a day, or there are more quarters than in a life.
        """
        if not timedelta(0) <= end - start <= LONGEST:
            raise UnusablePayload("a count of steps that ends before it starts, or spans more than a day")
        quarters = self._walked.setdefault((hashlib.sha256(device.encode()).hexdigest()[:12], label), {})
        first, last = start.timestamp(), end.timestamp()
        number = int(first // 900)
        while True:
            share = (
                1.0
                if last <= first
                else max(0.0, min(last, number * 900 + 900) - max(first, number * 900)) / (last - first)
            )
            if share:
                if number not in quarters:
                    quarters[number] = [0.0, 0.0]
                    self._count += 1
                    if self._count > QUARTERS_AT_MOST:
                        raise UnusablePayload("more quarters of an hour than a life has")
                quarters[number][0] += steps * share
                quarters[number][1] += metres * share
            number += 1
            if number * 900 >= last:
                return

    def records(self, until: datetime | None = None) -> Iterator[Normalised | UnusablePayload]:
        """One record a device and quarter in which somebody walked; those that end after `until` are left for later."""
        for (device, label), quarters in sorted(self._walked.items()):
            source = f"{self.title} ({label})" if label else self.title
            for number in sorted(quarters):
                steps, metres = quarters[number]
                at = datetime.fromtimestamp(number * 900, UTC)
                if round(steps) <= 0 or (until is not None and at + QUARTER > until):
                    continue
                activity: dict[str, Any] = {
                    "@id": f"{self.prefix}:{device}/{at:%Y%m%dT%H%MZ}",
                    "@type": "StepCount",
                    "start": instant(at),
                    "end": instant(at, QUARTER),
                    "quantity": round(steps),
                    "unit": "NUM",
                    "source": f"{source} {device[:4]}",
                }
                if metres > 0:
                    activity["distanceMetres"] = round(metres, 1)
                yield Normalised(activity, may_replace=True)

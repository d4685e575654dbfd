"""What goes wrong at a stranger: one list of switches for every simulator, turned while they run, the same for the same seed.

A switch is written `STRANGER:SWITCH`, with `=TIMES` (so many times more), `=SHARE%` (of the occasions, drawn from the city's
seed) or nothing (until it is turned off, `=0`): `sparebank1-smn:429=3`, `oss-pull:half-answer=20%`, `atb:late`. docs/faults.md
says what each switch does in each channel, and which test holds it there.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Switch(StrEnum):
    """What can go wrong."""

    DUPLICATES = "duplicates"
    """Everything is told a second time."""
    LATE = "late"
    """What is new is held back, and told when the switch is turned off again, the newest first."""
    DST = "dst"
    """Times are told on the wall's clock with its offset: an hour of autumn comes twice, one of spring never."""
    SKEW = "skew"
    """Its clock runs ten minutes ahead."""
    EXPIRED = "expired-consent"
    """It goes on, or is gone on with, though the consent has ended."""
    ROTATION = "key-rotation"
    """Its keys are new from one moment to the next: tokens, secrets and signatures of the old ones hold no more."""
    REPLAY = "replayed-proof"
    """A proof that was used is shown once more."""
    BUSY = "429"
    """It wants to be left alone for a while: 429 with Retry-After."""
    ILL = "5xx"
    """It is ill: 500, and a page instead of data."""
    HALF = "half-answer"
    """It hangs up in the middle."""
    NONSENSE = "nonsense"
    """A whole answer that is half of its content."""
    SLOW = "slow"
    """It answers, but later than anybody waits."""
    UNIT = "wrong-unit"
    """Its figures are in another unit than it always told."""
    BOUNDS = "out-of-bounds"
    """Its figures are greater than there can be."""


class FaultUnknown(ValueError):
    """No such stranger or switch, or no number; the message says which there are."""


@dataclass
class _Turned:
    """How a switch stands: so many times, or a share of the occasions, or until it is turned off."""

    times: int | None = None
    share: float = 1.0

    def __str__(self) -> str:
        if self.times is not None:
            return str(self.times)
        return "on" if self.share == 1.0 else f"{self.share:.0%}"


@dataclass
class Faults:
    """One stranger's switches.

    Attributes:
        name: The stranger's, so that no two draw the same.
        seed: The city's.
        met: How often each switch made something go wrong.
    """

    name: str = ""
    seed: int = 0
    met: Counter[Switch] = field(default_factory=Counter)
    _turned: dict[Switch, _Turned] = field(default_factory=dict)
    _occasions: Counter[Switch] = field(default_factory=Counter)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def turn(self, switch: str, how: str = "on") -> None:
        """Turn a switch.

        Args:
            switch: Its name.
            how: `on`, `off`, so many times (`3`), or a share of the occasions (`20%`).

        Raises:
            FaultUnknown: no such switch, or none of these.
        """
        try:
            known = Switch(switch)
        except ValueError:
            raise FaultUnknown(f"the switches are {', '.join(Switch)}") from None
        turned = _read(how)
        with self._guard:
            if turned is None:
                self._turned.pop(known, None)
            else:
                self._turned[known] = turned

    def happens(self, switch: Switch) -> bool:
        """Whether it goes wrong on this occasion; counts the times down."""
        with self._guard:
            turned = self._turned.get(switch)
            if turned is None:
                return False
            if turned.times is None:
                self._occasions[switch] += 1
                draw = Random(f"{self.seed}/{self.name}/{switch}/{self._occasions[switch]}")  # noqa: S311 - a city for show
                if draw.random() >= turned.share:
                    return False
            else:
                turned.times -= 1
                if turned.times == 0:
                    del self._turned[switch]
            self.met[switch] += 1
            return True

    def stands(self, switch: Switch) -> bool:
        """Whether a switch is turned on, for what is a state and no occasion."""
        return switch in self._turned

    def as_told(self) -> dict[str, dict[str, Any]]:
        """How each switch stands and how often it was met, for the page and the control door."""
        with self._guard:
            return {
                switch.value: {"now": str(self._turned.get(switch, "off")), "met": self.met[switch]}
                for switch in Switch
                if switch in self._turned or self.met[switch]
            }


def _read(how: str) -> _Turned | None:
    if how in {"off", "0"}:
        return None
    if how == "on":
        return _Turned()
    digits = how.removesuffix("%")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 6:
        raise FaultUnknown("a switch is on, off, turned so many times (3), or for a share of the occasions (20%)")
    if how.endswith("%"):
        if int(digits) > 100:
            raise FaultUnknown("a share is at most 100%")
        return _Turned(share=int(digits) / 100) if int(digits) else None
    return _Turned(times=int(digits))


def turn(strangers: Mapping[str, Faults], order: str) -> None:
    """Carry out one `STRANGER:SWITCH[=HOW]`; `all` stands for every stranger.

    Raises:
        FaultUnknown: no such stranger or switch, or it cannot be read.
    """
    name, _, rest = order.partition(":")
    switch, _, how = rest.partition("=")
    if name != "all" and name not in strangers:
        raise FaultUnknown(f"{name or 'nobody'} is no stranger here; they are {', '.join(strangers)}, or all")
    for each in strangers.values() if name == "all" else (strangers[name],):
        each.turn(switch, how or "on")

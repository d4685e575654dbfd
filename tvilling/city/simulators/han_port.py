"""A meter's HAN port as the city has it: HDLC frames of a Kamstrup meter, written into a pipe that stands for the serial line.

Format: DLMS/COSEM over HDLC as NEK's HAN profile has it (ISO/IEC 13239 for frames and checksums); the list is the one of a
single-phase Kamstrup meter, cut to what the city knows: the meter's number, its power and its clock.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tvilling.city.electricity import LOCAL, watts_at
from tvilling.city.simulators.faults import Faults, Switch
from tvilling.city.simulators.sources import City, meter_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tvilling.city.households import Household

BETWEEN = timedelta(seconds=2.5)
"""Of list 1 (docs/partners.md)."""

_HEAD = bytes.fromhex("e6e7000f00000000")
_FLAG = b"\x7e"


def frames_between(
    household: Household, city: City, after: datetime, until: datetime, faults: Faults
) -> Iterator[bytes]:
    """The frames that a meter sends after one time and at or before another."""
    extra = city.extra_watts.get(household.handle, {})
    number = int(after.timestamp() / BETWEEN.total_seconds()) + 1
    while (at := datetime.fromtimestamp(number * BETWEEN.total_seconds(), UTC)) <= until:
        minute = at.replace(second=0, microsecond=0)
        watts = round(watts_at(household, minute, city.seed, extra))
        clock = at + (timedelta(minutes=10) if faults.stands(Switch.SKEW) else timedelta(0))
        whole = frame(telegram(meter_number(household), watts, clock))
        if faults.happens(Switch.HALF):
            whole = whole[: len(whole) // 2]
        if faults.happens(Switch.NONSENSE):
            place = Random(f"{city.seed}/{number}/frame").randrange(8, len(whole) - 4)  # noqa: S311 - a city for show
            whole = whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
        yield whole
        if faults.happens(Switch.DUPLICATES):
            yield whole
        number += 1


def telegram(meter: str, watts: int, at: datetime) -> bytes:
    """What lies in a frame: a Kamstrup list with the meter's number, its clock (local time, as meters have it) and its power."""
    wall = at.astimezone(LOCAL)
    clock = struct.pack(">HBBBBBBBhB", wall.year, wall.month, wall.day, wall.isoweekday(), wall.hour, wall.minute,
                        wall.second, 0xFF, -0x8000, 0)  # fmt: skip
    return b"".join(
        (
            _HEAD, b"\x0c", clock, b"\x02\x0f", _text("Kamstrup_V0001"),
            _named("0101000005ff", _text(meter)), _named("0101600101ff", _text("000000000000000000")),
            _named("0101010700ff", _number(watts)), _named("01011f0700ff", _number(0)),
            _named("0101200700ff", b"\x12\x00\xe6"), _named("0001010000ff", b"\x09\x0c" + clock),
            _named("0101010800ff", _number(100)),
        )
    )  # fmt: skip


def frame(payload: bytes) -> bytes:
    """An HDLC frame of type 3 around a telegram."""
    length = 2 + 1 + 2 + 1 + 2 + len(payload) + 2
    head = bytes([0xA0 | length >> 8, length & 0xFF, 0x41, 0x08, 0x83, 0x13])
    body = head + checksum(head) + payload
    return _FLAG + body + checksum(body) + _FLAG


def checksum(content: bytes) -> bytes:
    """ISO/IEC 13239's 16-bit frame check sequence, bit by bit."""
    state = 0xFFFF
    for byte in content:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ 0x8408 if state & 1 else state >> 1
    return (state ^ 0xFFFF).to_bytes(2, "little")


def _text(words: str) -> bytes:
    return bytes([0x0A, len(words)]) + words.encode("ascii")


def _named(obis: str, value: bytes) -> bytes:
    return bytes.fromhex("0906" + obis) + value


def _number(value: int) -> bytes:
    return b"\x06" + struct.pack(">I", value)


@dataclass
class HanPort:
    """One meter's port; whoever reads the pipe hears it, and nothing is kept for who comes later."""

    household: Household
    city: City
    path: Path
    faults: Faults = field(default_factory=Faults)
    _line: int | None = None
    _told_to: datetime | None = None

    def send(self, now: datetime) -> None:
        """Send what the meter has sent since the last time, where somebody listens."""
        if self._line is None:
            try:
                self._line = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return  # nobody listens yet
        if self._told_to is not None and not self.faults.stands(Switch.LATE):
            for each in frames_between(self.household, self.city, self._told_to, now, self.faults):
                try:
                    os.write(self._line, each)
                except BlockingIOError:
                    continue  # the listener is slow: a serial line does not wait
                except OSError:
                    self.close()
                    return
        self._told_to = now

    def close(self) -> None:
        """Hang up: the listener reads the end."""
        if self._line is not None:
            os.close(self._line)
        self._line, self._told_to = None, None

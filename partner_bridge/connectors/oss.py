"""Oss.no: power by the minute from a reader on the meter's HAN port.

Format: `GET api.services.oss.no/api/Telemetry/{meter}/{from}/{to}/{1|2|3}` answers
`[{timestamp, activePower: {input, output: {min, max, avg}}}]` in W (docs/partners.md). Pushed, the list carries the
meter's number and the resolution that the address carries when it is pulled.

Traps: power is no energy (W over a minute is a sixtieth of it in Wh); a minute that the reader missed is null, which
is unknown and not zero; `output` is what the house sends out (solar panels) and no consumption.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Ask, Context, Normalised, Took, decode_as, instant, name_part
from partner_bridge.errors import UnusablePayload

FIRST_PULL = timedelta(days=1)
WINDOW = timedelta(hours=6)
LATE = timedelta(minutes=5)
"""The reader sends its minutes in bundles: the last few are asked for once more."""

LONGEST_SILENCE = timedelta(days=7)
"""A reader that was away tells what it kept when it is back: it is asked from the last minute that it told, so far back."""

_RESOLUTIONS = {1: timedelta(minutes=1), 2: timedelta(hours=1), 3: timedelta(days=1)}
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class _Power(msgspec.Struct, gc=False):
    avg: float | None = None


class _ActivePower(msgspec.Struct, gc=False):
    input: _Power | None = None


class _Telemetry(msgspec.Struct, gc=False):
    timestamp: datetime
    active_power: _ActivePower | None = msgspec.field(name="activePower", default=None)


class _Meter(msgspec.Struct, gc=False):
    number: str = msgspec.field(name="meterNumber")


class _Payload(msgspec.Struct, gc=False):
    meter_number: str = msgspec.field(name="meterNumber")
    telemetry: list[_Telemetry]
    resolution: Literal[1, 2, 3] = 1


class _Meters(msgspec.Struct, gc=False):
    meters: list[_Meter]


class Oss:
    """Power by the minute, hour or day."""

    name = "oss"
    title = "Oss.no"
    kinds = frozenset({"electricity-reading"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("oss", "Oss.no", "https://oss.no"),
        channels=("push", "token-pull"),
        granularity="PT1M",
        frequency="continuous",
        history=FIRST_PULL,
        terms=Words(
            nb="Kommer bare mens samtykket ditt gjelder, eller mens du har gitt et token fra appen deres; du kan ta begge tilbake.",
            nn="Kjem berre medan samtykket ditt gjeld, eller medan du har gjeve eit token frå appen deira; du kan ta begge tilbake.",
            en="Comes only while your consent stands, or while you have given a token from their app; you can take back both.",
        ),
        format_source="docs/partners.md",
        limits=(
            Words(
                nb="Et minutt leseren gikk glipp av, mangler; det gjettes ikke.",
                nn="Eit minutt lesaren gjekk glipp av, manglar; det blir ikkje gjetta.",
                en="A minute the reader missed is missing; it is not guessed.",
            ),
            Words(
                nb="Det huset sender ut på nettet (solceller), er ikke med.",
                nn="Det huset sender ut på nettet (solceller), er ikkje med.",
                en="What the house sends out to the grid (solar panels) is left out.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One reading an interval that was measured."""
        pushed: _Payload = decode_as(payload, _Payload)
        length = _RESOLUTIONS[pushed.resolution]
        hours = length / timedelta(hours=1)
        meter = name_part(pushed.meter_number)
        for reading in pushed.telemetry:
            power = reading.active_power.input if reading.active_power else None
            if power is None or power.avg is None:
                continue  # the reader missed it: a gap stays a gap
            if power.avg < 0:
                yield UnusablePayload("a negative input power; what the house sends out is `output`")
                continue
            try:
                minute = reading.timestamp.replace(second=0, microsecond=0)
                start, end = instant(minute), instant(minute, length)
            except UnusablePayload as error:
                yield error
                continue
            yield Normalised(
                {
                    "@id": f"oss:{meter}/{start}/{pushed.resolution}",
                    "@type": "ElectricityReading",
                    "start": start,
                    "end": end,
                    "quantity": round(power.avg * hours / 1000, 6),
                    "unit": "KiloW-HR",
                    "quality": "measured",
                    "meter": pushed.meter_number[:40],
                    "source": "Oss.no",
                }
            )

    def pull(self, cursor: dict[str, Any], now: datetime) -> Generator[Ask | Took, bytes, None]:
        """Every meter's whole minutes since the last time, at most six hours of them in one answer."""
        until = now.replace(second=0, microsecond=0)
        meters: _Meters = decode_as((yield Ask("/Meter")), _Meters)
        for meter in sorted(each.number for each in meters.meters):
            told = cursor.get(meter)
            read_to = datetime.fromisoformat(told) if told else until - FIRST_PULL
            first = max(read_to - LATE, until - LONGEST_SILENCE) if told else read_to
            while first < until:
                last = min(first + WINDOW, until)
                telemetry = yield Ask(
                    f"/Telemetry/{quote(meter, safe='')}/{quote(instant(first))}/{quote(instant(last))}/1"
                )
                read_to = max(read_to, min(_measured_to(telemetry), last))
                payload = msgspec.json.encode(
                    {"meterNumber": meter, "resolution": 1, "telemetry": msgspec.Raw(telemetry)}
                )
                cursor = cursor | {meter: read_to.isoformat()}
                yield Took(payload, cursor)
                first = last


def _measured_to(telemetry: bytes) -> datetime:
    """The end of the newest minute that an answer tells a power of; long ago where it tells none."""
    readings: list[_Telemetry] = decode_as(telemetry, list[_Telemetry])
    ends = (
        each.timestamp + _RESOLUTIONS[1]
        for each in readings
        if each.timestamp.tzinfo is not None and each.active_power is not None
        if each.active_power.input is not None and each.active_power.input.avg is not None
    )
    return max(ends, default=_LONG_AGO)

"""The meter's own port (HAN), through a local agent that adds its telegrams up to minutes before anything leaves the house.

Format: ours, made by partner_bridge/channels/han_agent.py: `{meter, minutes: [{start, watts, samples}]}`, the mean of the active
power that the meter told in that minute. Aidon, Kaifa and Kamstrup tell it every 2.5 seconds (list 1); 24 samples are a whole
minute, and a minute with few of them is an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Context, Normalised, decode_as, instant, name_part
from partner_bridge.errors import UnusablePayload

MINUTE = timedelta(minutes=1)
ENOUGH_SAMPLES = 4
"""Kamstrup's ten-second lists give six; fewer than four leave most of the minute unseen."""


class _Minute(msgspec.Struct, gc=False):
    start: datetime
    watts: float
    samples: int = 0


class _Payload(msgspec.Struct, gc=False):
    meter: str
    minutes: list[_Minute]


class Han:
    """Power by the minute, from the meter itself."""

    name = "han"
    title = "HAN"
    kinds = frozenset({"electricity-reading"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("own-meter", "Egen måler"),
        channels=("agent",),
        granularity="PT1M",
        frequency="continuous",
        history=timedelta(0),
        terms=Words(
            nb="Leses hjemme hos deg av et program du selv kjører; ingenting finere enn et minutt forlater huset.",
            nn="Blir lese heime hos deg av eit program du køyrer sjølv; ingenting finare enn eit minutt forlèt huset.",
            en="Read in your home by a programme you run yourself; nothing finer than a minute leaves the house.",
        ),
        format_source="docs/partners.md",
        limits=(
            Words(
                nb="Et minutt med få målinger merkes som anslått.",
                nn="Eit minutt med få målingar blir merkt som gjetta.",
                en="A minute with few telegrams is marked as estimated.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One reading a minute."""
        told: _Payload = decode_as(payload, _Payload)
        meter = name_part(told.meter)[:40]
        for minute in told.minutes:
            if minute.watts < 0 or minute.samples < 1:
                yield UnusablePayload("a minute without samples, or with a negative power")
                continue
            try:
                if minute.start.second or minute.start.microsecond:
                    yield UnusablePayload("a minute begins on the minute")
                    continue
                start, end = instant(minute.start), instant(minute.start, MINUTE)
            except UnusablePayload as error:
                yield error
                continue
            yield Normalised(
                {
                    "@id": f"han:{meter}/{start}",
                    "@type": "ElectricityReading",
                    "start": start,
                    "end": end,
                    "quantity": round(minute.watts / 60_000, 6),
                    "unit": "KiloW-HR",
                    "quality": "measured" if minute.samples >= ENOUGH_SAMPLES else "estimated",
                    "meter": meter,
                    "source": "HAN",
                }
            )

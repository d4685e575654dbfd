"""TrønderEnergi: hourly metering values, pushed daily.

No consumer API of theirs was found; the format is that of another grid company's, which the PyPI package `elvia`
reads: `meteringpoints[].meteringPointId, metervalue.timeSeries[]{startTime, endTime, value, uom, production,
verified}` (docs/partners.md).

Traps: a `production` series is what the house sends out, no consumption; an unverified value is an estimate which a
verified one for the same hour replaces later; a unit other than kWh would be a thousandfold error; a null is a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Context, Normalised, decode_as, instant, name_part
from partner_bridge.errors import UnusablePayload

_KWH_PER_UNIT = {"kwh": 1.0, "wh": 0.001, "mwh": 1000.0}


class _Value(msgspec.Struct, gc=False):
    start_time: datetime = msgspec.field(name="startTime")
    end_time: datetime = msgspec.field(name="endTime")
    value: float | None = None
    uom: str = "kWh"
    production: bool = False
    verified: bool = False


class _MeterValue(msgspec.Struct, gc=False):
    time_series: list[_Value] = msgspec.field(name="timeSeries")


class _MeteringPoint(msgspec.Struct, gc=False):
    metering_point_id: str = msgspec.field(name="meteringPointId")
    metervalue: _MeterValue


class _Payload(msgspec.Struct, gc=False):
    meteringpoints: list[_MeteringPoint]


class TronderEnergi:
    """Hourly consumption from the grid's own meter."""

    name = "tronderenergi"
    title = "TrønderEnergi"
    kinds = frozenset({"electricity-reading"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("tronderenergi", "TrønderEnergi"),
        channels=("push",),
        granularity="PT1H",
        frequency="daily",
        history=None,
        terms=Words(
            nb="Kommer bare mens samtykket ditt gjelder; leverandøren ser ingenting av det andre i podden.",
            nn="Kjem berre medan samtykket ditt gjeld; leverandøren ser ingenting av det andre i podden.",
            en="Comes only while your consent stands; the supplier sees nothing else in your pod.",
        ),
        format_source="docs/partners.md",
        guesses=(
            Words(
                nb="De har ikke noe åpent format; formen er et annet nettselskaps.",
                nn="Dei har ikkje noko ope format; forma er frå eit anna nettselskap.",
                en="They publish no format; the form is another grid company's.",
            ),
        ),
        limits=(
            Words(
                nb="Strøm du produserer, er ikke med.",
                nn="Straum du produserer, er ikkje med.",
                en="Power that you produce is left out.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One reading an hour consumed; estimates may be replaced by what was measured."""
        pushed: _Payload = decode_as(payload, _Payload)
        for point in pushed.meteringpoints:
            name = name_part(point.metering_point_id)
            for value in point.metervalue.time_series:
                if value.production or value.value is None:
                    continue
                factor = _KWH_PER_UNIT.get(value.uom.lower())
                if factor is None:
                    yield UnusablePayload("a value in a unit that is no energy (kWh, Wh or MWh)")
                    continue
                try:
                    start, end = instant(value.start_time), instant(value.end_time)
                except UnusablePayload as error:
                    yield error
                    continue
                yield Normalised(
                    {
                        "@id": f"elhub:{name}/{start}/{end}",
                        "@type": "ElectricityReading",
                        "start": start,
                        "end": end,
                        "quantity": round(value.value * factor, 6),
                        "unit": "KiloW-HR",
                        "quality": "measured" if value.verified else "estimated",
                        "meter": point.metering_point_id[:40],
                        "source": "TrønderEnergi",
                    },
                    may_replace=value.verified,
                )

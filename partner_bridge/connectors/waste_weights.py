"""Trondheim Renholdsverk: what a collection weighed.

Their calendar is public (`calendar[]{dato, fraksjon, fraksjonId}`), weights are not published; the member `vektKg` is a
guess (docs/partners.md) that stands for the scales on the lorry.

Traps: the fraction is the number, not the word; an unknown number is nobody's fraction; `dato` is a local day, so that
a day is 23, 24 or 25 hours; a container that was not put out weighs nothing and is no record of 0 kg of waste.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Literal

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.elhub_csv import LOCAL, decimal_comma
from partner_bridge.connectors.normalising import Context, Normalised, decode_as, instant, name_part
from partner_bridge.errors import UnusablePayload

FRACTIONS = {2400: "paper", 2612: "glass-metal", 3000: "food", 3200: "plastic", 9999: "residual"}


class _Collection(msgspec.Struct, gc=False):
    dato: date
    fraksjon_id: int = msgspec.field(name="fraksjonId")
    vekt_kg: float | str | None = msgspec.field(name="vektKg", default=None)


class _Payload(msgspec.Struct, gc=False):
    id: str
    calendar: list[_Collection]


class WasteWeights:
    """Weights of collections."""

    name = "waste-weights"
    title = "Trondheim Renholdsverk"
    kinds = frozenset({"waste-collection"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("trv", "Trondheim Renholdsverk", "https://trv.no"),
        channels=("push",),
        granularity="P1D",
        frequency="weekly",
        history=None,
        terms=Words(
            nb="Kommer bare mens samtykket ditt gjelder; leverandøren ser ingenting av det andre i podden.",
            nn="Kjem berre medan samtykket ditt gjeld; leverandøren ser ingenting av det andre i podden.",
            en="Comes only while your consent stands; the supplier sees nothing else in your pod.",
        ),
        format_source="docs/partners.md",
        guesses=(
            Words(
                nb="Vekten per henting publiseres ikke; feltet for den er gjettet.",
                nn="Vekta per henting blir ikkje publisert; feltet for henne er gjetta.",
                en="The weight of a collection is not published; the field for it is guessed.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One record a collection that was weighed."""
        pushed: _Payload = decode_as(payload, _Payload)
        place = name_part(pushed.id)
        for collection in pushed.calendar:
            fraction = FRACTIONS.get(collection.fraksjon_id)
            if fraction is None:
                yield UnusablePayload("a fraksjonId that is none of 2400, 2612, 3000, 3200, 9999")
                continue
            if collection.vekt_kg is None:
                continue  # in the calendar, not on the scales
            try:
                weight = (
                    decimal_comma(collection.vekt_kg) if isinstance(collection.vekt_kg, str) else collection.vekt_kg
                )
            except ValueError:
                yield UnusablePayload("a weight that is no number")
                continue
            if weight <= 0:
                continue
            try:
                start = instant(datetime.combine(collection.dato, time(), LOCAL))
                # The clocks' next midnight, not 24 hours on: a local day has its own length.
                end = instant(datetime.combine(collection.dato, time(), LOCAL), timedelta(days=1))
            except UnusablePayload as error:
                yield error
                continue
            yield Normalised(
                {
                    "@id": f"trv:{place}/{collection.dato.isoformat()}/{fraction}",
                    "@type": "WasteCollection",
                    "start": start,
                    "end": end,
                    "quantity": round(weight, 3),
                    "unit": "KiloGM",
                    "fraction": fraction,
                    "source": "Trondheim Renholdsverk",
                }
            )

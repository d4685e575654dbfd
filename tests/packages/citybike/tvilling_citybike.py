"""City bikes: each trip from dock to dock.

Format: a trip with its stations as GBFS names them (`station_id`, `lat`, `lon`; GBFS 2.3, `station_information.json`):
`{trip_id, started_at, ended_at, start_station: {…}, end_station: {…}}`.

Traps: a trip that is not over has no `ended_at`; a bicycle that is put back within two minutes at the same dock was
broken, and nobody rode it; the way that was ridden is not told, so that a trip's length is inferred from its docks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Context, Normalised, decode_as, instant, name_part
from partner_bridge.errors import UnusablePayload

BROKEN_BICYCLE = timedelta(minutes=2)
DETOUR = 1.3
"""How much longer a way by bicycle is than the straight line: a guess."""


class _Station(msgspec.Struct):
    station_id: str
    lat: float
    lon: float


class _Trip(msgspec.Struct):
    trip_id: str
    started_at: datetime
    start_station: _Station
    ended_at: datetime | None = None
    end_station: _Station | None = None


class Citybike:
    """Trips by shared bicycle."""

    name = "citybike"
    title = "Bysykkel"
    kinds = frozenset({"transit-trip"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("bysykkel", "Bysykkel AS", "https://bysykkel.example"),
        channels=("push", "file"),
        granularity="event",
        frequency="daily",
        history=timedelta(days=365),
        terms=Words(
            nb="Kommer bare mens samtykket ditt gjelder.",
            nn="Kjem berre medan samtykket ditt gjeld.",
            en="Comes only while your consent stands.",
        ),
        format_source="https://github.com/MobilityData/gbfs/blob/v2.3/gbfs.md",
        guesses=(
            Words(
                nb="Lengden på turen er luftlinjen mellom stativene ganger 1,3.",
                nn="Lengda på turen er luftlina mellom stativa gonger 1,3.",
                en="A trip's length is the straight line between the docks times 1.3.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:
        """One trip a bicycle that was put back somewhere else, or later."""
        trip: _Trip = decode_as(payload, _Trip)
        if trip.ended_at is None or trip.end_station is None:
            return
        start, end = instant(trip.started_at), instant(trip.ended_at)
        kilometres = _kilometres(trip.start_station, trip.end_station)
        if not math.isfinite(kilometres) or trip.ended_at < trip.started_at:
            yield UnusablePayload("a trip that ends before it begins, or at no place on Earth")
            return
        same = trip.start_station.station_id == trip.end_station.station_id
        if same and trip.ended_at - trip.started_at < BROKEN_BICYCLE:
            return
        yield Normalised(
            {
                "@id": f"citybike:{name_part(trip.trip_id)[:120]}",
                "@type": "TransitTrip",
                "start": start,
                "end": end,
                "quantity": kilometres,
                "unit": "KiloM",
                "mode": "bicycle",
                "inferred": True,
                "source": "Bysykkel",
            }
        )


def _kilometres(start: _Station, end: _Station) -> float:
    north = math.radians(end.lat - start.lat)
    east = math.radians(end.lon - start.lon) * math.cos(math.radians((start.lat + end.lat) / 2))
    return round(6371.0 * math.hypot(north, east) * DETOUR, 2)
